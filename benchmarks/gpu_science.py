"""Fourth phase of `gpu.py`: a supernet of the published size on real images, and how well proxies rank with it.

The supernet of NAS-Bench-201 (5 cells per stage, 16 channels) trains on CIFAR-10 for as many whole epochs as fit, with
the weights after some of them kept; ``genas rank`` then scores architectures of the benchmark. Both are the commands'
own functions; a timer sends Ctrl-C where one takes longer than it may, and what it has done is used.
"""

import itertools
import shutil
import signal
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gpu_phase import Notes, computing, precisions, timed
from scipy.stats import kendalltau

from genas.analysis.ranking.scores import Scores
from genas.analysis.ranking.study import draw
from genas.analysis.ranking.table import open_table
from genas.core.errors import Interrupted
from genas.core.run_folder import read_rows
from genas.data import Dataset, Splits, open_dataset
from genas.proxies import BatchNormSettings, EvaluationSettings, ProxySettings, Scoring, open_proxy
from genas.training.loop import steps_per_epoch
from genas.training.supernet import initial_weights
from genas.training.supernet.stored import load_supernet
from genas.workflows.config import Config
from genas.workflows.continuation import settings_on
from genas.workflows.rank import Ranking, rank, weights_file
from genas.workflows.session import Session
from genas.workflows.supernet import train_supernet_of
from genas.workflows.timing import time_supernet

PROXIES = "flatness,relative-flatness,accuracy,loss,angle,consensus"
COMPARED = ("flatness", "relative-flatness", "angle + 16*flatness")
"""Expressions whose ranking in other precisions is compared with that in single precision."""
SMALLEST: dict[str, Any] = {
    "space": {"cells_per_stage": 1, "channels": 4},
    "supernet": {"epochs": 1, "keep_every": 1},
    "proxy": {"consensus": {"reference": 8}, "relative_flatness": {"draws": 2}, "batchnorm": {"pictures": 64}},
}
"""Settings to try the script."""
DRAWS = 32  # of relative-flatness
OF_A_SCORE = 3.0  # seconds of all proxies over those of a published score, of three passes: seven, and untrained ones
ARCHITECTURES = 300
COLUMN = "cifar10_test"
TRAINING, RANKING, CURVES, PRECISIONS = 0.42, 0.55, 0.9, 0.4
"""Shares of the seconds that are left when a part begins."""


@contextmanager
def stopped_after(seconds: float) -> Iterator[None]:
    """Sends this process Ctrl-C when the time is over, also where it was started with Ctrl-C ignored, as by ``&``."""
    ctrl_c = signal.getsignal(signal.SIGINT)
    if ctrl_c is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGINT, ctrl_c)


class Decoded(Dataset):
    """The images of another data set, decoded once for all that this process does.

    Args:
        source: the other's name.
    """

    name = "decoded"
    known: ClassVar[dict[tuple[str, int], Splits]] = {}

    def __init__(self, source: str) -> None:
        self.source = source

    def splits(self, seed: int) -> Splits:
        """See `Dataset.splits`."""
        key = (self.source, seed)
        if key not in self.known:
            self.known[key] = open_dataset(self.source).splits(seed)
        return self.known[key]


class Study:
    """A run of the supernet and what is measured with it.

    Args:
        notes: of the phase.
        run: the run folder.
        data: a data set's name.
        table: of the benchmark.
        device: ``cpu`` or ``cuda``.
        batch: images per batch of an evaluation, which changes nothing but the speed.
        tiny: as small as can be, to try the script.
    """

    def __init__(self, notes: Notes, run: Path, data: str, table: Path, device: str, batch: int, tiny: bool) -> None:
        self.notes, self.run, self.table, self.device = notes, run, table, device
        self.batch, self.tiny = batch, tiny
        self.architectures = 10 if tiny else ARCHITECTURES
        images = {"name": "gpu_science:Decoded", "source": data, "check": False}
        named = {"data": images, "space": {"name": "nasbench201"}, "device": device}
        self.layers: list[dict[str, Any]] = [named, SMALLEST if tiny else {}]

    def config(self, **supernet: int) -> Config:
        """The settings of the run: the published ones but for the epochs."""
        return settings_on(self.run, [*self.layers, {"supernet": supernet}], scale="paper")

    def train(self, step: float | None) -> dict[str, Any]:
        """Trains for as many epochs as fit.

        Args:
            step: seconds of a training step; None to time one.
        """
        config, budget = self.config(), TRAINING * self.notes.left
        begun = time.monotonic()
        session = Session(config, quiet=True)
        steps = steps_per_epoch(len(session.splits.weights), config.supernet.batch_size)
        opened = time.monotonic() - begun  # the run opens its data once more
        step = step or time_supernet(config, session, 0)[0].step
        assert step is not None
        epochs = max(1, min(250, int((budget - 2 * opened) / (steps * step))))
        if not self.tiny:
            every = max(1, epochs // 5)
            config = self.config(epochs=epochs // every * every, keep_every=every)
        try:
            with stopped_after(1.25 * budget):
                train_supernet_of(config, self.run, quiet=True)
            stopped = False
        except Interrupted:
            stopped = True
        rows = read_rows(self.run / "supernet" / "metrics.csv")
        return {
            "epochs_asked": config.supernet.epochs,
            "epochs": len(rows),
            "stopped": stopped,
            "steps_per_epoch": steps,
            "seconds_per_epoch": statistics.median(float(row["seconds"]) for row in rows),
            "loss": [float(row["loss"]) for row in rows],
            "accuracy": [float(row["accuracy"]) for row in rows],
            "learning_rate": [float(row["learning_rate"]) for row in rows],
        }

    def kept(self) -> list[int]:
        """Epochs whose weights are kept, the untrained ones (0) first."""
        files = (self.run / "supernet").glob("epoch-*.safetensors")
        return [0, *sorted(int(file.stem.partition("-")[2]) for file in files)]

    def batch_of(self, images: int | None) -> int:
        """Images per batch on so many: each of the 32 draws of relative-flatness gets batches of its own."""
        return max(64, min(self.batch, (images or 25_000) // DRAWS))

    def evaluation(self, images: int | None) -> Mapping[str, Any]:
        """Settings of an evaluation on so many images."""
        return {"proxy": {"evaluation": {"pictures": images, "batch_size": self.batch_of(images)}}}

    def rank(self, epoch: int, images: int | None, architectures: int, seconds: float) -> dict[str, Any]:
        """Ranks with the weights after `epoch`, for at most so many seconds; says what was left out."""
        name = f"epoch-{epoch}-{images or 'all'}"

        def ranked(count: int) -> Ranking:
            return rank(
                self.run,
                self.table,
                proxies=PROXIES,
                columns=[COLUMN],
                settings={"architectures": count, "analysis": {"replicates": 200}},
                proxy_settings=[self.evaluation(images)],
                epoch=epoch,
                name=name,
                quiet=True,
                command="benchmarks/gpu.py",
            )

        begun, count = time.monotonic(), architectures
        try:
            with stopped_after(seconds):
                content = ranked(count)
        except (Interrupted, KeyboardInterrupt):
            count = self.scored(name)
            content = ranked(count)
        return {
            "epoch": epoch,
            "images": images or "all",
            "architectures_asked": architectures,
            "architectures": content.scored,
            "seconds": time.monotonic() - begun,
            "study": name,
            "proxies": {
                proxy: {
                    "seconds": found["seconds"],
                    "failed": found["failed"],
                    **{key: value for key, value in found["columns"].get(COLUMN, {}).items() if key != "scatter"},
                }
                for proxy, found in content.proxies.items()
            },
        }

    def scored(self, name: str) -> int:
        """How many of the first architectures of the draw every proxy has scored, or others of their function."""
        session = Session(self.config(), quiet=True)
        genotypes = draw(open_table(self.table, session.space, [COLUMN], None).genotypes, self.architectures, 0)
        functions = {one: session.space.function_key(session.space.parse(one)) for one in genotypes}
        with Scores(self.run / "rank" / name / "scores.sqlite") as scores:
            done = [{functions[one] for one in scores.genotypes_of(proxy, 0)} for proxy in PROXIES.split(",")]
        scored = itertools.takewhile(lambda one: all(functions[one] in each for each in done), genotypes)
        return sum(1 for _ in scored)

    def plan(self, score: Mapping[str, Any] | None, seconds: float) -> int | None:
        """Validation images with which all architectures should fit the time; None for all of them.

        Args:
            score: what `published_score` gave: two sizes, between which time is drawn as a line.
            seconds: for all architectures.
        """
        if score is None:
            return 2_000
        each = max(score["seconds"] - score["seconds_few"], 0.0) / max(score["images"] - score["few"], 1)
        fixed = max(score["seconds_few"] - score["few"] * each, 0.0)
        for images in (None, 10_000, 5_000):
            alone = fixed + min(images or score["images"], score["images"]) * each
            if self.architectures * OF_A_SCORE * alone < seconds:
                return images
        return 32 if self.tiny else 2_000

    def precision(self, epoch: int, seconds: float) -> dict[str, Any]:
        """Scores in other precisions beside those in single precision: tau, the ten best, what moved."""
        config = self.config()
        session = Session(config, quiet=True)
        images = 32 if self.tiny else 5_000
        genotypes = draw(open_table(self.table, session.space, [COLUMN], None).genotypes, self.architectures, 0)
        genotypes = genotypes[: 4 if self.tiny else 100]
        found: dict[str, dict[str, list[float]]] = {}
        network, initial = self.weights(session, epoch)
        done, begun = len(genotypes), time.monotonic()
        for precision in precisions(self.device):
            with computing(self.device, precision) as fabric:
                own = config.proxy.evaluation.model_copy(update={"images": images, "batch_size": self.batch_of(images)})
                scoring = Scoring(
                    session.space, network, initial, session.splits, fabric, config.seed, config.proxy.batchnorm, own
                )
                proxies = {
                    text: open_proxy(scoring, config.proxy.model_copy(update={"expression": text})) for text in COMPARED
                }
                rows: dict[str, list[float]] = {text: [] for text in COMPARED}
                for number, genotype in enumerate(genotypes[:done]):
                    if number >= 4 and time.monotonic() - begun > seconds / len(precisions(self.device)):
                        break
                    for text, proxy in proxies.items():
                        rows[text].append(proxy.score(session.space.parse(genotype)).value)
                found[precision], begun = rows, time.monotonic()
                done = min(done, len(rows[COMPARED[0]]))
        return {
            "epoch": epoch,
            "images": images,
            "architectures": done,
            **{
                precision: {text: agreement(found["32"][text][:done], rows[text][:done]) for text in COMPARED}
                for precision, rows in found.items()
                if precision != "32"
            },
        }

    def weights(self, session: Session, epoch: int) -> tuple[Any, dict[str, Any]]:
        """The supernet after an epoch, on the device, and its untrained weights."""
        seed, file = session.config.seed, weights_file(self.run, epoch, None)
        network = load_supernet(self.run, session.space, session.splits, session.fabric, seed, file)
        return network, initial_weights(self.run / "supernet")

    def published_score(self, epoch: int) -> dict[str, Any]:
        """Seconds of a published score (angle and flatness) on all validation images, and on few."""
        session = Session(self.config(), quiet=True)
        network, initial = self.weights(session, epoch)
        genotypes = draw(open_table(self.table, session.space, [COLUMN], None).genotypes, 4, 0)

        def measured(images: int | None) -> tuple[int, float]:
            evaluation, batchnorm = EvaluationSettings(images=images, batch_size=self.batch), BatchNormSettings()
            scoring = Scoring(session.space, network, initial, session.splits, session.fabric, 0, batchnorm, evaluation)
            proxy = open_proxy(scoring, ProxySettings.model_validate({"expression": "angle + 16*flatness"}))
            scored = [partial(proxy.score, session.space.parse(genotype)) for genotype in genotypes]
            spent = [timed(work, session.fabric.device) for work in scored]
            return scoring.validation_count, statistics.median(spent[1:])

        few, seconds_few = measured(16 if self.tiny else 2_000)
        images, seconds = measured(32 if self.tiny else None)
        return {
            "images": images,
            "batch": self.batch,
            "seconds": seconds,
            "few": few,
            "seconds_few": seconds_few,
        }


def agreement(expected: list[float], found: list[float]) -> dict[str, Any]:
    """Kendall's tau-b between two precisions, how many of the ten best they share, greatest relative difference."""
    first, second = np.array(expected), np.array(found)
    best = [set(np.argsort(-values)[:10].tolist()) for values in (first, second)]
    scale = np.maximum(np.abs(first), 1e-12)
    return {
        "tau": float(kendalltau(first, second).statistic),
        "ten_best_shared": len(best[0] & best[1]),
        "same_best": bool(first.argmax() == second.argmax()),
        "relative_difference": float((np.abs(first - second) / scale).max()),
    }


def extrapolated(training: Mapping[str, Any], score: Mapping[str, Any]) -> dict[str, Any]:
    """Hours of a full search on this card from an epoch and a score that were measured."""
    epochs, architectures = 250, 1000
    seconds = epochs * training["seconds_per_epoch"] + architectures * score["seconds"]
    return {
        "extrapolated": True,
        "of": f"{epochs} epochs and {architectures} architectures on {score['images']} images, one after the other",
        "training_hours": epochs * training["seconds_per_epoch"] / 3600,
        "search_hours": architectures * score["seconds"] / 3600,
        "hours": seconds / 3600,
    }


def run(notes: Notes, study: Study, out: Path, step: float | None) -> None:
    """All measurements of the phase.

    Args:
        notes: of the phase.
        study: the run and what is measured with it.
        out: where the scores are copied.
        step: seconds of a training step; None to time one.
    """
    tiny = study.tiny
    training = notes.attempt("training", lambda: study.train(step))
    if training is None:
        return
    last = study.kept()[-1]
    score = notes.attempt("published score", lambda: study.published_score(last))
    if score is not None:
        notes.attempt("full search", lambda: extrapolated(training, score))
    seconds = RANKING * notes.left
    images = notes.attempt("images of the ranking", lambda: {"images": study.plan(score, 0.8 * seconds)})
    final = notes.attempt(
        "ranking", lambda: study.rank(last, images["images"] if images else 2_000, study.architectures, seconds)
    )
    if final is not None:
        shutil.copyfile(study.run / "rank" / final["study"] / "scores.csv", out / "scores.csv")
    notes.attempt("precision", lambda: study.precision(last, PRECISIONS * notes.left))
    few, on = (10, 32) if tiny else (100, 1_000)
    epochs = study.kept()[:1] if tiny else study.kept()
    for place, epoch in enumerate(epochs):
        share = CURVES * notes.left / (len(epochs) - place)
        notes.attempt(f"ranking after epoch {epoch}", partial(study.rank, epoch, on, few, share))
