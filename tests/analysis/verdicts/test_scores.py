"""Each check on scores speaks where its fault is made, and is silent beside it."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from genas.analysis.verdicts import scores as checks
from genas.analysis.verdicts.read import counts_size
from genas.analysis.verdicts.scores import Scores, rank_correlation
from genas.strategies.named import STRATEGIES

RANDOM = np.random.default_rng(3)


def made(score, params=None, macs=None, generation=None, evaluated=None, failed=0):
    score = np.asarray(score, dtype=float)
    count = len(score)
    columns = [
        RANDOM.permutation(count) + 1.0 if column is None else np.asarray(column, float) for column in (params, macs)
    ]
    generation = np.zeros(count) if generation is None else np.asarray(generation, float)
    return Scores(score, *columns, generation, count if evaluated is None else evaluated, failed)


def code(verdict):
    return None if verdict is None else verdict.code


@pytest.mark.parametrize(
    ("score", "wanted"),
    [
        ([0.1] * 5, "all-scores-equal"),
        ([1e-3 * (1 + 1e-12 * number) for number in range(5)], "all-scores-equal"),  # rounding is no difference
        ([-7.0, -7.0], "all-scores-equal"),
        ([3, 3, 2, 1], "best-scores-equal"),
        ([3, 2, 2, 2], None),
        ([1e-9, 2e-9, 3e-9], None),  # small scores that differ
        ([5], None),
        ([], None),
    ],
)
def test_ties(score, wanted):
    assert code(checks.ties(made(score))) == wanted


def test_architectures_of_one_function_leave_no_choice():
    assert code(checks.one_function(made([1.0], evaluated=12, failed=2))) == "one-function"
    assert checks.one_function(made([1.0], evaluated=3, failed=2)) is None
    assert checks.one_function(made([1.0, 2.0], evaluated=12)) is None


def test_a_score_that_follows_the_size_is_told_with_its_sign():
    macs = RANDOM.permutation(50) + 1.0
    found = checks.follows_size(made(np.sqrt(macs), macs=macs))
    assert found.code == "score-follows-size"
    assert "--proxy macs " in found.sentence
    assert "--proxy -macs " in checks.follows_size(made(-np.sqrt(macs), macs=macs)).sentence
    assert checks.follows_size(made(RANDOM.random(50))) is None
    assert checks.follows_size(made(macs[:10], macs=macs[:10])) is None  # too few to tell
    assert checks.follows_size(made([1.0] * 50, macs=macs)) is None


def test_who_is_told_is_a_property_of_the_proxy_and_of_the_strategy():
    assert counts_size("flatness + 2*macs")
    assert not counts_size("naswot - loss")
    assert not counts_size("my_macs:Paths")  # not a matter of letters
    assert not STRATEGIES.find("random").learns
    assert STRATEGIES.find("evolution").learns


def test_a_search_that_never_beats_its_random_generation_is_told():
    generation = np.repeat([0, 1, 2], 4)
    score = np.linspace(1, 0, 12)
    assert "the very first" in checks.no_improvement(made(score, generation=generation), "evolution").sentence
    score[2] = 2
    assert (
        "the first, random generation"
        in checks.no_improvement(made(score, generation=generation), "evolution").sentence
    )
    score[9] = 3
    assert checks.no_improvement(made(score, generation=generation), "evolution") is None
    assert checks.no_improvement(made([2.0, 1.0], generation=[0, 1]), "evolution") is None  # two generations


def test_counts_and_limits():
    assert "10 of 40" in checks.fewer_than_asked(made([1.0, 2.0], evaluated=10), 40).sentence
    assert checks.fewer_than_asked(made([1.0, 2.0], evaluated=40), 40) is None
    assert code(checks.failures(made([1.0] * 9, evaluated=10, failed=1))) == "many-failures"
    assert checks.failures(made([1.0] * 9, evaluated=100, failed=9)) is None
    winner = made([1.0, 2.0], macs=[10, 99], params=[7, 7])
    assert "99 of at most 100 MACs" in checks.at_limit(winner, {"macs": 100, "params": None}).sentence
    assert "7 of at most 7 parameters" in checks.at_limit(winner, {"macs": 200, "params": 7}).sentence
    assert checks.at_limit(winner, {"macs": 200, "params": 8}) is None
    assert checks.at_limit(made([]), {"macs": 200}) is None


def test_the_rank_correlation_is_spearmans():
    first = RANDOM.integers(0, 5, 40).astype(float)
    second = first + RANDOM.integers(0, 4, 40)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert rank_correlation(first, np.ones(40)) == 0
