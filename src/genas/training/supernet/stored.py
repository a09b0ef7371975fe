"""The trained supernet of a run folder, loaded: whether there is one, whether it is trained to its end."""

from pathlib import Path
from typing import Any

from torch import Tensor

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.errors import RunError
from genas.core.run_folder import read_config
from genas.core.run_paths import RunPaths
from genas.data.base import Splits
from genas.spaces.base import Network, Space
from genas.training.supernet.train import initialise, load_weights


def find_supernet(run: Path) -> Path:
    """The file with the supernet of a run, which may be in training.

    Raises:
        RunError: there is none.
    """
    file = RunPaths(run).supernet.checkpoint
    if not file.is_file():
        raise RunError(f"{run} has no supernet yet; train it with: genas supernet --run {run}")
    return file


def read_supernet(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of the trained supernet of a run.

    Raises:
        RunError: there is none, or it is not trained to its end.
        CheckpointError: it is damaged.
    """
    tensors, facts = load_checkpoint(find_supernet(run))
    epochs, done = int(read_config(run)["supernet"]["epochs"]), int(facts.get("epoch", 0))
    if done < epochs:
        raise RunError(
            f"the supernet of {run} has trained {done} of {epochs} epochs; continue it with: genas supernet --run {run}"
        )
    return tensors, facts


def load_supernet(
    run: Path, space: Space, splits: Splits, fabric: Fabric, seed: int, weights: Path | None = None
) -> Network:
    """The trained supernet of a run, on the device and in evaluation mode.

    Args:
        run: the run folder; nothing is written there.
        space: its space.
        splits: its data.
        fabric: where the network goes.
        seed: the run's seed.
        weights: another file of the supernet's weights, such as those kept after an epoch; None: trained to its end.

    Raises:
        RunError: there is no supernet, or it is not trained to its end.
        CheckpointError: a damaged or foreign file.
    """
    tensors, _ = read_supernet(run) if weights is None else load_checkpoint(weights)
    network = initialise(space, splits.num_classes, splits.image_shape[0], seed)
    load_weights(network, tensors, weights or find_supernet(run))
    return network.to(fabric.device).eval()
