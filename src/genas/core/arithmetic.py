"""Whole numbers."""


def ceil_div(count: int, size: int) -> int:
    """Pieces of `size` that hold `count` things: the quotient, rounded up."""
    return -(-count // size)
