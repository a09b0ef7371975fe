"""The non-dominated set against its definition."""

import random

import pytest

from genas.strategies.pareto import non_dominated


def dominates(first, second):
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
@pytest.mark.parametrize("values", [4, 1000])  # few: most points are equal to others
def test_the_front_is_what_no_point_dominates(objectives, values):
    rng = random.Random(objectives * values)
    for count in (1, 2, 60, 600):
        points = [tuple(rng.randrange(-values, values) for _ in range(objectives)) for _ in range(count)]
        wanted = [n for n, point in enumerate(points) if not any(dominates(other, point) for other in points)]
        assert non_dominated(points) == wanted


def test_points_that_are_all_equal_or_all_on_the_front_stay():
    assert non_dominated([]) == []
    assert non_dominated([(1.0, 2.0)] * 5) == list(range(5))
    line = [(float(n), float(-n)) for n in range(1000)]
    assert non_dominated(line) == list(range(1000))
