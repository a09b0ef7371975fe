"""Training: the epoch loop (`loop.py`), supernets, and single architectures from scratch."""
