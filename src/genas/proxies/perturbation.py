"""What weights are moved by: Gaussian noise, or a step up the gradient; always undone.

Noise is a function of (seed, parameter name, draw, sigma). Because it depends on the parameter's name and on nothing
else, two architectures that share an operation see the same noise on it: common random numbers, in any process (G5).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from genas.core.seeding import torch_rng
from genas.spaces.base import Network

Parameters = Literal["all", "convolutions", "cells", "shared"]


def unit_noise(parameter: Tensor, seed: int, *name: str | int) -> Tensor:
    """Standard normal noise of the parameter's shape, drawn on the CPU so that it is the same on every device."""
    drawn = torch.randn(parameter.shape, generator=torch_rng(seed, *name), dtype=torch.float32)
    return drawn.to(device=parameter.device, dtype=parameter.dtype, non_blocking=True)


def choose_parameters(network: Network, parameters: Parameters) -> dict[str, nn.Parameter]:
    """The parameters of a stand-alone network that are moved, by name.

    Args:
        network: of one architecture: only the active path has parameters.
        parameters: ``all``; ``convolutions``: the weights of convolutions, those of stem and shortcuts too; ``cells``:
            whatever lies in the cells that the search decides on (`Network.cell_names`); ``shared``: what lies outside
            of them and every architecture has, so that all get the same noise.
    """
    everything = dict(network.named_parameters())
    if parameters == "all":
        return everything
    if parameters in ("cells", "shared"):
        inside = tuple(f"{name}." for name in network.cell_names)
        searched = parameters == "cells"
        return {name: value for name, value in everything.items() if name.startswith(inside) is searched}
    convolutions = {id(module.weight) for module in network.modules() if isinstance(module, nn.Conv2d)}
    return {name: value for name, value in everything.items() if id(value) in convolutions}


def filter_scale(value: Tensor) -> Tensor | None:
    """``|w_f| / sqrt(size of f)`` for each filter f of a weight: its root mean square, shaped to multiply the weight.

    Noise times this has, in expectation, sigma times the filter's norm (in the spirit of the filter normalisation of Li
    et al., NeurIPS 2018, arXiv:1712.09913). None for vectors (biases, batch norm's scales and shifts), which
    stay as they are, as in their work.
    """
    if value.dim() < 2:
        return None
    norms: Tensor = torch.linalg.vector_norm(value.flatten(1), dim=1) / math.sqrt(value[0].numel())
    return norms.view(-1, *[1] * (value.dim() - 1))


def ascent(
    weights: Mapping[str, Tensor], gradient: Mapping[str, Tensor], radius: float, scaled: bool
) -> dict[str, Tensor]:
    """One step of length `radius` up the gradient, by parameter name.

    ``radius g / |g|`` as in SAM (Foret et al., ICLR 2021, arXiv:2010.01412), or `scaled`, ``radius T^2 g / |T g|``
    with ``T = |w|`` element by element, as in ASAM (Kwon et al., ICML 2021, arXiv:2102.11600): a rescaling of weights
    that leaves the function unchanged leaves the function after the step unchanged as well.

    Args:
        weights: holds the names of `gradient`.
        gradient: of the loss.
        radius: length of the step.
        scaled: the scale-invariant form.

    Returns:
        The steps; all zero at a stationary point, where there is no way up.
    """
    scale = {name: weights[name].abs() if scaled else torch.ones_like(weights[name]) for name in gradient}
    squares = [(scale[name] * value).double().square().sum() for name, value in gradient.items()]
    norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    factor = radius / norm if norm > 0 else 0.0
    return {name: factor * scale[name].square() * value for name, value in gradient.items()}


@contextmanager
def keep_weights(network: nn.Module, buffers: bool = False) -> Iterator[dict[str, Tensor]]:
    """Keeps a copy of all parameters of `network` and restores them, bit by bit, at the end.

    Args:
        network: whose weights are about to be moved.
        buffers: keep and restore its buffers too (batch norm's statistics).

    Yields:
        The copies by name.
    """
    own: dict[str, Tensor] = dict(network.named_parameters())
    if buffers:
        own.update(network.named_buffers())
    copies = {name: value.detach().clone() for name, value in own.items()}
    try:
        yield copies
    finally:
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(copies[name])
