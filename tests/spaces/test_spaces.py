import hashlib
import random
import sys
import types
from itertools import pairwise

import pytest
import torch
from torch import nn

from genas.core.errors import CheckpointError, ConfigError
from genas.spaces import Architecture, Space, architecture_cost, copy_path, open_space
from genas.spaces.cost import count


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


STREAMS = {
    "darts": "2552b58cdc692d1e52da2723adf380e206456f5924373a1678d7a5295d239839",
    "nasbench201": "490d60ca98caa7d470660485820bc3cf5af16a94c494d7bdd0630036617c8cdc",
    "nasbench-macro": "1fc2811fce9bb233a158bcbad5eea8ecf86f07e0a7438ae0c3a4b2b964b3bced",
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_seed_gives_the_architectures_that_it_always_gave(name):
    """A run of an earlier version continues with the same proposals; the digests are of that version."""
    space, rng = open_space(name), random.Random(7)
    drawn = [space.sample(rng) for _ in range(60)]
    texts = [one.genotype for one in drawn]
    for probability in (0.1, 0.3, 1e-9):
        for one in drawn[:25]:
            texts += [space.mutate(one, rng, probability).genotype, space.mutate_draft(one, rng, probability)[0]]
    for pair in pairwise(drawn):
        texts += [space.crossover(*pair, rng).genotype, space.crossover_draft(*pair, rng)[0]]
    path = space.sample_training_path(rng, 4)
    texts += [path.genotype] if isinstance(path, Architecture) else [one.genotype for one in path]
    texts.append(str(rng.random()))
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == STREAMS[name]


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


def test_spaces_of_different_constructors_are_equal_only_to_themselves():
    """`architecture_cost` remembers costs by space: a subclass with options of its own may not share them."""
    darts = type(open_space("darts"))

    class Wide(darts):
        def __init__(self, width):
            super().__init__(cells=3)
            self.width = width

        def network(self, num_classes, architecture=None, image_channels=3):
            return open_space("darts", cells=3, channels=self.width).network(num_classes, architecture, image_channels)

    narrow, wide = Wide(4), Wide(8)
    architecture = narrow.sample(random.Random(0))
    assert narrow != wide
    costs = [architecture_cost(space, architecture, 4, (3, 16, 16)).params for space in (narrow, wide)]
    assert costs[0] < costs[1]


def test_copying_from_another_space_is_refused():
    rng = random.Random(0)
    small, large = open_space("darts", cells=3, channels=4), open_space("darts", cells=3, channels=8)
    path = small.sample(rng)
    with pytest.raises(CheckpointError, match="both need the same sizes"):
        copy_path(large.network(4), small.network(4, path))
    other = open_space("nasbench201", cells_per_stage=1, channels=4)
    with pytest.raises(CheckpointError, match="another space"):
        copy_path(other.network(4), small.network(4, path))
