"""What a run folder tells about the run's progress; no torch needed."""

import fcntl
from pathlib import Path
from typing import Any

from genas.analysis.verdicts.read import read_derived
from genas.core.run_folder import HELD, read_config, read_rows
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.strategies.history import History, Record


def read_status(run: Path, count: int = 10) -> dict[str, Any]:
    """The state of a run.

    Args:
        run: the run folder.
        count: how many of the best architectures of different functions to list.

    Returns:
        ``run``, ``phase`` (supernet, search, retrain, done), ``active`` (the process that works on it, or None),
        epochs (of a supernet that no proxy needs: 0 of 0), architectures and baselines done and wanted, ``proxy``,
        failures, and ``best``: objects with genotype, score, objectives where the proxy gave some, params, macs,
        generation, and ``equal``, the number of further genotypes of the same function. Of a run of ``genas retrain``:
        ``run``, ``phase``, ``active``, ``genotype``, and epochs done and wanted by seed.

    Raises:
        RunError: no run folder.
    """
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
    return {
        "run": str(run),
        "phase": phase,
        "active": holder(run),
        "supernet_epochs": [0, 0] if skipped else [supernet, config["supernet"]["epochs"]],
        "architectures": [evaluated, config["search"]["generations"] * config["search"]["population"]],
        "proxy": config["proxy"]["expression"],
        "failed": failed,
        "retrain_epochs": [retrained, _epochs(config["retrain"])],
        "baselines": _baselines(run),
        "best": [
            {
                "genotype": record.genotype,
                "score": record.score,
                **({"objectives": dict(record.objectives)} if record.objectives else {}),
                "params": record.params,
                "macs": record.macs,
                "generation": record.generation,
                "equal": equal,
            }
            for record, equal in best
        ],
    }


def _baselines(run: Path) -> list[int]:
    """Random architectures that are trained, and that are to be trained, beside the best one."""
    plan = read_derived(RunPaths(run).baseline_plan) or {}
    folders = [RunPaths(run).baselines / str(name) for name in plan.get("folders", ())]
    return [sum(TrainingPaths(folder).result.exists() for folder in folders), int(plan.get("count", 0))]


def _retrain_status(run: Path, config: dict[str, Any]) -> dict[str, Any]:
    seeds = config["seeds"]
    folders = {seed: RunPaths(run).seed(seeds, seed) for seed in seeds}
    finished = all(TrainingPaths(folder).result.exists() for folder in folders.values())
    return {
        "run": str(run),
        "phase": "done" if finished else "retrain",
        "active": holder(run),
        "genotype": config["genotype"],
        "retrain_epochs": {
            f"seed {seed}": [len(read_rows(TrainingPaths(folder).metrics)), _epochs(config["retrain"])]
            for seed, folder in folders.items()
        },
    }


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
