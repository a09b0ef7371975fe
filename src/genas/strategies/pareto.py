"""The non-dominated points of a set, exactly.

A point dominates another if it is at least as good in every objective and better in one. Among distinct points in
descending lexicographic order, none dominates an earlier one, so that the front only grows and every point is compared
with the front alone: O(n * front) comparisons, vectorised.
"""

from collections.abc import Sequence

import numpy as np

_CHUNK = 256  # points compared at once


def non_dominated(points: Sequence[Sequence[float]]) -> list[int]:
    """The places of the points that no other point dominates, in ascending order; equal points stay together.

    Args:
        points: [n, objectives] finite numbers, higher is better.
    """
    if not points:
        return []
    distinct, place = np.unique(np.asarray(points, dtype=np.float64), axis=0, return_inverse=True)
    front = distinct[:0]
    kept = np.zeros(len(distinct), dtype=bool)
    for end in range(len(distinct), 0, -_CHUNK):
        start = max(end - _CHUNK, 0)
        chunk = distinct[start:end]
        beaten = _covers(front, chunk).any(0)
        beaten |= (_covers(chunk, chunk) & ~np.eye(len(chunk), dtype=bool)).any(0)
        kept[start:end] = ~beaten
        front = np.concatenate([front, chunk[~beaten]])
    return [int(number) for number in np.flatnonzero(kept[place.reshape(-1)])]


def _covers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether each of `first` ([a, k]) is at least as good in every objective as each of `second` ([b, k]): [a, b]."""
    return np.asarray((first[:, None] >= second).all(2))
