"""Rounding of single precision in both memory layouts, against double precision: ``python benchmarks/rounding.py``.

First torch's batch norm in training: relative errors (Euclidean norm of the difference over that of the reference) of
its outputs, gradients and running statistics. Then one training step of the DARTS supernet (8 cells, C = 16, batch of
64, 32 x 32, untrained, random pixels): the whole gradient, for three paths. One thread.
"""

import copy
import random

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.spaces import open_space

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
SHAPES = ((64, 16, 32, 32), (64, 48, 32, 32), (64, 256, 8, 8), (64, 16, 4, 4), (8, 16, 32, 32))
PARTS = ("output", "input gradient", "scale gradient", "shift gradient", "mean", "variance")


def apart(found: Tensor, wanted: Tensor) -> float:
    """Relative error of `found`."""
    return float((found.double() - wanted).norm() / wanted.norm())


def batch_norm(x: Tensor, gradient: Tensor, layout: torch.memory_format) -> list[Tensor]:
    """What one training step of a fresh batch norm gives: `PARTS`."""
    norm = nn.BatchNorm2d(x.shape[1]).to(x.dtype).train()
    given = x.contiguous(memory_format=layout).detach().requires_grad_()
    out = norm(given)
    out.backward(gradient.contiguous(memory_format=layout))
    assert given.grad is not None
    found = [out, given.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    return [one.detach().contiguous() for one in found if one is not None]


def batch_norm_errors(shape: tuple[int, int, int, int], mean: float) -> dict[str, list[float]]:
    """Relative errors of `PARTS` by layout, for normal inputs of that mean and of standard deviation 1."""
    torch.manual_seed(0)
    x, gradient = torch.randn(shape) + mean, torch.randn(shape)
    wanted = batch_norm(x.double(), gradient.double(), torch.contiguous_format)
    return {
        name: [apart(one, other) for one, other in zip(batch_norm(x, gradient, layout), wanted, strict=True)]
        for name, layout in LAYOUTS.items()
    }


def gradient_errors(paths: int) -> dict[str, list[float]]:
    """Relative error of a supernet's gradient by layout, one for each path."""
    space = open_space("darts")
    torch.manual_seed(0)
    untrained, images, labels = space.network(10), torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))

    def gradient(dtype: torch.dtype, layout: torch.memory_format, seed: int) -> Tensor:
        network = copy.deepcopy(untrained).to(dtype).to(memory_format=layout).train()
        path = space.sample(random.Random(seed))
        given = images.to(dtype).contiguous(memory_format=layout)
        functional.cross_entropy(network(given, path), labels).backward()
        return torch.cat([one.grad.double().flatten() for one in network.parameters() if one.grad is not None])

    errors: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    for seed in range(paths):
        wanted = gradient(torch.float64, torch.contiguous_format, seed)
        for name, layout in LAYOUTS.items():
            errors[name].append(apart(gradient(torch.float32, layout, seed), wanted))
    return errors


def main() -> None:
    """Prints both tables."""
    torch.set_num_threads(1)
    print("batch norm in training, relative error: contiguous, channels-last, times as large")
    for shape in SHAPES:
        for mean in (0.0, 3.0):
            errors = batch_norm_errors(shape, mean)
            pairs = zip(PARTS, *errors.values(), strict=True)
            texts = [f"{part} {plain:.1e} {last:.1e} {last / plain:.0f}x" for part, plain, last in pairs]
            print(f"  {'x'.join(map(str, shape))}, mean {mean:g}: {'; '.join(texts)}")
    print("gradient of a supernet's step, relative error")
    for name, found in gradient_errors(3).items():
        print(f"  {name}: {', '.join(f'{one:.1e}' for one in found)}")


if __name__ == "__main__":
    main()
