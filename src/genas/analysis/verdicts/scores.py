"""What the scores of a search can tell: ties, scores that follow the size, searches that found nothing new."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genas.analysis.verdicts import Verdict

Floats = NDArray[np.float64]
SAME = 1e-9  # relative difference of scores that are taken for equal: rounding
FOLLOWS = 0.98  # rank correlation from which a score says what the size says
ENOUGH = 20  # architectures from which a rank correlation is looked at
FAILED = 0.1  # share of failures from which they are told
AT_LIMIT = 0.98  # of a limit, from which the limit decides
SIZES = ("params", "macs")


@dataclass(frozen=True)
class Scores:
    """The architectures that were scored whole, one for each function, in the order of scoring.

    Args:
        score: [N].
        params: [N] parameters of the stand-alone networks.
        macs: [N] multiply-accumulates.
        generation: [N], from 0.
        evaluated: all architectures of the history, failed, stopped and shared ones too.
        failed: those of them that failed.
    """

    score: Floats
    params: Floats
    macs: Floats
    generation: Floats
    evaluated: int
    failed: int = 0

    def __len__(self) -> int:
        return len(self.score)


def ties(scores: Scores) -> Verdict | None:
    """All scores, or the best ones, are equal: what won was merely scored first."""
    if len(scores) < 2:
        return None
    best = scores.score.max()
    near = np.isclose(scores.score, best, rtol=SAME, atol=0)
    count = int(near.sum())
    if count == len(scores):
        return Verdict(
            "all-scores-equal",
            f"All {count:,} architectures of different functions have the same score ({best:.6g}): the choice is "
            "arbitrary, the winner is the one that was scored first. Search by another proxy.",
        )
    if count > 1:
        return Verdict(
            "best-scores-equal",
            f"{count:,} architectures of different functions share the best score ({best:.6g}): the choice among them "
            "is arbitrary, the winner is the one that was scored first. Use a finer proxy or more validation images.",
        )
    return None


def one_function(scores: Scores) -> Verdict | None:
    """Everything that was scored computes the same function."""
    if len(scores) == 1 and scores.evaluated - scores.failed > 1:
        return Verdict(
            "one-function",
            f"All {scores.evaluated - scores.failed:,} architectures are the same function: there was nothing to "
            "choose. Raise the limits or take another space.",
        )
    return None


def follows_size(scores: Scores) -> Verdict | None:
    """The score ranks as the size does, which costs no training to know."""
    if len(scores) < ENOUGH:
        return None
    found = {name: rank_correlation(scores.score, getattr(scores, name)) for name in SIZES}
    name = max(found, key=lambda key: abs(found[key]))
    if abs(found[name]) < FOLLOWS:
        return None
    label = {"params": "number of parameters", "macs": "MACs"}[name]
    order = "in the opposite order of" if found[name] < 0 else "as"
    return Verdict(
        "score-follows-size",
        f"The score ranks architectures almost {order} their {label} (Spearman's rho {found[name]:.3f} over "
        f"{len(scores):,}): --proxy {'-' if found[name] < 0 else ''}{name} gives nearly the same and trains nothing.",
    )


def no_improvement(scores: Scores, algorithm: str) -> Verdict | None:
    """Of a strategy that learns, the best architecture is one of the first, random generation."""
    generations = int(scores.generation.max(initial=0)) + 1
    if generations < 3 or not len(scores):
        return None
    winner = int(scores.score.argmax())
    if scores.generation[winner] != 0:
        return None
    later = int((scores.generation > 0).sum())
    first = "the very first architecture that was drawn" if winner == 0 else "of the first, random generation"
    return Verdict(
        "no-improvement-over-first",
        f"The best architecture is {first}: none of the {later:,} that the search proposed afterwards scored higher, "
        f"so {algorithm} added nothing to random draws here.",
    )


def fewer_than_asked(scores: Scores, asked: int) -> Verdict | None:
    """The search ended with fewer architectures than its settings ask for."""
    if not 0 < scores.evaluated < asked:
        return None
    return Verdict(
        "fewer-architectures",
        f"The search saw {scores.evaluated:,} of {asked:,} architectures that were asked for: nothing new was left "
        "within the space and its limits.",
    )


def failures(scores: Scores) -> Verdict | None:
    """Many architectures could not be scored."""
    if not scores.evaluated or scores.failed < FAILED * scores.evaluated:
        return None
    return Verdict(
        "many-failures",
        f"{scores.failed:,} of {scores.evaluated:,} architectures failed and were left out, so the winner is the best "
        "of the rest; the report lists the reasons.",
    )


def at_limit(scores: Scores, limits: dict[str, int | None]) -> Verdict | None:
    """The winner uses up a limit, so the limit had a say in the choice.

    Args:
        scores: of the search.
        limits: greatest ``params`` and ``macs``; None for no limit.
    """
    if not len(scores):
        return None
    winner = int(scores.score.argmax())
    for name in SIZES:
        limit = limits.get(name)
        used = float(getattr(scores, name)[winner])
        if limit and used >= AT_LIMIT * limit:
            label = {"params": "parameters", "macs": "MACs"}[name]
            return Verdict(
                "winner-at-limit",
                f"The winner has {used:,.0f} of at most {limit:,} {label}: the limit decides here, a higher one would "
                "probably give another winner.",
            )
    return None


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rho; 0 where one of the two is constant."""
    ranks = [_mid_ranks(values) for values in (first, second)]
    spread = [float(one.std()) for one in ranks]
    if not all(spread):
        return 0.0
    return float(((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())).mean() / (spread[0] * spread[1]))


def _mid_ranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: Floats = ends - (counts - 1) / 2
    return np.asarray(middle[places], dtype=np.float64)
