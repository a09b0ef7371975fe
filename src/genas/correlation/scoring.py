"""Scores architectures by many variants at once, in this process or in several.

What variants share is computed once: losses under the same noise that flatness measures with different alpha weigh
differently, the mean loss and accuracy, the recalibrated network. The seconds of a variant are nevertheless what it
takes alone.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any

import torch

from genas.correlation.scores import Scored
from genas.correlation.variants import Variant, repetition
from genas.errors import RunError
from genas.proxy import Combined, Proxy, ProxySettings, Score, Scoring, open_proxy
from genas.proxy.base import as_score
from genas.proxy.combined import finite
from genas.space.base import Architecture, Network, Space
from genas.strategy.racing import NOT_THE_ARCHITECTURES_FAULT, describe


@dataclass(frozen=True)
class Job:
    """A variant and the number of its repetition."""

    variant: Variant
    repeat: int


class TimedScoring(Scoring):
    """Scoring that knows how long the preparation of an architecture took when somebody else caused it."""

    _ready: Architecture | None = None
    _spent = 0.0
    _asked = False
    reused = 0.0
    """Seconds of preparation that a proxy was spared since `begin`."""

    def begin(self) -> None:
        """A proxy begins to score."""
        self._asked, self.reused = False, 0.0

    def prepared(self, architecture: Architecture) -> Network:
        """See `Scoring.prepared`."""
        begun = time.perf_counter()
        network = super().prepared(architecture)
        if self._ready != architecture:
            self._ready, self._spent = architecture, time.perf_counter() - begun
        elif not self._asked:
            self.reused = self._spent
        self._asked = True
        return network

    def forget(self) -> None:
        """See `Scoring.forget`."""
        self._ready = None
        super().forget()


OpenScoring = Callable[[ProxySettings, int], TimedScoring]


class Scorer:
    """The opened proxies of a study.

    Args:
        space: the run's space.
        open_scoring: (settings, seed) to the supernet ready to score.
        seed: the run's seed.
    """

    def __init__(self, space: Space, open_scoring: OpenScoring, seed: int) -> None:
        self.space, self._open_scoring, self._seed = space, open_scoring, seed
        self._scorings: dict[Any, TimedScoring] = {}
        self._proxies: dict[tuple[str, int], tuple[Proxy, TimedScoring, Any]] = {}

    def check(self, variant: Variant) -> None:
        """Opens the proxy, so that a fault in it shows before anything is scored or written."""
        self._open(Job(variant, 0))

    def by_function(self, job: Job) -> bool:
        """Whether architectures of one function have one score."""
        return self._open(job)[0].by_function and type(self.space).function_key is not Space.function_key

    def score(self, genotype: str, jobs: Sequence[Job]) -> list[Scored]:
        """The scores of one architecture; a failure becomes part of the record."""
        architecture = self.space.parse(genotype)
        together: dict[Any, list[Job]] = {}
        for job in jobs:
            together.setdefault(self._open(job)[2], []).append(job)
        return [row for group in together.values() for row in self._score_together(architecture, group)]

    def _score_together(self, architecture: Architecture, jobs: Sequence[Job]) -> list[Scored]:
        """Variants whose scores are functions of the same means over pictures, or one variant alone."""
        proxy, scoring, _ = self._open(jobs[0])
        scoring.begin()
        begun = time.perf_counter()
        means, failed = None, None
        try:
            if _shareable(proxy):
                batches = -(-scoring.validation_count // scoring.evaluation.batch_size)
                means = proxy.statistics(architecture, slice(0, batches)).mean(0)
        except NOT_THE_ARCHITECTURES_FAULT:
            raise
        except Exception as error:  # as in a search: the architecture's own fault, recorded and not tried again
            failed = describe(error)
        shared = time.perf_counter() - begun + scoring.reused
        rows = []
        for job in jobs:
            one = self._open(job)[0]
            begun = time.perf_counter()
            score: Score | None = None
            reason = failed
            if reason is None:
                try:
                    found = one.score_of_means(architecture, means) if means is not None else one.score(architecture)
                    score = finite(as_score(found))
                except NOT_THE_ARCHITECTURES_FAULT:
                    raise
                except Exception as error:
                    reason = describe(error)
            seconds = shared + time.perf_counter() - begun + (scoring.reused if means is None else 0.0)
            value, terms = (None, {}) if score is None else (score.value, score.terms)
            rows.append(
                Scored(job.variant.name, job.repeat, architecture.genotype, value, reason, terms, round(seconds, 5))
            )
        return rows

    def _open(self, job: Job) -> tuple[Proxy, TimedScoring, Any]:
        """The proxy, its scoring, and what variants have in common that share their statistics."""
        key = (job.variant.name, job.repeat)
        if key not in self._proxies:
            variant, seed = repetition(job.variant, self._seed, job.repeat)
            settings = variant.proxy_settings
            place = (seed, settings.batchnorm.model_dump_json(), settings.evaluation.model_dump_json())
            if place not in self._scorings:
                self._scorings[place] = self._open_scoring(settings, seed)
            scoring = self._scorings[place]
            proxy = open_proxy(scoring, settings)
            common: Any = key
            if _shareable(proxy):
                alike = settings.model_dump(mode="json", exclude={"expression": True, "flatness": {"alpha"}})
                common = (type(proxy).statistics, place, str(alike))
            self._proxies[key] = (proxy, scoring, common)
        return self._proxies[key]


def _shareable(proxy: Proxy) -> bool:
    return proxy.raceable and not isinstance(proxy, Combined)


Task = tuple[str, tuple[Job, ...]]
_opened: list[Scorer] = []  # of a worker process: what its initialiser opened


def _begin(open_scorer: Callable[[], Scorer]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to stop
    torch.set_num_threads(1)
    _opened.append(open_scorer())


def _work(task: Task) -> list[Scored]:
    return _opened[0].score(*task)


def score_all(
    tasks: Sequence[Task], scorer: Scorer, workers: int, open_scorer: Callable[[], Scorer]
) -> Iterator[list[Scored]]:
    """The scores of all tasks as they come.

    Args:
        tasks: architectures and what scores them.
        scorer: of this process.
        workers: processes; 1 scores here, more give every process one thread and the run opened for itself.
        open_scorer: opens a scorer in a worker; must be picklable.

    Raises:
        RunError: a worker died.
    """
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield scorer.score(*task)
        return
    count = min(workers, len(tasks))
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin, initargs=(open_scorer,))
    try:
        left = iter(tasks)
        waiting: set[Future[list[Scored]]] = {pool.submit(_work, task) for task in islice(left, 2 * count)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            waiting |= {pool.submit(_work, task) for task in islice(left, len(done))}
    except BrokenProcessPool as error:
        raise RunError(
            f"a process of --workers {workers} died, perhaps for want of memory; give the same command with fewer."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
