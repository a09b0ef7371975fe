"""The loop between a search and a proxy. It knows no algorithm.

An architecture whose score is not finite or raises is recorded as failed with its reason, and the search goes on; it
ends with an error when more than half of a generation fails.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from genas.core.errors import SearchError
from genas.core.executors import Executor, Serial
from genas.core.interrupt import StopRequest
from genas.core.progress import Bar
from genas.core.seeding import python_rng
from genas.proxies.base import Proxy
from genas.spaces.base import Architecture, Space
from genas.spaces.cost import Cost
from genas.strategies.base import Proposal, Strategy
from genas.strategies.history import History, Record
from genas.strategies.measure import Measure, Outcome
from genas.strategies.racing import REGRESSORS, Race, RaceState


def run_search(
    search: Strategy,
    proxy: Proxy,
    history: History,
    cost: Callable[[Architecture], Cost],
    seed: int,
    quiet: bool = False,
    race_folder: Path | None = None,
    executor: Executor | None = None,
) -> Record:
    """Runs or continues the search to its end.

    Args:
        search: what to try next.
        proxy: how good it is.
        history: what is known; records are added to it.
        cost: parameters and MACs of an architecture.
        seed: the run's seed.
        quiet: no progress.
        race_folder: where races keep what each image gave until a generation is over; None for memory only.
        executor: scores the architectures; None for this process. The history does not depend on it.

    Returns:
        The best record.

    Raises:
        SearchError: more than half of a generation failed, or nothing could be scored.
        Interrupted: Ctrl-C; everything scored so far is in the history.
    """
    shared = SharedScores(search.space, history) if search.settings.share_functions and proxy.by_function else None
    settings, executor = search.settings, executor or Serial()
    race = None
    if settings.budget == "racing" and proxy.raceable:
        key = shared.key if shared else None
        race = Race(proxy, settings.parents, settings.race_error, settings.race_start, seed, race_folder, key, executor)
    generations = settings.generations
    # the last generation that has begun may be unfinished; those before it are over, and proposing them again would
    # cost more than all else in a long history
    first = min(max(history.generations() - 1, 0), generations)
    total, done = (count * settings.population for count in (generations, first))
    with StopRequest() as stop, Bar("search", total, done, "architecture", quiet) as bar:
        work = _Work(search, Measure(proxy), executor, history, cost, shared, bar, stop)
        for generation in range(first, generations):
            proposals = search.ask(history, python_rng(seed, "search", generation), generation)
            if not proposals:
                break
            if race is None:
                work.score(proposals, generation)
            else:
                work.race(race, proposals, generation)
            _check_failures(history, generation)
    best = history.best(1)
    if not best:
        raise SearchError("the search ended without a single scored architecture.")
    return best[0]


@dataclass(frozen=True)
class _Work:
    """What the scoring of a generation needs, by full evaluation or by a race."""

    search: Strategy
    measure: Measure
    executor: Executor
    history: History
    cost: Callable[[Architecture], Cost]
    shared: "SharedScores | None"
    bar: Bar
    stop: StopRequest

    def note(self, generation: int) -> str:
        """The generation and the best score so far."""
        best = self.history.best(1)
        note = f"generation {generation + 1}/{self.search.settings.generations}"
        return note + (f", best {best[0].score:.4g}" if best else "")

    def step(self, count: int, generation: int) -> None:
        """Reports progress."""
        self.bar.step(count, self.note(generation))
        self.stop.stepped()

    def score(self, proposals: list[Proposal], generation: int) -> None:
        """Scores each proposal whole; those in the history already are passed over."""
        left = [one for one in proposals if one.architecture.genotype not in self.history]
        leaders = self.leaders(left, generation, here=True)
        scores = self.executor.map(self.measure.score, [one.architecture for one in leaders.values()], self.stop)
        for proposal in proposals:
            if proposal.architecture.genotype not in self.history:
                record = self.shared.find(proposal, generation, self.cost) if self.shared else None
                if record is None:  # what the first of a function failed at, the others try again
                    first = leaders[self.key(proposal.architecture)] is proposal
                    outcome, seconds = next(scores) if first else self.measure.score(proposal.architecture)
                    record = _record(proposal, generation, outcome, self.cost(proposal.architecture), seconds)
                self.add(proposal, record)
            self.step(1, generation)
        self.stop.check()

    def key(self, architecture: Architecture) -> str:
        """What architectures with one score have in common."""
        return self.shared.key(architecture) if self.shared else architecture.genotype

    def leaders(self, proposals: list[Proposal], generation: int, here: bool) -> dict[str, Proposal]:
        """By `key`, the first proposal of each function that has no score: it is scored for all of them.

        Args:
            proposals: in order.
            generation: theirs.
            here: scores of this generation count too.
        """
        leaders: dict[str, Proposal] = {}
        for proposal in proposals:
            if self.shared is None or self.shared.find(proposal, generation, self.cost, here) is None:
                leaders.setdefault(self.key(proposal.architecture), proposal)
        return leaders

    def race(self, race: Race, proposals: list[Proposal], generation: int) -> None:
        """Races the proposals and adds them; a generation that is in the history already is passed over."""
        if all(proposal.architecture.genotype in self.history for proposal in proposals):
            self.step(len(proposals), generation)
            return
        begun = time.perf_counter()
        keys = self.leaders(proposals, generation, here=False)
        history = self.history
        holders, others = self.known_whole(race, generation)
        share = len(proposals) / max(len(keys), 1)

        def tick(state: RaceState) -> None:
            looked = f", looked at {state.images:,} of {race.total:,} images, {state.active} architectures left"
            self.bar.within(share * state.done, self.note(generation) + looked)
            self.stop.stepped()

        contenders = [proposal.architecture for proposal in keys.values()]
        outcomes = race.run(contenders, holders, generation, tick, others, self.stop)
        seconds = round((time.perf_counter() - begun) / max(len(keys), 1), 3)
        for proposal in proposals:
            if proposal.architecture.genotype not in history:  # a killed process may have added some
                record = self.shared.find(proposal, generation, self.cost) if self.shared else None
                if record is None:
                    outcome = outcomes[keys[race.key(proposal.architecture)].architecture.genotype]
                    record = _record(proposal, generation, outcome, self.cost(proposal.architecture), seconds)
                self.add(proposal, record)
        race.statistics.keep_only([race.key(one) for part in self.known_whole(race, generation + 1) for one in part])
        self.step(len(proposals), generation)
        self.stop.check()

    def known_whole(self, race: Race, generation: int) -> tuple[list[Architecture], list[Architecture]]:
        """The best before a generation: those that the search keeps, and others that a race may lean on.

        The others are of different functions; of the kept, several may be one.
        """
        records = self.history.best(race.keep + 3 * REGRESSORS, before_generation=generation)
        best = [self.search.space.parse(record.genotype) for record in records]
        holders = best[: race.keep]
        seen = {race.key(one) for one in holders}
        others = {race.key(one): one for one in best[race.keep :] if race.key(one) not in seen}
        return holders, list(others.values())[:REGRESSORS]

    def add(self, proposal: Proposal, record: Record) -> None:
        """Puts a record into the history, for those of the same function too."""
        self.history.add(record)
        if self.shared:
            self.shared.add(proposal.architecture, record)


def _record(proposal: Proposal, generation: int, outcome: Outcome, price: Cost, seconds: float) -> Record:
    return Record(
        number=0,
        genotype=proposal.architecture.genotype,
        generation=generation,
        origin=proposal.origin,
        parents=proposal.parents,
        failed=outcome.failed,
        score=None if outcome.score is None else outcome.score.value,
        parts={} if outcome.score is None else outcome.score.terms,
        params=price.params,
        macs=price.macs,
        seconds=seconds,
        images=outcome.images,
        objectives={} if outcome.score is None else outcome.score.objectives,
    )


class SharedScores:
    """Scores by function: architectures of one function share the evaluation of the first.

    Args:
        space: says which architectures are one function.
        history: records of earlier processes.
    """

    def __init__(self, space: Space, history: History) -> None:
        self.space = space
        self._known: dict[str, Record] = {}
        for record in history:
            self.add(space.parse(record.genotype), record)

    def key(self, architecture: Architecture) -> str:
        """What architectures of one function have in common."""
        return self.space.function_key(architecture)

    def add(self, architecture: Architecture, record: Record) -> None:
        """Remembers a scored record; failed ones are not shared."""
        if record.failed is None:
            self._known.setdefault(self.key(architecture), record)

    def find(
        self, proposal: Proposal, generation: int, cost: Callable[[Architecture], Cost], here: bool = True
    ) -> Record | None:
        """The record of `proposal` with another's score, which its parts name as ``shared_with``; None if new.

        Args:
            proposal: an architecture without a record.
            generation: of the new record.
            cost: parameters and MACs of an architecture.
            here: records of this generation count too.
        """
        first = self._known.get(self.key(proposal.architecture)) if self._known else None
        if first is None or (not here and first.generation == generation):
            return None
        price = cost(proposal.architecture)
        return replace(
            first,
            number=0,
            genotype=proposal.architecture.genotype,
            generation=generation,
            origin=proposal.origin,
            parents=proposal.parents,
            parts={**first.parts, "shared_with": first.genotype},
            params=price.params,
            macs=price.macs,
            seconds=0.0,
        )


def _check_failures(history: History, generation: int) -> None:
    records = history.generation(generation)
    failed = [record for record in records if record.failed is not None]
    if 2 * len(failed) > len(records):
        raise SearchError(
            f"{len(failed)} of {len(records)} architectures of generation {generation + 1} failed, "
            f"the last with: {failed[-1].failed}"
        )
