"""The largest width that fits a budget of MACs; no torch needed."""

from collections.abc import Callable
from functools import cache
from math import sqrt

from genas.core.errors import ConfigError

SMALLEST = 2


def largest_even(macs: Callable[[int], int], limit: int) -> int:
    """The largest even width whose MACs do not exceed `limit`.

    Args:
        macs: MACs of the network of a given width; must grow with the width.
        limit: greatest number of MACs.

    Raises:
        ConfigError: even the narrowest network needs more, or the width changes nothing.
    """
    macs = cache(macs)
    if macs(SMALLEST) > limit:
        raise ConfigError(
            f"the limit of {limit / 1e6:g} M MACs is too small; the narrowest network (width {SMALLEST}) needs "
            f"{macs(SMALLEST) / 1e6:.2f} M."
        )
    if macs(SMALLEST) == macs(2 * SMALLEST):
        raise ConfigError("the width of these networks cannot be chosen; leave the limit on MACs out.")
    width = 16
    for _ in range(4):  # MACs grow nearly with the square of the width, so this comes close
        width = max(SMALLEST, 2 * int(width * sqrt(limit / macs(width)) / 2))
    while macs(width) <= limit:
        width += 2
    while macs(width) > limit:
        width -= 2
    return width
