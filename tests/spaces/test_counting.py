"""Counting from shapes alone, against the network itself on the meta device."""

import random

import pytest
import torch
from torch import nn

from genas.core.errors import ConfigError
from genas.spaces import architecture_cost, largest_width, open_space
from genas.spaces.darts.counting import count_network
from genas.spaces.operations import FactorizedReduce, ReluConvBn, _Separable
from genas.spaces.width import largest_even

DARTS = open_space("darts")


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("pool_bn", [False, True])
@pytest.mark.parametrize(("cells", "channels", "sides"), [(3, 5, (33, 47)), (8, 6, (32, 32))])
def test_shapes_alone_give_what_the_network_has(stem, pool_bn, cells, channels, sides):
    shape = (2, *sides)
    for seed in range(2):
        architecture = DARTS.sample(random.Random(seed))
        space = DARTS.final(cells=cells, channels=channels, stem=stem, pool_bn=pool_bn)
        found = count_network(
            architecture, cells=cells, channels=channels, num_classes=7, image_shape=shape, stem=stem, pool_bn=pool_bn
        )
        cost = architecture_cost(space, architecture, 7, shape)
        assert (found.params, found.macs) == (cost.params, cost.macs)
        network = space.network(7, architecture, 2)
        assert found.macs_thop == found.macs + (network.classifier.in_features - 1) * 7
        normed, relu = elements(network, shape)
        assert found.macs_bn_relu == found.macs + 2 * normed + relu


def elements(network: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Outputs of batch norms and inputs of the layers that begin with a ReLU, from hooks."""
    totals = {"norm": 0, "relu": 0}

    def add(module: nn.Module, inputs: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        totals["norm"] += out.numel() if isinstance(module, nn.BatchNorm2d) else 0
        begins = isinstance(module, (ReluConvBn, FactorizedReduce, _Separable, nn.ReLU))
        totals["relu"] += inputs[0].numel() if begins else 0

    for module in network.modules():
        module.register_forward_hook(add)
    if network.stem1 is not None:  # its ReLU is done by its reader's reader
        assert isinstance(network.stem1[0], nn.ReLU)
    with torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    return totals["norm"], totals["relu"]


@pytest.mark.parametrize("name", ["darts", "nasbench201", "nasbench-macro"])
def test_the_largest_width_fits_and_the_next_does_not(name):
    space = open_space(name)
    architecture = space.sample(random.Random(4))
    options = {"cells": 1} if name == "nasbench201" else {}
    for limit in (3_000_000, 20_000_000):
        width = largest_width(space, architecture, 10, (3, 32, 32), limit, **options)
        assert width % 2 == 0

        def macs(width, space=space, architecture=architecture, options=options):
            return architecture_cost(space.final(channels=width, **options), architecture, 10, (3, 32, 32)).macs

        assert macs(width) <= limit < macs(width + 2)


def test_an_impossible_limit_and_a_fixed_width_are_refused():
    with pytest.raises(
        ConfigError, match=r"limit of 0.001 M MACs is too small; the narrowest network \(width 2\) needs"
    ):
        largest_width(DARTS, DARTS.sample(random.Random(0)), 10, (3, 32, 32), 1000)
    with pytest.raises(ConfigError, match="the width of these networks cannot be chosen"):
        largest_even(lambda width: 5, 10)


@pytest.mark.parametrize("limit", [2, 4, 15, 16, 17, 1_000, 123_457, 10**9])
def test_the_search_of_a_width_agrees_with_trying_all(limit):
    slow = max(width for width in range(2, 40_000, 2) if width * width // 2 <= limit)
    tried = []

    def macs(width):
        tried.append(width)
        return width * width // 2

    assert largest_even(macs, limit) == slow if slow < 39_998 else largest_even(macs, limit) > slow
    assert len(tried) < 12
