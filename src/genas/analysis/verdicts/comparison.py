"""Whether the searched architecture is better than random ones with the same training, by more than the error.

With D the accuracy of the searched architecture minus the mean accuracy of B random ones, all on the same N test
images, the squared standard error of D is

    s^2 (1/S + 1/B) + d^2 / N

s is the standard deviation of the accuracy over the random architectures, each trained once, so it holds the luck of
the seed as well as what the architecture is worth; S is how often the searched one was trained. d is the standard
deviation over the images of (share of right trainings of the searched one) - (share of right random ones): a paired
error of the test set, smaller than two binomial ones because all networks see the same images. A part of the luck of
the images is in both terms, so the error is rather too large. The interval is Student's, with the degrees of freedom
of Welch and Satterthwaite (Biometrics Bulletin 2, 1946); with a single random architecture s is unknown, and only the
second term is counted.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genas.analysis.verdicts import Verdict

Floats = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """The searched architecture against random ones; accuracies are fractions.

    Args:
        accuracy: mean test accuracy over the trainings of the searched architecture.
        baselines: test accuracy of every random one.
        images: test images.
        difference: `accuracy` minus the mean of `baselines`.
        low: lower end of the 95 % interval of the difference.
        high: its upper end.
        image_error: standard error from the test images alone, paired.
        spread: standard deviation over the random architectures; None for a single one.
    """

    accuracy: float
    baselines: tuple[float, ...]
    images: int
    difference: float
    low: float
    high: float
    image_error: float
    spread: float | None

    @property
    def exceeds(self) -> bool:
        """Whether the searched architecture is better by more than the error."""
        return self.low > 0


def compare(winner: Floats, baselines: Floats) -> Comparison:
    """Compares on the same test images.

    Args:
        winner: [S, N] 1 where a training of the searched architecture is right, else 0.
        baselines: [B, N] the same of the random architectures, one training each.
    """
    trainings, images = winner.shape
    accuracies = baselines.mean(1)
    gains = winner.mean(0) - baselines.mean(0)
    difference = float(gains.mean())
    of_images = float(gains.var(ddof=1)) / images if images > 1 else 0.0
    spread = float(accuracies.std(ddof=1)) if len(baselines) > 1 else None
    of_training = 0.0 if spread is None else spread**2 * (1 / trainings + 1 / len(baselines))
    total = of_images + of_training
    freedom = math.inf
    if of_training > 0:
        freedom = total**2 / (of_training**2 / (len(baselines) - 1) + of_images**2 / max(images - 1, 1))
    half = student(LEVEL, freedom) * math.sqrt(total)
    return Comparison(
        float(winner.mean()),
        tuple(accuracies.tolist()),
        images,
        difference,
        max(difference - half, -1.0),
        min(difference + half, 1.0),
        math.sqrt(of_images),
        spread,
    )


def student(level: float, freedom: float) -> float:
    """The t that Student's distribution stays within, on both sides of 0, with probability `level`.

    Args:
        level: between 0 and 1.
        freedom: degrees of freedom, at least 1.

    With t = sqrt(n) tan(a) the density of a is proportional to cos(a)^(n - 1): no special function is needed.
    """
    if freedom > 1e6:
        freedom = 1e6
    angle = np.linspace(0, math.pi / 2, 400_001)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(freedom) * math.tan(float(np.interp(level, mass / mass[-1], angle)))


def sentence(found: Comparison) -> str:
    """The outcome in numbers, for terminal, JSON and page."""
    each = ", ".join(f"{100 * one:.2f}" for one in found.baselines)
    several = len(found.baselines) > 1
    others = f"{len(found.baselines)} random ones with the same training have {100 * _mean(found):.2f} % on average"
    if not several:
        others = "a random one with the same training has"
    return (
        f"The searched architecture has {100 * found.accuracy:.2f} % on {found.images:,} test images, {others}"
        f"{f' ({each})' if several else f' {each} %'}: a difference of {100 * found.difference:+.2f} points, 95 % "
        f"interval {100 * found.low:+.2f} to {100 * found.high:+.2f}. "
        + (
            "The search found more than its error."
            if found.exceeds
            else "The random ones are better by more than the error."
            if found.high < 0
            else "That does not exceed the error: the search is not shown to be worth anything here."
        )
        + (
            " Every random architecture was trained once, so their spread holds the luck of the seed too."
            if several
            else " With one random architecture the error is that of the test images alone, so it is too small."
        )
    )


def _mean(found: Comparison) -> float:
    return sum(found.baselines) / len(found.baselines)


def worth_nothing(found: Comparison) -> Verdict | None:
    """The search found nothing better than random architectures."""
    if found.exceeds:
        return None
    points = f"{100 * found.difference:+.2f} points, 95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
    if found.high < 0:
        return Verdict("worse-than-random", f"The searched architecture is worse than random ones ({points}).")
    return Verdict(
        "no-better-than-random",
        f"The searched architecture is not better than random ones by more than the error ({points}).",
    )
