"""A race: the architectures of a generation on growing sets of images, losers stopped early.

A search keeps the `parents` best architectures; how bad the others are does not matter to it. All contenders see the
same random images under the same noise. After each round, which adds half of what was seen, the spread of every score
is estimated by resampling the images (Poisson bootstrap, the same weights for all, shrunk as the seen part of the
finite validation set grows). A contender outside the `parents` best is stopped when it overtakes any one of them with
small probability; per generation these probabilities may add up to ``race_error`` times `parents`, evenly over the
rounds, so that at least the share 1 - ``race_error`` of the kept is, in expectation, what full evaluation keeps. What
is left at the end has seen every image, so the scores of the kept are whole.

The best of earlier generations take part without new work. What all images gave for them is known, so it is also
known by how much the images seen so far flatter them. A contender's statistics are regressed on theirs, image by
image, and its means corrected accordingly (the regression estimator of survey sampling: Cochran, Sampling Techniques,
1977, chapter 7): images that are hard for one architecture are hard for all, so this takes away most of the spread.
In the first generation, which has nobody to lean on, the leaders of the first round see all images at once for this
purpose.

Racing of configurations on growing samples follows Maron and Moore (Hoeffding races, NIPS 1993) and
Birattari et al. (F-Race, GECCO 2002); resampling instead of a bound, the finite population and the regression are ours.

What each image gave is kept in ``race/`` of the run folder until the generation is in the history, so that a killed
race is run again from there and ends bit-identically.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from genas.core.arithmetic import ceil_div
from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.executors import Executor, Serial
from genas.core.interrupt import StopRequest
from genas.core.seeding import torch_rng
from genas.proxies.base import Proxy
from genas.proxies.expression import finite
from genas.proxies.scoring import Score
from genas.spaces.base import Architecture
from genas.strategies.measure import Measure, Outcome, outcome_of

REPLICATES = 256  # resamples; the standard error of a spread is then 4 %
REGRESSORS = 24  # at most that many architectures known whole enter a regression
IMAGES_PER_REGRESSOR = 12  # and at most one for so many images
GROWTH = 1.5  # of the images seen, from round to round


@dataclass(frozen=True)
class RaceState:
    """Where a race is.

    Args:
        done: contenders that are decided, and of the others the share of the images that they have seen.
        active: contenders that are not decided.
        images: images that the architecture at work has seen.
    """

    done: float
    active: int
    images: int


class Statistics:
    """What each image gave for each architecture, [images, K], in memory and on disk.

    Args:
        folder: where the files go; None for memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known: dict[str, Tensor] = {}

    def rows(self, key: str, count: int) -> Tensor | None:
        """The first `count` rows, or None where fewer are known."""
        if key not in self._known and self.folder is not None and self._path(key).exists():
            self._known[key] = load_checkpoint(self._path(key))[0]["statistics"]
        known = self._known.get(key)
        return None if known is None or len(known) < count else known[:count]

    def extend(self, key: str, rows: Tensor) -> None:
        """Adds rows behind those that are known."""
        known = self._known.get(key)
        self._known[key] = rows if known is None else torch.cat([known, rows])
        if self.folder is not None:
            save_checkpoint(self._path(key), {"statistics": self._known[key]}, {"kind": "race", "key": key})

    def keep_only(self, keys: Sequence[str]) -> None:
        """Forgets all others."""
        wanted = set(keys)
        self._known = {key: rows for key, rows in self._known.items() if key in wanted}
        if self.folder is not None and self.folder.exists():
            names = {self._path(key).name for key in wanted}
            for path in self.folder.glob("*.safetensors"):
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.safetensors"


def rounds(total: int, batch_size: int, start: int) -> list[slice]:
    """Parts of a walk through `total` images, in batches: about `start` images, then half of what was seen.

    A last part of less than a quarter of what was seen joins the one before.
    """
    batches = ceil_div(total, batch_size)
    edges = [0, min(batches, max(1, round(start / batch_size)))]
    while edges[-1] < batches:
        edges.append(min(batches, math.ceil(GROWTH * edges[-1])))
        if batches - edges[-1] < edges[-1] / 4:
            edges[-1] = batches
    return [slice(first, last) for first, last in pairwise(edges)]


class Race:
    """Races generations; one object for a whole search.

    Args:
        proxy: a raceable one.
        keep: how many of the best the search keeps.
        error: expected share of the kept, per generation, that full evaluation would not keep.
        start: images of the first round.
        seed: the run's seed.
        folder: ``race/`` of the run folder; None for memory only.
        key: what architectures with the same statistics have in common; None for the genotype.
        executor: does the work; None for this process.
    """

    def __init__(
        self,
        proxy: Proxy,
        keep: int,
        error: float,
        start: int,
        seed: int,
        folder: Path | None = None,
        key: Callable[[Architecture], str] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.measure, self.executor = Measure(proxy), executor or Serial()
        self.key = key or (lambda architecture: architecture.genotype)
        self.proxy, self.keep, self.error, self.seed = proxy, keep, error, seed
        self.statistics = Statistics(folder)
        self.total = proxy.scoring.validation_count
        self.batch_size = proxy.scoring.evaluation.batch_size
        self.parts = rounds(self.total, self.batch_size, start)
        self.seen = 0  # images (times architectures) that this process evaluated
        self._risked = 0.0
        self._leaders: set[str] = set()
        self._stop: StopRequest | None = None

    def run(
        self,
        contenders: Sequence[Architecture],
        holders: Sequence[Architecture],
        name: int,
        tick: Callable[[RaceState], None] | None = None,
        others: Sequence[Architecture] = (),
        stop: StopRequest | None = None,
    ) -> dict[str, Outcome]:
        """Races `contenders` against each other and against the best so far.

        Args:
            contenders: new architectures, no two alike.
            holders: the best of earlier generations, scored whole, at most `keep`.
            name: number of the generation; names the resampling.
            tick: called after every piece of work.
            others: more architectures scored whole, the best first, that the regression may lean on.
            stop: ends the race where it is; what was computed is kept.

        Returns:
            An outcome for each contender, by genotype.

        Raises:
            Interrupted: a stop was requested.
        """
        self._stop = stop
        outcomes: dict[str, Outcome] = {}
        active = list(contenders)
        self._risked = 0.0  # sum of the risks of those stopped in this race
        # Not what is on disk says who is whole: a killed race may have been further than this one is.
        self._leaders = set()
        self._complete(holders)
        before = [(holder, self._seen(holder, self.total)) for holder in holders]
        lean = [rows for other in others if (rows := self.statistics.rows(self.key(other), self.total)) is not None]

        reached = dict.fromkeys((one.genotype for one in contenders), 0)  # images

        def at(architecture: Architecture, count: int) -> None:
            reached[architecture.genotype] = max(reached[architecture.genotype], count)
            if tick is not None:
                running = [reached[one.genotype] for one in active if one.genotype not in outcomes]
                tick(RaceState(len(outcomes) + sum(running) / self.total, len(running), count))

        for number, part in enumerate(self.parts):
            count = min(part.stop * self.batch_size, self.total)
            for architecture, failed in self._advance(list(active), part, count):
                if failed is not None:
                    outcomes[architecture.genotype] = Outcome(None, None, failed)
                    active.remove(architecture)
                at(architecture, count)
            if part.stop * self.batch_size < self.total and len(active) + len(holders) > self.keep:
                if number == 0 and not holders:
                    self._complete_leaders(active, count, outcomes, at)
                for architecture, score in self._stopped(active, before, lean, count, (name, number)):
                    outcomes[architecture.genotype] = Outcome(score, count)
                    active.remove(architecture)
                    at(architecture, count)
        for architecture in active:
            outcomes[architecture.genotype] = self._scored(
                architecture, self._seen(architecture, self.total).mean(0), None
            )
        return outcomes

    def _scored(self, architecture: Architecture, means: Tensor, images: int | None) -> Outcome:
        return outcome_of(lambda: finite(self.proxy.score_of_means(architecture, means)), images)

    def _advance(
        self, architectures: Sequence[Architecture], part: slice, count: int
    ) -> Iterator[tuple[Architecture, str | None]]:
        """Makes the statistics of `architectures` reach `count` images; gives the reason where one fails."""
        new: dict[str, Architecture] = {}
        for one in architectures:
            if self.statistics.rows(self.key(one), count) is None:
                new.setdefault(self.key(one), one)
        tasks = [(one, part) for one in new.values()]
        found = zip(new, self.executor.map(self.measure.statistics, tasks, self._stop), strict=True)
        reasons: dict[str, str] = {}
        for architecture in architectures:
            key = self.key(architecture)
            while self.statistics.rows(key, count) is None and key not in reasons:
                known, rows = next(found)
                if isinstance(rows, str):
                    reasons[known] = rows
                else:
                    self.seen += len(rows)
                    self.statistics.extend(known, rows)
            reached = self.statistics.rows(key, count)
            if reached is not None and not bool(reached.isfinite().all()):
                reasons[key] = "GenasError: an image's loss is not finite"
            yield architecture, reasons.get(key)

    def _complete(
        self,
        architectures: Sequence[Architecture],
        at: Callable[[Architecture, int], None] = lambda architecture, count: None,
    ) -> dict[str, str]:
        """Shows architectures all images; gives the reasons of those that fail. `at` is called after every part."""
        failed: dict[str, str] = {}
        for part in self.parts:
            count = min(part.stop * self.batch_size, self.total)
            for architecture, reason in self._advance(
                [one for one in architectures if one.genotype not in failed], part, count
            ):
                at(architecture, count)
                if reason is not None:
                    failed[architecture.genotype] = reason
        return failed

    def _complete_leaders(
        self,
        active: list[Architecture],
        count: int,
        outcomes: dict[str, Outcome],
        at: Callable[[Architecture, int], None],
    ) -> None:
        """Shows all images to the better half of those that would be kept by now."""
        scored = [self._scored(one, self._seen(one, count).mean(0), count).score for one in active]
        order = sorted((-score.value, place) for place, score in enumerate(scored) if score is not None)
        leaders = [active[place] for _, place in order[: max(self.keep // 2, 1)]]
        failed = self._complete(leaders, at)
        for leader in leaders:
            if leader.genotype in failed:
                outcomes[leader.genotype] = Outcome(None, None, failed[leader.genotype])
                active.remove(leader)
            else:
                self._leaders.add(leader.genotype)

    def _seen(self, architecture: Architecture, count: int) -> Tensor:
        rows = self.statistics.rows(self.key(architecture), count)
        assert rows is not None
        return rows

    def _stopped(
        self,
        active: Sequence[Architecture],
        before: Sequence[tuple[Architecture, Tensor]],
        lean: Sequence[Tensor],
        count: int,
        name: tuple[int, int],
    ) -> list[tuple[Architecture, Score]]:
        """Who can be stopped after a round, with the estimates of their scores."""
        weights = torch.ones(REPLICATES + 1, count, dtype=torch.float64)  # row 0: the estimate itself
        rng = torch_rng(self.seed, "race", *name)
        weights[1:] = torch.poisson(weights[1:], generator=rng)
        weights /= weights.sum(1, keepdim=True)
        shrink = math.sqrt(max(self.total - count, 0) / self.total)
        whole = [(one, self._seen(one, self.total)) for one in active if one.genotype in self._leaders]
        running = [one for one in active if one.genotype not in self._leaders]
        known = [*before, *whole]
        # architectures of one function have the same statistics
        distinct = {self.key(one): rows for one, rows in known}
        fit = _Regression([*distinct.values(), *lean], count)

        def resampled(rows: Tensor) -> Tensor:  # [R + 1, K]: means that the whole set might have
            left_over, explained = fit(rows)
            means = weights @ left_over
            return explained + means[:1] + shrink * fit.inflation * (means - means[:1])

        means = [resampled(self._seen(one, count)) for one in running]
        values = [self.proxy.values_of_means(*pair) for pair in zip(running, means, strict=True)]
        fixed = [
            self.proxy.values_of_means(one, rows.mean(0, keepdim=True)).expand(REPLICATES + 1) for one, rows in known
        ]
        everyone = torch.stack([*values, *fixed])  # [architectures, R + 1]
        order = everyone[:, 0].argsort(descending=True, stable=True).tolist()
        best = everyone[order[: self.keep]]
        risks = []
        for place in order[self.keep :]:
            if place < len(running):
                lead = best - everyone[place]
                spread = lead[:, 1:].std(1)
                if bool(lead[:, 1:].isfinite().all()):
                    z = lead[:, 0] / (spread * math.sqrt(2)).clamp_min(1e-300)
                    risks.append((float(0.5 * torch.erfc(z.min())), place))
        stopped = []
        allowed = (
            self.error * self.keep * (name[1] + 1) / max(len(self.parts) - 1, 1)
        )  # evenly over the rounds, what is left stays
        for risk, place in sorted(risks):
            if self._risked + risk > allowed:
                break
            self._risked += risk
            outcome = self._scored(running[place], means[place][0], count)
            if outcome.score is not None:
                stopped.append((running[place], outcome.score))
        return stopped


class _Regression:
    """The regression of an architecture's statistics on those of architectures that are known whole.

    Args:
        known: [N, K] of each, the most important first; N images, of which the first `count` were seen.
        count: images seen n.
    """

    def __init__(self, known: Sequence[Tensor], count: int) -> None:
        used = list(known[: min(REGRESSORS, count // IMAGES_PER_REGRESSOR)])
        self.inflation = 1.0
        self._seen: Tensor | None = None
        if used:
            everything = torch.stack(used, 2).movedim(1, 0)  # [K, N, p]
            means = everything[:, :count].mean(1, keepdim=True)
            self._seen = everything[:, :count] - means
            self._inverse = torch.linalg.pinv(self._seen)  # [K, p, n]
            self._gap = everything.mean(1) - means[:, 0]  # [K, p]: all images less those seen
            left = max(count - len(used) - 2, 1)
            # fitted residuals are too small, and the coefficients are estimates
            self.inflation = math.sqrt(count / (left + 1) * (1 + len(used) / left))

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the fit leaves of `rows` ([n, K]), and how much the whole set's means are above those seen ([K])."""
        if self._seen is None:
            return rows, rows.new_zeros(rows.shape[1])
        centred = (rows - rows.mean(0)).t()[:, :, None]  # [K, n, 1]
        slopes = self._inverse @ centred  # [K, p, 1]
        return rows - (self._seen @ slopes)[:, :, 0].t(), (self._gap[:, None] @ slopes)[:, 0, 0]
