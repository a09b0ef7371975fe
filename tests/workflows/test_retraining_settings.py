"""Sizes that are given by hand: they win over the recipe's or are refused, and one number is recorded."""

import random

import pytest

from genas.core.errors import ConfigError
from genas.spaces import open_space
from genas.training.standalone.network import resize
from genas.workflows.retraining_settings import configure

GENOTYPES = {name: open_space(name).sample(random.Random(3)).genotype for name in ("darts", "nasbench201")}
GENOTYPES["nasbench-macro"] = "00112201"


def resolved(name, recipe=None, **overrides):
    """The configuration, and the options of the network that it trains."""
    given = {"data": {"name": "digits"}, **overrides}
    config = configure(GENOTYPES[name], space=name, recipe=recipe, overrides=[given])
    opened = open_space(config.space.name, **config.space.options)
    return config, resize(opened, config.retrain).describe()


@pytest.mark.parametrize(
    ("space", "recipe", "option", "value", "field"),
    [
        ("nasbench201", None, "cells_per_stage", 1, "cells"),
        ("nasbench201", None, "channels", 4, "channels"),
        ("darts", "cifar", "cells", 5, "cells"),
        ("darts", "cifar", "channels", 4, "channels"),
        ("darts", "imagenet", "stem", "cifar", "stem"),
        ("nasbench-macro", None, "channels", 4, "channels"),
        ("nasbench-macro", None, "tail_channels", 64, None),
    ],
)
def test_a_size_of_the_space_wins_over_the_recipes(space, recipe, option, value, field):
    config, network = resolved(space, recipe, space={option: value})
    assert network[option] == value
    assert config.space.options[option] == value
    if field is not None:
        assert getattr(config.retrain, field) in (None, value)  # not another number beside it
        without, _ = resolved(space, recipe)
        others = {"cells", "channels"} - {field}
        assert all(getattr(config.retrain, name) == getattr(without.retrain, name) for name in others)


@pytest.mark.parametrize(
    ("space", "overrides", "message"),
    [
        (
            "nasbench201",
            {"space": {"cells_per_stage": 1}, "retrain": {"cells": 3}},
            "space.cells_per_stage is 1, but the network to train has 3 there: it contradicts retrain.cells",
        ),
        ("darts", {"space": {"channels": 4}, "retrain": {"channels": 8}}, "contradicts retrain.channels"),
        ("nasbench201", {"space": {"cell_bn_affine": False}}, "has True there: leave it out"),
        ("darts", {"space": {"pool_bn": True}}, "has False there: leave it out"),
        (
            "darts",
            {"space": {"channels": 4}, "max_macs": 10**7},
            "so space.channels has no place beside it",
        ),
        ("darts", {"retrain": {"channels": 4}, "max_macs": 10**7}, "--channels has no place beside it"),
        ("nasbench-macro", {"retrain": {"cells": 3}}, "has 8 layers"),
    ],
)
def test_what_would_have_no_effect_is_refused(space, overrides, message):
    with pytest.raises(ConfigError) as caught:
        resolved(space, "cifar" if space == "darts" else None, **overrides)
    assert message in str(caught.value)


def test_equal_numbers_may_both_be_given():
    config, network = resolved("nasbench201", space={"cells_per_stage": 2}, retrain={"cells": 2})
    assert network["cells_per_stage"] == config.retrain.cells == 2
