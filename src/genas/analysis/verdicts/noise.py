"""Whether the best scores differ by more than the noise of the score.

The noise is that of the validation images, by resampling them (the same resample for all architectures, so that what
they share cancels), or where a score is no function of means over images, by scoring again with other seeds. The noise
draws of one flatness measurement are common to all architectures and not drawn again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from genas.analysis.verdicts import Verdict

ERRORS = 1.96  # standard errors: two-sided 95 %


@dataclass(frozen=True)
class Contender:
    """An architecture beside the best one.

    Args:
        place: 2 for the second best, and so on; 0 for the median of the search.
        genotype: text form.
        difference: score of the best minus its own.
        error: standard error of the difference.
    """

    place: int
    genotype: str
    difference: float
    error: float

    @property
    def near(self) -> bool:
        """Whether the difference is within the noise."""
        return self.difference <= ERRORS * self.error


def within_noise(contenders: Sequence[Contender], how: str) -> Verdict | None:
    """The best cannot be told from the median, or not from any of those next to it.

    Args:
        contenders: from the second best on, and the median.
        how: the noise was measured, as the end of "measured by ...".
    """
    median = next((one for one in contenders if one.place == 0), None)
    if median is not None and median.near and median.error > 0:
        return Verdict(
            "scores-within-noise",
            f"The best score exceeds the median of the search by {median.difference:.3g}, less than its noise "
            f"(standard error {median.error:.3g}, by {how}): the choice is arbitrary. Use more validation images, more "
            "noise draws, or another proxy.",
        )
    next_to = [one for one in contenders if one.place > 0]
    near = [one for one in next_to if one.near and one.error > 0]
    if next_to and len(near) == len(next_to):
        names = "the second best" if len(near) == 1 else f"places 2 to {max(one.place for one in near)}"
        return Verdict(
            "best-within-noise",
            f"The best score exceeds those of {names} by less than the noise of the difference (by {how}): among these "
            "architectures the choice is arbitrary, none is shown to be better than the others.",
        )
    return None
