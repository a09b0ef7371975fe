"""What a run is going to need before it begins: phases with their time (`genas.workflows.timing`), memory and disk.

Shorter ways are proposed for long runs. Nothing is written, and no random stream of a run is touched.
"""

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genas.core.arithmetic import ceil_div
from genas.core.device import Fabric, memory_held, memory_of
from genas.core.errors import RunError
from genas.core.progress import doing, duration, size
from genas.core.result import Result
from genas.core.run_folder import read_config
from genas.core.run_paths import RunPaths
from genas.data import Splits
from genas.proxies import needs_training
from genas.reporting.status import SearchStatus, status
from genas.spaces import Architecture, Space
from genas.training.standalone.baseline import decide
from genas.training.standalone.network import resize
from genas.training.standalone.recipe import RetrainSettings
from genas.training.standalone.settings import BaselineSettings
from genas.workflows.config import Config
from genas.workflows.presets import LARGE_SIDE, is_own
from genas.workflows.session import Session
from genas.workflows.timing import (
    Phase,
    middle_architecture,
    race_files,
    supernet_files,
    time_retraining,
    time_search,
    time_supernet,
)

LATER = 250 * 2**20  # bytes of what a run loads later: figures, TensorBoard, evaluation in large batches (measured)
LONG = 3600.0  # seconds from which on a shorter way is proposed


@dataclass(frozen=True)
class RunPlan(Result):
    """What a run needs.

    Args:
        data: what was found, in one line.
        phases: in order.
        memory_bytes: at the peak, the images in memory included.
        memory_free: that the machine (or the GPU, or the container) has left; None where it is not known.
        memory_total: that there is at all.
        disk_bytes: that will be written.
        disk_free: where the run folder lies.
        advice: what to change if that is too much.
    """

    data: str
    phases: tuple[Phase, ...]
    memory_bytes: int
    memory_free: int | None
    memory_total: int | None
    disk_bytes: int
    disk_free: int
    advice: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all phases that could be timed."""
        return sum(phase.seconds or 0.0 for phase in self.phases)

    @property
    def lacks_memory(self) -> bool:
        """Whether more memory is needed than is known to be free."""
        return self.memory_free is not None and self.memory_bytes > self.memory_free

    def to_dict(self) -> dict[str, Any]:
        """The sum of the phases stands beside the fields."""
        return {**super().to_dict(), "seconds": self.seconds}


def plan_run(
    config: Config, run: Path, *, supernet: Path | None = None, quiet: bool = False, **options: bool
) -> RunPlan:
    """What a command on a run folder needs, with the components opened for it; see `plan_search`.

    Args:
        config: all settings.
        run: the run folder, which need not exist.
        supernet: run folder whose trained supernet is used.
        quiet: say nothing of the data and of what is being timed.
        options: of `plan_search`.
    """
    session = Session(config, run if RunPaths(run).data.exists() else supernet, quiet=quiet)
    return plan_search(session.config, session, run, with_supernet=supernet is None, quiet=quiet, **options)


def plan_search(
    config: Config,
    session: Session,
    run: Path,
    *,
    with_retrain: bool = True,
    with_supernet: bool = True,
    with_search: bool = True,
    quiet: bool = False,
) -> RunPlan:
    """What ``genas search`` needs from here on.

    Args:
        config: all settings.
        session: the opened components.
        run: the run folder; one that exists has done a part already.
        with_retrain: the winner is retrained.
        with_supernet: the supernet is trained, where the proxy needs one.
        with_search: architectures are scored.
        quiet: do not say what is being timed.

    Raises:
        GenasError: the data or the settings do not fit.
    """
    with doing("Timing a few steps to plan the run", quiet), torch.random.fork_rng():
        done = _done(run)
        free, total = memory_of(session.fabric.device)
        start = memory_held()
        phases, memory, disk = [], [0], 0
        if with_supernet and (needs_training(config.proxy) or not with_search):
            phase, kept, written = time_supernet(config, session, done[0])
            phases.append(phase)
            memory.append(kept)
            disk += written
        if with_search:
            phases.append(time_search(config, session, done[1]))
            disk += race_files(config, session)
        if with_retrain:
            architecture = middle_architecture(session)
            phase, kept, written = time_retraining(
                resize(session.space, config.retrain),
                architecture,
                session.splits,
                config.retrain,
                session.fabric,
                done[2],
            )
            phases.append(phase)
            memory.append(kept)
            disk += written
            count = decide(config.baseline, phase.seconds or 0.0, sum(one.seconds or 0.0 for one in phases))[0]
            if count:
                spent = None if phase.seconds is None else count * phase.seconds
                phases.append(Phase("baselines", f"{count} random architectures trained alike", spent, phase.seconds))
                disk += count * written
    summary = session.splits.summary
    plan = RunPlan(
        data=summary.line() if summary is not None else config.data.name,
        phases=tuple(phases),
        memory_bytes=start + LATER + max(memory),
        memory_free=None if free is None else free + start,
        memory_total=total,
        disk_bytes=disk + 4 * 2**20,  # history, tables, report
        disk_free=_disk(run),
    )
    return replace(plan, advice=tuple(_advice(plan, config, session)))


def plan_trainings(
    space: Space,
    architecture: Architecture,
    splits: Splits,
    settings: RetrainSettings,
    fabric: Fabric,
    run: Path,
    seeds: int,
    baseline: BaselineSettings,
    *,
    quiet: bool = False,
) -> RunPlan:
    """What ``genas retrain`` needs for a run that does not exist yet.

    Args:
        space: at the size of the network.
        architecture: what is trained.
        splits: the data.
        settings: the recipe.
        fabric: device, precision and processes.
        run: the run folder.
        seeds: trainings of it.
        baseline: the comparison with random architectures.
        quiet: do not say what is being timed.
    """
    with doing("Timing a few steps to plan the run", quiet), torch.random.fork_rng():
        free, total = memory_of(fabric.device)
        start = memory_held()
        phase, memory, disk = time_retraining(space, architecture, splits, settings, fabric)
    one = phase.seconds or 0.0
    phases = [phase if seeds == 1 else Phase("retrain", f"{seeds} times {phase.work}", seeds * one, phase.step)]
    count = decide(baseline, one, seeds * one)[0]
    if count:
        phases.append(Phase("baselines", f"{count} random architectures trained alike", count * one, one))
    plan = RunPlan(
        data=splits.summary.line() if splits.summary is not None else "",
        phases=tuple(phases),
        memory_bytes=start + LATER + memory,
        memory_free=None if free is None else free + start,
        memory_total=total,
        disk_bytes=(seeds + count) * disk + 2**20,
        disk_free=_disk(run),
    )
    advice = []
    if plan.seconds > LONG and not settings.dry:
        advice.append("--limit-batches 2 tries everything with one epoch of two batches")
        fewer = max(1, int(settings.epochs * LONG / plan.seconds))
        advice.append(f"--epochs {fewer} takes about an hour")
    if plan.lacks_memory:
        times = _shares(plan, settings.batch_size)
        needed = size(plan.memory_bytes / times)
        advice.append(
            f"memory does not suffice: --set retrain.accumulate={settings.accumulate * times} needs about {needed}, "
            "smaller images (--image-size) need less time too"
        )
    return replace(plan, advice=tuple(advice))


def check_disk(config: Config, session: Session, run: Path) -> None:
    """Refuses a new run whose weights do not fit on the disk; costs no timing.

    Raises:
        RunError: more is going to be written than is free.
    """
    if not needs_training(config.proxy) or RunPaths(run).supernet.path.exists():
        return
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = session.space.network(session.splits.num_classes, image_channels=session.splits.image_shape[0])
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    _refuse_disk(supernet_files(config, weights), _disk(run), run)


def _refuse_disk(needed: int, free: int, run: Path) -> None:
    if needed > free:
        raise RunError(
            f"{run} will need about {size(needed)} of disk, and {size(free)} are free there: choose another folder "
            "with --run, or keep fewer weights (--set supernet.keep_every=0)."
        )


def refuse_impossible(plan: RunPlan, run: Path) -> None:
    """Refuses a run that cannot fit.

    Raises:
        RunError: more disk than is free, or far more memory than the machine has.
    """
    _refuse_disk(plan.disk_bytes, plan.disk_free, run)
    if plan.memory_total is not None and plan.memory_bytes > 1.5 * plan.memory_total:
        raise RunError(
            f"the run will need about {size(plan.memory_bytes)} of memory, and there are {size(plan.memory_total)}: "
            "take smaller batches (--set supernet.batch_size=..., --set retrain.accumulate=...) or smaller images "
            "(--set data.image_size=...)."
        )


def _done(run: Path) -> tuple[int, int, int]:
    """Epochs of the supernet, architectures and epochs of the retraining that an existing run has done."""
    if not RunPaths(run).config.exists() or read_config(run).get("kind") == "retrain":
        return 0, 0, 0
    state = status(run)
    assert isinstance(state, SearchStatus)
    return state.supernet_epochs[0], state.architectures[0], state.retrain_epochs[0]


def _disk(run: Path) -> int:
    """Bytes free where the run folder lies or will lie."""
    place = run.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _advice(plan: RunPlan, config: Config, session: Session) -> list[str]:
    advice = []
    shape = session.splits.image_shape
    if plan.seconds > LONG:
        parts = {phase.name: phase.seconds or 0.0 for phase in plan.phases}
        longest = max(parts, key=parts.__getitem__)
        if longest == "supernet":
            fewer = max(1, math.floor(config.supernet.epochs * LONG / 2 / parts[longest]))
            fewer = max(fewer, min(10, config.supernet.epochs))
            saved = parts[longest] * (1 - fewer / config.supernet.epochs)
            advice.append(f"--set supernet.epochs={fewer} saves {duration(saved)}")
        elif longest == "search":
            whole = config.proxy.evaluation.images or len(session.splits.validation)
            fewer = max(128, whole // 4)
            if fewer < whole:
                advice.append(f"--set proxy.evaluation.images={fewer} scores on {fewer:,} of {whole:,} images")
        else:
            advice.append("--no-retrain leaves the last phase for later (genas retrain RUN)")
        options, large = session.space.describe(), session.space.definition.large_image_options
        changes = [f"--set space.{key}={value}" for key, value in large.items() if options.get(key) != value]
        half = max(32, shape[1] // 2 // 8 * 8)
        if changes and shape[1] >= LARGE_SIDE:
            advice.append(f"{' '.join(changes)}, made for large images, makes every step many times faster")
        elif is_own(config.data.name) and half < shape[1] and (changes or not large or half >= LARGE_SIDE):
            advice.append(
                f"--set data.image_size={half} makes every step about {(shape[1] / half) ** 2:.0f} times faster"
            )
        advice.append("--scale quick gives a first result in minutes")
    if plan.lacks_memory:
        times = _shares(plan, config.supernet.batch_size)
        batch = max(2, config.supernet.batch_size // times)
        advice.append(
            f"memory does not suffice: --set supernet.batch_size={batch} and --set retrain.accumulate="
            f"{config.retrain.accumulate * times} need about {size(plan.memory_bytes / times)}"
        )
    return advice


def _shares(plan: RunPlan, batch: int) -> int:
    """Into how many parts, a power of two, a batch has to be divided to fit the memory; two images are the least."""
    free = max(1, plan.memory_free or 1)
    return min(1 << (ceil_div(plan.memory_bytes, free) - 1).bit_length(), max(2, batch // 2))
