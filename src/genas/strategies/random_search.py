"""Random search: every generation is new, uniformly drawn architectures. The baseline of every search method."""

import random

from genas.strategies.base import Proposal, Strategy
from genas.strategies.history import History


class RandomSearch(Strategy):
    """Uniform sampling without repeats."""

    learns = False

    def ask(self, history: History, rng: random.Random, generation: int) -> list[Proposal]:
        """See `Strategy.ask`."""
        taken: set[str] = set()
        fresh = self.fresh(history, taken, generation)
        return list(self.random_new(rng, fresh, taken, self.settings.population))
