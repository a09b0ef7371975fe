"""Evolution with the operators and sizes of SPOS as GeNAS uses them (methods.md 4.4).

Each generation: mutations and crossovers of the best architectures of all generations so far, filled up with random
ones. An architecture once evaluated, or failed, is never proposed again.

Deviation from the published code, an option (`SearchSettings.breeding`): there, mutation draws until it has its
children and crossover gives up after 260 draws for 25, and every child is remembered as it was drawn, before the repair
made it legal: one that was drawn before is not looked at again, although the repair is random and might make something
new of it. Parents that have become alike give few crossovers there: in generation 20, about half as many as here.
"""

import random
from collections.abc import Callable

from genas.spaces.base import Architecture
from genas.strategies.base import ATTEMPTS, Proposal, Strategy
from genas.strategies.history import History

TRIES_PER_CHILD = 20  # breeding attempts per wanted child before random ones fill up
PUBLISHED_LOT = 10  # the published crossover draws lots of 10, one for each wanted child and one more

Child = tuple[str, Architecture, tuple[str, ...]]
"""Text before the repair (empty where nobody asks), architecture, parents."""


class Evolution(Strategy):
    """Mutation and crossover of the best so far."""

    def ask(self, history: History, rng: random.Random, generation: int) -> list[Proposal]:
        """See `Strategy.ask`."""
        settings = self.settings
        best = [record.genotype for record in history.best(settings.parents, before_generation=generation)]
        parents = [(genotype, self.space.parse(genotype)) for genotype in best]
        taken: set[str] = set()
        fresh = self.fresh(history, taken, generation)
        published = settings.breeding == "as-published"
        brood = _Brood(fresh, taken, history.drafts(generation) if published else None)

        def mutate() -> Child:
            name, parent = rng.choice(parents)
            if not published:
                return "", self.space.mutate(parent, rng, settings.mutation_probability), (name,)
            return *self.space.mutate_draft(parent, rng, settings.mutation_probability), (name,)

        def cross() -> Child:
            (name, parent), (other_name, other) = rng.choice(parents), rng.choice(parents)
            if not published:
                return "", self.space.crossover(parent, other, rng), (name, other_name)
            return *self.space.crossover_draft(parent, other, rng), (name, other_name)

        if parents:
            count = min(settings.mutations, settings.population)
            tries = ATTEMPTS if published else TRIES_PER_CHILD * count
            brood.breed("mutation", mutate, count, tries, renewed=published)
            count = min(settings.crossovers, settings.population - len(brood.proposals))
            tries = PUBLISHED_LOT * (count + 1) if published else TRIES_PER_CHILD * count
            brood.breed("crossover", cross, count, tries)
        if published:
            history.note_drafts(generation, brood.drawn)
        missing = settings.population - len(brood.proposals)
        return [*brood.proposals, *self.random_new(rng, fresh, taken, missing)]


class _Brood:
    """The children of one generation.

    Args:
        fresh: whether an architecture may be proposed.
        taken: genotypes proposed already; children are added.
        met: texts of children before the repair that are not looked at again; None to look at all.
    """

    def __init__(self, fresh: Callable[[Architecture], bool], taken: set[str], met: set[str] | None) -> None:
        self._fresh, self._taken, self._met = fresh, taken, met
        self.proposals: list[Proposal] = []
        self.drawn: list[str] = []  # what came to `met`

    def breed(self, origin: str, child: Callable[[], Child], count: int, tries: int, *, renewed: bool = False) -> None:
        """Draws until there are `count` children, at most `tries` times; `renewed`: so many times for each child."""
        left = tries
        while count > 0 and left > 0:
            left -= 1
            draft, architecture, names = child()
            if self._unmet(draft) and self._fresh(architecture):
                self._taken.add(architecture.genotype)
                self.proposals.append(Proposal(architecture, origin, names))
                count -= 1
                left = tries if renewed else left

    def _unmet(self, draft: str) -> bool:
        if self._met is None:
            return True
        if draft in self._met:
            return False
        self._met.add(draft)
        self.drawn.append(draft)
        return True
