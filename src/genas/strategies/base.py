"""Search is ask, score, tell: a `Strategy` proposes generations, the history is what it is told.

The proposals of generation g are a function of the random generator and of what the history holds of the generations
before g (records and drafts), so an interrupted generation is proposed again exactly.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from genas.core.errors import SearchError
from genas.core.registry import Recorded
from genas.spaces.base import Architecture, Space
from genas.strategies.history import History
from genas.strategies.settings import SearchSettings

ATTEMPTS = 2000  # random draws for one new architecture within the limits before giving up


@dataclass(frozen=True)
class Proposal:
    """An architecture to score, and where it came from."""

    architecture: Architecture
    origin: str
    parents: tuple[str, ...] = ()


class Strategy(Recorded, ABC):
    """Proposes architectures. Subclass it for your own and name it ``package.module:Name``.

    Settings of its own are a model on the class, given beside the others (``--set strategy.step=2``):

        class Climb(genas.Strategy):
            class Settings(genas.SearchSettings):
                step: int = 1

    A constructor of its own takes the same arguments, and keyword arguments that ``strategy.options`` give.

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
