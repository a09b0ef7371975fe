"""The measures agree with scipy and with slow computations of another kind; intervals cover what they should."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from genas.analysis.ranking.measures import (
    best_weights,
    bootstrap_weights,
    interval,
    kendall,
    kendall_matrix,
    mean_of_ranks,
    once,
    partial_kendall,
    picked,
    spearman,
    sum_of_log_ranks,
)


def tied(seed, count=60, levels=12):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    y = 0.6 * x + rng.normal(size=count)
    return np.floor(levels / 4 * x), np.floor(levels / 4 * y)


def samples(weights):
    """The drawn architectures of every column."""
    return [np.repeat(np.arange(len(weights)), column) for column in weights.T]


@pytest.mark.parametrize("levels", [2, 6, 40, 10**6])
def test_tau_and_rho_are_scipys_also_with_ties(levels):
    for seed in range(5):
        x, y = tied(seed, levels=levels)
        assert kendall(x, y, once(len(x)))[0] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
        assert spearman(x, y, once(len(x)))[0] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("levels", [6, 10**6])
def test_every_bootstrap_sample_is_what_scipy_says_of_the_drawn_architectures(levels):
    x, y = tied(1, count=40, levels=levels)
    weights = bootstrap_weights(40, 20, seed=5)
    assert (weights.sum(axis=0) == 40).all()
    taus, rhos = kendall(x, y, weights), spearman(x, y, weights)
    for tau, rho, drawn in zip(taus, rhos, samples(weights), strict=True):
        assert tau == pytest.approx(stats.kendalltau(x[drawn], y[drawn]).statistic, abs=1e-12)
        assert rho == pytest.approx(stats.spearmanr(x[drawn], y[drawn]).statistic, abs=1e-12)


def test_a_constant_score_has_no_correlation():
    x, y = np.zeros(20), np.arange(20.0)
    for measure in (kendall, spearman):
        assert np.isnan(measure(x, y, bootstrap_weights(20, 4, 0))).all()
    assert all(np.isnan(bound) for bound in interval(np.full(10, np.nan), 0.95))


def test_tau_among_the_best_is_that_of_the_best_of_every_sample():
    x, y = tied(2, count=50, levels=10**6)
    weights = bootstrap_weights(50, 15, seed=1)
    kept = best_weights(y, weights, 12)
    for column, drawn in zip(kept.T, samples(weights), strict=True):
        best = sorted(drawn, key=lambda one: -y[one])[:12]
        assert sorted(np.repeat(np.arange(50), column)) == sorted(best)
    assert kendall(x, y, best_weights(y, once(50), 12))[0] == pytest.approx(
        stats.kendalltau(*(one[np.argsort(-y)[:12]] for one in (x, y))).statistic
    )


def regret(scores, truth, weights, tries):
    return (picked(truth, truth, weights, [tries]) - picked(scores, truth, weights, [tries]))[0]


def test_regret_is_the_mean_over_all_subsets():
    rng = np.random.default_rng(3)
    scores, truth = rng.integers(0, 4, 9).astype(float), rng.normal(size=9)
    for tries in (1, 3, 9):
        losses = []
        for subset in combinations(range(9), tries):
            chosen = list(subset)
            picks = [one for one in chosen if scores[one] == scores[chosen].max()]
            losses.append(truth[chosen].max() - truth[picks].mean())
        assert regret(scores, truth, once(9), tries)[0] == pytest.approx(np.mean(losses), abs=1e-12)
    weights = bootstrap_weights(9, 6, 0)
    for ranked in (scores, rng.normal(size=9)):
        for value, drawn in zip(regret(ranked, truth, weights, 4), samples(weights), strict=True):
            same = regret(ranked[drawn], truth[drawn], once(9), 4)[0]
            assert value == pytest.approx(same, abs=1e-12)


def signs(values):
    return np.array([np.sign(values[i] - values[j]) for i in range(len(values)) for j in range(i)])


@pytest.mark.parametrize("covariates", [1, 2, 3])
def test_partial_tau_is_the_cosine_of_residuals_of_the_pairs_signs(covariates):
    rng = np.random.default_rng(covariates)
    common = rng.normal(size=(covariates, 30))
    x = common.sum(0) + rng.normal(size=30)
    y = np.round(common.sum(0) + rng.normal(size=30), 1)
    variables = [x, y, *common]
    matrix = kendall_matrix(variables, once(30))
    value = partial_kendall(matrix, 0, 1, range(2, 2 + covariates))[0]

    given = np.stack([signs(one) for one in common], 1)
    left = [signs(one) - given @ np.linalg.lstsq(given, signs(one), rcond=None)[0] for one in (x, y)]
    assert value == pytest.approx(left[0] @ left[1] / np.linalg.norm(left[0]) / np.linalg.norm(left[1]), abs=1e-10)
    if covariates == 1:
        xy, xz, yz = (stats.kendalltau(a, b).statistic for a, b in ((x, y), (x, common[0]), (y, common[0])))
        assert value == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)), abs=1e-12)


def test_a_covariate_has_no_partial_correlation_given_itself():
    x, y = tied(0, levels=10**6)
    matrix = kendall_matrix([x, y, 3 * x], once(len(x)))
    assert np.isnan(partial_kendall(matrix, 0, 1, [2])).all()


def test_intervals_cover_the_true_tau_of_normal_variables():
    # for the bivariate normal, tau = 2/pi arcsin(rho)
    rho, inside = 0.6, 0
    truth = 2 / np.pi * np.arcsin(rho)
    rng = np.random.default_rng(11)
    for trial in range(120):
        x = rng.normal(size=60)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=60)
        low, high = interval(kendall(x, y, bootstrap_weights(60, 200, trial)), 0.95)
        inside += low <= truth <= high
    assert 105 <= inside <= 120  # 95 % of 120 is 114; the binomial's standard deviation is 2.4


def test_bootstrap_samples_are_a_function_of_the_seed():
    assert (bootstrap_weights(30, 8, 1) == bootstrap_weights(30, 8, 1)).all()
    assert (bootstrap_weights(30, 8, 1) != bootstrap_weights(30, 8, 2)).any()


def test_aggregated_ranks():
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 10.0, 0.0, 30.0])
    assert mean_of_ranks([first, second]) == pytest.approx(
        [(0.25 + 0.625) / 2, (0.5 + 0.625) / 2, (0.75 + 0.25) / 2, 1]
    )
    assert sum_of_log_ranks([first, second]) == pytest.approx(np.log([0.25 * 0.625, 0.5 * 0.625, 0.75 * 0.25, 1.0]))
    # only order matters
    assert mean_of_ranks([first, second]) == pytest.approx(mean_of_ranks([np.exp(first), second**3]))
