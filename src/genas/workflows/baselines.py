"""Trains random architectures as the best one was, and says whether the difference exceeds its error.

Both ``genas search`` and ``genas retrain`` do it, after their own training. Everything is resumable: what was decided
is kept in ``baseline/plan.json``, every training in a folder of its own, the outcome in ``baseline.json``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genas.analysis.verdicts.comparison import compare, sentence
from genas.analysis.verdicts.read import read_derived
from genas.core.device import Fabric
from genas.core.distributed import on_first
from genas.core.errors import ConfigError
from genas.core.progress import duration
from genas.core.run_folder import digest_of, read_rows, write_json
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.core.terminal import warn
from genas.data import LabelledImages, Splits
from genas.spaces import Architecture, Space, architecture_cost
from genas.training.standalone import RetrainSettings, retrain
from genas.training.standalone.baseline import (
    USUAL,
    Drawn,
    decide,
    draw,
    folder_of,
    image_shape_of,
    right_answers,
    seconds_of,
)
from genas.training.standalone.data import parts_of
from genas.training.standalone.settings import BaselineSettings
from genas.training.standalone.weights import InitialWeights


def check_baselines(settings: BaselineSettings, splits: Splits, with_retrain: bool = True) -> None:
    """Refuses baselines that were asked for and cannot be had, before anything is trained.

    Args:
        settings: how many baselines.
        splits: the data.
        with_retrain: whether the best architecture is trained.

    Raises:
        ConfigError: it is not trained, or there is no test set to compare on.
    """
    if not settings.count:
        return
    if not with_retrain:
        raise ConfigError(
            f"Invalid --baseline {settings.choice} beside --no-retrain: random architectures are compared with the "
            "retrained best one; leave one of the two out, or give --baseline none."
        )
    if splits.test is None:
        raise ConfigError(
            f"Invalid --baseline {settings.choice}: expected data with a test set, on which random architectures are "
            "compared with the best one; add one, or give --baseline none."
        )


def compare_with_random(
    run: Path,
    space: Space,
    best: Architecture,
    splits: Splits,
    training: RetrainSettings,
    settings: BaselineSettings,
    fabric: Fabric,
    seed: int,
    trained: Sequence[Path],
    *,
    spent: float = 0.0,
    allowed: Callable[[Architecture], bool] | None = None,
    initial: InitialWeights | None = None,
    quiet: bool = False,
) -> dict[str, Any] | None:
    """Trains the baselines, or continues, and compares.

    Args:
        run: the run folder.
        space: at the size of the trained network.
        best: the searched architecture.
        splits: the data.
        training: the recipe that `best` was trained by.
        settings: how many baselines.
        fabric: device, precision and processes.
        seed: of the training.
        trained: folders of the trainings of `best`, one per seed.
        spent: seconds that the run took so far, where the number is left to genas.
        allowed: whether an architecture is within the limits of the search.
        initial: weights that the training of `best` began with; None for random ones.
        quiet: no progress.

    Returns:
        What ``baseline.json`` holds; None where there are no baselines.

    Raises:
        Interrupted: Ctrl-C; the state is saved.
    """
    test = parts_of(splits, training, fabric.world_size).test
    if settings.choice == "none" or test is None or training.dry:
        return None
    first = fabric.global_rank == 0
    plan = on_first(fabric, lambda: _plan(run, best, training, settings, trained, spent))
    shape = image_shape_of(splits)
    drawn = draw(space, best, plan["count"], splits.num_classes, shape, seed, settings.equal_macs, allowed)
    folders = [folder_of(run, one.architecture, training, seed) for one in drawn]
    if len(drawn) < plan["count"]:
        plan |= _few(len(drawn), plan["count"])
    if first and plan.get("left_out"):
        warn(plan["left_out"], quiet)
    if first:
        write_json(RunPaths(run).baseline_plan, {**plan, "folders": [folder.name for folder in folders]})
    if not drawn:
        return None
    for number, (one, folder) in enumerate(zip(drawn, folders, strict=True), 1):
        title = f"baseline {number} of {len(drawn)}"
        retrain(folder, space, one.architecture, splits, training, fabric, seed, quiet, initial, title=title)

    compared = _Compared(run, space, best, splits, test, fabric, trained, drawn, folders)
    content: dict[str, Any] = on_first(fabric, lambda: compared.outcome(settings))
    return content


@dataclass(frozen=True)
class _Compared:
    """Finished trainings, of the best architecture (`trained`) and of the random ones (`folders`)."""

    run: Path
    space: Space
    best: Architecture
    splits: Splits
    test: LabelledImages
    fabric: Fabric
    trained: Sequence[Path]
    drawn: Sequence[Drawn]
    folders: Sequence[Path]

    def outcome(self, settings: BaselineSettings) -> dict[str, Any]:
        """What ``baseline.json`` holds, written unless it is of these very trainings."""
        key = [digest_of(TrainingPaths(folder).result) for folder in (*self.trained, *self.folders)]
        known = read_derived(RunPaths(self.run).baseline)
        if known is not None and known.get("key") == key:
            return known
        right = [self._right(self.best, folder) for folder in self.trained]
        others = [self._right(one.architecture, folder) for one, folder in zip(self.drawn, self.folders, strict=True)]
        found = compare(_table(right), _table(others))
        cost = architecture_cost(self.space, self.best, self.splits.num_classes, image_shape_of(self.splits))
        content = {
            "best": self.best.genotype,
            "choice": settings.choice,
            "equal_macs": settings.equal_macs,
            "equal_macs_missed": sum(not one.fits for one in self.drawn),
            "params": cost.params,
            "macs": cost.macs,
            "architectures": [
                _row(one, folder, self.run, float(hits.double().mean()))
                for one, folder, hits in zip(self.drawn, self.folders, others, strict=True)
            ],
            "comparison": asdict(found),
            "exceeds_error": found.exceeds,
            "sentence": sentence(found),
            "key": key,
        }
        write_json(RunPaths(self.run).baseline, content)
        return content

    def _right(self, architecture: Architecture, folder: Path) -> torch.Tensor:
        return right_answers(folder, self.space, architecture, self.test, self.fabric)


def _few(found: int, count: int) -> dict[str, Any]:
    """What is changed of the plan where too few architectures to compare with are found."""
    compared = f"is compared with {found} of {count} random ones" if found else "is not compared with random ones"
    why = "no more architectures of other functions were found within the space and the limits of the search"
    return {"count": found, "left_out": f"the best architecture {compared}: {why}."}


def _plan(
    run: Path,
    best: Architecture,
    training: RetrainSettings,
    settings: BaselineSettings,
    trained: Sequence[Path],
    spent: float,
) -> dict[str, Any]:
    """How many baselines; what was decided once holds, or a continued run could decide otherwise."""
    asked = {
        **settings.model_dump(mode="json"),
        "best": best.genotype,
        "training": training.model_dump(mode="json", exclude={"checkpoint_seconds"}),
    }
    known = read_derived(RunPaths(run).baseline_plan)
    if known is not None and known.get("asked") == json.loads(json.dumps(asked)):
        return known
    seconds = [seconds_of(read_rows(TrainingPaths(folder).metrics)) for folder in trained]
    one = sum(seconds) / len(seconds)
    count, reason = decide(settings, one, spent)
    plan: dict[str, Any] = {"asked": asked, "count": count, "reason": reason, "seconds": round(count * one, 1)}
    if not count:
        plan["left_out"] = (
            f"the best architecture is not compared with random ones: {USUAL} trainings would take about "
            f"{duration(USUAL * one)}. Add them with --baseline random:{USUAL}."
        )
    write_json(RunPaths(run).baseline_plan, plan)
    return plan


def _row(one: Drawn, folder: Path, run: Path, top1: float) -> dict[str, Any]:
    return {
        "genotype": one.architecture.genotype,
        "folder": str(folder.relative_to(run)),
        "params": one.cost.params,
        "macs": one.cost.macs,
        "top1": top1,
    }


def _table(right: Sequence[torch.Tensor]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[networks, images] of zeros and ones."""
    return torch.stack(list(right)).double().numpy()
