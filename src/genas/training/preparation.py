"""A network made ready to train, the supernet as well as a stand-alone one: device, precision, layout, optimizer."""

from typing import TypeVar

import torch
from torch import nn

from genas.core.device import Fabric
from genas.core.settings import Settings

Module = TypeVar("Module", bound=nn.Module)


def place_network(network: Module, fabric: Fabric, layout: str) -> Module:
    """The network itself, on the device and in the precision of `fabric`.

    Args:
        network: changed in place.
        fabric: device and precision.
        layout: ``channels-last`` or ``contiguous``, of its weights.
    """
    fabric.precision.convert_module(network.to(fabric.device))
    if layout == "channels-last":
        network.to(memory_format=torch.channels_last)
    return network


def open_sgd(network: nn.Module, settings: Settings) -> torch.optim.SGD:
    """The optimizer of a network's weights; the schedule sets the rates that follow.

    Args:
        network: in its place and precision already.
        settings: with the fields ``learning_rate``, ``momentum``, ``weight_decay`` and ``nesterov``.
    """
    values = settings.model_dump(include={"learning_rate", "momentum", "weight_decay", "nesterov"})
    return torch.optim.SGD(network.parameters(), lr=values.pop("learning_rate"), **values)
