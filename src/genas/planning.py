"""What a run is going to need, before it begins: phases with their time, memory, disk, and how to need less.

Times come from a few steps of the real networks on the real images; what they cost is measured at two sizes of a batch
and drawn out to the whole one. Memory is counted: what autograd keeps of a few images, drawn out to the batch. Nothing
is written, and no random stream of a run is touched.
"""

import math
import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.config import Config
from genas.data import LabelledImages, Splits
from genas.device import Fabric
from genas.errors import GenasError, RunError
from genas.presets import STEM_SIDE, is_own
from genas.progress import doing, duration
from genas.proxy import Scoring, needs_training, open_proxy
from genas.retrain.baseline import BaselineSettings, decide
from genas.retrain.data import parts_of
from genas.retrain.network import sized
from genas.retrain.plan import plan_of
from genas.retrain.recipe import RetrainSettings
from genas.runs import read_config
from genas.seeding import derive, python_rng
from genas.session import Session
from genas.space import Architecture, Space, architecture_cost
from genas.status import read_status
from genas.supernet import initialise

RACED = 0.5  # share of the images that a race looks at (studies/racing)
BUDGET = 4.0  # seconds that the timing of one kind of step may take
PATHS = 3  # random paths of the supernet that are timed
WORKSPACE = 2.4  # peak over what autograd keeps: gradients, workspace, memory kept by the allocator (measured on CPUs)
LATER = 250 * 2**20  # bytes of what a run loads later: figures, TensorBoard, evaluation in large batches (measured)
LONG = 3600.0  # seconds from which on a shorter way is proposed


@dataclass(frozen=True)
class Phase:
    """One phase of a command.

    Args:
        name: ``supernet``, ``search``, ``retrain``.
        work: what there is to do, in words.
        seconds: how long it will take from here on; None where it could not be timed.
        step: seconds of one step (a batch, an architecture).
    """

    name: str
    work: str
    seconds: float | None
    step: float | None


@dataclass(frozen=True)
class RunPlan:
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

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "seconds": self.seconds}


def plan_run(config: Config, run: Path, *, supernet: Path | None = None, **options: bool) -> RunPlan:
    """What a command on a run folder needs, with the components opened for it; see `plan_search`.

    Args:
        config: all settings.
        run: the run folder, which need not exist.
        supernet: run folder whose trained supernet is used.
        options: of `plan_search`.
    """
    session = Session(config, run if (run / "data.json").exists() else supernet)
    return plan_search(config, session, run, with_supernet=supernet is None, **options)


def plan_search(
    config: Config,
    session: Session,
    run: Path,
    *,
    with_retrain: bool = True,
    with_supernet: bool = True,
    with_search: bool = True,
) -> RunPlan:
    """What ``genas search`` needs from here on.

    Args:
        config: all settings.
        session: the opened components.
        run: the run folder; one that exists has done a part already.
        with_retrain: the winner is retrained.
        with_supernet: the supernet is trained, where the proxy needs one.
        with_search: architectures are scored.

    Raises:
        GenasError: the data or the settings do not fit.
    """
    with doing("Timing a few steps to plan the run"), torch.random.fork_rng():
        done = _done(run)
        free, total = _memory(session.fabric)
        start = _resident()
        phases, memory, disk = [], [0], 0
        if with_supernet and (needs_training(config.proxy) or not with_search):
            phase, kept, written = _supernet(config, session, done[0])
            phases.append(phase)
            memory.append(kept)
            disk += written
        if with_search:
            phases.append(_search(config, session, done[1]))
            disk += _races(config, session)
        if with_retrain:
            architecture = _median(session)
            phase, kept, written = plan_retrain(
                sized(session.space, config.retrain),
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
    return RunPlan(**{**vars(plan), "advice": tuple(_advice(plan, config, session))})


def plan_trainings(
    space: Space,
    architecture: Architecture,
    splits: Splits,
    settings: RetrainSettings,
    fabric: Fabric,
    run: Path,
    seeds: int,
    baseline: BaselineSettings,
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
    """
    with doing("Timing a few steps to plan the run"), torch.random.fork_rng():
        free, total = _memory(fabric)
        start = _resident()
        phase, memory, disk = plan_retrain(space, architecture, splits, settings, fabric)
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
    if plan.memory_free is not None and plan.memory_bytes > plan.memory_free:
        advice.append(f"memory does not suffice: --set retrain.accumulate={2 * settings.accumulate} needs about half")
    return RunPlan(**{**vars(plan), "advice": tuple(advice)})


def check_disk(config: Config, session: Session, run: Path) -> None:
    """Refuses a new run whose weights do not fit on the disk; costs no timing.

    Raises:
        RunError: more is going to be written than is free.
    """
    if not needs_training(config.proxy) or (run / "supernet").exists():
        return
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = session.space.network(session.splits.num_classes, image_channels=session.splits.image_shape[0])
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    _refuse_disk(_supernet_files(config, weights), _disk(run), run)


def _supernet_files(config: Config, weights: int) -> int:
    """Bytes on disk: the first weights, the checkpoint (with momentum, twice while it is replaced), kept ones."""
    settings = config.supernet
    files = 2 + (settings.epochs // settings.keep_every if settings.keep_every else 0)
    return weights + 2 * weights * files


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


def _supernet(config: Config, session: Session, done: int) -> tuple[Phase, int, int]:
    """Phase, bytes of memory and of disk."""
    settings, splits, fabric = config.supernet, session.splits, session.fabric
    images = splits.weights if settings.half == "weights" else splits.train
    network = initialise(session.space, splits.num_classes, splits.image_shape[0], config.seed)
    fabric.precision.convert_module(network.to(fabric.device))
    layout = torch.channels_last if settings.layout == "channels-last" else torch.contiguous_format
    network.to(memory_format=layout).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9, momentum=settings.momentum)
    dtype = next(network.parameters()).dtype
    paths = [
        session.space.sample_training_path(python_rng(config.seed, "plan.paths", one), network.num_cells)
        for one in range(PATHS)
    ]

    def step(pictures: Tensor, labels: Tensor, number: int) -> Tensor:
        pictures = pictures.to(dtype).contiguous(memory_format=layout)
        return functional.cross_entropy(network(pictures, paths[number % PATHS]), labels)

    batch = min(settings.batch_size, len(images))
    each = max(_kept_bytes(network, step, _batch(images, 4, splits, fabric, config.seed), one) for one in range(PATHS))
    seconds = _train_seconds(step, optimizer, images, splits, fabric, config.seed, batch)
    steps = -(-len(images) // settings.batch_size)
    left = max(settings.epochs - done, 0)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return (
        Phase(
            "supernet",
            f"{_of(left, settings.epochs, 'epochs')} of {steps:,} batches of {batch}",
            left * steps * seconds,
            seconds,
        ),
        int(3 * weights + WORKSPACE * each * batch / 4),
        _supernet_files(config, weights),
    )


def _search(config: Config, session: Session, done: int) -> Phase:
    settings = config.search
    count = settings.generations * settings.population
    left = max(count - done, 0)
    each = _score_seconds(config, session)
    raced = ""
    if each is not None and settings.budget == "racing" and each[1]:
        raced, each = ", raced", (each[0], True)
    work = f"{_of(left, count, 'architectures')} by {config.proxy.expression}{raced}"
    return Phase("search", work, None if each is None else left * each[0], None if each is None else each[0])


def _score_seconds(config: Config, session: Session) -> tuple[float, bool] | None:
    """Seconds of a score, and whether it is raced; None where an untrained supernet cannot be scored."""
    splits, proxy = session.splits, config.proxy
    network = initialise(session.space, splits.num_classes, splits.image_shape[0], config.seed)
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    network = network.to(session.fabric.device).eval()
    architecture = _median(session)

    def timed(pictures: int, recalibrated: int) -> tuple[float, bool, int]:
        small = proxy.batchnorm.model_copy(
            update={"pictures": recalibrated, "batch_size": min(proxy.batchnorm.batch_size, recalibrated)}
        )
        few = proxy.evaluation.model_copy(
            update={"pictures": pictures, "subset": 0, "batch_size": min(proxy.evaluation.batch_size, pictures)}
        )
        scoring = Scoring(session.space, network, initial, splits, session.fabric, config.seed, small, few)
        opened = open_proxy(scoring, proxy)
        begun = time.perf_counter()
        opened.score(architecture)
        _wait(session.fabric)
        return time.perf_counter() - begun, opened.raceable, scoring.validation_count

    whole = len(splits.validation) if proxy.evaluation.pictures is None else proxy.evaluation.pictures
    whole, batchnorm = min(whole, len(splits.validation)), min(proxy.batchnorm.pictures, len(splits.weights))
    few, base = min(8, whole), min(8, batchnorm)
    try:
        timed(few, base)  # first use of kernels
        first = timed(few, base)
        grown = max(1.0, min(BUDGET / max(first[0], 1e-3), 8.0))
        more, longer = min(int(few * grown), whole), min(int(base * grown), batchnorm)
        images = max(timed(more, base)[0] - first[0], 0.0) / max(more - few, 1)
        passes = max(timed(few, longer)[0] - first[0], 0.0) / max(longer - base, 1)
    except GenasError:
        return None
    raced = first[1] and config.search.budget == "racing" and whole > config.search.race_start
    share = RACED if raced else 1.0
    fixed = max(first[0] - few * images - base * passes, 0.0)
    return fixed + batchnorm * passes + share * whole * images, raced


def plan_retrain(
    space: Space,
    architecture: Architecture,
    splits: Splits,
    settings: RetrainSettings,
    fabric: Fabric,
    done: int = 0,
) -> tuple[Phase, int, int]:
    """Phase, bytes of memory and of disk of one retraining.

    Args:
        space: the space at the size of the network.
        architecture: what is trained.
        splits: the data.
        settings: the recipe.
        fabric: device and precision.
        done: epochs that are done.
    """
    parts = parts_of(splits, settings, fabric.world_size)
    counted = plan_of(space, architecture, splits, parts, settings, fabric)
    network = space.network(splits.num_classes, architecture, splits.image_shape[0])
    fabric.precision.convert_module(network.to(fabric.device))
    layout = torch.channels_last if settings.layout == "channels-last" else torch.contiguous_format
    network.to(memory_format=layout).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9, momentum=settings.momentum)
    dtype = next(network.parameters()).dtype

    def step(pictures: Tensor, labels: Tensor, number: int) -> Tensor:
        logits, auxiliary = network.forward_with_auxiliary(pictures.to(dtype).contiguous(memory_format=layout))
        loss = functional.cross_entropy(logits, labels)
        return (
            loss
            if auxiliary is None
            else loss + settings.auxiliary_weight * functional.cross_entropy(auxiliary, labels)
        )

    batch = -(-min(settings.batch_size, len(parts.train)) // (settings.accumulate * fabric.world_size))
    seconds = _train_seconds(step, optimizer, parts.train, splits, fabric, 0, batch) * settings.accumulate
    epochs = settings.trained_epochs
    left = max(epochs - done, 0)
    judged = len(parts.judge) if parts.judge is not None else 0
    tested = len(parts.test) if parts.test is not None else 0
    image = seconds / (batch * settings.accumulate) / 3  # a forward pass is about a third of a step
    work = f"{_of(left, epochs, 'epochs')} of {counted.steps:,} batches of {settings.batch_size}"
    total = left * (counted.steps * seconds + judged * image) + (2 * tested * image if left else 0.0)
    memory = counted.weight_bytes + int(WORKSPACE * counted.activation_bytes)
    return Phase("retrain", work, total, seconds), memory, 4 * counted.weight_bytes


def _train_seconds(
    step: Callable[[Tensor, Tensor, int], Tensor],
    optimizer: torch.optim.Optimizer,
    images: LabelledImages,
    splits: Splits,
    fabric: Fabric,
    seed: int,
    batch: int,
) -> float:
    """Seconds of a training step on a whole batch, from steps on smaller ones."""

    def timed(count: int) -> float:
        pictures, labels = _batch(images, count, splits, fabric, seed)
        spent = []
        for number in range(PATHS):
            begun = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with fabric.autocast():
                loss = step(pictures, labels, number)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            _wait(fabric)
            spent.append(time.perf_counter() - begun)
        return statistics.fmean(spent)

    few = min(4, batch)
    timed(few)  # first use of kernels and memory
    first = timed(few)
    more = max(few, min(batch, int(few * BUDGET / PATHS / max(first, 1e-4))))
    if more == few:
        return first * batch / few
    second = timed(more)
    if more == batch:
        return second
    slope = max((second - first) / (more - few), 0.5 * second / more)
    return second + (batch - more) * slope


def _kept_bytes(
    network: nn.Module, step: Callable[[Tensor, Tensor, int], Tensor], batch: tuple[Tensor, Tensor], number: int
) -> int:
    """Bytes that autograd keeps for a batch, the weights' excepted."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = step(*batch, number)
    del loss
    return sum(kept.values())


def _batch(images: LabelledImages, count: int, splits: Splits, fabric: Fabric, seed: int) -> tuple[Tensor, Tensor]:
    seed = derive(seed, "plan.batches")
    count = min(count, len(images))
    found = images.batches(count, fabric.device, seed=seed, shuffle=True, augmentation=splits.augmentation, limit=count)
    return next(iter(found))


def _median(session: Session) -> Architecture:
    """Of some random architectures within the limits, the one of middle cost."""
    rng, splits = python_rng(session.config.seed, "plan.architectures"), session.splits
    drawn = [session.space.sample(rng) for _ in range(9)]
    costs = [architecture_cost(session.space, one, splits.num_classes, splits.image_shape).macs for one in drawn]
    return drawn[sorted(range(len(drawn)), key=costs.__getitem__)[len(drawn) // 2]]


def _races(config: Config, session: Session) -> int:
    """Bytes of what every image gave, which a race keeps of a generation and of those that it leans on."""
    whole = len(session.splits.validation)
    whole = whole if config.proxy.evaluation.pictures is None else min(whole, config.proxy.evaluation.pictures)
    return (config.search.population + 40) * whole * 8 * 8


def _done(run: Path) -> tuple[int, int, int]:
    """Epochs of the supernet, architectures and epochs of the retraining that an existing run has done."""
    if not (run / "config.yaml").exists() or read_config(run).get("kind") == "retrain":
        return 0, 0, 0
    state = read_status(run)
    return state["supernet_epochs"][0], state["architectures"][0], state["retrain_epochs"][0]


def _of(left: int, whole: int, what: str) -> str:
    return f"{left:,} {what}" if left == whole else f"{left:,} of {whole:,} {what} are left,"


def _wait(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _memory(fabric: Fabric) -> tuple[int | None, int | None]:
    """Bytes that are free and that there are, of the GPU or of the machine within its container's limit."""
    if fabric.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(fabric.device)
        return free, total
    try:
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        facts = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}
        free, total = facts["MemAvailable"], facts["MemTotal"] + facts.get("SwapTotal", 0)
    except (OSError, ValueError, KeyError):
        return None, None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return min(free, max(limit - used, 0)), min(total, limit)
    except (OSError, ValueError):
        return free, total


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
            whole = config.proxy.evaluation.pictures or len(session.splits.validation)
            fewer = max(128, whole // 4)
            if fewer < whole:
                advice.append(f"--set proxy.evaluation.pictures={fewer} scores on {fewer:,} of {whole:,} images")
        else:
            advice.append("--no-retrain leaves the last phase for later (genas retrain RUN)")
        stem = session.space.describe().get("stem")
        half = max(32, shape[1] // 2 // 8 * 8)
        if stem == "cifar" and shape[1] >= STEM_SIDE:
            advice.append(
                "--set space.stem=imagenet makes every step about 50 times faster: cells see an eighth of the side"
            )
        elif is_own(config.data.name) and half < shape[1] and (stem != "imagenet" or half >= STEM_SIDE):
            advice.append(
                f"--set data.image_size={half} makes every step about {(shape[1] / half) ** 2:.0f} times faster"
            )
        advice.append("--scale quick gives a first result in minutes")
    if plan.memory_free is not None and plan.memory_bytes > plan.memory_free:
        half = max(2, config.supernet.batch_size // 2)
        advice.append(
            f"memory does not suffice: --set supernet.batch_size={half} and --set retrain.accumulate=2 halve it"
        )
    return advice


def size(count: float) -> str:
    """Bytes in words: ``1.2 GB``, ``340 MB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.0f} kB"
