import random
import sys
import types

import pytest
import torch
from torch import nn

from genas.errors import CheckpointError, ConfigError
from genas.space import Space, architecture_cost, copy_path, open_space
from genas.space.cost import count


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dart", {}, "Did you mean 'darts'"),
        ("nothing", {}, "known are darts, nasbench201, nasbench-macro"),
        ("darts", {"chanels": 4}, "unknown key 'chanels' (did you mean 'channels'?)"),
        ("darts", {"channels": "many"}, "channels is 'many'"),
        ("darts", {"cells": 1}, "cells is 1"),
        ("no_such_package:X", {}, "cannot be imported"),
        ("math:pi", {}, "not a subclass"),
    ],
)
def test_wrong_names_and_options(name, options, message):
    with pytest.raises(ConfigError) as caught:
        open_space(name, **options)
    assert message in str(caught.value)


def test_describe_makes_the_same_space_again(space):
    options = dict(space.describe())
    again = open_space(options.pop("name"), **options)
    assert again == space
    assert hash(again) == hash(space)


def test_a_users_own_space(monkeypatch):
    module = types.ModuleType("own_space")
    darts = type(open_space("darts"))

    class Mine(darts):
        def __init__(self, width: int = 4) -> None:
            super().__init__(open_space("darts", channels=width, cells=3).config)

    module.Mine = Mine
    monkeypatch.setitem(sys.modules, "own_space", module)
    space = open_space("own_space:Mine", width=6)
    assert isinstance(space, Space)
    assert space.config.channels == 6
    with pytest.raises(ConfigError, match="does not take these options"):
        open_space("own_space:Mine", depth=2)


def test_cost_agrees_with_torchs_own_counter(space):
    """An independent count: FlopCounterMode counts two per multiply-accumulate."""
    from torch.utils.flop_counter import FlopCounterMode

    rng = random.Random(0)
    for _ in range(5):
        architecture = space.sample(rng)
        network = space.network(4, architecture).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 16, 16))
        cost = architecture_cost(space, architecture, 4, (3, 16, 16))
        assert 2 * cost.macs == counter.get_total_flops()
        assert cost.params == sum(parameter.numel() for parameter in network.parameters())


def test_counting_leaves_the_network_as_it_was():
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1), nn.Flatten(), nn.Linear(8 * 16, 5))
    network.train()
    assert count(network, (3, 8, 8)).macs == 16 * 8 * 27 + 8 * 16 * 5
    assert network.training
    assert not network[0]._forward_hooks


def test_copying_from_another_space_is_refused():
    rng = random.Random(0)
    small, large = open_space("darts", cells=3, channels=4), open_space("darts", cells=3, channels=8)
    path = small.sample(rng)
    with pytest.raises(CheckpointError, match="both need the same sizes"):
        copy_path(large.network(4), small.network(4, path))
    other = open_space("nasbench201", cells_per_stage=1, channels=4)
    with pytest.raises(CheckpointError, match="another space"):
        copy_path(other.network(4), small.network(4, path))
