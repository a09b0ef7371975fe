"""Parameters and multiply-accumulates, counted by running the network on the meta device (shapes only)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from genas.space.base import Architecture, Network, Space
from genas.space.width import largest_even


@dataclass(frozen=True)
class Cost:
    """Size and work of a network.

    Args:
        params: number of trainable parameters, auxiliary heads excepted.
        macs: multiply-accumulates of convolutions and linear layers for one picture.
    """

    params: int
    macs: int


def count(network: nn.Module, image_shape: tuple[int, int, int]) -> Cost:
    """Counts a network that lies on the meta device.

    Args:
        network: called with one picture.
        image_shape: channels, height, width.
    """
    macs = 0

    def add(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += out[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            macs += out[0].numel() * module.in_features

    handles = [
        module.register_forward_hook(add) for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.empty((1, *image_shape), device="meta"))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return Cost(sum(parameter.numel() for parameter in network.parameters()), macs)


def architecture_cost(
    space: Space, architecture: Architecture, num_classes: int, image_shape: tuple[int, int, int]
) -> Cost:
    """The cost of the stand-alone network of `architecture` at the space's sizes.

    Args:
        space: the space with its sizes.
        architecture: one of it.
        num_classes: outputs.
        image_shape: channels, height, width.
    """
    return _cached(space, architecture, num_classes, tuple(image_shape))


def largest_width(
    space: Space,
    architecture: Architecture,
    num_classes: int,
    image_shape: tuple[int, int, int],
    max_macs: int,
    cells: int | None = None,
    **options: Any,
) -> int:
    """The largest even width with which the network to retrain has at most `max_macs` MACs.

    Args:
        space: the space.
        architecture: one of it.
        num_classes: outputs.
        image_shape: channels, height, width.
        max_macs: the limit for one picture.
        cells: as for `Space.final`.
        options: further options of `Space.final`.

    Raises:
        ConfigError: even the narrowest network needs more, or the space's width cannot be chosen.
    """

    def macs(width: int) -> int:
        size = space.final(cells, width, **options)
        return architecture_cost(size, architecture, num_classes, image_shape).macs

    return largest_even(macs, max_macs)


@lru_cache(maxsize=65536)
def _cached(space: Space, architecture: Architecture, num_classes: int, image_shape: tuple[int, int, int]) -> Cost:
    with torch.device("meta"):
        network: Network = space.network(num_classes, architecture, image_shape[0])
    for name in network.training_only:
        if hasattr(network, name):
            delattr(network, name)
    params = sum(parameter.numel() for parameter in network.parameters())
    for module in list(network.modules()):  # batch norm keeps shapes, and is what takes the time on the meta device
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return Cost(params, count(network, image_shape).macs)
