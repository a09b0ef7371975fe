"""Directions in the space of weights: random ones with the norms of the filters, and noise.

Filter normalisation (Li et al., *Visualizing the Loss Landscape of Neural Nets*, NeurIPS 2018, arXiv:1712.09913): of a
Gaussian direction d, every filter d_f is replaced by ``d_f / |d_f| * |w_f|``, w_f being the filter of the weights.
Where batch norm follows, the scale of a filter does not matter to the function, and with this neither to the figure
(tested); the scale of layers without batch norm, such as the classifier's, matters to both. A filter is what gives one
output: the weights of one output channel, or of one output of a linear layer. Batch norm's scales and shifts and
biases do not move, as in Li et al.; ``moved`` treats each such vector as one filter.

A direction is a function of (seed, its number, the parameter's name): architectures that share an operation of a
supernet are moved by the same steps on it.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from genas.proxies.perturbation import unit_noise

Direction = Mapping[str, Tensor]
"""Steps of length 1 by parameter name; parameters that are left out do not move."""


def random_direction(
    weights: Mapping[str, Tensor],
    seed: int,
    number: int,
    normalise: Literal["filter", "none"] = "filter",
    vectors: Literal["fixed", "moved"] = "fixed",
) -> dict[str, Tensor]:
    """A random direction.

    Args:
        weights: the parameters by name, where the walk begins.
        seed: of the run.
        number: which direction.
        normalise: see the module's text; ``none`` leaves the direction Gaussian.
        vectors: whether scales, shifts and biases move.
    """
    steps = {}
    for name, value in weights.items():
        if value.dim() < 2 and vectors == "fixed":
            continue
        step = unit_noise(value, seed, "landscape", number, name)
        steps[name] = normalised(step, value) if normalise == "filter" else step
    return steps


def normalised(step: Tensor, weights: Tensor) -> Tensor:
    """`step` with the norm of `weights`, filter by filter; a vector is one filter.

    Args:
        step: [outputs, ...] or [entries].
        weights: the same shape.
    """
    rows = (1, -1) if step.dim() < 2 else (len(step), -1)
    flat, wanted = step.reshape(rows), weights.reshape(rows)
    lengths = torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp_min(torch.finfo(step.dtype).tiny)
    scaled: Tensor = flat / lengths * torch.linalg.vector_norm(wanted, dim=1, keepdim=True)
    return scaled.reshape(step.shape)


@torch.no_grad()
def move(network: nn.Module, origin: Mapping[str, Tensor], steps: list[tuple[float, Direction]]) -> None:
    """Puts the weights of `network` at ``origin + sum of t * direction``.

    Args:
        network: changed in place.
        origin: all parameters by name.
        steps: pairs (t, direction).
    """
    for name, parameter in network.named_parameters():
        value = origin[name]
        for length, direction in steps:
            if name in direction:
                value = value + length * direction[name]
        parameter.copy_(value)


def cosine(first: Direction, second: Direction) -> float:
    """The cosine of the angle between two directions."""
    dot = sum(float((first[name].double() * second[name].double()).sum()) for name in first)
    lengths = [sum(float(step.double().square().sum()) for step in one.values()) ** 0.5 for one in (first, second)]
    return dot / (lengths[0] * lengths[1]) if all(lengths) else 0.0
