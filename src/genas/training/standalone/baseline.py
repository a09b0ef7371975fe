"""Random architectures that are trained as the best one was: what shows whether a search was worth anything.

They are drawn uniformly from the space within the limits of the search, the same ones for the same seed, of other
functions than the best and than one another; at equal MACs where that is asked for. Each lies in a folder of its own,
``baseline/random-DIGEST``, whose name tells the architecture and its training, so that a changed retraining does not
take over the network of another one.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.core.seeding import python_rng
from genas.data.base import LabelledImages, Splits
from genas.spaces.base import Architecture, Space
from genas.spaces.cost import Cost, architecture_cost
from genas.training.standalone.network import without_auxiliary
from genas.training.standalone.recipe import RetrainSettings
from genas.training.standalone.settings import BaselineSettings

USUAL = 3  # random architectures where nobody names a number
CHEAP_SECONDS = 90.0  # of all baselines together, that are trained without being asked for
CHEAP_SHARE = 0.1  # of the time that the run took so far, likewise
DRAWS = 300  # at equal MACs, where the nearest are taken if too few fit; else in a row that give nothing new


@dataclass(frozen=True)
class Drawn:
    """A random architecture to train.

    Args:
        architecture: the architecture.
        cost: at the size of the trained network.
        fits: whether its MACs are as asked for.
    """

    architecture: Architecture
    cost: Cost
    fits: bool


def decide(settings: BaselineSettings, one: float, spent: float) -> tuple[int, str]:
    """How many baselines to train, and why.

    Args:
        settings: what was asked for.
        one: seconds that training the best architecture took.
        spent: seconds that the run took so far, that training among them.
    """
    if settings.count is not None:
        return settings.count, "as asked for"
    cheap = USUAL * one <= max(CHEAP_SECONDS, CHEAP_SHARE * spent)
    return (USUAL, "as that is cheap here") if cheap else (0, "as that is not cheap here")


def draw(
    space: Space,
    best: Architecture,
    count: int,
    classes: int,
    image_shape: tuple[int, int, int],
    seed: int,
    equal_macs: float | None = None,
    allowed: Callable[[Architecture], bool] | None = None,
) -> list[Drawn]:
    """Random architectures to compare with.

    Args:
        space: at the size of the network to train.
        best: the searched architecture.
        count: how many; fewer come where the space, or the limits, have hardly any more.
        classes: outputs.
        image_shape: channels, height, width.
        seed: of the run.
        equal_macs: greatest difference of MACs as a share of those of `best`; None for any. Where too few of 300
            draws fit, the nearest of them come.
        allowed: whether an architecture is within the limits of the search.
    """
    rng = python_rng(seed, "baseline")
    target = architecture_cost(space, best, classes, image_shape).macs
    seen = {space.function_key(best)}
    found: list[Drawn] = []
    left = DRAWS
    while left > 0 and sum(one.fits for one in found) < count:
        left -= 1
        architecture = space.sample(rng)
        key = space.function_key(architecture)
        if key in seen or (allowed is not None and not allowed(architecture)):
            continue
        seen.add(key)
        cost = architecture_cost(space, architecture, classes, image_shape)
        found.append(
            Drawn(architecture, cost, equal_macs is None or abs(cost.macs - target) <= equal_macs * max(target, 1))
        )
        left = DRAWS if equal_macs is None else left
    found.sort(key=lambda one: (not one.fits, 0 if one.fits else abs(one.cost.macs - target)))
    return found[:count]


def folder_of(run: Path, architecture: Architecture, settings: RetrainSettings, seed: int) -> Path:
    """Where a baseline lies: the name is a digest of the architecture and its training."""
    training = settings.model_dump(mode="json", exclude={"checkpoint_seconds"})
    text = json.dumps([architecture.genotype, training, seed], sort_keys=True)
    return RunPaths(run).baselines / f"random-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


@torch.no_grad()
def right_answers(
    folder: Path, space: Space, architecture: Architecture, test: LabelledImages, fabric: Fabric
) -> Tensor:
    """Which test images a trained network classifies rightly.

    Args:
        folder: of the training, with ``model.safetensors`` of its last epoch.
        space: at the size of the network.
        architecture: that was trained.
        test: the images.
        fabric: device and precision.

    Returns:
        [N] bool on the CPU.
    """
    kept = without_auxiliary(space)
    tensors, facts = load_checkpoint(TrainingPaths(folder).model)
    classes = int(facts["identity"]["classes"])
    network = kept.network(classes, architecture, test.image_shape[0])
    network.load_state_dict(tensors)
    fabric.precision.convert_module(network.to(fabric.device))
    network.eval()
    dtype = next((parameter.dtype for parameter in network.parameters()), torch.float32)
    right = []
    for images, labels in test.batches(256, fabric.device):
        with fabric.autocast():
            logits = network(images.to(dtype))
        right.append((logits.argmax(1) == labels).cpu())
    return torch.cat(right)


def seconds_of(rows: Sequence[dict[str, str]]) -> float:
    """Time that the epochs of a training took, from its metrics."""
    return sum(float(row["seconds"]) for row in rows if row.get("seconds"))


def image_shape_of(splits: Splits) -> tuple[int, int, int]:
    """Channels, height and width of the images, as costs want them."""
    channels, height, width = splits.image_shape
    return channels, height, width
