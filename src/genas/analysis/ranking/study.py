"""A study: which architectures, scored by what, how often; from a history on disk to arrays.

Architectures are drawn uniformly by the study's seed from the table's genotypes in alphabetical order, so the draw
depends neither on the order of the rows nor on the run, and the first 100 of 1,000 are those of a draw of 100.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genas.analysis.ranking.measures import Floats, mean_of_ranks, sum_of_log_ranks
from genas.analysis.ranking.scores import Scored, Scores
from genas.analysis.ranking.scoring import Job, Scorer, Task
from genas.analysis.ranking.settings import StudySettings
from genas.analysis.ranking.variants import Variant
from genas.core.errors import DataError
from genas.core.executors import Executor, open_executor
from genas.core.interrupt import StopRequest
from genas.core.progress import Bar
from genas.core.seeding import python_rng
from genas.spaces.base import Space
from genas.spaces.cost import Cost

PROBE = 8  # architectures that tell whether a proxy is random at all


def draw(genotypes: Sequence[str], count: int | None, seed: int) -> list[str]:
    """The architectures of a study, in the order in which they are scored.

    Args:
        genotypes: those of the table.
        count: how many; None for all.
        seed: of the study.

    Raises:
        DataError: more than there are.
    """
    if count is not None and count > len(genotypes):
        raise DataError(
            f"{count:,} architectures were asked for, the table has {len(genotypes):,}; ask for fewer, or for all."
        )
    order = sorted(genotypes)
    python_rng(seed, "rank.architectures").shuffle(order)
    return order if count is None else order[:count]


@dataclass(frozen=True)
class Outcome:
    """The scores of a study as arrays; NaN where scoring failed.

    Args:
        genotypes: n architectures.
        scores: by variant: [n].
        repeats: by variant that was repeated: [R][m], m the first architectures; a single row for what is not random.
        seconds: by variant: mean seconds of one architecture, None where nothing was measured.
        failed: by variant: (genotype, reason) of the failures.
    """

    genotypes: tuple[str, ...]
    scores: dict[str, Floats]
    repeats: dict[str, list[Floats]]
    seconds: dict[str, float | None]
    failed: dict[str, list[tuple[str, str]]]


class Study:
    """Scores what is missing in a history, and reads it.

    Args:
        scores: the history.
        scorer: the run's supernet and proxies.
        variants: what ranks.
        genotypes: architectures in the order of scoring.
        settings: how often, by how many processes.
        cost: parameters and MACs of an architecture.
        quiet: no progress.
    """

    def __init__(
        self,
        scores: Scores,
        scorer: Scorer,
        variants: Sequence[Variant],
        genotypes: Sequence[str],
        settings: StudySettings,
        cost: Callable[[str], Cost],
        quiet: bool = False,
    ) -> None:
        self.scores, self.scorer, self.settings = scores, scorer, settings
        self.variants, self.genotypes = tuple(variants), tuple(genotypes)
        self._cost, self._quiet = cost, quiet
        self._proxies = [variant for variant in variants if variant.kind == "proxy"]

    @property
    def space(self) -> Space:
        """The run's space."""
        return self.scorer.space

    def run(self) -> Outcome:
        """Scores what the history lacks.

        Raises:
            Interrupted: Ctrl-C; what was scored is kept.
        """
        repeated = self.genotypes[: self.settings.repeat_architectures]
        with StopRequest() as stop, open_executor(self.settings.workers) as workers:
            self._count(stop)
            first = [Job(variant, 0) for variant in self._proxies]
            self._score(first, self.genotypes, "scores", workers, stop)
            if self.settings.repeats > 1:
                probe = [Job(variant, 1) for variant in self._proxies]
                self._score(probe, repeated[:PROBE], "repeats, probe", workers, stop)
                again = [variant for variant in self._proxies if self._is_random(variant)]
                jobs = [Job(variant, repeat) for variant in again for repeat in range(1, self.settings.repeats)]
                self._score(jobs, repeated, "repeats", workers, stop)
        return self._collect(repeated)

    def _count(self, stop: StopRequest) -> None:
        """Parameters and MACs of what the history lacks: large tables take minutes."""
        known = self.scores.costs()
        missing = [genotype for genotype in self.genotypes if genotype not in known]
        with Bar("costs", len(missing), 0, "architecture", self._quiet or not missing) as bar:
            for genotype in missing:
                self.scores.add_cost(genotype, self._cost(genotype))
                bar.step()
                stop.check()

    def _is_random(self, variant: Variant) -> bool:
        """Whether any of the first architectures scores otherwise when repeated."""
        first, second = self.scores.of(variant.name, 0), self.scores.of(variant.name, 1)
        return any(first[genotype].score != row.score for genotype, row in second.items() if genotype in first)

    def _score(
        self, jobs: Sequence[Job], genotypes: Sequence[str], title: str, workers: Executor, stop: StopRequest
    ) -> None:
        apart = {genotype: genotype for genotype in genotypes}
        shared = self._leaders(genotypes) if any(self.scorer.by_function(job) for job in jobs) else apart
        leaders = {job: shared if self.scorer.by_function(job) else apart for job in jobs}
        done = {job: self.scores.genotypes_of(job.variant.name, job.repeat) for job in jobs}
        tasks: list[Task] = []
        for genotype in genotypes:
            wanted = [job for job in jobs if genotype not in done[job] and leaders[job][genotype] == genotype]
            if wanted:
                tasks.append((genotype, tuple(wanted)))
        with Bar(title, len(tasks), 0, "architecture", self._quiet or not tasks) as bar:
            for rows in workers.map(self.scorer.work, tasks, stop):
                self.scores.add(rows)
                bar.step()
                stop.stepped()
        for job in jobs:
            self._share(job, genotypes, leaders[job])

    def _leaders(self, genotypes: Sequence[str]) -> dict[str, str]:
        """By architecture, the first in the order that is the same function: the one that is scored."""
        first: dict[str, str] = {}
        found = {}
        for genotype in genotypes:
            key = self.space.function_key(self.space.parse(genotype))
            found[genotype] = first.setdefault(key, genotype)
        return found

    def _share(self, job: Job, genotypes: Sequence[str], leaders: Mapping[str, str]) -> None:
        known = self.scores.of(job.variant.name, job.repeat)
        self.scores.add(
            Scored(
                job.variant.name,
                job.repeat,
                genotype,
                known[leader].score,
                known[leader].failed,
                known[leader].terms,
                None,
                leader,
            )
            for genotype in genotypes
            if genotype not in known and (leader := leaders[genotype]) in known
        )

    def _collect(self, repeated: Sequence[str]) -> Outcome:
        scores: dict[str, Floats] = {}
        repeats: dict[str, list[Floats]] = {}
        seconds: dict[str, float | None] = {}
        failed: dict[str, list[tuple[str, str]]] = {}
        costs = self.scores.costs()
        for variant in self.variants:
            name = variant.name
            if variant.kind == "proxy":
                rows = self.scores.of(name)
                scores[name] = _array(rows, self.genotypes)
                spent = [row.seconds for row in rows.values() if row.seconds is not None]
                seconds[name] = float(np.mean(spent)) if spent else None
                failed[name] = [(g, rows[g].failed or "") for g in self.genotypes if rows[g].failed is not None]
                if self.settings.repeats > 1:
                    repeats[name] = self._repeats(variant, repeated)
            elif variant.kind == "cost":
                counts = [getattr(costs[genotype], name) for genotype in self.genotypes]
                scores[name] = np.array(counts, dtype=np.float64)
                seconds[name], failed[name] = None, []
            else:
                scores[name] = aggregate(variant, scores)
                spent_by = [seconds[member] for member in variant.members]
                known = [value for value in spent_by if value is not None]
                seconds[name], failed[name] = (sum(known) if known else None), []
                if self.settings.repeats > 1:
                    repeats[name] = _aggregated_repeats(variant, scores, repeats, len(repeated), self.settings.repeats)
        return Outcome(self.genotypes, scores, repeats, seconds, failed)

    def _repeats(self, variant: Variant, genotypes: Sequence[str]) -> list[Floats]:
        count = self.settings.repeats if self._is_random(variant) else 1
        return [_array(self.scores.of(variant.name, repeat), genotypes) for repeat in range(count)]


def aggregate(variant: Variant, scores: Mapping[str, Floats]) -> Floats:
    """The aggregated ranks of a variant's members; NaN where any of them is, which the ranks leave out."""
    members = [scores[member] for member in variant.members]
    whole = np.asarray(np.isfinite(members).all(axis=0))
    combined = np.full(len(whole), np.nan)
    rule = sum_of_log_ranks if variant.kind == "logranks" else mean_of_ranks
    if whole.any():
        combined[whole] = rule([member[whole] for member in members])
    return combined


def _aggregated_repeats(
    variant: Variant, scores: Mapping[str, Floats], repeats: Mapping[str, list[Floats]], count: int, times: int
) -> list[Floats]:
    """Every repetition of the members aggregated; members that are not random lend each the same scores."""
    if all(len(repeats.get(member, ())) < 2 for member in variant.members):
        return [aggregate(variant, {member: scores[member][:count] for member in variant.members})]
    rows = []
    for repeat in range(times):
        members = {}
        for member in variant.members:
            known = repeats.get(member, [])
            members[member] = known[repeat] if len(known) > 1 else scores[member][:count]
        rows.append(aggregate(variant, members))
    return rows


def _array(rows: Mapping[str, Scored], genotypes: Sequence[str]) -> Floats:
    values = [rows[genotype].score if genotype in rows else None for genotype in genotypes]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
