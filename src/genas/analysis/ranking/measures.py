"""Measures of agreement between rankings, with bootstrap intervals over architectures.

Every measure is computed for many *weightings* of the architectures at once: W [n, B] holds how often each of B
bootstrap samples drew each of n architectures. One W serves all proxies and columns, so differences between them are
paired. Counting is exact (integers), with Knight's O(n log n) algorithm (Knight, JASA 61, 1966) run for all B together.

    tau-b = (concordant - discordant) / sqrt((pairs - pairs tied in x) (pairs - pairs tied in y))

Of two draws of the same architecture nothing is learnt: they are a pair tied in both. Undefined values (all scores
equal, for instance) are NaN.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genas.core.seeding import derive

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Weights = NDArray[np.int32]
SINGULAR = 1e-9  # a variance left over by covariates that is smaller than this share is none


def bootstrap_weights(count: int, replicates: int, seed: int) -> Weights:
    """How often each bootstrap sample draws each architecture.

    Args:
        count: architectures n.
        replicates: samples B, each of n draws with replacement.
        seed: of the study.

    Returns:
        [n, B]; the sum of every column is n.
    """
    generator = np.random.default_rng(derive(seed, "rank.bootstrap", count, replicates))
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=replicates)
    return np.ascontiguousarray(drawn.T.astype(np.int32))


def once(count: int) -> Weights:
    """The weights of the architectures as they are: [n, 1] of ones."""
    return np.ones((count, 1), dtype=np.int32)


def interval(values: Floats, level: float) -> tuple[float, float]:
    """The percentile interval of bootstrap values ([B]); (NaN, NaN) where fewer than half of them are defined."""
    known = values[np.isfinite(values)]
    if 2 * len(known) < max(len(values), 1):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def codes(values: Floats) -> Counts:
    """Dense ranks from 0: equal values share one ([n])."""
    found: Counts = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return found


def kendall(x: Floats, y: Floats, weights: Weights) -> Floats:
    """Kendall's tau-b for every weighting.

    Args:
        x: [n] scores.
        y: [n] scores or accuracies.
        weights: [n, B].

    Returns:
        [B], NaN where one of the two is constant.
    """
    used = np.flatnonzero(weights.any(axis=1))
    order = used[np.lexsort((y[used], x[used]))]
    first, second, weights = codes(x[order]), codes(y[order]), weights[order]
    drawn = weights.sum(axis=0, dtype=np.int64)
    pairs = drawn * (drawn - 1) // 2
    tied_both = _tied(first * (len(first) + 1) + second, weights)
    tied_x, tied_y = (
        _tied(one, weights) if one.max(initial=-1) + 1 < len(one) else tied_both for one in (first, second)
    )
    discordant = _inversions(second, weights)
    numerator = pairs - tied_x - tied_y + tied_both - 2 * discordant
    with np.errstate(invalid="ignore", divide="ignore"):
        product = np.sqrt((pairs - tied_x).astype(float)) * np.sqrt((pairs - tied_y).astype(float))
        return np.asarray(np.where(product > 0, numerator / product, np.nan), dtype=np.float64)


def _tied(groups: Counts, weights: Weights) -> Counts:
    """Pairs of draws within the same group ([B]); groups [n] are integers."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    # most architectures are alone in their group
    sums = weights if len(starts) == len(groups) else np.add.reduceat(weights[order], starts, axis=0)
    squares = np.einsum("nb,nb->b", sums, sums, dtype=np.int64, casting="unsafe")
    tied: Counts = (squares - weights.sum(axis=0, dtype=np.int64)) // 2
    return tied


def _inversions(values: Counts, weights: Weights) -> Counts:
    """Sum of w_i w_j over i before j with values_i > values_j ([B]), by a Fenwick tree whose nodes are rows of B."""
    size = int(values.max(initial=0)) + 1
    tree = np.zeros((size + 1, weights.shape[1]), dtype=np.int32)
    total = np.zeros(weights.shape[1], dtype=np.int64)
    seen = np.zeros(weights.shape[1], dtype=np.int32)
    for value, weight in zip(values.tolist(), weights, strict=True):
        above = seen.copy()
        place = value + 1
        while place > 0:
            above -= tree[place]
            place -= place & -place
        total += weight.astype(np.int64) * above
        seen += weight
        place = value + 1
        while place <= size:
            tree[place] += weight
            place += place & -place
    return total


def spearman(x: Floats, y: Floats, weights: Weights) -> Floats:
    """Spearman's rho (Pearson's correlation of mid-ranks) for every weighting: [n], [n], [n, B] to [B]."""
    first, second = _midranks(x, weights), _midranks(y, weights)
    drawn = weights.sum(axis=0)
    middle = (drawn + 1) / 2  # the mean of mid-ranks, whatever the ties
    first, second = first - middle, second - middle
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((weights * first**2).sum(0)) * np.sqrt((weights * second**2).sum(0))
        return np.asarray(np.where(spread > 0, (weights * first * second).sum(0) / spread, np.nan))


def _midranks(values: Floats, weights: Weights) -> Floats:
    """Mid-ranks of the architectures within each sample: [n, B]."""
    groups = codes(values)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sums = weights[order] if len(starts) == len(groups) else np.add.reduceat(weights[order], starts, axis=0)
    ranks = np.cumsum(sums, axis=0, dtype=np.float64) - (sums - 1) / 2
    return np.asarray(ranks[groups])


def best_weights(truth: Floats, weights: Weights, best: int) -> Weights:
    """The weights of the `best` draws by truth in each sample; of tied ones, the earlier architectures come first.

    Args:
        truth: [n] accuracies.
        weights: [n, B].
        best: how many draws stay.
    """
    order = np.lexsort((np.arange(len(truth)), -truth))
    upto = np.minimum(np.cumsum(weights[order], axis=0), best)
    kept = np.empty_like(weights)
    kept[order] = np.diff(upto, axis=0, prepend=0)
    return kept


def picked(scores: Floats, truth: Floats, weights: Weights, tries: Sequence[int]) -> Floats:
    """The truth of the pick by score among N architectures, expected over random subsets.

    A subset of N is drawn without replacement from the sample; the pick is its highest score, a random one of equal
    highest. The expectation is exact: the best of a subset is among the r first with probability 1 - C(n - r, N) /
    C(n, N). ``picked(truth, truth, ...)`` is what the best pick reaches; the difference is the regret.

    Args:
        scores: [n].
        truth: [n].
        weights: [n, B]; all columns have the same sum.
        tries: the sizes N; at least that sum means the whole sample.

    Returns:
        [len(tries), B], in the unit of `truth`.
    """
    groups = codes(-scores)
    order = np.argsort(groups, kind="stable")
    drawn = int(weights[:, 0].sum())
    chances = [_best_within(drawn, min(count, drawn)) for count in tries]
    sums, means = _grouped(groups, order, truth, weights)
    upto = np.cumsum(sums, axis=0)
    if means.shape[1] == 1:  # summed by parts: the last group's chance is 1
        steps = means[:-1, 0] - means[1:, 0]
        return np.stack([steps @ chance[upto[:-1]] + means[-1, 0] for chance in chances])
    return np.stack([(np.diff(chance[upto], axis=0, prepend=0.0) * means).sum(axis=0) for chance in chances])


def _grouped(groups: Counts, order: Counts, truth: Floats, weights: Weights) -> tuple[Weights, Floats]:
    """Draws of each group of equal scores, [G, B], and their mean truth, [G, B] or, without ties, [G, 1]."""
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    if len(starts) == len(groups):
        return weights[order], truth[order][:, None]
    sums = np.add.reduceat(weights[order], starts, axis=0)
    totals = np.add.reduceat(weights[order] * truth[order][:, None], starts, axis=0)
    return sums, np.divide(totals, sums, out=np.zeros_like(totals), where=sums > 0)


def _best_within(count: int, tries: int) -> Floats:
    """Probability that the best of `tries` of `count` is among the r first, for r = 0 .. count."""
    missing = np.ones(count + 1)
    for rank in range(1, count + 1):
        left = count - rank + 1  # places from the one that the r-th takes on
        missing[rank] = missing[rank - 1] * max(left - tries, 0) / left
    return 1 - missing


def kendall_matrix(variables: Sequence[Floats], weights: Weights) -> Floats:
    """Tau-b between all pairs of variables: [V, V, B], with ones (NaN for a constant) on the diagonal."""
    count = len(variables)
    matrix = np.full((count, count, weights.shape[1]), np.nan)
    for one in range(count):
        changes = kendall(variables[one], variables[one], weights)
        matrix[one, one] = np.where(np.isfinite(changes), 1.0, np.nan)
        for other in range(one):
            matrix[one, other] = matrix[other, one] = kendall(variables[one], variables[other], weights)
    return matrix


def partial_kendall(matrix: Floats, x: int, y: int, given: Sequence[int]) -> Floats:
    """Partial tau of two variables given others, from the matrix of all tau-b.

        tau(xy.z) = (tau_xy - tau_xz tau_yz) / sqrt((1 - tau_xz^2) (1 - tau_yz^2))

    and for several z the same as with partial correlations: -P_xy / sqrt(P_xx P_yy), P the inverse of the matrix
    (Kendall, Biometrika 32, 1942; Kim, CSAM 22, 2015). Tau-b is the cosine between the sign vectors of all pairs, so
    this is the cosine of what a linear fit of the covariates' sign vectors leaves of the two. It is 0 for a proxy that
    orders pairs as its covariates would predict linearly; it need not be exactly 0 under conditional independence.

    Args:
        matrix: [V, V, B] of `kendall_matrix`.
        x: place of one variable.
        y: place of the other.
        given: places of the covariates.

    Returns:
        [B], NaN where the covariates leave nothing of one of the two, as they do of themselves.
    """
    places = [x, y, *given]
    taus = np.moveaxis(matrix[np.ix_(places, places)], 2, 0)
    values = np.full(len(taus), np.nan)
    known = np.flatnonzero(np.isfinite(taus).all(axis=(1, 2)))
    inner, outer = taus[known, 2:, 2:], taus[known, 2:, :2]
    fitted = np.swapaxes(outer, 1, 2) @ np.linalg.pinv(inner, hermitian=True) @ outer
    left = taus[known, :2, :2] - fitted
    some = (left[:, 0, 0] > SINGULAR) & (left[:, 1, 1] > SINGULAR)
    spread = np.sqrt(left[some, 0, 0] * left[some, 1, 1])
    values[known[some]] = np.clip(left[some, 0, 1] / spread, -1, 1)
    return values


def mean_of_ranks(scores: Sequence[Floats]) -> Floats:
    """Rank aggregation by the mean of ascending mid-ranks over m architectures (Borda), as shares in (0, 1]."""
    return np.mean([_share(one) for one in scores], axis=0)  # type: ignore[no-any-return]


def sum_of_log_ranks(scores: Sequence[Floats]) -> Floats:
    """Rank aggregation by sum log(rank / m), which punishes a low rank in any of the proxies.

    It is the non-linear aggregation of AZ-NAS (Lee and Ham, CVPR 2024); ties share their mid-rank here.
    """
    return np.sum([np.log(_share(one)) for one in scores], axis=0)  # type: ignore[no-any-return]


def _share(values: Floats) -> Floats:
    return np.asarray(_midranks(values, once(len(values)))[:, 0] / len(values))
