"""What a retraining gives: figures by seed, their mean and spread."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genas.core.result import Result
from genas.core.run_paths import TrainingPaths
from genas.training.standalone.plan import Plan
from genas.training.standalone.recipe import RetrainSettings


@dataclass(frozen=True)
class Trained:
    """What one seed came to.

    Args:
        seed: the seed.
        folder: where its network lies.
        test: test loss and accuracies of the last epoch; empty without a test set.
        best: epoch, accuracy that chose it, and test figures of the best epoch; empty where none is chosen.
    """

    seed: int
    folder: Path
    test: dict[str, float]
    best: dict[str, Any]


@dataclass(frozen=True)
class Retrained(Result):
    """What a retraining came to.

    Args:
        run: the run folder.
        genotype: the architecture.
        recipe: the recipe's name.
        settings: the recipe with all changes.
        plan: parameters, MACs, memory.
        runs: one per seed.
        summary: ``last`` and, where one is chosen, ``best``: top-1 and top-5 as mean and standard deviation (n - 1)
            over the seeds; no deviation for one seed.
        baseline: the comparison with random architectures of the same training; None without.
    """

    run: Path
    genotype: str
    recipe: str
    settings: RetrainSettings
    plan: Plan
    runs: tuple[Trained, ...]
    summary: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For ``result.json`` and ``--json``."""
        return {
            "run": str(self.run),
            "genotype": self.genotype,
            "recipe": self.recipe,
            "params": self.plan.params,
            "macs": self.plan.macs,
            "best_by": self.settings.best,
            **({"dry_run": True} if self.settings.dry else {}),
            "seeds": [
                {"seed": one.seed, "folder": str(one.folder), "test": one.test, "best": one.best} for one in self.runs
            ],
            "summary": self.summary,
            "baseline": self.baseline,
        }


def read_trained(folder: Path, seed: int) -> Trained:
    """What one training wrote."""
    content = json.loads(TrainingPaths(folder).result.read_text(encoding="utf-8"))
    return Trained(seed, folder, content["test"], content.get("best", {}))


def summarise(trained: Sequence[Trained]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean and standard deviation (n - 1) of the accuracies over the seeds, of the last and of the best epoch."""
    kinds = {"last": [one.test for one in trained], "best": [one.best.get("test", {}) for one in trained]}
    summary: dict[str, dict[str, dict[str, float | None]]] = {}
    for kind, rows in kinds.items():
        for figure in ("top1", "top5"):
            values = [row[figure] for row in rows if figure in row]
            if values and len(values) == len(trained):
                spread = statistics.stdev(values) if len(values) > 1 else None
                summary.setdefault(kind, {})[figure] = {"mean": statistics.fmean(values), "std": spread}
    return summary
