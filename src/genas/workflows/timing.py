"""How long the phases of a run take, from a few of their steps, and what memory and disk they need.

Times come from a few steps of the real networks on the real images; what they cost is measured at two sizes of a batch
and drawn out to the whole one. Memory is counted: what autograd keeps of a few images, drawn out to the batch. Nothing
is written, and no random stream of a run is touched.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from genas.core.arithmetic import ceil_div
from genas.core.device import Fabric, wait
from genas.core.errors import GenasError
from genas.core.seeding import derive, python_rng
from genas.data import LabelledImages, Splits
from genas.proxies import Scoring, open_proxy
from genas.spaces import Architecture, Space, architecture_cost
from genas.spaces.kernels import fast_gradients
from genas.training.loop import steps_per_epoch
from genas.training.preparation import place_network
from genas.training.standalone.data import parts_of
from genas.training.standalone.plan import kept_bytes, plan_of
from genas.training.standalone.recipe import RetrainSettings
from genas.training.supernet import initialise
from genas.workflows.config import Config
from genas.workflows.session import Session

RACED = 0.5  # share of the images that a race looks at (studies/racing)
BUDGET = 4.0  # seconds that the timing of one kind of step may take
PATHS = 3  # random paths of the supernet that are timed
WORKSPACE = 2.4  # peak over what autograd keeps: gradients, workspace, memory kept by the allocator (measured on CPUs)


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


def time_supernet(config: Config, session: Session, done: int) -> tuple[Phase, int, int]:
    """Phase, bytes of memory and of disk."""
    settings, splits, fabric = config.supernet, session.splits, session.fabric
    images = splits.weights if settings.half == "weights" else splits.train
    network = initialise(session.space, splits.num_classes, splits.image_shape[0], config.seed)
    place_network(network, fabric, settings.layout).train()
    layout = torch.channels_last if settings.layout == "channels-last" else torch.contiguous_format
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9, momentum=settings.momentum)
    dtype = next(network.parameters()).dtype
    paths = [
        session.space.sample_training_path(python_rng(config.seed, "plan.paths", one), network.num_cells)
        for one in range(PATHS)
    ]

    def step(batch: Tensor, labels: Tensor, number: int) -> Tensor:
        batch = batch.to(dtype).contiguous(memory_format=layout)
        with fast_gradients(on=settings.gradients == "fast"):
            logits = network(batch, paths[number % PATHS])
        return functional.cross_entropy(logits, labels)

    size = min(settings.batch_size, len(images))
    few = _batch(images, 4, splits, fabric, config.seed)
    each = max(kept_bytes(network, partial(step, *few, one)) for one in range(PATHS))
    seconds = _train_seconds(step, optimizer, images, splits, fabric, config.seed, size)
    steps = steps_per_epoch(len(images), size)
    left = max(settings.epochs - done, 0)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return (
        Phase(
            "supernet",
            f"{_of(left, settings.epochs, 'epochs')} of {steps:,} batches of {size}",
            left * steps * seconds,
            seconds,
        ),
        int(3 * weights + WORKSPACE * each * size / 4),
        supernet_files(config, weights),
    )


def supernet_files(config: Config, weights: int) -> int:
    """Bytes on disk: the first weights, the checkpoint (with momentum, twice while it is replaced), kept ones."""
    settings = config.supernet
    files = 2 + (settings.epochs // settings.keep_every if settings.keep_every else 0)
    return weights + 2 * weights * files


def time_search(config: Config, session: Session, done: int) -> Phase:
    """The search from here on; its time is None where an untrained supernet cannot be scored."""
    settings = config.strategy
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
    architecture = middle_architecture(session)

    def timed(evaluated: int, recalibrated: int) -> tuple[float, bool, int]:
        small = proxy.batchnorm.model_copy(
            update={"images": recalibrated, "batch_size": min(proxy.batchnorm.batch_size, recalibrated)}
        )
        few = proxy.evaluation.model_copy(
            update={"images": evaluated, "subset": 0, "batch_size": min(proxy.evaluation.batch_size, evaluated)}
        )
        scoring = Scoring(session.space, network, initial, splits, session.fabric, config.seed, small, few)
        opened = open_proxy(scoring, proxy)
        begun = time.perf_counter()
        opened.score(architecture)
        wait(session.fabric.device)
        return time.perf_counter() - begun, opened.raceable, scoring.validation_count

    whole = len(splits.validation) if proxy.evaluation.images is None else proxy.evaluation.images
    whole, batchnorm = min(whole, len(splits.validation)), min(proxy.batchnorm.images, len(splits.weights))
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
    raced = first[1] and config.strategy.budget == "racing" and whole > config.strategy.race_start
    share = RACED if raced else 1.0
    fixed = max(first[0] - few * images - base * passes, 0.0)
    return fixed + batchnorm * passes + share * whole * images, raced


def time_retraining(
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
    place_network(network, fabric, settings.layout).train()
    layout = torch.channels_last if settings.layout == "channels-last" else torch.contiguous_format
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9, momentum=settings.momentum)
    dtype = next(network.parameters()).dtype

    def step(images: Tensor, labels: Tensor, number: int) -> Tensor:
        with fast_gradients(on=settings.gradients == "fast"):
            logits, auxiliary = network.forward_with_auxiliary(images.to(dtype).contiguous(memory_format=layout))
        loss = functional.cross_entropy(logits, labels)
        return (
            loss
            if auxiliary is None
            else loss + settings.auxiliary_weight * functional.cross_entropy(auxiliary, labels)
        )

    batch = ceil_div(min(settings.batch_size, len(parts.train)), settings.accumulate * fabric.world_size)
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
        inputs, labels = _batch(images, count, splits, fabric, seed)
        spent = []
        for number in range(PATHS):
            begun = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with fabric.autocast():
                loss = step(inputs, labels, number)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            wait(fabric.device)
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


def _batch(images: LabelledImages, count: int, splits: Splits, fabric: Fabric, seed: int) -> tuple[Tensor, Tensor]:
    seed = derive(seed, "plan.batches")
    count = min(count, len(images))
    found = images.batches(count, fabric.device, seed=seed, shuffle=True, augmentation=splits.augmentation, limit=count)
    return next(iter(found))


def middle_architecture(session: Session) -> Architecture:
    """Of some random architectures within the limits, the one of middle cost."""
    rng, splits = python_rng(session.config.seed, "plan.architectures"), session.splits
    drawn = [session.space.sample(rng) for _ in range(9)]
    costs = [architecture_cost(session.space, one, splits.num_classes, splits.image_shape).macs for one in drawn]
    return drawn[sorted(range(len(drawn)), key=costs.__getitem__)[len(drawn) // 2]]


def race_files(config: Config, session: Session) -> int:
    """Bytes of what every image gave, which a race keeps of a generation and of those that it leans on."""
    whole = len(session.splits.validation)
    whole = whole if config.proxy.evaluation.images is None else min(whole, config.proxy.evaluation.images)
    return (config.strategy.population + 40) * whole * 8 * 8


def _of(left: int, whole: int, what: str) -> str:
    return f"{left:,} {what}" if left == whole else f"{left:,} of {whole:,} {what} are left,"
