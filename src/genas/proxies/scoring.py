"""What proxies share: a path of the supernet with its own batch-norm statistics, and the images to measure it on.

Proxies never touch the supernet. They work on a stand-alone network that takes the path's weights over
(`Scoring.prepared`), so that batch-norm recalibration and weight noise have nothing to undo.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from genas.core.arithmetic import ceil_div
from genas.core.device import Fabric, Precision
from genas.core.executors import Threads
from genas.core.progress import inside
from genas.core.seeding import derive
from genas.core.settings import Settings
from genas.data.base import Splits
from genas.proxies.engine import (
    SERVED,
    Engine,
    EvaluationPrecision,
    Frozen,
    Runner,
    Served,
    check_engine,
    check_equal,
    choose_engine,
    in_pieces,
)
from genas.proxies.folding import Folded
from genas.proxies.untrained import Size, Untrained
from genas.spaces import copy_path
from genas.spaces.base import Architecture, Network, Space
from genas.training.supernet.batchnorm import recalibrate

KEPT_STATISTICS = 256  # architectures whose batch-norm statistics are kept: a race comes back to them


@dataclass(frozen=True)
class Score:
    """A proxy's verdict.

    Args:
        value: the score; higher is better.
        terms: what it is made of; JSON-able.
        objectives: what a search for several goals compares, by name, each higher is better; empty where the value is
            the only one.
    """

    value: float
    terms: dict[str, Any] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)


class BatchNormSettings(Settings):
    """Recalibration of batch norm before an architecture is scored."""

    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images"}
    images: int = Field(896, ge=2)
    """Training images used (methods.md 4.3: 14 batches of 64)."""
    batch_size: int = Field(64, ge=2)
    """Images per batch (methods.md 4.3: 64)."""
    averaging: Literal["cumulative", "momentum"] = "cumulative"
    """``momentum`` leaves 22.9 % of the reset statistics after 14 batches, as published (G3, T7)."""
    augment: bool = True
    """Use the training augmentation (methods.md 4.3: yes)."""
    common_images: bool = True
    """The same training images for all architectures. Off: a random part of its own for each, as published: the code of
    GeNAS shuffles anew for every candidate, so that two share about 32 of 896 of 25,000 (methods.md 4.3).
    Architectures of one function of the supernet's weights have theirs in common, as they have their score."""


class EvaluationSettings(Settings):
    """Which images scores are computed on."""

    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images", "weighting=pictures": "images"}
    images: int | None = Field(None, ge=1)
    """Validation images per evaluation, the same for all architectures; None for the whole half (methods.md 4.3:
    25,000)."""
    subset: int = Field(0, ge=0)
    """Which random part of the half `images` takes: each number is a drawing of its own, to measure repeatedly."""
    batch_size: int = Field(64, ge=1)
    """Images per batch (methods.md 4.3: 64, which is also the fastest of 16 to 128 on two CPU cores; a GPU wants
    more)."""
    weighting: Literal["images", "batches"] = "images"
    """``batches`` averages batch losses without weighting the short last one, as published (G7)."""
    engine: Engine = "fast"
    """``fast``: channels-last layout, batch norm folded into convolutions, on a CPU the batches side by side on its
    threads; equal to ``plain`` up to rounding, which is coarser where batch norm is recalibrated on a CPU (relative
    error of the running means 1e-6 to 5e-6 instead of 4e-8; ``benchmarks/rounding.py``). ``onnxruntime`` (extra
    ``engine``; CPU, precision 32): as ``fast``, losses measured by ONNX Runtime, 1.3 to 2.2 times as fast on
    1,000 images; for each noise a session is made (``benchmarks/README.md``). ``openvino``
    (extra ``openvino``; the same): by OpenVINO, which gains over ONNX Runtime in bfloat16 only. ``auto``: the fastest
    of them that a trial at the start shows to be equal to 1e-5 in the loss, else ``fast``; the run records what it
    took."""
    precision: EvaluationPrecision = "run"
    """Of the losses alone; ``run``: that of the run. ``bf16``: weights and activations rounded to bfloat16, faster
    where the device computes in it; batch-norm statistics are estimated as before. ``openvino`` is the fastest at it on
    a CPU; ``fast`` and ``plain`` compute it by torch's autocast, also on a GPU; ``onnxruntime`` does not."""

    @model_validator(mode="after")
    def _part_of_the_half(self) -> Self:
        if self.subset and self.images is None:
            raise ValueError("subset chooses a part of the validation half; give images, the size of the part, too")
        return self


Item = TypeVar("Item")
Out = TypeVar("Out")


@dataclass(frozen=True)
class LossAndAccuracy:
    """Mean cross-entropy and top-1 accuracy as a fraction."""

    loss: float
    accuracy: float


class Scoring:
    """All that proxies share: the trained supernet, the data, the device, the seed.

    Args:
        space: the search space.
        supernet: the trained supernet, on the device.
        initial: its weights before training, by name, on the CPU.
        splits: the data.
        fabric: device and precision.
        seed: the run's seed.
        batchnorm: recalibration.
        evaluation: images.
    """

    def __init__(
        self,
        space: Space,
        supernet: Network,
        initial: dict[str, Tensor],
        splits: Splits,
        fabric: Fabric,
        seed: int,
        batchnorm: BatchNormSettings | None = None,
        evaluation: EvaluationSettings | None = None,
    ) -> None:
        self.space, self.supernet, self.initial, self.splits = space, supernet, initial, splits
        self.fabric, self.seed = fabric, seed
        self.batchnorm = batchnorm or BatchNormSettings()
        self.evaluation = evaluation or EvaluationSettings()
        if self.evaluation.engine == "auto":
            self.evaluation = self.evaluation.model_copy(
                update={"engine": choose_engine(space, fabric, self.evaluation.precision)}
            )
        check_engine(self.evaluation.engine, fabric, self.evaluation.precision)
        coarser = self.evaluation.precision == "bf16"
        self._precision = Precision("bf16-mixed", fabric.device) if coarser else fabric.precision
        self._prepared: tuple[Architecture, Network] | None = None
        self._recalibrated: OrderedDict[Architecture, dict[str, Tensor]] = OrderedDict()
        self._folded: Folded | Served | None = None
        self._engine_equals = False  # known only once both have computed real images
        self._memory: dict[Hashable, Score] = {}
        self._untrained = Untrained(space, initial, splits.num_classes, splits.image_shape[0], seed)

    def reseeded(self, seed: int, evaluation: EvaluationSettings | None = None) -> "Scoring":
        """The same with another seed: other images for batch norm, other noise, another part of the validation half.

        Args:
            seed: the other seed.
            evaluation: which images scores are computed on; None for the same settings.
        """
        return Scoring(
            self.space,
            self.supernet,
            self.initial,
            self.splits,
            self.fabric,
            seed,
            self.batchnorm,
            evaluation or self.evaluation,
        )

    def limited(self, images: int) -> "Scoring":
        """The same on at most that many validation images, always the same random ones of them."""
        if images >= self.validation_count:
            return self
        other = self.reseeded(self.seed, self.evaluation.model_copy(update={"images": images}))
        other._recalibrated = self._recalibrated  # the same images for batch norm
        return other

    def extract(self, architecture: Architecture) -> Network:
        """The stand-alone network of `architecture` with copies of the supernet's weights, in evaluation mode."""
        network = self._stand_alone(architecture)
        copy_path(self.supernet, network)
        if self._fast:
            network.to(memory_format=torch.channels_last)
        return network.eval()

    def untrained(self, architecture: Architecture, size: Size = (None, None)) -> Network:
        """As `extract`, with the weights before training, in training mode; see `Untrained.network`."""
        return self._untrained.network(architecture, size).to(self.fabric.device, non_blocking=True)

    def _stand_alone(self, architecture: Architecture) -> Network:
        with torch.random.fork_rng(devices=[]):
            network = self.space.network(self.splits.num_classes, architecture, self.splits.image_shape[0])
        return network.to(self.fabric.device, non_blocking=True)  # a network is many small tensors

    def remembered(self, key: Hashable, compute: Callable[[], Score]) -> Score:
        """What `compute` gave for the key the first time."""
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]

    @property
    def validation_count(self) -> int:
        """Number of validation images that scores are computed on."""
        count = len(self.splits.validation)
        return count if self.evaluation.images is None else min(count, self.evaluation.images)

    @property
    def batch_count(self) -> int:
        """Number of batches of them."""
        return ceil_div(self.validation_count, self.evaluation.batch_size)

    @property
    def _fast(self) -> bool:
        return self.evaluation.engine != "plain"

    def laid_out(self, images: Tensor) -> Tensor:
        """`images`, [B, C, H, W], in the memory layout of prepared networks."""
        return images.contiguous(memory_format=torch.channels_last) if self._fast else images

    @property
    def ahead(self) -> int:
        """How many `frozen` sets of weights to have ready: an engine is made while the last one computes."""
        return 1 if self.evaluation.engine in SERVED else 0

    def frozen(self, network: Network) -> Network | Frozen:
        """`network` with its present weights, for `image_losses`; the network itself where `ahead` is 0."""
        kind = SERVED.get(self.evaluation.engine)
        if kind is None or network.training:
            return network
        if not isinstance(self._folded, Served) or self._folded.source is not network:
            self._folded = kind(network, self.splits.image_shape, self.evaluation.precision)
        runner = self._folded.begin()
        if not self._engine_equals:
            images, labels = next(iter(self.validation_batches(slice(0, 1))))
            self._engine_equals = check_equal(self._folded, runner, network, images, labels) is not None
        return Frozen(runner)

    def _runner(self, network: nn.Module) -> Runner:
        """What computes the function of `network` by torch; images come as they are stored."""
        if not self._fast or network.training:
            return lambda images: network(self.laid_out(images))
        if not isinstance(self._folded, Folded) or self._folded.source is not network:
            self._folded = Folded(network)
        folded = self._folded.refresh()
        return lambda images: folded(self.laid_out(images))

    def prepared(self, architecture: Architecture) -> Network:
        """As `extract`, with batch norm recalibrated. Whoever changes its weights restores them."""
        if self._prepared is None or self._prepared[0] != architecture:
            network = self.extract(architecture)
            known = self._recalibrated.get(architecture)
            if known is not None:
                network.load_state_dict(known, strict=False)
            else:
                self.recalibrate(network, architecture)
                self._recalibrated[architecture] = {name: value.clone() for name, value in network.named_buffers()}
                if len(self._recalibrated) > KEPT_STATISTICS:
                    self._recalibrated.popitem(last=False)
            self._prepared = (architecture, network)
        return self._prepared[1]

    def recalibrate(self, network: Network, architecture: Architecture) -> None:
        """Estimates the batch-norm statistics of `network`, of `architecture`, anew; see `recalibration_batches`."""
        with self.fabric.autocast():
            recalibrate(network, self.recalibration_batches(architecture), self.batchnorm.averaging)

    def forget(self) -> None:
        """Drops the prepared network: somebody failed to restore it, or memory is wanted."""
        self._prepared = self._folded = None
        self._recalibrated.clear()

    def recalibration_batches(self, architecture: Architecture) -> Iterator[Tensor]:
        """The training images, [B, C, H, W], that batch norm's statistics of `architecture` are estimated from.

        Always the same, and the same for all architectures unless `BatchNormSettings.common_images` is off.
        """
        own = () if self.batchnorm.common_images else (self.space.function_key(architecture),)
        size = min(self.batchnorm.batch_size, len(self.splits.weights))
        # whole batches only: the cumulative average weighs each batch alike
        count = max(min(self.batchnorm.images, len(self.splits.weights)) // size, 1) * size
        for images, _ in self.splits.weights.batches(
            size,
            self.fabric.device,
            seed=derive(self.seed, "proxy.batchnorm", *own),
            shuffle=True,
            augmentation=self.splits.augmentation if self.batchnorm.augment else None,
            limit=count,
        ):
            yield self.laid_out(images)

    def evaluate(self, network: Network | Frozen, part: slice | None = None) -> LossAndAccuracy:
        """Loss and accuracy of `network` on the validation images, the same for all architectures.

        Args:
            network: what `prepared` or `frozen` gave.
            part: these batches of the random walk only; None for all.
        """
        losses, right = self.image_losses(network, part)
        if self.evaluation.weighting == "batches":
            size = self.evaluation.batch_size
            starts = range(0, len(losses), size)
            loss = torch.stack([losses[start : start + size].mean() for start in starts]).mean()
        else:
            loss = losses.mean()
        return LossAndAccuracy(float(loss), float(right.double().mean()))

    def image_losses(self, network: Network | Frozen, part: slice | None = None) -> tuple[Tensor, Tensor]:
        """Cross-entropy of every validation image, and whether it was classified rightly.

        Args:
            network: what `prepared` or `frozen` gave.
            part: these batches only; None for all.

        Returns:
            [N] float64 and [N] bool, on the CPU, in the order of `validation_batches`.
        """
        batches = self.validation_batches(part)
        measured = network if isinstance(network, Frozen) else self.frozen(network)
        if isinstance(measured, Frozen):
            runner, batches = measured.run, in_pieces(batches)
        else:
            runner = self._runner(measured)

        def one(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            images, labels = batch
            with torch.inference_mode():
                with self._precision.forward():
                    logits = runner(images)
                logits = logits.double()
                return functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels

        done, count = [], 0
        for found in self._side_by_side(one, batches):
            done.append(found)
            count += len(found[0])
            inside(f"{count:,} images evaluated")
        return torch.cat([losses for losses, _ in done]).cpu(), torch.cat([right for _, right in done]).cpu()

    def _side_by_side(self, work: Callable[[Item], Out], items: Iterable[Item]) -> Iterator[Out]:
        """The results of `work` in the order of `items`; on a CPU with several threads, one item on each.

        Small networks leave threads waiting for each other inside every operation; whole batches do not.
        """
        threads = torch.get_num_threads()
        # 64-bit precision sets torch's default type, which all threads share
        alone = self.fabric.device.type != "cpu" or self.fabric.precision.mode == "64-true"
        if threads == 1 or not self._fast or alone:
            yield from map(work, items)
            return
        try:
            torch.set_num_threads(1)  # this one too: torch's own threads wait for more work by spinning
            yield from Threads(threads, partial(torch.set_num_threads, 1)).map(work, items)
        finally:
            torch.set_num_threads(threads)  # the workers' setting is also what threads to come begin with

    @property
    def validation_seed(self) -> int:
        """Seed of the random walk through the validation half."""
        subset = self.evaluation.subset
        return derive(self.seed, "proxy.validation", subset) if subset else derive(self.seed, "proxy.validation")

    def validation_batches(self, part: slice | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The validation images: all of them in stored order, or a fixed random part.

        Args:
            part: start and stop in batches of a walk in random order, always the same; None for a whole walk.
        """
        shuffled = part is not None or self.evaluation.images is not None
        size = self.evaluation.batch_size
        start, limit = 0, self.evaluation.images
        if part is not None:
            start = part.start or 0
            if part.stop is not None:
                limit = part.stop * size if limit is None else min(limit, part.stop * size)
        return self.splits.validation.batches(
            size,
            self.fabric.device,
            seed=self.validation_seed if shuffled else None,
            shuffle=shuffled,
            start=start,
            limit=limit,
        )
