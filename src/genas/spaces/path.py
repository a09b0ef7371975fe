"""Takes the weights of a path out of a supernet."""

from collections.abc import Mapping

import torch
from torch import Tensor

from genas.core.errors import CheckpointError
from genas.spaces.base import Network


@torch.no_grad()
def copy_path(supernet: Network | Mapping[str, Tensor], network: Network) -> None:
    """Copies the supernet's entries that `network` names: weights and batch-norm statistics.

    Args:
        supernet: holds every operation; or its entries by name.
        network: the stand-alone network of one path, changed in place.

    Raises:
        CheckpointError: an entry is missing in the supernet or of another shape.
    """
    source = supernet.state_dict() if isinstance(supernet, Network) else supernet
    for name, target in network.state_dict().items():
        if name not in source:
            raise CheckpointError(f"the supernet has no {name}; the network is of another space.")
        if source[name].shape != target.shape:
            raise CheckpointError(
                f"{name} is {list(source[name].shape)} in the supernet and {list(target.shape)} in the network; "
                "both need the same sizes."
            )
        target.copy_(source[name])
