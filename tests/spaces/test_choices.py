"""Spaces that are a table of choices and a network."""

import json
import random
from collections import Counter
from typing import ClassVar

import pytest
import torch
import yaml
from commands import FAST, genas
from toy_space import ToyArchitecture, ToySpace

from genas.core.errors import ConfigError, GenotypeError
from genas.reporting.cell_drawing import cell_graphs
from genas.spaces import ChoiceArchitecture, ChoiceSpace, open_space
from genas.testing import check_space
from genas.workflows.config import build_config, scale_settings
from genas.workflows.retraining_settings import configure

NAME = "toy_space:ToySpace"


def test_a_table_and_a_network_are_a_space():
    check_space(ToySpace(width=4))
    space = ToySpace()
    assert space.size() == 6
    assert space.describe() == {"name": NAME, "width": 8}
    assert open_space(NAME, width=8) == space != open_space(NAME, width=4)
    with pytest.raises(ConfigError, match="width is 1"):
        ToySpace(width=1)


def test_every_position_has_a_table_of_its_own():
    space, rng = ToySpace(), random.Random(0)
    assert len({space.sample(rng) for _ in range(200)}) == 6
    parent = space.parse("002")
    children = Counter(space.mutate(parent, rng, 1e-9) for _ in range(300))
    assert set(children) == {space.parse(text) for text in ("102", "000", "001")}  # the middle has nothing to change
    assert {space.crossover(parent, space.parse("101"), rng).genotype for _ in range(60)} == {
        "002",
        "001",
        "102",
        "101",
    }


def test_a_space_of_one_architecture_mutates_into_itself():
    class Only(ChoiceArchitecture):
        choices: ClassVar = {"layer": ("conv",)}

    class OnlySpace(ChoiceSpace):
        architecture_class = Only
        network = ToySpace.network

    space = OnlySpace()
    assert space.mutate(Only((0,)), random.Random(0)) == Only((0,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected 3 digits, got the end"),
        ("0-2", "character 2: expected 3 digits, got '-2'"),
        ("01", "expected 3 operations, got 2"),
        ("012", "middle: expected an operation from 0 to 0, got 1"),
        ("0, 0, 3", "last: expected an operation from 0 to 2, got 3"),
    ],
)
def test_malformed_texts_say_where(text, message):
    with pytest.raises(GenotypeError) as caught:
        ToySpace().parse(text)
    assert message in str(caught.value)


def test_more_than_ten_operations_are_parted_by_commas():
    class Wide(ChoiceArchitecture):
        choices: ClassVar = {"a": tuple(f"k{number}" for number in range(12)), "b": ("skip", "conv")}

    one = Wide((11, 1))
    assert one.genotype == "11,1"
    assert one.operation_names == ("k11", "conv")
    assert Wide.parse("11,1") == Wide.parse("[11, 1]") == one
    with pytest.raises(GenotypeError, match="expected 2 operations, got 1"):
        Wide.parse("11")


def test_architectures_of_another_space_are_refused():
    other = open_space("nasbench-macro").parse("00000000")
    space = ToySpace(width=4)
    with pytest.raises(ConfigError, match="is not an architecture of the space"):
        space.mutate(other, random.Random(0))
    with pytest.raises(ConfigError, match="runs architectures of the class ToyArchitecture only"):
        space.network(4)(torch.zeros(1, 3, 8, 8), other)


def test_a_space_brings_its_own_presets_and_sizes():
    named = {"space": {"name": NAME}}
    config = build_config([named])
    assert (config.space.options, config.supernet.momentum, config.supernet.nesterov) == ({"width": 4}, 0.5, False)
    assert build_config([named], as_published=True).supernet.nesterov
    assert build_config([named], scale="quick").space.options == {"width": 6}
    assert build_config([named, {"space": {"width": 9}, "supernet": {"momentum": 0.8}}]).space.options == {"width": 9}
    large = scale_settings("quick", "folder:photos", NAME, 500)
    assert (large["space"], large["data"]) == ({"width": 2}, {"image_size": 64})
    for data, recipe in (("digits", "nasbench-macro"), ("imagenet", "imagenet")):
        assert configure("002", space=NAME, overrides=[{"data": {"name": data}}]).recipe == recipe


def test_a_search_uses_and_draws_a_space_of_ones_own(tmp_path, capsys):
    run = tmp_path / "run"
    settings = [f"--set={key}={value}" for key, value in FAST.items() if not key.startswith("space.")]
    assert (
        genas(
            "search",
            "--data",
            "digits",
            "--space",
            NAME,
            "--proxy",
            "accuracy",
            "--no-retrain",
            "--run",
            run,
            *settings,
        )
        == 0
    )
    assert yaml.safe_load((run / "config.yaml").read_text())["space"] == {"name": NAME, "width": 4}
    best = json.loads((run / "best.json").read_text())["genotype"]
    (graph,) = cell_graphs(best, {"name": NAME, "width": 4})
    assert [name for *_, name in graph.edges] == list(ToyArchitecture.parse(best).operation_names)
    assert "Layers" in (run / "figures/layers.svg").read_text()
    assert cell_graphs(best) == cell_graphs(best, {"name": "gone:Space"}) == ()
