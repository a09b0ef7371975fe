"""Every file name of a run folder, in one place; who writes a file and who reads it ask here.

``RunPaths(run).supernet.checkpoint`` is a path, whether or not there is a file.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path


class _Entry:
    """A file or folder by its name in the folder that holds it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: "Folder", kind: type["Folder"]) -> Path:
        return owner.path / self.name


class Folder:
    """A folder whose entries have names.

    Args:
        path: the folder, which need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)


class EvaluationPaths(Folder):
    """What ``genas evaluate`` writes into the folder of a trained network."""

    content = _Entry("evaluation.json")
    mistakes = _Entry("evaluation-mistakes.json")
    """Thumbnails of wrongly classified images."""
    per_class = _Entry("evaluation-per-class.csv")
    corruptions = _Entry("evaluation-corruptions.csv")
    page = _Entry("evaluation.html")

    def existing(self) -> list[Path]:
        """All files of an evaluation that are there."""
        return sorted(self.path.glob("evaluation*"))


class TrainingPaths(Folder):
    """A training: of a supernet, or of one network from scratch."""

    checkpoint = _Entry("checkpoint.safetensors")
    """The whole state of the training."""
    metrics = _Entry("metrics.csv")
    """One row per epoch."""
    tensorboard = _Entry("tensorboard")
    initial = _Entry("initial.safetensors")
    """A supernet's weights before training."""
    origin = _Entry("origin.json")
    """The run whose supernet was taken over."""
    architecture = _Entry("architecture.json")
    """The architecture parameters of a gradient method after every epoch."""
    check = _Entry("check.json")
    """The trained supernet compared with chance."""
    initial_weights = _Entry("initial_weights.json")
    """What of a network was taken from first weights."""
    best = _Entry("best.safetensors")
    """Weights of the best epoch."""
    model = _Entry("model.safetensors")
    """Weights of the last epoch."""
    description = _Entry("model.json")
    """What the trained network is."""
    result = _Entry("result.json")
    """Test results; its presence ends the training."""

    def epoch(self, number: int) -> Path:
        """The weights that were kept after an epoch."""
        return self.path / f"epoch-{number}.safetensors"

    def kept_epochs(self) -> list[int]:
        """The epochs whose weights were kept."""
        return sorted(int(one.stem.partition("-")[2]) for one in self.path.glob("epoch-*.safetensors"))

    def of_network(self) -> list[Path]:
        """Everything that the training of one network leaves; what makes it finished or begun comes last."""
        first = [self.tensorboard, self.metrics, self.initial_weights, self.best, self.description, self.model]
        return [*first, self.result, self.checkpoint]


class ProfilePaths(Folder):
    """What ``--profile`` writes beside the traces."""

    summary = _Entry("summary.json")


class RankPaths(Folder):
    """A study of ``genas rank``: ``rank/NAME``."""

    content = _Entry("rank.json")
    scores = _Entry("scores.sqlite")
    table = _Entry("scores.csv")
    page = _Entry("rank.html")


class SweepPaths(Folder):
    """A sweep of ``genas sweep``: ``sweep/NAME``."""

    content = _Entry("sweep.json")
    scores = _Entry("scores.sqlite")
    table = _Entry("sweep.csv")
    page = _Entry("sweep.html")
    shares = _Entry("shares.json")
    settings = _Entry("config.json")
    retrained = _Entry("retrained")


class LandscapePaths(Folder):
    """A landscape of ``genas landscape``: ``landscape/NAME``."""

    content = _Entry("landscape.json")
    points = _Entry("points.csv")
    page = _Entry("landscape.html")
    identity = _Entry("identity.json")


class RunPaths(Folder):
    """The run folder of a search or of a retraining."""

    config = _Entry("config.yaml")
    """The frozen configuration; its presence makes the folder a run."""
    lock = _Entry("lock")
    environment = _Entry("environment.json")
    command = _Entry("command.txt")
    data = _Entry("data.json")
    """What was recorded of the data."""
    custom = _Entry("custom.json")
    """Fingerprints of custom classes."""
    history = _Entry("history.sqlite")
    """The scored architectures."""
    race = _Entry("race")
    """What single images gave in the generation at work."""
    best_architecture = _Entry("best.json")
    score_noise = _Entry("score_noise.json")
    noise_curves = _Entry("noise_curves.json")
    baseline = _Entry("baseline.json")
    """The comparison with random architectures."""
    baselines = _Entry("baseline")
    """Their trainings."""
    baseline_plan = _Entry("baseline/plan.json")
    profile = _Entry("profile")
    superseded = _Entry("superseded")
    """Trainings of architectures that are no longer the best."""
    report = _Entry("report.html")
    first_weights = _Entry("first_weights.json")
    """The file that a retraining begins with."""
    plan = _Entry("plan.json")
    """What a retraining needs."""
    ranks = _Entry("rank")
    sweeps = _Entry("sweep")
    landscapes = _Entry("landscape")

    @property
    def supernet(self) -> TrainingPaths:
        """The training of the supernet."""
        return TrainingPaths(self.path / "supernet")

    @property
    def retrain(self) -> TrainingPaths:
        """The training of a search's best architecture."""
        return TrainingPaths(self.path / "retrain")

    @property
    def training(self) -> TrainingPaths:
        """The training of the one network of a retraining, or the summary of several."""
        return TrainingPaths(self.path)

    def seed(self, seeds: Sequence[int], seed: int) -> Path:
        """Where the network of one of the seeds of a retraining lies."""
        return self.path if len(seeds) == 1 else self.path / f"seed-{seed}"

    def seeds(self) -> list[Path]:
        """The folders of single seeds that are there, in the order of the seeds."""
        found = [child for child in self.path.glob("seed-*") if re.fullmatch(r"seed-\d+", child.name)]
        return sorted(found, key=lambda child: int(child.name.partition("-")[2]))
