"""Spaces whose architectures are a vector of choices: a subclass gives the table of choices and a network."""

import random
from collections.abc import Sequence
from math import prod
from typing import TypeVar

from genas.spaces.architecture import Architecture, ChoiceArchitecture
from genas.spaces.configured import ConfiguredSpace
from genas.spaces.edges import Edge, EdgeSpace, strongest

C = TypeVar("C", bound=ChoiceArchitecture)
ATTEMPTS = 20


class ChoiceSpace(ConfiguredSpace[C], EdgeSpace):
    """All architectures of the table `architecture_class.choices`.

    A subclass gives the class of its architectures, which holds the table, and the network:

        class ChainSpace(ChoiceSpace[ChainArchitecture]):
            architecture_class = ChainArchitecture

            def network(self, num_classes, architecture=None, image_channels=3):
                return ChainNetwork(num_classes, architecture, image_channels)
    """

    def size(self) -> int:
        """The product of the numbers of operations."""
        return prod(self._counts)

    def sample(self, rng: random.Random) -> C:
        """A uniform operation at every position."""
        return self.architecture_class(tuple(rng.randrange(count) for count in self._counts))

    def mutate(self, architecture: Architecture, rng: random.Random, probability: float = 0.1) -> C:
        """Each position gets, with `probability`, a uniform operation; drawn again until the child differs."""
        parent, counts = self.own(architecture), self._counts
        for _ in range(ATTEMPTS):
            pairs = zip(parent.operations, counts, strict=True)
            child = self.architecture_class(
                tuple(rng.randrange(count) if rng.random() < probability else number for number, count in pairs)
            )
            if child != parent:
                return child
        numbers = list(parent.operations)
        free = [position for position, count in enumerate(counts) if count > 1]
        if not free:
            return parent  # the only architecture
        position = rng.choice(free)
        numbers[position] = rng.choice([one for one in range(counts[position]) if one != numbers[position]])
        return self.architecture_class(tuple(numbers))

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> C:
        """Each position from either parent with probability 1/2."""
        pairs = zip(self.own(first).operations, self.own(second).operations, strict=True)
        return self.architecture_class(tuple(rng.choice(pair) for pair in pairs))

    def edges(self) -> tuple[Edge, ...]:
        """One edge per position, one after the other."""
        choices = self.architecture_class.choices.values()
        return tuple(Edge("chain", position, position + 1, names) for position, names in enumerate(choices))

    def operations_of(self, architecture: Architecture) -> tuple[str, ...]:
        """The names of the chosen operations."""
        return self.own(architecture).operation_names

    def derive(self, weights: Sequence[Sequence[float]]) -> C:
        """The strongest operation at every position."""
        return self.architecture_class(tuple(map(strongest, weights)))

    def parse(self, text: str) -> C:
        """See `ChoiceArchitecture.parse`."""
        return self.architecture_class.parse(text)

    @property
    def _counts(self) -> list[int]:
        return [len(names) for names in self.architecture_class.choices.values()]
