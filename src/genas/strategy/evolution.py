"""Evolution with the operators and sizes of SPOS as GeNAS uses them (methods.md 4.4).

Each generation: mutations and crossovers of the best architectures of all generations so far, filled up with random
ones. An architecture once evaluated, or failed, is never proposed again.
"""

import random
from collections.abc import Callable

from genas.space.base import Architecture
from genas.strategy.base import Proposal, Search
from genas.strategy.history import History

TRIES_PER_CHILD = 20  # breeding attempts per wanted child before random ones fill up (published: 26 lots of 10)


class Evolution(Search):
    """Mutation and crossover of the best so far."""

    def ask(self, history: History, rng: random.Random, generation: int) -> list[Proposal]:
        """See `Search.ask`."""
        settings = self.settings
        best = [record.genotype for record in history.best(settings.parents, before_generation=generation)]
        parents = [(genotype, self.space.parse(genotype)) for genotype in best]
        taken: set[str] = set()
        fresh = self.fresh(history, taken, generation)
        proposals: list[Proposal] = []

        def mutate() -> tuple[Architecture, tuple[str, ...]]:
            name, parent = rng.choice(parents)
            return self.space.mutate(parent, rng, settings.mutation_probability), (name,)

        def cross() -> tuple[Architecture, tuple[str, ...]]:
            (name, parent), (other_name, other) = rng.choice(parents), rng.choice(parents)
            return self.space.crossover(parent, other, rng), (name, other_name)

        def breed(origin: str, child: Callable[[], tuple[Architecture, tuple[str, ...]]], count: int) -> None:
            count = min(count, settings.population - len(proposals))
            tries = TRIES_PER_CHILD * count
            while count > 0 and tries > 0:
                tries -= 1
                architecture, names = child()
                if fresh(architecture):
                    taken.add(architecture.genotype)
                    proposals.append(Proposal(architecture, origin, names))
                    count -= 1

        if parents:
            breed("mutation", mutate, settings.mutations)
            breed("crossover", cross, settings.crossovers)
        missing = settings.population - len(proposals)
        proposals.extend(self.random_new(rng, fresh, taken, missing))
        return proposals
