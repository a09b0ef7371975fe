"""A space that is a table of choices and a network, in one file."""

import random
from collections import Counter
from typing import ClassVar

import pytest
import torch
from pydantic import Field
from torch import nn

from genas.errors import ConfigError, GenotypeError
from genas.settings import Settings
from genas.space import ChoiceArchitecture, ChoiceSpace, Network, open_space
from genas.testing import check_space


class ToyArchitecture(ChoiceArchitecture):
    choices: ClassVar = {"first": ("conv", "skip"), "middle": ("skip",), "last": ("skip", "conv", "wide")}


class ToyNetwork(Network):
    """Three residual layers, each a 1x1 or 3x3 convolution or nothing."""

    def __init__(self, num_classes, architecture, width, image_channels):
        super().__init__()
        self.architecture = architecture
        self.stem = nn.Conv2d(image_channels, width, 3, stride=2, padding=1)
        tables = ToyArchitecture.choices.values()
        chosen = tables if architecture is None else [(name,) for name in architecture.operation_names]
        kernels = {"conv": 1, "wide": 3}
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {name: nn.Conv2d(width, width, kernels[name], padding="same") for name in names if name in kernels}
            )
            for names in chosen
        )
        self.head = nn.Linear(width, num_classes)

    num_cells = 3

    def forward(self, images, path=None):
        maps = self.stem(images)
        for layer, (choices, one) in enumerate(zip(self.layers, self.cell_paths(path, ToyArchitecture), strict=True)):
            name = one.operation_names[layer]
            maps = maps + choices[name](maps).relu() if name in choices else maps
        return self.head(maps.mean((2, 3)))


class ToyConfig(Settings):
    width: int = Field(8, ge=2)


class ToySpace(ChoiceSpace[ToyArchitecture]):
    architecture_class = ToyArchitecture
    config_class = ToyConfig

    def network(self, num_classes, architecture=None, image_channels=3):
        return ToyNetwork(num_classes, architecture, self.config.width, image_channels)


NAME = f"{__name__}:ToySpace"


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
