"""Checkpoints: tensors and facts in one safetensors file, written atomically; reading one runs no code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from genas.core.errors import CheckpointError
from genas.core.run_folder import write_atomically

FORMAT = "genas-checkpoint-1"

MODEL, MOMENTUM, AVERAGE, COMPANION = "model.", "momentum.", "average.", "companion."
"""Prefixes of the tensors of a training: its network, the optimizer's momentum, the moving average of the weights, and
what is trained beside the network."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Saves tensors and JSON-able facts as one safetensors file, atomically."""
    content = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, tensors_to_bytes(content, {"format": FORMAT, "facts": json.dumps(dict(facts))}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Loads what `save_checkpoint` wrote.

    Raises:
        CheckpointError: missing, truncated or not written by genas.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is truncated or no checkpoint at all ({error}); delete it to start that phase again."
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file that genas did not write; it cannot continue a run.")
    facts: dict[str, Any] = json.loads(metadata["facts"])
    return tensors, facts


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def network_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's tensors: of the whole state of a training those of its network, else all."""
    return part_of(tensors, MODEL) or dict(tensors)
