"""The published procedure, written plainly: what the benchmarks compare genas with.

It follows the official search step by step (a whole copy of the supernet for each architecture, noise on all of its
parameters used or not, batch norm left as it is, contiguous tensors, images through a `DataLoader`), without its
slips. It is meant to be read and timed, not to be used.
"""

import copy
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def losses(supernet: nn.Module, path, images, labels, recalibration, sigmas, batch_size: int = 64) -> list[float]:
    """Mean validation loss of `path` at each sigma."""
    network = copy.deepcopy(supernet)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    with torch.no_grad():
        for first in range(0, len(recalibration), batch_size):
            network(recalibration[first : first + batch_size], path)
    network.eval()
    found = []
    for sigma in sigmas:
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter.add_(sigma * torch.randn_like(parameter))
        found.append(evaluate(moved, path, images, labels, batch_size))
    return found


def evaluate(network: nn.Module, path, images, labels, batch_size: int = 64) -> float:
    """Mean loss over the images."""
    total = 0.0
    with torch.no_grad():
        for batch, targets in DataLoader(TensorDataset(images, labels), batch_size=batch_size):
            total += functional.cross_entropy(network(batch, path), targets, reduction="sum").item()
    return total / len(images)


def step(supernet: nn.Module, optimizer, path, images, labels, clip: float = 5.0, around=None) -> None:
    """One training step of one path, its forward pass inside the context `around`."""
    optimizer.zero_grad(set_to_none=True)
    with around or nullcontext():
        loss = functional.cross_entropy(supernet(images, path), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(supernet.parameters(), clip)
    optimizer.step()
