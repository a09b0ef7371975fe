"""What is computed of one architecture: its whole score, or what some images give for a race."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from genas.core.errors import DataError, Interrupted, RunError
from genas.proxies.base import Proxy
from genas.proxies.expression import checked_score
from genas.proxies.scoring import Score
from genas.spaces.base import Architecture

NOT_THE_ARCHITECTURES_FAULT = (MemoryError, Interrupted, DataError, RunError)

Out = TypeVar("Out")


@dataclass(frozen=True)
class Outcome:
    """How a contender's race ended.

    Args:
        score: whole, or an estimate where the contender was stopped; None when it failed.
        images: images seen by a stopped contender; None where the score is whole.
        failed: why it could not be scored, or None.
    """

    score: Score | None
    images: int | None
    failed: str | None = None


@dataclass(frozen=True)
class Measure:
    """What is computed of one architecture, wherever an executor does it; goes there with the proxy.

    A fault of the architecture is part of the result. Other faults are raised.
    """

    proxy: Proxy

    def score(self, architecture: Architecture) -> tuple[Outcome, float]:
        """The score of an architecture, or why there is none, and the seconds that it took."""
        begun = time.perf_counter()
        outcome = outcome_of(lambda: checked_score(self.proxy, architecture))
        return outcome, round(time.perf_counter() - begun, 3)

    def statistics(self, task: tuple[Architecture, slice]) -> Tensor | str:
        """What some batches give for an architecture ([images, K] float64), or why they do not."""
        return attempt(lambda: self.proxy.statistics(*task))


def outcome_of(score: Callable[[], Score], images: int | None = None) -> Outcome:
    """The outcome of a score; see `attempt`."""
    found = attempt(score)
    return Outcome(None, None, found) if isinstance(found, str) else Outcome(found, images)


def attempt(compute: Callable[[], Out]) -> Out | str:
    """What `compute` gives, or its error as one line: a fault of one architecture, recorded and never tried again.

    Raises:
        GenasError: the error is none of the architecture's (`NOT_THE_ARCHITECTURES_FAULT`).
    """
    try:
        return compute()
    except NOT_THE_ARCHITECTURES_FAULT:
        raise
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
