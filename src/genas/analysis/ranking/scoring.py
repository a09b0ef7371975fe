"""Scores architectures by many variants at once.

What variants share is computed once: losses under the same noise that flatness measures with different alpha weigh
differently, the mean loss and accuracy, the recalibrated network. The seconds of a variant are nevertheless what it
takes alone.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from genas.analysis.ranking.scores import Scored
from genas.analysis.ranking.variants import Variant, repetition
from genas.proxies import Combined, Proxy, ProxySettings, Score, Scoring, WithoutImages, checked_score, open_proxy
from genas.proxies.base import as_score
from genas.proxies.expression import finite
from genas.spaces.base import Architecture, Network, Space
from genas.strategies.measure import attempt

Found = TypeVar("Found")


@dataclass(frozen=True)
class Job:
    """A variant and the number of its repetition."""

    variant: Variant
    repeat: int


class TimedScoring(Scoring):
    """Scoring that knows what the preparation of an architecture cost, whichever proxy caused it."""

    fresh = 0.0
    """Seconds of preparation since `begin`."""
    reused = 0.0
    """Seconds of preparation that were spared since `begin`, because another proxy had caused it before."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._whole: dict[Architecture, float] = {}  # seconds of the first preparation, batch norm included
        self._asked: set[Architecture] = set()  # since `begin`
        self._memories: dict[Hashable, tuple[Score, float, set[Architecture]]] = {}
        self._recalled: set[Hashable] = set()  # since `begin`
        self._touched: set[Architecture] = set()  # prepared inside of `timed`: a proxy may look at neighbours too

    def begin(self) -> None:
        """A proxy begins to score."""
        self._asked, self._recalled, self.fresh, self.reused = set(), set(), 0.0, 0.0

    def prepared(self, architecture: Architecture) -> Network:
        """See `Scoring.prepared`."""
        begun = time.perf_counter()
        network = super().prepared(architecture)
        spent = time.perf_counter() - begun
        self._whole.setdefault(architecture, spent)
        self.fresh += spent
        self.needed(architecture, spent)
        self._touched.add(architecture)
        return network

    def timed(self, compute: Callable[[], Found]) -> tuple[Found, float, set[Architecture]]:
        """What `compute` gives, its seconds without those of preparations, and the architectures that it prepared."""
        outside, self._touched = self._touched, set()
        before, begun = self.fresh, time.perf_counter()
        try:
            found = compute()
            return found, time.perf_counter() - begun - (self.fresh - before), self._touched
        finally:
            self._touched = outside | self._touched

    def needed(self, architecture: Architecture, spent: float = 0.0) -> None:
        """Takes down that the proxy needs `architecture` prepared, which took it `spent` seconds."""
        if architecture not in self._asked:
            self._asked.add(architecture)
            self.reused += max(self._whole.get(architecture, 0.0) - spent, 0.0)

    def remembered(self, key: Hashable, compute: Callable[[], Score]) -> Score:
        """See `Scoring.remembered`; what another proxy's computing spares is taken down."""
        if key not in self._memories:
            self._memories[key] = self.timed(compute)
            self._recalled.add(key)
        score, seconds, touched = self._memories[key]
        if key not in self._recalled:
            self._recalled.add(key)
            self.reused += seconds
            for one in touched:
                self.needed(one)
        return score


Task = tuple[str, tuple[Job, ...]]
"""An architecture's genotype and what scores it."""

OpenScoring = Callable[[ProxySettings, int], TimedScoring]


class Scorer:
    """The opened proxies of a study.

    Args:
        space: the run's space.
        open_scoring: (settings, seed) to the supernet ready to score.
        seed: the run's seed.
        reopen: opens the same again in another process; picklable. None where it stays in this one.
    """

    def __init__(
        self, space: Space, open_scoring: OpenScoring, seed: int, reopen: "Callable[[], Scorer] | None" = None
    ) -> None:
        self.space, self.open_scoring, self._seed, self._reopen = space, open_scoring, seed, reopen
        self._scorings: dict[str, TimedScoring] = {}
        self._proxies: dict[tuple[str, int], tuple[Proxy, TimedScoring]] = {}

    def __reduce__(self) -> "tuple[Callable[[], Scorer], tuple[()]]":
        assert self._reopen is not None
        return self._reopen, ()

    def check(self, variant: Variant) -> None:
        """Opens the proxy, so that a fault in it shows before anything is scored or written."""
        self._open(Job(variant, 0))

    def by_function(self, job: Job) -> bool:
        """Whether architectures of one function have one score."""
        return self._open(job)[0].by_function

    def work(self, task: Task) -> list[Scored]:
        """The scores of a task, see `score`."""
        return self.score(*task)

    def score(self, genotype: str, jobs: Sequence[Job]) -> list[Scored]:
        """The scores of one architecture; a failure becomes part of the record."""
        architecture, known = self.space.parse(genotype), _Known()
        return [self._score(architecture, job, known) for job in jobs]

    def _score(self, architecture: Architecture, job: Job, known: "_Known") -> Scored:
        proxy, scoring = self._open(job)
        scoring.begin()
        spared = known.spared
        begun = time.perf_counter()

        def compute() -> Score:
            if proxy.raceable:  # bit for bit what `Proxy.score` gives
                means = known.means(proxy, architecture)
                return finite(as_score(proxy.score_of_means(architecture, means)))
            if isinstance(proxy, WithoutImages):
                return finite(proxy.known_score(architecture))
            return checked_score(proxy, architecture)

        found = attempt(compute)  # as in a search
        seconds = time.perf_counter() - begun + known.spared - spared + scoring.reused
        value, reason, terms = (None, found, {}) if isinstance(found, str) else (found.value, None, found.terms)
        return Scored(job.variant.name, job.repeat, architecture.genotype, value, reason, terms, round(seconds, 5))

    def _open(self, job: Job) -> tuple[Proxy, TimedScoring]:
        key = (job.variant.name, job.repeat)
        if key not in self._proxies:
            variant, seed = repetition(job.variant, self._seed, job.repeat)
            settings = variant.proxy_settings
            place = f"{seed} {settings.batchnorm.model_dump_json()} {settings.evaluation.model_dump_json()}"
            if place not in self._scorings:
                self._scorings[place] = self.open_scoring(settings, seed)
            scoring = self._scorings[place]
            self._proxies[key] = (open_proxy(scoring, settings), scoring)
        return self._proxies[key]


class _Known:
    """The means over images that proxies of one architecture share, and the seconds that this spared."""

    def __init__(self) -> None:
        self.spared = 0.0
        self._found: dict[Hashable, tuple[Tensor, float, set[Architecture]]] = {}

    def means(self, proxy: Proxy, architecture: Architecture) -> Tensor:
        """The means of a raceable proxy's statistics over all images ([K]); of a sum, those of its parts in a row."""
        if isinstance(proxy, Combined):
            return torch.cat([self.means(part, architecture) for _, part in proxy.parts])
        scoring = proxy.scoring
        assert isinstance(scoring, TimedScoring)
        key = (scoring, proxy.measurement)
        if key not in self._found:
            self._found[key] = scoring.timed(lambda: proxy.whole_means(architecture))
            return self._found[key][0]
        means, seconds, touched = self._found[key]
        self.spared += seconds
        for one in touched:
            scoring.needed(one)  # alone, it would have had to prepare them
        return means
