"""Loads the retrained network of a run."""

import json
from pathlib import Path

from genas.checkpoint import load_checkpoint
from genas.errors import CheckpointError
from genas.space import Network, open_space


def load(run: str | Path) -> Network:
    """The retrained network of a run folder, on the CPU and in evaluation mode.

    It wants images [B, C, H, W] float32, normalised with ``mean`` and ``std`` of ``retrain/model.json``.

    Raises:
        CheckpointError: no retrained network there, or a damaged one.
    """
    folder = Path(run) / "retrain"
    if not (folder / "model.json").is_file():
        raise CheckpointError(f"{run} has no retrained network; run genas search --run {run} without --no-retrain.")
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    options = dict(facts["space"])
    space = open_space(options.pop("name"), **options)
    network = space.network(facts["classes"], space.parse(facts["genotype"]), facts["image_shape"][0])
    tensors, _ = load_checkpoint(folder / "model.safetensors")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / 'model.safetensors'} does not fit {facts['genotype']} ({str(error).splitlines()[0]})."
        ) from error
    network.eval()
    return network
