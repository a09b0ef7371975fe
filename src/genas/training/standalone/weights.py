"""Initial weights from elsewhere: a path of a supernet, or the checkpoint of a trained network.

Entries are matched by name and shape. What may be missing is what a network has for training only (the auxiliary head)
and batch norm that the source was built without; an output layer of another number of classes keeps its random weights.
Anything else means another architecture or another size, and is refused.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genas.core.checkpoint import load_checkpoint, network_of
from genas.core.errors import CheckpointError
from genas.core.run_paths import TrainingPaths
from genas.spaces.base import Architecture, Network, Space
from genas.training.supernet.stored import find_supernet


@dataclass(frozen=True)
class InitialWeights:
    """Weights to begin with.

    Args:
        tensors: by name, on the CPU.
        source: where they are from.
        facts: what the source says of its network: space, genotype, classes; empty where it says nothing.
    """

    tensors: Mapping[str, Tensor]
    source: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Match:
    """What of a network was taken from elsewhere.

    Args:
        source: where from.
        entries: names taken, without what only training uses (auxiliary head).
        of_entries: names of the network, without the same.
        parameters: weights taken, without the same.
        of_parameters: weights of the network, without the same.
        new: names of the network that the source lacks, a head for training in one; they keep their random weights.
        other_classes: output layers of another number of classes; they keep their random weights.
        unused: names of the source that the network lacks.
    """

    source: str
    entries: int
    of_entries: int
    parameters: int
    of_parameters: int
    new: tuple[str, ...]
    other_classes: tuple[str, ...]
    unused: int

    def as_dict(self) -> dict[str, Any]:
        """For the run's record."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def sentence(self) -> str:
        """For people."""
        text = (
            f"Weights from {self.source}: {self.entries} of {self.of_entries} entries "
            f"({self.parameters:,} of {self.of_parameters:,} parameters)"
        )
        if self.other_classes:
            text += f"; begun anew for another number of classes: {', '.join(self.other_classes)}"
        if self.new:
            text += f"; not in the source: {_listed(self.new)}"
        if self.unused:
            text += f"; {self.unused} entries of the source are not used"
        return text + "."


def supernet_weights(run: Path) -> InitialWeights:
    """The weights of the supernet of a run of ``genas search`` or ``genas supernet``.

    Raises:
        RunError: there is none.
    """
    return checkpoint_weights(find_supernet(run))


def checkpoint_weights(path: Path) -> InitialWeights:
    """The weights of a checkpoint.

    Args:
        path: a safetensors file, of genas or of anything with the same names; or a folder with ``model.safetensors``.

    Raises:
        CheckpointError: missing, damaged, or of another format.
    """
    file = TrainingPaths(path).model if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(f"there is no checkpoint at {file}.")
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            foreign = "facts" not in (opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()} if foreign else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file} is truncated or no safetensors file ({error}).") from error
    facts: Mapping[str, Any] = {}
    if not foreign:
        tensors, content = load_checkpoint(file)
        facts = content.get("identity", {})
    return InitialWeights(network_of(tensors), str(path), facts)


@torch.no_grad()
def take_over(initial: InitialWeights, network: Network, space: Space, architecture: Architecture) -> Match:
    """Copies what matches into `network`.

    Args:
        initial: the source.
        network: a stand-alone network, changed in place.
        space: its space, at its size.
        architecture: its architecture.

    Raises:
        CheckpointError: the source is of another space, architecture or size; nothing was copied then.
    """
    _check_kind(initial, space, architecture)
    state = network.state_dict()
    head, classes = _head(network)
    norms = tuple(f"{name}." for name, part in network.named_modules() if isinstance(part, _BatchNorm))
    extra = tuple(f"{name}." for name in network.training_only)
    taken, new, other_classes = [], [], []
    for name, target in state.items():
        value = initial.tensors.get(name)
        if value is None:
            if not name.startswith((*norms, *extra)):
                raise CheckpointError(
                    f"{initial.source} is of another architecture: it has no {name}, which {architecture.short} needs."
                )
            new.append(name.partition(".")[0] if name.startswith(extra) else name)
        elif value.shape == target.shape:
            taken.append(name)
        elif value.shape[1:] == target.shape[1:] and len(target) == classes and name.startswith((head, *extra)):
            other_classes.append(name)
        else:
            raise CheckpointError(
                f"{initial.source} is of another size: {name} is {list(value.shape)} there and {list(target.shape)} "
                "here; give the --cells and --channels that it was trained with, and images of as many colours."
            )
    for name in taken:
        state[name].copy_(initial.tensors[name])
    sizes = {name: part.numel() for name, part in network.named_parameters() if not name.startswith(extra)}
    kept = [name for name in taken if not name.startswith(extra)]
    return Match(
        source=initial.source,
        entries=len(kept),
        of_entries=len([name for name in state if not name.startswith(extra)]),
        parameters=sum(sizes.get(name, 0) for name in kept),
        of_parameters=sum(sizes.values()),
        new=tuple(dict.fromkeys(new)),
        other_classes=tuple(other_classes),
        unused=len(initial.tensors.keys() - state.keys()),
    )


def _check_kind(initial: InitialWeights, space: Space, architecture: Architecture) -> None:
    facts = initial.facts
    theirs, ours = facts.get("space", {}).get("name"), space.describe()["name"]
    if theirs is not None and theirs != ours:
        raise CheckpointError(
            f"{initial.source} is a network of the space {theirs!r}; the one to train is of {ours!r}."
        )
    genotype = facts.get("genotype")
    if genotype is not None and genotype != architecture.genotype:
        raise CheckpointError(
            f"{initial.source} is of another architecture, {genotype}; the one to train is {architecture.genotype}."
        )


def _head(network: Network) -> tuple[str, int]:
    """Name (with a dot) and outputs of the last linear layer that is not for training only."""
    linear = [
        (f"{name}.", part.out_features)
        for name, part in network.named_modules()
        if isinstance(part, nn.Linear) and not name.startswith(network.training_only)
    ]
    return linear[-1]


def _listed(names: tuple[str, ...], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
