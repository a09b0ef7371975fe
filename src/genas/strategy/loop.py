"""The loop between a search and a proxy. It knows no algorithm.

An architecture whose score is not finite or raises is recorded as failed with its reason, and the search goes on; it
ends with an error when more than half of a generation fails.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from genas.errors import DataError, Interrupted, RunError, SearchError
from genas.interrupt import StopRequest
from genas.progress import Bar
from genas.proxy.base import Proxy
from genas.proxy.combined import checked_score
from genas.seeding import python_rng
from genas.space.base import Architecture, Space
from genas.space.cost import Cost
from genas.strategy.base import Proposal, Search
from genas.strategy.history import History, Record


def evaluate(proposal: Proposal, generation: int, proxy: Proxy, cost: Callable[[Architecture], Cost]) -> Record:
    """Scores one architecture; a failure becomes part of the record."""
    begun = time.perf_counter()
    architecture = proposal.architecture
    price = cost(architecture)
    value, parts, failed = None, {}, None
    try:
        score = checked_score(proxy, architecture)
        value, parts = score.value, score.terms
    except (MemoryError, Interrupted, DataError, RunError):
        raise  # no fault of the architecture
    except Exception as error:
        # Any fault of one architecture is that architecture's: recorded, shown in status and report, never retried.
        failed = " ".join(f"{type(error).__name__}: {error}".split())
    return Record(
        number=0,
        genotype=architecture.genotype,
        generation=generation,
        origin=proposal.origin,
        parents=proposal.parents,
        failed=failed,
        score=value,
        parts=parts,
        params=price.params,
        macs=price.macs,
        seconds=round(time.perf_counter() - begun, 3),
    )


def run_search(
    search: Search,
    proxy: Proxy,
    history: History,
    cost: Callable[[Architecture], Cost],
    seed: int,
    quiet: bool = False,
) -> Record:
    """Runs or continues the search to its end.

    Args:
        search: what to try next.
        proxy: how good it is.
        history: what is known; records are added to it.
        cost: parameters and MACs of an architecture.
        seed: the run's seed.
        quiet: no progress.

    Returns:
        The best record.

    Raises:
        SearchError: more than half of a generation failed, or nothing could be scored.
        Interrupted: Ctrl-C; everything scored so far is in the history.
    """
    shared = SharedScores(search.space, history) if search.settings.share_functions and proxy.by_function else None
    generations, population = search.settings.generations, search.settings.population
    with StopRequest() as stop, Bar("search", generations * population, 0, "architecture", quiet) as bar:
        for generation in range(generations):
            proposals = search.ask(history, python_rng(seed, "search", generation), generation)
            if not proposals:
                break
            for proposal in proposals:
                known = history.find(proposal.architecture.genotype)
                if known is None:
                    record = shared.find(proposal, generation, cost) if shared else None
                    if record is None:
                        record = evaluate(proposal, generation, proxy, cost)
                    history.add(record)
                    if shared:
                        shared.add(proposal.architecture, record)
                best = history.best(1)
                bar.step(note=f"generation {generation + 1}/{generations}, best {best[0].score:.4g}" if best else "")
                stop.check()
            _check_failures(history, generation)
    best = history.best(1)
    if not best:
        raise SearchError("the search ended without a single scored architecture.")
    return best[0]


class SharedScores:
    """Scores by function: architectures of one function share the evaluation of the first.

    Args:
        space: says which architectures are one function.
        history: records of earlier processes.
    """

    def __init__(self, space: Space, history: History) -> None:
        self.space = space
        self._known: dict[str, Record] = {}
        if type(space).function_key is not Space.function_key:
            for record in history:
                self.add(space.parse(record.genotype), record)

    def add(self, architecture: Architecture, record: Record) -> None:
        """Remembers a scored record; failed ones are not shared."""
        if record.failed is None and type(self.space).function_key is not Space.function_key:
            self._known.setdefault(self.space.function_key(architecture), record)

    def find(self, proposal: Proposal, generation: int, cost: Callable[[Architecture], Cost]) -> Record | None:
        """The record of `proposal` with another's score, which its parts name as ``shared_with``; None if new."""
        first = self._known.get(self.space.function_key(proposal.architecture)) if self._known else None
        if first is None:
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
