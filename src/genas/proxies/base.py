"""What a proxy is: it scores an architecture from the trained supernet; higher is better."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from genas.core.registry import Recorded, arguments_of
from genas.core.settings import Settings as SettingsModel
from genas.proxies.engine import Frozen
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture, Network

Look = Callable[[Network | Frozen, slice | None], tuple[Tensor, Tensor]]
"""(network, batches of the random walk or None for all validation images) to cross-entropy and correctness."""


class Sections(Protocol):
    """The section ``proxy`` of a configuration, as a proxy sees it that is opened."""

    def of(self, kind: "type[Proxy]") -> Any:
        """The settings of a class of proxies."""

    def open(self, name: str, scoring: Scoring) -> "Proxy":
        """Another proxy by its name."""


class Proxy(Recorded, ABC):
    """Scores architectures; higher is better. Subclass it for your own and name it ``package.module:Name``.

    Args:
        scoring: the trained supernet and the data.
        settings: an instance of the class's `Settings`; None for its defaults.
    """

    surroundings = ("scoring",)
    name: str = ""
    """What expressions and terms call it; a custom class without a name is called as the expression names it."""
    Settings: ClassVar[type[SettingsModel]] = SettingsModel
    """Its settings: a frozen model, a subclass of `genas.Settings`."""
    section: ClassVar[str] = ""
    """Where they lie under ``proxy.``; empty for the name, with underscores. A family of proxies shares one."""
    reads: ClassVar[tuple["type[Proxy]", ...]] = ()
    """Proxies whose settings the constructor takes after its own."""
    measures: ClassVar[str] = ""
    """Classes that say the same here give the same `statistics` where their settings are equal; not inherited."""
    by_function: bool = False
    """Whether equal functions of the same weights get equal scores, whatever their genotypes' texts."""
    counts_size: bool = False
    """Whether the score is a size of the network, so that ranking as a size does is what it is asked for."""
    needs_training: bool = True
    """Whether the score depends on the weights of a trained supernet; a search whose proxies say no trains none."""
    needs_gradients: ClassVar[bool] = False
    """Whether a score takes backward passes."""
    explanation: ClassVar[str] = ""
    """What it means, in a sentence for those who read a report."""
    formula: ClassVar[str] = ""
    """What it computes."""
    citation: ClassVar[str] = ""
    """Where it comes from."""
    passes: ClassVar[str] = ""
    """Passes of an image through the network that a score takes; docs/proxies.md says what the letters mean."""
    terms: ClassVar[Mapping[str, str]] = {}
    """What the terms of its scores mean, by name."""

    def __init__(self, scoring: Scoring, settings: SettingsModel | None = None) -> None:
        self.scoring = scoring
        self.settings: Any = settings or self.Settings()

    @classmethod
    def open(cls, scoring: Scoring, sections: Sections) -> Self:
        """The proxy of a configuration."""
        kinds: tuple[type[Proxy], ...] = (cls, *cls.reads)
        return cls(scoring, *map(sections.of, kinds))

    @classmethod
    def members(cls, settings: Any) -> tuple[str, ...]:
        """The names of the proxies that it is made of, given its settings."""
        return ()

    @classmethod
    def section_name(cls) -> str:
        """Where its settings lie under ``proxy.``."""
        return cls.section or cls.name.replace("-", "_")

    @property
    def alike(self) -> Hashable:
        """Equal for those that score alike: of one class and made with the same arguments."""
        return self._made_as(type(self), lambda argument: argument)

    @property
    def measurement(self) -> Hashable:
        """Equal for those that give the same `statistics`, so that a study measures them once."""
        return self._made_as(vars(type(self)).get("measures", type(self)), _measured)

    def _made_as(self, kind: Hashable, seen: Callable[[Any], Any]) -> Hashable:
        args, kwargs = arguments_of(self)
        key = kind, tuple(map(seen, args[1:])), tuple((name, seen(value)) for name, value in sorted(kwargs.items()))
        try:
            hash(key)
        except TypeError:  # an argument that cannot be compared
            return self
        return key

    @abstractmethod
    def score(self, architecture: Architecture) -> Score | float:
        """The score of `architecture`, a function of (weights, architecture, data, seed) alone."""

    def normalised(self, score: Score) -> float:
        """The score as it enters a weighted sum."""
        return score.value

    def natural(self, score: Score) -> float:
        """The score on the scale that it is known by, where lower may be better."""
        return score.value

    @property
    def raceable(self) -> bool:
        """Whether the score is a function of means over images, so that `statistics` can be asked for a part."""
        return False

    @property
    def columns(self) -> int:
        """Number K of columns of `statistics`."""
        return 0

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """What the score needs to know of each validation image, for racing (`genas.strategies.racing`).

        Args:
            architecture: one of the space.
            part: batches of the random walk, see `Scoring.validation_batches`.

        Returns:
            [images, K] float64 on the CPU.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no statistics of images")

    def whole_means(self, architecture: Architecture) -> Tensor:
        """The means of `statistics` over all images: [K] float64."""
        return self.statistics(architecture, slice(0, self.scoring.batch_count)).mean(0)

    def whole_score(self, architecture: Architecture) -> Score:
        """The score of a raceable proxy from all images, bit for bit what a race gives to those that it keeps."""
        return self.score_of_means(architecture, self.whole_means(architecture))

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """The score from the means over images of what `statistics` gives ([K] float64)."""
        raise NotImplementedError(f"{type(self).__name__} gives no statistics of images")

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """Score values of many means at once: [R, K] to [R] float64. The default asks `score_of_means` for each."""
        values = [self.score_of_means(architecture, row).value for row in means]
        return torch.tensor(values, dtype=torch.float64)


def _measured(argument: Any) -> Any:
    """A constructor's argument without the settings that apply to means, not to single images."""
    later = getattr(argument, "of_means", ())
    return argument.model_copy(update=dict.fromkeys(later)) if later else argument


class PerImage(Proxy):
    """A proxy that is a function of means over validation images.

    A subclass says what is measured on each image (`measure`), how many `columns` that makes, and what the score is
    given their means (`score_of_means`).
    """

    @abstractmethod
    def measure(self, architecture: Architecture, look: Look) -> list[Tensor]:
        """The columns of `statistics`, or their means over batches.

        Args:
            architecture: one of the space.
            look: measures what `Scoring.prepared` or `frozen` gave on the images: [N] each, or [] where it gives means.
        """

    @property
    def raceable(self) -> bool:
        """A function of means over images, unless batches are averaged instead."""
        return self.scoring.evaluation.weighting == "images"

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """See `Proxy.statistics`."""
        columns = self.measure(architecture, lambda network, _: self.scoring.image_losses(network, part))
        return torch.stack(columns, 1)

    def score(self, architecture: Architecture) -> Score:
        """The score from all images."""
        if self.raceable:
            return self.whole_score(architecture)
        return self.score_of_means(architecture, torch.stack(self.measure(architecture, self._means)))

    def _means(self, network: Network | Frozen, part: slice | None) -> tuple[Tensor, Tensor]:
        found = self.scoring.evaluate(network, part)
        loss, accuracy = torch.tensor([found.loss, found.accuracy], dtype=torch.float64)
        return loss, accuracy


class WithoutImages(Proxy):
    """A proxy whose score does not depend on the images that scores are computed on: constant in a race."""

    @abstractmethod
    def score(self, architecture: Architecture) -> Score:
        """See `Proxy.score`."""

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """[images, 0]: no image enters."""
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


def called(names: Sequence[str], proxies: Sequence[Proxy]) -> tuple[str, ...]:
    """What the terms of a sum call its parts: what a proxy calls itself, else what the expression calls it."""
    return tuple(proxy.name or name for name, proxy in zip(names, proxies, strict=True))


def known_score(proxy: Proxy, architecture: Architecture) -> Score:
    """The score, remembered where no image enters."""
    if isinstance(proxy, WithoutImages):
        return proxy.known_score(architecture)
    return as_score(proxy.score(architecture))


def as_score(value: Score | float) -> Score:
    """A user's proxy may return a bare number."""
    return value if isinstance(value, Score) else Score(float(value))
