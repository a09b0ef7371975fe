"""Search is ask, score, tell: a `Search` proposes generations, the history is what it is told.

The proposals of generation g are a function of the random generator and of what the history holds of the generations
before g (records and drafts), so an interrupted generation is proposed again exactly.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from genas.core.errors import SearchError
from genas.core.registry import Recorded
from genas.core.settings import Count, Settings, refuse_unknown
from genas.spaces.base import Architecture, Space
from genas.strategies.history import History
from genas.strategies.named import STRATEGIES

ATTEMPTS = 2000  # random draws for one new architecture within the limits before giving up


class SearchSettings(Settings):
    """The search. Defaults: methods.md 4.4. Those that only one strategy has stand beside them (`Search.Settings`)."""

    model_config = ConfigDict(extra="allow")

    algorithm: str = "evolution"
    """``evolution``, ``random`` or package.module:Name."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of a custom class's constructor, by name."""
    generations: int = Field(20, ge=1)
    """Generations (methods.md 4.4: 20)."""
    population: int = Field(50, ge=2)
    """Architectures per generation (methods.md 4.4: 50)."""
    parents: int = Field(10, ge=1)
    """Best of all so far that breed (methods.md 4.4: 10)."""
    mutations: int = Field(25, ge=0)
    """Children by mutation (methods.md 4.4: 25)."""
    crossovers: int = Field(25, ge=0)
    """Children by crossover (methods.md 4.4: 25); the rest of a generation is random."""
    mutation_probability: float = Field(0.1, gt=0, le=1)
    """Chance of each position to be redrawn (methods.md 4.4: 0.1)."""
    breeding: Literal["fresh", "as-published"] = "fresh"
    """How children are drawn that are not known. ``fresh``: up to 20 draws for each wanted child, mutation and
    crossover alike. ``as-published``: as the code of GeNAS and RLNAS does, mutation draws until it has its children,
    crossover gives up after 10 draws for each wanted child and 10 more (260 in all), and a child whose text before the
    repair was met in any earlier draw is not looked at again (methods.md 4.4)."""
    share_functions: bool = True
    """Score architectures that are one function of the supernet's weights only once (NAS-Bench-201 has many)."""
    budget: Literal["racing", "exact"] = "racing"
    """``racing``: stop scoring an architecture once it can hardly be among the `parents` best; ``exact``: score
    every architecture on all validation images (methods.md 4.4)."""
    race_error: float = Field(0.05, gt=0, lt=0.5)
    """Expected share of the `parents` best, per generation, that a race stops although full evaluation would keep them
    (ours: 0.05, so at least 95 % agree)."""
    race_start: int = Field(256, ge=32)
    """Validation images of a race's first round; every further round adds half of what was seen (ours)."""
    noise_of_best: bool = True
    """Measure after the search whether the best scores differ by more than their noise: at most a twelfth more scores,
    five at most."""
    max_macs: Count | None = Field(None, ge=1)
    """Greatest number of MACs of an architecture at the supernet's size; None for no limit."""
    max_params: Count | None = Field(None, ge=1)
    """Greatest number of parameters of an architecture at the supernet's size; None for no limit."""

    @model_validator(mode="after")
    def _known_settings(self) -> Self:
        """Refuses further keys unless they are those of the strategy; a custom one is asked when it is opened."""
        if not self.model_extra or (type(self) is SearchSettings and STRATEGIES.is_custom(self.algorithm)):
            return self
        built_in = type(self) is SearchSettings and self.algorithm in STRATEGIES.table
        refuse_unknown(self, STRATEGIES.find(self.algorithm).Settings.model_fields if built_in else ())
        return self


@dataclass(frozen=True)
class Proposal:
    """An architecture to score, and where it came from."""

    architecture: Architecture
    origin: str
    parents: tuple[str, ...] = ()


class Search(Recorded, ABC):
    """Proposes architectures. Subclass it for your own and name it ``package.module:Name``.

    Settings of its own are a model on the class, given beside the others (``--set search.step=2``):

        class Climb(genas.Search):
            class Settings(genas.SearchSettings):
                step: int = 1

    A constructor of its own takes the same arguments, and keyword arguments that ``search.options`` give.

    Args:
        space: where to search.
        settings: sizes and probabilities.
        allowed: whether an architecture is within the limits.
    """

    surroundings = ("space", "settings", "allowed")
    Settings: ClassVar[type[SearchSettings]] = SearchSettings
    """The model of the section ``search``: `SearchSettings`, or a subclass with further fields."""
    learns: ClassVar[bool] = True
    """Whether later generations are meant to be better than the first."""
    extendable: bool = True
    """Whether a finished search may go on for more generations: the proposals of a generation do not depend on how many
    there will be. A class that says no is refused more of them."""

    def __init__(
        self, space: Space, settings: SearchSettings, allowed: Callable[[Architecture], bool] | None = None
    ) -> None:
        self.space, self.settings = space, settings
        self.allowed = allowed or (lambda architecture: True)

    @abstractmethod
    def ask(self, history: History, rng: random.Random, generation: int) -> list[Proposal]:
        """The architectures of a generation: new to the history, within the limits, without repeats.

        An empty list ends the search: nothing new is left.
        """

    def fresh(self, history: History, taken: set[str], generation: int) -> Callable[[Architecture], bool]:
        """Whether an architecture may be proposed in `generation`, given those `taken` already.

        Records of the generation itself do not count: a resumed process proposes the same generation again.
        """

        def check(architecture: Architecture) -> bool:
            genotype = architecture.genotype
            if genotype in taken:
                return False
            known = history.find(genotype)
            if known is not None and 0 <= known.generation < generation:
                return False
            return self.allowed(architecture)

        return check

    def random_new(
        self, rng: random.Random, fresh: Callable[[Architecture], bool], taken: set[str], count: int
    ) -> Iterator[Proposal]:
        """Up to `count` random architectures that are `fresh`; adds them to `taken`.

        Raises:
            SearchError: the limits allow none.
        """
        found, within = 0, False
        attempts = 0
        while found < count and attempts < ATTEMPTS:
            architecture = self.space.sample(rng)
            attempts += 1
            if fresh(architecture):
                found, attempts = found + 1, 0
                taken.add(architecture.genotype)
                yield Proposal(architecture, "random")
            elif not within:
                within = self.allowed(architecture)
        if not taken and not within:
            limits = self.settings.model_dump(include={"max_macs", "max_params"}, exclude_none=True)
            raise SearchError(f"none of {ATTEMPTS} random architectures is within the limits {limits}; raise them.")
