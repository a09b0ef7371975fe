"""The seam of gradient methods: edges, the mixed network, the derivation."""

import random
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from genas.core.errors import ConfigError
from genas.spaces import ChoiceArchitecture, ChoiceSpace, EdgeSpace, MixedNetwork, Network, open_space

SIZES: dict[str, dict[str, Any]] = {
    "darts": {"cells": 3, "channels": 4, "bn_affine": False},
    "nasbench201": {"cells_per_stage": 1, "channels": 4},
    "nasbench-macro": {"channels": 4, "tail_channels": 8},
}


def edge_space(name: str) -> EdgeSpace:
    space = open_space(name, **SIZES[name])
    assert isinstance(space, EdgeSpace)
    return space


class Only:
    """Runs one operation per edge."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names, self.seen = names, set[int]()

    def __call__(self, edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
        self.seen.add(edge)
        if self.names[edge] != "none":
            out: Tensor = operations[self.names[edge]](x)
            return out
        return torch.zeros_like(next(iter(operations.values()))(x))


@pytest.mark.parametrize("name", SIZES)
def test_one_operation_per_edge_computes_what_the_path_computes(name: str) -> None:
    space = edge_space(name)
    torch.manual_seed(0)
    network = space.mixed_network(5).double().eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    for _ in range(3):
        architecture = space.sample(random.Random(1))
        only = Only(space.operations_of(architecture))
        with torch.no_grad():
            assert torch.allclose(network.forward_mixed(images, only), network(images, architecture))
        assert only.seen == set(range(len(space.edges())))


@pytest.mark.parametrize("name", SIZES)
def test_all_weight_on_an_architecture_derives_that_architecture(name: str) -> None:
    space = edge_space(name)
    rng = random.Random(0)
    for _ in range(50):
        architecture = space.sample(rng)
        pairs = zip(space.edges(), space.operations_of(architecture), strict=True)
        weights = [[float(one == chosen) for one in edge.operations] for edge, chosen in pairs]
        assert space.derive(weights) == architecture


@pytest.mark.parametrize("name", SIZES)
def test_the_network_offers_every_operation_of_every_edge(name: str) -> None:
    space = edge_space(name)

    def checked(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
        assert set(operations) == set(space.edges()[edge].operations) - {"none"}
        out: Tensor = next(iter(operations.values()))(x)
        return out

    space.mixed_network(5).forward_mixed(torch.randn(2, 3, 16, 16), checked)


@pytest.mark.parametrize(
    ("share", "classes", "parameters"), [(1, 10, 1_930_618), (1, 100, 1_953_748), (4, 10, 299_578), (4, 100, 322_708)]
)
def test_search_networks_of_darts_and_pc_darts_have_the_published_parameters(
    share: int, classes: int, parameters: int
) -> None:
    space = open_space("darts")
    assert isinstance(space, EdgeSpace)
    with torch.device("meta"):
        network = space.mixed_network(classes, channel_share=share)
    assert sum(one.numel() for one in network.parameters()) == parameters


def test_darts_keeps_two_edges_per_node_by_their_strongest_operation_but_none() -> None:
    space = edge_space("darts")
    weights = [[0.9, *([0.01] * 7)] for _ in space.edges()]  # none is the strongest everywhere and never chosen
    weights[5][4] = 0.06  # normal cell, node 4, from node 0: a separable convolution
    weights[8][3] = 0.05  # from node 3: a skip connection
    weights[6][7] = 0.04  # the third best edge of the node is left out
    operations = space.operations_of(space.derive(weights))
    assert operations[5:9] == ("sep_conv_3x3", "none", "none", "skip_connect")
    # of equal weights the first, as the published sort has it
    assert operations[9:14] == ("max_pool_3x3", "max_pool_3x3", "none", "none", "none")


def test_nasbench201_keeps_the_strongest_operation_none_included() -> None:
    space = edge_space("nasbench201")
    weights = [[0.3, 0.2, 0.2, 0.2, 0.1], *([[0.1, 0.2, 0.4, 0.2, 0.1]] * 5)]
    assert space.operations_of(space.derive(weights)) == ("none", *["nor_conv_1x1"] * 5)


def test_widths_that_the_share_does_not_divide_are_refused() -> None:
    for name in ("darts", "nasbench201"):
        space = open_space(name, channels=6)
        assert isinstance(space, EdgeSpace)
        with pytest.raises(ConfigError, match="need a width that 4 divides, got 6"):
            space.mixed_network(10, channel_share=4)
    with pytest.raises(ConfigError, match="expected channel_share 1, got 4"):
        edge_space("nasbench-macro").mixed_network(10, channel_share=4)


class PlainArchitecture(ChoiceArchitecture):
    choices: ClassVar = {"layer 0": ("a", "b")}


class PlainNetwork(Network):
    num_cells = 1

    def __init__(self) -> None:
        super().__init__()

    def forward(self, images: Tensor, path: Any = None) -> Tensor:
        return images


class PlainSpace(ChoiceSpace[PlainArchitecture]):
    architecture_class = PlainArchitecture

    def network(self, num_classes: int, architecture: Any = None, image_channels: int = 3) -> Network:
        return PlainNetwork()


def test_a_network_that_cannot_mix_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"expected a MixedNetwork, got PlainNetwork; .*forward_mixed"):
        PlainSpace().mixed_network(3)
    assert not isinstance(PlainNetwork(), MixedNetwork)
