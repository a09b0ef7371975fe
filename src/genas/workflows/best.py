"""The best architecture of a search, trained from scratch and compared with random ones."""

import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genas.core.checkpoint import load_checkpoint
from genas.core.profiling import Profile
from genas.core.run_folder import explain, read_rows
from genas.core.run_paths import EvaluationPaths, RunPaths, TrainingPaths
from genas.spaces import architecture_cost
from genas.strategies import History, Record
from genas.training.standalone import retrain
from genas.training.standalone.baseline import seconds_of
from genas.training.standalone.network import resize, without_auxiliary
from genas.workflows.baselines import compare_with_random
from genas.workflows.session import Session


@dataclass(frozen=True)
class TrainedBest:
    """The retrained best architecture: its size and test figures, and the comparison with random ones."""

    size: dict[str, int] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None


def train_best(session: Session, run: Path, best: Record, watch: Profile | None, quiet: bool) -> TrainedBest:
    """Trains the best architecture from scratch, or continues, and compares it with random ones.

    Args:
        session: the run's configuration, opened.
        run: its folder, locked.
        best: what the search found.
        watch: measures the phases; None for no profile.
        quiet: no progress.
    """
    config = session.config
    set_aside_others(run, best.genotype)
    size, architecture = resize(session.space, config.retrain), session.space.parse(best.genotype)
    kept = without_auxiliary(size)
    cost = architecture_cost(kept, architecture, session.splits.num_classes, session.splits.image_shape)
    with watch.phase("retrain") if watch else nullcontext():
        test = retrain(
            RunPaths(run).retrain.path,
            size,
            architecture,
            session.splits,
            config.retrain,
            session.fabric,
            config.seed,
            quiet,
        )
    compared = config.baseline.choice != "none"
    with watch.phase("baselines") if watch and compared else nullcontext():
        baseline = compare_with_random(
            run,
            size,
            architecture,
            session.splits,
            config.retrain,
            config.baseline,
            session.fabric,
            config.seed,
            [RunPaths(run).retrain.path],
            spent=seconds_spent(run),
            allowed=session.within_limits,
            quiet=quiet,
        )
    return TrainedBest({"params": cost.params, "macs": cost.macs}, test, baseline)


def seconds_spent(run: Path) -> float:
    """Time that supernet, scores and retraining of a run took."""
    paths = RunPaths(run)
    trainings = sum(seconds_of(read_rows(one.metrics)) for one in (paths.supernet, paths.retrain))
    with History(paths.history, readonly=True) as history:
        return trainings + history.seconds()


def set_aside_others(run: Path, genotype: str) -> None:
    """Moves a retraining of another architecture, and what was measured on it, to ``superseded/``.

    A search that goes on for more generations may find a better architecture than the one that was retrained.

    Args:
        run: the run folder, locked.
        genotype: the architecture to retrain.
    """
    training = RunPaths(run).retrain
    before = _retrained_genotype(training)
    if before in (None, genotype):
        return
    place = RunPaths(run).superseded / hashlib.blake2b(str(before).encode(), digest_size=4).hexdigest()
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path in (*EvaluationPaths(run).existing(), training.path):
            path.replace(place / path.name)
    except OSError as error:
        raise explain(error, place) from error


def _retrained_genotype(training: TrainingPaths) -> str | None:
    """The architecture that a retraining is of; None where none has begun."""
    if training.result.is_file():
        return str(json.loads(training.result.read_text(encoding="utf-8"))["genotype"])
    if training.checkpoint.is_file():
        return str(load_checkpoint(training.checkpoint)[1]["identity"]["genotype"])
    return None
