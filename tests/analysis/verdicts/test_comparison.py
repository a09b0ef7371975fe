"""The searched architecture against random ones: the error is neither forgotten nor invented."""

import numpy as np
import pytest
from scipy import stats

from genas.analysis.verdicts.comparison import compare, sentence, student, worth_nothing


def made(accuracies, images, seed=0):
    """Answers of networks with given accuracies: what is hard for one is hard for all."""
    hardness = np.random.default_rng(seed).permutation(images) / images
    return np.array([(hardness < accuracy).astype(float) for accuracy in accuracies])


@pytest.mark.parametrize("freedom", [1.0, 2.0, 2.6, 7.5, 200.0, 1e9])
def test_the_quantile_is_students(freedom):
    assert student(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-4)


def test_the_difference_on_2062_photographs_is_no_difference():
    """98.54 % against 98.30, 97.81, 98.30."""
    found = compare(made([0.9854], 412), made([0.9830, 0.9781, 0.9830], 412))
    assert found.difference == pytest.approx(0.004, abs=0.002)
    assert found.low < 0 < found.high
    verdict = worth_nothing(found)
    assert verdict.code == "no-better-than-random"
    assert "does not exceed the error" in sentence(found)
    assert "luck of the seed" in sentence(found)


def test_a_difference_far_beyond_the_spread_exceeds_it():
    found = compare(made([0.95], 2000), made([0.80, 0.81, 0.79], 2000))
    assert found.exceeds
    assert worth_nothing(found) is None
    assert "found more than its error" in sentence(found)
    assert worth_nothing(compare(made([0.60], 2000), made([0.80, 0.81, 0.79], 2000))).code == "worse-than-random"


def test_the_spread_over_architectures_counts_however_many_images_there_are():
    few, many = (compare(made([0.85], images), made([0.80, 0.84, 0.76], images)) for images in (500, 500_000))
    assert many.image_error < few.image_error / 20
    assert not many.exceeds
    assert many.spread == pytest.approx(0.04, abs=1e-3)
    half = stats.t.ppf(0.975, 2) * 0.04 * (1 + 1 / 3) ** 0.5  # the images' part is nothing here
    assert many.high - many.difference == pytest.approx(half, rel=0.01)


def test_the_images_count_where_random_architectures_agree():
    found = compare(made([0.85], 100), made([0.80, 0.80, 0.80], 100, seed=1))
    assert found.spread == pytest.approx(0)
    assert not found.exceeds
    assert found.image_error == pytest.approx(0.05, abs=0.02)


def test_one_random_architecture_has_no_spread_and_says_so():
    found = compare(made([0.85], 1000), made([0.80], 1000))
    assert found.spread is None
    assert found.exceeds
    assert "too small" in sentence(found)


def test_more_trainings_of_the_searched_one_make_the_interval_narrower():
    one, four = (compare(made([0.85] * count, 1000), made([0.80, 0.84, 0.76], 1000)) for count in (1, 4))
    assert four.high - four.low < one.high - one.low


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Architectures and images drawn anew: the searched one is one of the random ones in truth."""
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(150):
        worth = rng.normal(1.0, 0.15, 4)
        images = rng.normal(0, 1.0, 300)
        right = (worth[:, None] + images + rng.normal(0, 0.7, (4, 300)) > 0).astype(float)
        found = compare(right[:1], right[1:])
        inside += found.low <= 0 <= found.high
    assert 0.94 < inside / 150 <= 1.0
