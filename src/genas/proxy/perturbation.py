"""Gaussian noise on weights: a function of (seed, parameter name, draw, sigma), always undone.

Because the noise on a parameter depends on the parameter's name and on nothing else, two architectures that share an
operation see the same noise on it: common random numbers, in any process (G5).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from genas.seeding import torch_rng


def unit_noise(parameter: Tensor, seed: int, *name: str | int) -> Tensor:
    """Standard normal noise of the parameter's shape, drawn on the CPU so that it is the same on every device."""
    drawn = torch.randn(parameter.shape, generator=torch_rng(seed, *name), dtype=torch.float32)
    return drawn.to(device=parameter.device, dtype=parameter.dtype)


@contextmanager
def kept(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keeps a copy of all parameters of `network` and restores them, bit by bit, at the end.

    Yields:
        The copies by parameter name.
    """
    with torch.no_grad():
        copies = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    try:
        yield copies
    finally:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(copies[name])
