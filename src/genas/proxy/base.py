"""What a proxy is: it scores an architecture from the trained supernet; higher is better."""

from abc import ABC, abstractmethod
from collections.abc import Hashable

import torch
from torch import Tensor

from genas.proxy.scoring import Score, Scoring
from genas.registry import Recorded
from genas.settings import Settings
from genas.space.base import Architecture


class Proxy(Recorded, ABC):
    """Scores architectures; higher is better. Subclass it for your own and name it ``package.module:Name``.

    Args:
        scoring: the trained supernet and the data.
    """

    surroundings = ("scoring",)
    name: str = "custom"
    by_function: bool = False
    """Whether equal functions of the same weights get equal scores, whatever their genotypes' texts."""
    counts_size: bool = False
    """Whether the score is a size of the network, so that ranking as a size does is what it is asked for."""
    needs_training: bool = True
    """Whether the score depends on the weights of a trained supernet; a search whose proxies say no trains none."""

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring

    @abstractmethod
    def score(self, architecture: Architecture) -> Score | float:
        """The score of `architecture`, a function of (weights, architecture, data, seed) alone."""

    def normalised(self, score: Score) -> float:
        """The score as it enters a weighted sum."""
        return score.value

    @property
    def raceable(self) -> bool:
        """Whether the score is a function of means over pictures, so that `statistics` can be asked for a part."""
        return False

    @property
    def columns(self) -> int:
        """Number K of columns of `statistics`."""
        return 0

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """What the score needs to know of each validation picture, for racing (`genas.strategy.racing`).

        Args:
            architecture: one of the space.
            part: batches of the random walk, see `Scoring.validation_batches`.

        Returns:
            [pictures, K] float64 on the CPU.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no statistics of pictures")

    def whole_score(self, architecture: Architecture) -> Score:
        """The score of a raceable proxy from all pictures, bit for bit what a race gives to those that it keeps."""
        batches = -(-self.scoring.validation_count // self.scoring.evaluation.batch_size)
        return self.score_of_means(architecture, self.statistics(architecture, slice(0, batches)).mean(0))

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """The score from the means over pictures of what `statistics` gives ([K] float64)."""
        raise NotImplementedError(f"{type(self).__name__} gives no statistics of pictures")

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """Score values of many means at once: [R, K] to [R] float64. The default asks `score_of_means` for each."""
        values = [self.score_of_means(architecture, row).value for row in means]
        return torch.tensor(values, dtype=torch.float64)


class WithoutPictures(Proxy):
    """A proxy whose score does not depend on the pictures that scores are computed on: constant in a race."""

    @property
    def alike(self) -> Hashable:
        """Equal for those that score alike: of one kind and with the same settings. One's own is like itself alone."""
        settings = getattr(self, "settings", None)
        if not type(self).__module__.startswith("genas."):
            return self
        return type(self), settings.model_dump_json() if isinstance(settings, Settings) else None

    @abstractmethod
    def score(self, architecture: Architecture) -> Score:
        """See `Proxy.score`."""

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """[pictures, 0]: no picture enters."""
        size = self.scoring.evaluation.batch_size
        count = min(part.stop * size, self.scoring.validation_count) - part.start * size
        return torch.empty(count, 0, dtype=torch.float64)

    def known_score(self, architecture: Architecture) -> Score:
        """The score, computed once: a race asks after every round, sums and others ask for the same."""
        return self.scoring.remembered((self.alike, architecture), lambda: as_score(self.score(architecture)))

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """The score itself."""
        return self.known_score(architecture)

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """The score, each time."""
        value = self.score_of_means(architecture, means).value
        return torch.full((len(means),), value, dtype=torch.float64)


def known_score(proxy: Proxy, architecture: Architecture) -> Score:
    """The score, remembered where no picture enters."""
    if isinstance(proxy, WithoutPictures):
        return proxy.known_score(architecture)
    return as_score(proxy.score(architecture))


def as_score(value: Score | float) -> Score:
    """A user's proxy may return a bare number."""
    return value if isinstance(value, Score) else Score(float(value))
