"""How well proxies rank the architectures of a benchmark."""
