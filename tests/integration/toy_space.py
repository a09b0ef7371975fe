"""A space that is a table of choices and a network, with presets, sizes and a drawing of its own: all in one file."""

from typing import ClassVar

from pydantic import Field
from torch import nn

from genas.core.settings import Settings
from genas.spaces import CellGraph, ChoiceArchitecture, ChoiceSpace, Network, SpaceDefinition


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


def cells(architecture):
    edges = tuple((layer, layer + 1, name) for layer, name in enumerate(architecture.operation_names))
    return (CellGraph("Layers", ("in", "1", "2", "out"), None, (), edges),)


class ToySpace(ChoiceSpace[ToyArchitecture]):
    definition = SpaceDefinition(
        settings={"supernet": {"momentum": 0.5}},
        as_published={"supernet": {"nesterov": True}},
        sizes={"digits": {"width": 4}, "quick": {"width": 6}},
        largest_sides={"quick": 64},
        large_image_options={"width": 2},
        recipes={"": "nasbench-macro", "imagenet": "imagenet"},
        cells=cells,
    )
    architecture_class = ToyArchitecture
    config_class = ToyConfig

    def network(self, num_classes, architecture=None, image_channels=3):
        return ToyNetwork(num_classes, architecture, self.config.width, image_channels)
