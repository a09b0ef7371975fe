"""How the operations of an edge are mixed: sum over o of ``weight_o * op_o(x)`` (DARTS, methods.md 9)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.spaces.edges import Edge
from genas.spaces.operations import WITH_RELU


def share_of_operations(alpha: Tensor, edges: Sequence[Edge]) -> Tensor:
    """Softmax of the architecture parameters of every edge.

    Args:
        alpha: [E, O]; columns beyond an edge's own operations count for nothing.
        edges: the E edges.

    Returns:
        [E, O], rows summing to 1.
    """
    return torch.softmax(alpha.masked_fill(~columns_in_use(edges).to(alpha.device), -torch.inf), 1)


def columns_in_use(edges: Sequence[Edge]) -> Tensor:
    """Which columns of the architecture parameters belong to operations of the edge: [E, O] bool."""
    counts = torch.tensor([len(edge.operations) for edge in edges])
    return torch.arange(int(counts.max())) < counts[:, None]


def share_of_inputs(beta: Tensor, edges: Sequence[Edge]) -> Tensor:
    """Softmax, within each node, over the edges that lead to it: PC-DARTS's edge normalisation (methods.md 10.1).

    Args:
        beta: [E].
        edges: the E edges.

    Returns:
        [E], summing to 1 for every node of every cell type.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for number, edge in enumerate(edges):
        groups.setdefault((edge.cell, edge.node), []).append(number)
    order = [number for numbers in groups.values() for number in numbers]
    shares = torch.cat([torch.softmax(beta[numbers], 0) for numbers in groups.values()])
    back = torch.tensor(order, device=beta.device).argsort()
    return shares[back]


def add_weighted(
    operations: nn.ModuleDict,
    names: Sequence[str],
    weights: Sequence[Tensor],
    x: Tensor,
    change: Callable[[nn.Module, Tensor], Tensor] | None = None,
) -> Tensor:
    """The weighted sum of the operations' outputs; a name without a module adds zeros.

    Args:
        operations: modules by name, at least one of them among `names`.
        names: of the operations.
        weights: one number each.
        x: [B, C, H, W].
        change: operation and output to what is added in its place; None for the outputs themselves.

    Returns:
        [B, C, H/stride, W/stride].
    """
    total: Tensor | None = None
    rectified: Tensor | None = None  # most operations begin with a ReLU: done once for all of them
    for name, weight in zip(names, weights, strict=True):
        if name not in operations:
            continue
        operation = operations[name]
        if isinstance(operation, WITH_RELU):
            rectified = torch.relu(x) if rectified is None else rectified
            out = operation(rectified, rectified=True)
        else:
            out = operation(x)
        if change is not None:
            out = change(operation, out)
        part = out * weight.to(out.dtype)
        total = part if total is None else total + part
    assert total is not None
    return total


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Channel c of group g comes to place c * groups + g, so that other channels come first on the next edge.

    Args:
        x: [B, C, H, W].
        groups: a divisor of C.
    """
    return torch.unflatten(x, 1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def add_weighted_share(
    operations: nn.ModuleDict, names: Sequence[str], weights: Sequence[Tensor], x: Tensor, channel_share: int
) -> Tensor:
    """`add_weighted` on the first 1/K of the channels; the others pass by, through a 2x2 max pool where sides shrink.

    Args:
        operations: for C/K channels.
        names: of the operations.
        weights: one number each.
        x: [B, C, H, W].
        channel_share: K.

    Returns:
        [B, C, H/stride, W/stride], the channels shuffled in K groups (methods.md 10.1).
    """
    if channel_share == 1:
        return add_weighted(operations, names, weights, x)
    width = x.shape[1] // channel_share
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    mixed = add_weighted(operations, names, weights, x[:, :width].contiguous(memory_format=layout))
    others = x[:, width:]
    if mixed.shape[2:] != x.shape[2:]:
        others = functional.max_pool2d(others, 2, 2, ceil_mode=True)
    joined = torch.cat([mixed, others.to(mixed.dtype)], 1)
    return shuffle_channels(joined, channel_share).contiguous(memory_format=layout)
