"""A module as a user may have it: a space, a data set, a proxy and a strategy, each with an option."""

from dataclasses import dataclass

from torch import nn

import genas

KERNELS = (1, 3, 5)


@dataclass(frozen=True)
class ChainArchitecture(genas.Architecture):
    kernels: tuple[int, ...]

    @property
    def genotype(self):
        return "-".join(map(str, self.kernels))


class ChainNetwork(genas.Network):
    def __init__(self, classes, architecture, channels, width):
        super().__init__()
        self.architecture = architecture
        self.stem = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        layers = [KERNELS] * 3 if architecture is None else [(kernel,) for kernel in architecture.kernels]
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    f"k{k}": nn.Sequential(nn.Conv2d(width, width, k, padding=k // 2), nn.BatchNorm2d(width))
                    for k in kernels
                }
            )
            for kernels in layers
        )
        self.head = nn.Linear(width, classes)

    def forward(self, images, path=None):
        chosen = self.architecture or path
        maps = self.stem(images)
        for layer, kernel in zip(self.layers, chosen.kernels, strict=True):
            maps = layer[f"k{kernel}"](maps).relu() + maps
        return self.head(maps.mean((2, 3)))

    @property
    def num_cells(self):
        return 3


class Chain(genas.Space):
    """Three layers."""

    def __init__(self, width: int = 8):
        self.width = width

    def sample(self, rng):
        return ChainArchitecture(tuple(rng.choice(KERNELS) for _ in range(3)))

    def mutate(self, architecture, rng, probability=0.1):
        kernels = list(architecture.kernels)
        place = rng.randrange(3)
        kernels[place] = rng.choice([kernel for kernel in KERNELS if kernel != kernels[place]])
        return ChainArchitecture(tuple(kernels))

    def crossover(self, first, second, rng):
        return ChainArchitecture(tuple(rng.choice(p) for p in zip(first.kernels, second.kernels, strict=True)))

    def parse(self, text):
        kernels = tuple(int(part) for part in text.split("-"))  # ValueError for nonsense
        assert len(kernels) == 3
        return ChainArchitecture(kernels)

    def network(self, num_classes, architecture=None, image_channels=3):
        return ChainNetwork(num_classes, architecture, image_channels, self.width)

    def size(self):
        return 27


class Half(genas.Dataset):
    """Every `step`-th image of digits, by way of a list."""

    def __init__(self, step: int = 2):
        self.step = step

    def splits(self, seed):
        from dataclasses import replace

        splits = genas.open_dataset("digits").splits(seed)
        kept = range(0, len(splits.weights), self.step)
        return replace(splits, weights=splits.weights.subset(kept))


class Small(genas.Proxy):
    """Prefers small kernels."""

    def __init__(self, scoring, factor: float = 1.0):
        super().__init__(scoring)
        self.factor = factor

    def score(self, architecture):
        return -self.factor * sum(architecture.kernels)


class Walk(genas.Strategy):
    """Random, `count` per generation."""

    def __init__(self, space, settings, allowed=None, count: int = 2):
        super().__init__(space, settings, allowed)
        self.count = count

    def ask(self, history, rng, generation):
        taken = set()
        return list(self.random_new(rng, self.fresh(history, taken, generation), taken, self.count))
