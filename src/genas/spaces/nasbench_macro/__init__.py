"""The NAS-Bench-Macro space."""
