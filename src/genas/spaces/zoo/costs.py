"""Costs of the published architectures' final networks (methods.md 17), and what the command line shows of them."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from genas.core.errors import ConfigError
from genas.spaces.darts.counting import Count, count_network
from genas.spaces.width import largest_even
from genas.spaces.zoo.entry import ZooEntry, load

Kind = Literal["imagenet", "cifar"]


@dataclass(frozen=True)
class Shape:
    """The customary final network of a data set (methods.md 2.1, 2.2)."""

    cells: int
    channels: int
    num_classes: int
    image_shape: tuple[int, int, int]


SHAPES: dict[Kind, Shape] = {
    "imagenet": Shape(14, 48, 1000, (3, 224, 224)),
    "cifar": Shape(20, 36, 10, (3, 32, 32)),
}


@dataclass(frozen=True)
class Costs(Count):
    """What a final network costs; see `Count`.

    Args:
        channels: width C of the first cell.
    """

    channels: int


@cache
def costs(name: str, kind: Kind = "imagenet", channels: int | None = None) -> Costs:
    """Parameters and work of a final network without auxiliary head and without batch norm after pools.

    Args:
        name: of the architecture.
        kind: ``imagenet`` (14 cells, 224x224, 1000 classes) or ``cifar`` (20 cells, 32x32, 10 classes).
        channels: width of the first cell; None: the first published one, and 36 for ``cifar``.

    Raises:
        ConfigError: an unknown name.
    """
    entry, shape = load(name), SHAPES[kind]
    if channels is None:
        channels = entry.imagenet_channels[0] if kind == "imagenet" else shape.channels
    count = count_network(
        entry.architecture,
        cells=shape.cells,
        channels=channels,
        num_classes=shape.num_classes,
        image_shape=shape.image_shape,
        stem=kind,
    )
    return Costs(**asdict(count), channels=channels)


def width_for(name: str, max_macs: int, kind: Kind = "imagenet") -> int:
    """The largest even width whose network has at most `max_macs` MACs.

    Raises:
        ConfigError: an unknown name, or even the narrowest network needs more.
    """
    try:
        return largest_even(lambda width: costs(name, kind, width).macs, max_macs)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def rows(names: tuple[str, ...], max_macs: int | None = None) -> list[dict[str, Any]]:
    """What ``genas zoo`` prints: one object for each name and ImageNet width.

    Args:
        names: of architectures.
        max_macs: take the largest even width within this limit instead of the published widths.

    Raises:
        ConfigError: an unknown name or an impossible limit.
    """
    found = []
    for name in names:
        entry = load(name)
        widths = entry.imagenet_channels if max_macs is None else (width_for(name, max_macs),)
        cifar = costs(name, "cifar", None if max_macs is None else width_for(name, max_macs, "cifar"))
        for width in widths:
            found.append(
                {
                    "name": name,
                    "searched_on": entry.searched_on,
                    "origin": entry.origin,
                    **asdict(costs(name, "imagenet", width)),
                    "cifar": asdict(cifar),
                    "published": [_without_none(asdict(record)) for record in entry.published],
                    "genotype": entry.genotype,
                }
            )
    return found


def published_at(entry: ZooEntry, width: int) -> dict[str, Any]:
    """The first published ImageNet figures of the network of that width; empty where there are none."""
    for record in entry.published:
        if record.dataset == "imagenet" and record.channels == width:
            return _without_none(asdict(record))
    return {}


def _without_none(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}
