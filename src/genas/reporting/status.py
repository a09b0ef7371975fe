"""What a run folder tells about the run's progress; no torch needed."""

import fcntl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genas.analysis.verdicts.read import read_derived
from genas.core.result import Result
from genas.core.run_folder import HELD, read_config, read_rows
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.strategies.history import History, Record


@dataclass(frozen=True)
class Status(Result):
    """How far a run is.

    Args:
        run: the run folder.
        phase: ``supernet``, ``search``, ``retrain`` or ``done``.
        active: the process that works on it; None where none does.
    """

    run: Path
    phase: str
    active: str | None


@dataclass(frozen=True)
class BestArchitecture(Result):
    """One of the best architectures of a search; it stands for all of the same function.

    Args:
        genotype: its text form.
        score: higher is better.
        params: parameters of its path in the supernet.
        macs: multiply-accumulates of that path for one image.
        generation: that proposed it, from 0.
        equal: further genotypes of the same function.
        objectives: what the proxy gave beside the score; empty for most.
    """

    genotype: str
    score: float | None
    params: int | None
    macs: int | None
    generation: int
    equal: int
    objectives: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Without objectives where there are none."""
        content = super().to_dict()
        return content if self.objectives else {key: content[key] for key in content if key != "objectives"}


@dataclass(frozen=True)
class SearchStatus(Status):
    """How far a search is; pairs are done and asked for.

    Args:
        supernet_epochs: of a supernet that no proxy needs: 0 of 0.
        architectures: that were evaluated.
        proxy: the expression that is maximised.
        failed: architectures that could not be scored.
        retrain_epochs: of the best architecture.
        baselines: random architectures to compare with.
        best: the best architectures of different functions.
    """

    supernet_epochs: tuple[int, int]
    architectures: tuple[int, int]
    proxy: str
    failed: int
    retrain_epochs: tuple[int, int]
    baselines: tuple[int, int]
    best: tuple[BestArchitecture, ...]


@dataclass(frozen=True)
class RetrainStatus(Status):
    """How far a run of ``genas retrain`` is.

    Args:
        genotype: the architecture that it trains.
        retrain_epochs: done and asked for, by seed.
    """

    genotype: str
    retrain_epochs: Mapping[str, tuple[int, int]]


def status(run: str | Path, *, count: int = 10) -> SearchStatus | RetrainStatus:
    """How far a run is, and its best architectures so far; the run may be going on.

    Args:
        run: the run folder.
        count: how many of the best architectures to list.

    Raises:
        RunError: no run folder.
    """
    run = Path(run)
    config = read_config(run)
    if config.get("kind") == "retrain":
        return _retrain_status(run, config)
    supernet = len(read_rows(RunPaths(run).supernet.metrics))
    retrained = len(read_rows(RunPaths(run).retrain.metrics))
    best: list[tuple[Record, int]] = []
    evaluated = failed = 0
    if RunPaths(run).history.exists():
        with History(RunPaths(run).history, readonly=True) as history:
            best, evaluated, failed = history.best_functions(count), len(history), history.failure_count()
    skipped = supernet_skipped(run)
    if supernet < config["supernet"]["epochs"] and not skipped:
        phase = "supernet"
    elif not RunPaths(run).best_architecture.exists():
        phase = "search"
    elif RunPaths(run).report.exists():
        phase = "done"
    else:
        phase = "retrain"
    return SearchStatus(
        run=run,
        phase=phase,
        active=holder(run),
        supernet_epochs=(0, 0) if skipped else (supernet, config["supernet"]["epochs"]),
        architectures=(evaluated, config["strategy"]["generations"] * config["strategy"]["population"]),
        proxy=config["proxy"]["expression"],
        failed=failed,
        retrain_epochs=(retrained, _epochs(config["retrain"])),
        baselines=_baselines(run),
        best=tuple(
            BestArchitecture(
                record.genotype, record.score, record.params, record.macs, record.generation, equal, record.objectives
            )
            for record, equal in best
        ),
    )


def _baselines(run: Path) -> tuple[int, int]:
    """Random architectures that are trained, and that are to be trained, beside the best one."""
    plan = read_derived(RunPaths(run).baseline_plan) or {}
    folders = [RunPaths(run).baselines / str(name) for name in plan.get("folders", ())]
    return sum(TrainingPaths(folder).result.exists() for folder in folders), int(plan.get("count", 0))


def _retrain_status(run: Path, config: dict[str, Any]) -> RetrainStatus:
    seeds = config["seeds"]
    folders = {seed: RunPaths(run).seed(seeds, seed) for seed in seeds}
    finished = all(TrainingPaths(folder).result.exists() for folder in folders.values())
    wanted = _epochs(config["retrain"])
    return RetrainStatus(
        run=run,
        phase="done" if finished else "retrain",
        active=holder(run),
        genotype=config["genotype"],
        retrain_epochs={
            f"seed {seed}": (len(read_rows(TrainingPaths(folder).metrics)), wanted) for seed, folder in folders.items()
        },
    )


def supernet_skipped(run: Path) -> bool:
    """Whether a search has scored architectures without a supernet that has trained: no proxy of it needs one."""
    paths = RunPaths(run)
    trained = paths.supernet.checkpoint.exists() or paths.supernet.metrics.exists()
    return paths.history.exists() and not trained


def holder(run: Path) -> str | None:
    """The process that holds the run's lock, or None."""
    path = RunPaths(run).lock
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                return file.read().strip() or "unknown"
    return None  # also where the file system has no locks: nothing tells


def _epochs(recipe: dict[str, Any]) -> int:
    """Epochs that are trained: a dry run ends early."""
    return int(min(recipe["epochs"], recipe.get("limit_epochs") or recipe["epochs"]))
