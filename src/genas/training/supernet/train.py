"""Training of the weight-sharing supernet: one path per batch (SPOS).

Each batch draws a path of the space uniformly, and only that path's weights get a gradient. Defaults: GeNAS and RLNAS
for the DARTS space (methods.md 4.2), ABS and RLNAS for NAS-Bench-201 (methods.md 13.3).

Deviations from the published code, each an option: the schedule is not shifted by one epoch (`shifted_schedule`, T1);
operations off the path keep their weights (`unused_gradients`, T6); true labels are the default (`labels`, G9).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from genas.core.checkpoint import load_checkpoint, network_of, save_checkpoint
from genas.core.device import Fabric
from genas.core.errors import CheckpointError, DataError
from genas.core.run_paths import TrainingPaths
from genas.core.seeding import derive, python_rng, seed_torch_globals, torch_rng
from genas.core.settings import Settings
from genas.data.base import LabelledImages, Splits
from genas.spaces.base import Network, Space
from genas.spaces.kernels import fast_gradients
from genas.training.loop import Rows, Trainer, cosine, steps_per_epoch
from genas.training.preparation import open_sgd, place_network


class SupernetSettings(Settings):
    """How the supernet is trained."""

    epochs: int = Field(250, ge=1)
    """Epochs over the weights half (methods.md 4.2: 250)."""
    batch_size: int = Field(64, ge=2)
    """Images per batch (methods.md 4.2: 64)."""
    learning_rate: float = Field(0.025, gt=0)
    """First learning rate of the cosine (methods.md 4.2: 0.025)."""
    final_learning_rate: float = Field(0.001, ge=0)
    """What the cosine falls to (methods.md 4.2: 0.001)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum (methods.md 4.2: 0.9)."""
    nesterov: bool = False
    """Nesterov momentum (methods.md 4.2: no; NAS-Bench-201, 13.3: yes)."""
    weight_decay: float = Field(3e-4, ge=0)
    """Decay of all parameters (methods.md 4.2: 3e-4; NAS-Bench-201: 5e-4)."""
    clip: float | None = Field(5.0, gt=0)
    """Greatest gradient norm (methods.md 4.2: 5; NAS-Bench-201: none)."""
    labels: Literal["true", "random"] = "true"
    """``random`` trains on one fixed uniform random label per image, as RLNAS does (methods.md 7.1)."""
    shifted_schedule: bool = False
    """Use the learning rate of the next epoch, as the published scripts do under PyTorch >= 1.1 (T1)."""
    unused_gradients: Literal["skip", "zero"] = "skip"
    """``zero``: operations off the path still decay and drift by momentum, from the step after their first gradient on,
    as the code of RLNAS and GeNAS does under PyTorch < 2.0 (T6)."""
    half: Literal["weights", "all"] = "weights"
    """``all`` trains on the whole training set (RLNAS, 7.2); the validation half is then not held out."""
    layout: Literal["channels-last", "contiguous"] = "channels-last"
    """Memory layout of images and weights: the same computation up to rounding, at another speed. On the CPU, batch
    norm in training rounds 8 to 130 times as coarsely with ``channels-last`` (relative error of its output up to 1e-5
    instead of 1e-7; ``benchmarks/rounding.py``)."""
    gradients: Literal["plain", "fast"] = "plain"
    """``fast``: on a CPU with ``layout=channels-last``, gradients of concatenated maps are laid out densely and those
    of depthwise 5x5 weights computed in two parts: the same computation up to rounding, in the DARTS space about 1.5
    times as fast (``benchmarks/README.md``)."""
    keep_every: int = Field(0, ge=0)
    """Also keep the weights after every that many epochs (methods.md 4.2: 5); 0 keeps none."""
    checkpoint_seconds: float = Field(300.0, gt=0)
    """Least seconds between two checkpoints inside an epoch."""


def random_labels(count: int, num_classes: int, seed: int) -> Tensor:
    """One uniform random label per image, fixed by the seed ([count] int64)."""
    return torch.randint(num_classes, (count,), generator=torch_rng(seed, "supernet.labels"))


def initialise(space: Space, num_classes: int, image_channels: int, seed: int) -> Network:
    """The untrained supernet; its weights are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        seed_torch_globals(seed, "supernet.init")
        return space.network(num_classes, image_channels=image_channels)


def untrained_supernet(folder: Path, space: Space, splits: Splits, fabric: Fabric, seed: int) -> Network:
    """The supernet before training, on the device, in evaluation mode.

    Args:
        folder: ``supernet/`` of the run folder. Gets ``initial.safetensors``.
        space: the search space.
        splits: the data.
        fabric: device and precision.
        seed: the run's seed.
    """
    network = initialise(space, splits.num_classes, splits.image_shape[0], seed)
    if not TrainingPaths(folder).initial.exists():
        facts = {"identity": _identity(space, splits)}
        save_checkpoint(TrainingPaths(folder).initial, network.state_dict(), facts)
    return network.to(fabric.device).eval()


def _identity(space: Space, splits: Splits) -> dict[str, Any]:
    return {"kind": "supernet", "space": space.describe(), "classes": splits.num_classes}


def training_images(splits: Splits, settings: SupernetSettings) -> LabelledImages:
    """The images that train the supernet.

    Raises:
        DataError: fewer than a batch.
    """
    images = splits.weights if settings.half == "weights" else splits.train
    if len(images) < settings.batch_size:
        raise DataError(
            f"The supernet's training set has {len(images)} images, fewer than one batch of {settings.batch_size}; "
            "give more images or set supernet.batch_size lower."
        )
    return images


def train_supernet(
    folder: Path,
    space: Space,
    splits: Splits,
    settings: SupernetSettings,
    fabric: Fabric,
    seed: int,
    quiet: bool = False,
) -> Network:
    """Trains the supernet, or continues or merely loads it.

    Args:
        folder: ``supernet/`` of the run folder. Gets ``initial.safetensors`` and ``checkpoint.safetensors``.
        space: the search space.
        splits: the data.
        settings: hyper-parameters.
        fabric: device and precision.
        seed: the run's seed.
        quiet: no progress.

    Returns:
        The trained supernet on the device.

    Raises:
        DataError: fewer images than a batch.
        Interrupted: Ctrl-C; the state is saved.
    """
    images = training_images(splits, settings)
    if settings.labels == "random":
        images = images.with_labels(random_labels(len(images), splits.num_classes, seed))
    network = place_network(untrained_supernet(folder, space, splits, fabric, seed).train(), fabric, settings.layout)
    identity = _identity(space, splits)
    layout = torch.channels_last if settings.layout == "channels-last" else torch.contiguous_format
    dtype = next(network.parameters()).dtype
    optimizer = open_sgd(network, settings)
    trainer = Trainer(folder, fabric, network, optimizer, "supernet", identity, settings.checkpoint_seconds, quiet)
    trainer.resume()
    steps = steps_per_epoch(len(images), settings.batch_size)

    def batches(epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        return images.batches(
            settings.batch_size,
            fabric.device,
            seed=derive(seed, "supernet.batches", epoch),
            shuffle=True,
            augmentation=splits.augmentation,
            start=start,
            limit=steps * settings.batch_size,
        )

    def step(batch: Tensor, labels: Tensor, epoch: int, number: int, _: Rows) -> tuple[Tensor, Tensor]:
        path = space.sample_training_path(python_rng(seed, "supernet.paths", epoch, number), network.num_cells)
        with fast_gradients(on=settings.gradients == "fast"):
            logits = network(batch.to(dtype).contiguous(memory_format=layout), path)
        return functional.cross_entropy(logits, labels), logits

    trainer.run(
        settings.epochs,
        steps,
        batches,
        lambda epoch: cosine(
            epoch,
            settings.epochs,
            settings.learning_rate,
            settings.final_learning_rate,
            settings.shifted_schedule,
        ),
        step,
        settings.clip,
        zero_unused=settings.unused_gradients == "zero",
        keep_every=settings.keep_every,
    )
    return network.eval()


def load_weights(network: Network, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Loads a supernet's weights, all of them.

    Args:
        network: the supernet.
        tensors: of its checkpoint, with or without the prefix ``model.``; others are left out.
        file: where they are from.

    Raises:
        CheckpointError: they are of a supernet of another space, size or number of classes; the first difference is
            named.
    """
    state = network_of(tensors)
    own = network.state_dict()
    for name, value in own.items():
        if name not in state or state[name].shape != value.shape:
            found = list(state[name].shape) if name in state else "missing"
            raise CheckpointError(
                f"{file} does not fit the supernet of this run: {name} is {found} in the file, expected "
                f"{list(value.shape)}; it is of another space, size or number of classes."
            )
    network.load_state_dict({name: state[name] for name in own})


def initial_weights(folder: Path) -> dict[str, Tensor]:
    """The supernet's weights before training: what the angle compares with."""
    return load_checkpoint(TrainingPaths(folder).initial)[0]
