"""The training of weights and architecture parameters, epoch by epoch, resumable at any step like a supernet's."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from genas.core.device import Fabric
from genas.core.errors import ConfigError, DataError
from genas.core.run_paths import TrainingPaths
from genas.core.seeding import derive, python_rng, seed_torch_globals
from genas.core.terminal import warn
from genas.data.base import LabelledImages, Splits
from genas.spaces.edges import Mix, MixedNetwork, as_mixed
from genas.spaces.kernels import fast_gradients
from genas.training.differentiable.base import Batch, Derived, GradientMethod, GradientSettings, Step
from genas.training.differentiable.record import (
    ArchitectureRecord,
    EpochRecord,
    collapsed_cells,
    count_skips,
    mean_entropy,
    own_rows,
)
from genas.training.loop import Rows, Trainer, cosine, steps_per_epoch
from genas.training.preparation import open_sgd, place_network

BETAS = (0.5, 0.999)
"""Adam's betas for the architecture parameters (methods.md 9 to 12)."""


class MixedLoss(nn.Module):
    """The network as a function of images and a mixture; a module, so that its weights can be given from outside."""

    def __init__(self, network: MixedNetwork, settings: GradientSettings) -> None:
        super().__init__()
        self.network, self._fast = network, settings.gradients == "fast"
        self._layout = torch.channels_last if settings.layout == "channels-last" else torch.contiguous_format

    def forward(self, images: Tensor, mix: Mix) -> Tensor:
        """Logits [B, num_classes] of images [B, C, H, W]."""
        dtype = next(self.network.parameters()).dtype
        with fast_gradients(on=self._fast):
            return self.network.forward_mixed(images.to(dtype).contiguous(memory_format=self._layout), mix)


class ArchitectureUpdate:
    """The architecture parameters, moved by Adam: a `Companion` of the training.

    They move before each step of the weights, on a batch of the validation split, or with it where the method is
    one-level.

    Args:
        method: gives and mixes them.
        model: the network.
        optimizer: of its weights.
        splits: the data.
        fabric: device and precision.
        seed: the run's seed.
        steps: steps of an epoch.
    """

    def __init__(
        self,
        method: GradientMethod,
        model: MixedLoss,
        optimizer: torch.optim.SGD,
        splits: Splits,
        fabric: Fabric,
        seed: int,
        steps: int,
    ) -> None:
        settings = method.settings
        self.method, self._model, self._optimizer, self._fabric = method, model, optimizer, fabric
        dtype = next(model.parameters()).dtype
        self.parameters = {
            name: nn.Parameter(value.to(fabric.device, dtype)) for name, value in method.initial(seed).items()
        }
        self._adam = torch.optim.Adam(
            self.parameters.values(),
            lr=settings.architecture_learning_rate,
            betas=BETAS,
            weight_decay=settings.architecture_weight_decay,
        )
        self._batches = EndlessBatches(method, splits, fabric, seed)
        self._steps, self._seed = steps, seed
        self._moves = False  # in this epoch
        self._drawn: dict[str, Tensor] = {}
        self._sums = torch.zeros(2, dtype=torch.float64, device=fabric.device)  # validation losses and their number

    def before_step(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> None:
        """See `Companion.before_step`."""
        if step == 0:
            self._sums.zero_()
        settings = self.method.settings
        self._moves = epoch >= settings.architecture_from
        if self._moves and not self.method.one_level:
            self._draw("architecture.draw.validation", epoch, step)
            self._step_ahead(images, labels, (epoch - settings.architecture_from) * self._steps + step)
        self._adam.zero_grad()
        self._draw("architecture.draw", epoch, step)

    def _draw(self, name: str, epoch: int, step: int) -> None:
        self._drawn = self.method.draw(python_rng(self._seed, name, epoch, step), epoch)

    def _step_ahead(self, images: Tensor, labels: Tensor, number: int) -> None:
        """Moves the parameters by batch `number` of the validation split."""
        self._model.train()
        validation = self._batches.at(number)
        parameters = tuple(self.parameters.values())
        loss, gradients = self.method.gradient(
            Step(self.loss, parameters, self._model.network, self._optimizer, (images, labels), validation)
        )
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.detach()
        self._clipped_step()
        self._sums += torch.stack([loss.double(), torch.ones_like(loss, dtype=torch.float64)])

    @torch.no_grad()
    def after_step(self) -> None:
        """See `Companion.after_step`."""
        if not self.method.one_level or not self._moves:
            return
        before = {name: value.clone() for name, value in self.tensors().items()}
        self._clipped_step()
        for name, movable in self.method.movable(self._drawn).items():
            value, state = self.parameters[name], self._adam.state[self.parameters[name]]
            movable = movable.to(value.device)
            value.copy_(torch.where(movable, value, before[name]))
            for key in ("exp_avg", "exp_avg_sq"):
                earlier = before.get(f"{name}.{key}", torch.zeros_like(value))
                state[key].copy_(torch.where(movable, state[key], earlier))
        for name, settled in self.method.settle(before, self.parameters, self._drawn).items():
            self.parameters[name].copy_(settled)

    def _clipped_step(self) -> None:
        limit = self.method.settings.architecture_clip
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), limit)
        self._adam.step()

    def loss(self, batch: Batch, weights: Mapping[str, Tensor] | None = None, /) -> Tensor:
        """See `Losses`."""
        images, labels = batch
        named = {} if weights is None else {f"network.{name}": value for name, value in weights.items()}
        with self._fabric.autocast():
            logits = functional_call(self._model, named, (images, self.method.mix({**self.parameters, **self._drawn})))
            return functional.cross_entropy(logits, labels)

    def mix_of_weights(self) -> Mix:
        """The mixture for a step of the weights; a gradient reaches the parameters of one-level methods only."""
        live = self.method.one_level and self._moves
        return self.method.mix(
            {name: value if live else value.detach() for name, value in self.parameters.items()} | self._drawn
        )

    @torch.no_grad()
    def weights(self) -> list[list[float]]:
        """What the derivation ranks: one row per edge."""
        rows: list[list[float]] = self.method.ranked(self.parameters).tolist()
        return rows

    def record(self, epoch: int) -> EpochRecord:
        """What the parameters are after `epoch`, counted from 1."""
        ranked = self.weights()
        architecture = self.method.space.derive(ranked)
        rows = own_rows(self.method.edges, ranked)
        total, count = self._sums.tolist()
        return EpochRecord(
            epoch,
            architecture.genotype,
            count_skips(self.method.space, architecture),
            mean_entropy(rows),
            rows,
            total / count if count else None,
        )

    def tensors(self) -> dict[str, Tensor]:
        """See `Companion.tensors`."""
        found = {name: value.detach() for name, value in self.parameters.items()}
        for name, value in self.parameters.items():
            found |= {f"{name}.{key}": moment for key, moment in self._adam.state.get(value, {}).items()}
        return {**found, "sums": self._sums}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Companion.load`."""
        for name, value in self.parameters.items():
            value.copy_(tensors[name])
            prefix = f"{name}."
            moments = {key.removeprefix(prefix): one for key, one in tensors.items() if key.startswith(prefix)}
            # Adam counts its steps on the CPU
            self._adam.state[value] = {
                key: one.clone() if key == "step" else one.clone().to(value) for key, one in moments.items()
            }
        self._sums.copy_(tensors["sums"])


class EndlessBatches:
    """Batches of the validation split, walk after walk; batch n is a function of the seed and n.

    Args:
        method: for the batch size.
        splits: the data; augmentation is that of training (methods.md 9).
        fabric: for the device.
        seed: the run's seed.
    """

    def __init__(self, method: GradientMethod, splits: Splits, fabric: Fabric, seed: int) -> None:
        self._method, self._splits, self._fabric, self._seed = method, splits, fabric, seed
        self._steps = steps_per_epoch(len(splits.validation), method.settings.batch_size)
        self._next = -1
        self._batches: Iterator[Batch] = iter(())

    def at(self, number: int) -> Batch:
        """Batch `number`; asking for one after the other reads every image once per walk."""
        walk, step = divmod(number, self._steps)
        if number != self._next or step == 0:
            seed, images = derive(self._seed, "architecture.batches", walk), self._splits.validation
            self._batches = _walk(images, self._method, self._splits, self._fabric, seed, step)
        self._next = number + 1
        return next(self._batches)


def untrained_network(method: GradientMethod, splits: Splits, seed: int) -> MixedNetwork:
    """The mixed network before training; its weights are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        seed_torch_globals(seed, "differentiable.init")
        made = method.space.mixed_network(splits.num_classes, splits.image_shape[0], method.channel_share)
        return method.restrict(as_mixed(made), splits.image_shape)


def training_images(method: GradientMethod, splits: Splits) -> LabelledImages:
    """What the weights learn from: the train split, or all training images where the method is one-level."""
    return splits.train if method.one_level else splits.weights


def check_training(method: GradientMethod, splits: Splits, fabric: Fabric) -> None:
    """Makes sure, before anything is trained, that data and precision fit.

    Raises:
        ConfigError: a precision that scales gradients, several processes, or epochs that leave none for the
            architecture parameters.
        DataError: a split has fewer images than a batch.
    """
    settings = method.settings
    needed = {"train": training_images(method, splits)}
    if not method.one_level:
        needed["validation"] = splits.validation
    for label, images in needed.items():
        if len(images) < settings.batch_size:
            raise DataError(
                f"the {label} split has {len(images)} images: expected at least one batch of {settings.batch_size}; "
                "give more images or set batch_size lower."
            )
    if settings.architecture_from >= settings.epochs:
        raise ConfigError(
            f"the architecture parameters move from epoch {settings.architecture_from} on: expected fewer than the "
            f"{settings.epochs} epochs of the search; set architecture_from lower or epochs higher."
        )
    if fabric.precision.mode == "16-mixed":
        raise ConfigError("gradient methods compute in precision 32, tf32, bf16 or 64: expected one of these, got 16.")
    if fabric.world_size > 1:
        raise ConfigError(f"gradient methods work in one process: expected 1, got {fabric.world_size} of torchrun.")


def train_architecture(
    folder: Path, method: GradientMethod, splits: Splits, fabric: Fabric, seed: int, *, quiet: bool = False
) -> Derived:
    """Trains weights and architecture parameters, or continues or merely loads them.

    Args:
        folder: gets ``checkpoint.safetensors``, ``metrics.csv`` and ``architecture.json``.
        method: with its space and settings.
        splits: the data: weights learn from the train split, architecture parameters from the validation split.
        fabric: device and precision.
        seed: the run's seed.
        quiet: no progress and no warning.

    Returns:
        The architecture that the parameters favour after the last epoch.

    Raises:
        ConfigError: see `check_training`.
        DataError: see `check_training`.
        Interrupted: Ctrl-C; the state is saved.
    """
    check_training(method, splits, fabric)
    settings = method.settings
    network = place_network(untrained_network(method, splits, seed).train(), fabric, settings.layout)
    model, optimizer = MixedLoss(network, settings), open_sgd(network, settings)
    images = training_images(method, splits)
    steps = steps_per_epoch(len(images), settings.batch_size)
    update = ArchitectureUpdate(method, model, optimizer, splits, fabric, seed, steps)
    trainer = Trainer(
        folder,
        fabric,
        network,
        optimizer,
        f"{method.name} network",
        _identity(method, splits),
        settings.checkpoint_seconds,
        quiet,
        companion=update,
    )
    records = ArchitectureRecord(TrainingPaths(folder).architecture, method.space)
    if trainer.resume():
        records.resume(trainer.epoch)

    def batches(epoch: int, start: int) -> Iterator[Batch]:
        return _walk(images, method, splits, fabric, derive(seed, "differentiable.batches", epoch), start)

    def step(batch: Tensor, labels: Tensor, epoch: int, number: int, _: Rows) -> tuple[Tensor, Tensor]:
        logits = model(batch, update.mix_of_weights())
        return functional.cross_entropy(logits, labels), logits

    def after_epoch(epoch: int) -> dict[str, float]:
        record = update.record(epoch + 1)
        records.add(record)
        _warn_of_collapse(method, records, quiet)
        return {"entropy": record.entropy, **{f"skips_{cell}": count for cell, count in record.skips.items()}}

    def rate(epoch: int) -> float:
        first, last = settings.learning_rate, settings.final_learning_rate
        return cosine(epoch, settings.epochs, first, last, settings.shifted_schedule)

    trainer.run(
        settings.epochs,
        steps,
        batches,
        rate,
        step,
        settings.clip,
        after_epoch=after_epoch,
        ended=lambda: _has_too_many_skips(records, settings.stop_at_skips),
    )
    weights = update.weights()
    return Derived(method.space.derive(weights), weights, network.eval(), tuple(records.epochs))


def _walk(
    images: LabelledImages, method: GradientMethod, splits: Splits, fabric: Fabric, seed: int, start: int
) -> Iterator[Batch]:
    """Shuffled, augmented batches of one walk through a split, from batch `start` on."""
    size = method.settings.batch_size
    return images.batches(
        size,
        fabric.device,
        seed=seed,
        shuffle=True,
        augmentation=splits.augmentation,
        start=start,
        limit=steps_per_epoch(len(images), size) * size,
    )


def _identity(method: GradientMethod, splits: Splits) -> dict[str, Any]:
    return {
        "kind": method.name,
        "space": method.space.describe(),
        "classes": splits.num_classes,
        "channel_share": method.channel_share,
    }


def _has_too_many_skips(records: ArchitectureRecord, limit: int | None) -> bool:
    return limit is not None and bool(records.epochs) and max(records.epochs[-1].skips.values()) >= limit


def _warn_of_collapse(method: GradientMethod, records: ArchitectureRecord, quiet: bool) -> None:
    """Says once, after the first epoch in which half of a cell is skip connections, what happens and what helps."""
    moved = [one for one in records.epochs if one.epoch > method.settings.architecture_from]
    found = [collapsed_cells(method.space, method.space.parse(one.genotype)) for one in moved]
    if not found or not found[-1] or any(found[:-1]):
        return
    cell, (skips, used) = next(iter(found[-1].items()))
    warn(
        f"epoch {records.epochs[-1].epoch}: {skips} of the {used} operations of the derived {cell} cell are skip "
        "connections, the sign of a collapsing search; stop early with stop_at_skips, use fewer epochs or pc-darts, or "
        "take the genotype of an earlier epoch from architecture.json.",
        quiet,
    )
