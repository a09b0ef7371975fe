"""Weights of operations and edges, partial channels."""

import pytest
import torch
from torch import nn

from genas.spaces.edges import Edge
from genas.spaces.operations import darts_operation
from genas.training.differentiable.mixture import (
    add_weighted,
    add_weighted_share,
    share_of_inputs,
    share_of_operations,
    shuffle_channels,
)

NAMES = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")


def operations(width: int, stride: int) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({name: darts_operation(name, width, stride, False, True) for name in NAMES[1:]}).double()


def test_shares_of_an_edge_sum_to_one_over_its_own_operations() -> None:
    edges = (Edge("a", 0, 1, ("x", "y", "z")), Edge("a", 1, 2, ("x", "y")))
    shares = share_of_operations(torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 9.0]]), edges)
    assert torch.allclose(shares[0], torch.tensor([0.0900306, 0.2447285, 0.6652410]))
    assert shares[1].tolist() == [0.5, 0.5, 0.0]


def test_shares_of_inputs_sum_to_one_for_every_node_of_every_cell() -> None:
    pairs = [("a", 2), ("b", 2), ("a", 2), ("a", 3), ("b", 2)]
    edges = tuple(Edge(cell, 0, node, ("x",)) for cell, node in pairs)
    shares = share_of_inputs(torch.tensor([0.0, 1.0, 0.0, 5.0, 1.0]), edges)
    assert shares.tolist() == [0.5, 0.5, 0.5, 1.0, 0.5]
    steep = share_of_inputs(torch.tensor([0.0, 0.0, 2.0, 0.0, 1.0]), edges)
    assert torch.allclose(steep, torch.tensor([0.1192029, 0.2689414, 0.8807971, 1.0, 0.7310586]))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_mixture_is_the_weighted_sum_of_the_outputs(stride: int) -> None:
    modules, x = operations(4, stride), torch.randn(2, 4, 8, 8, dtype=torch.float64)
    weights = torch.tensor([0.5, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64).unbind()
    before = x.clone()
    expected = sum(weight * modules[name](x) for name, weight in zip(NAMES[1:], weights[1:], strict=True))
    assert torch.allclose(add_weighted(modules, NAMES, weights, x), torch.as_tensor(expected))
    assert torch.equal(x, before)


def test_shuffling_interleaves_the_groups() -> None:
    x = torch.arange(8.0).view(1, 8, 1, 1)
    assert shuffle_channels(x, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert shuffle_channels(x, 2).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [8, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_only_the_first_share_of_the_channels_meets_the_operations(
    stride: int, side: int, layout: torch.memory_format
) -> None:
    modules = operations(2, stride)
    x = torch.randn(3, 8, side, side, dtype=torch.float64).contiguous(memory_format=layout)
    weights = torch.tensor([0.5, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64).unbind()
    out = add_weighted_share(modules, NAMES, weights, x, 4)
    parts = add_weighted(modules, NAMES, weights, x[:, :2])
    # channel c of group g stands at 4c + g; group 0 went through the operations
    assert torch.allclose(out[:, [0, 4]], parts)
    passed = out[:, [1, 5, 2, 6, 3, 7]]
    if stride == 1:
        assert torch.equal(passed, x[:, 2:])
    else:
        rows = range(0, side, 2)
        pooled = torch.stack(
            [torch.stack([x[:, 2:, i : i + 2, j : j + 2].amax((2, 3)) for j in rows], 2) for i in rows], 2
        )
        assert torch.equal(passed, pooled)
