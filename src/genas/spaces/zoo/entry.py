"""The published architectures by name; no torch needed.

``published.json`` beside this file holds the cells as 28 numbers, where they come from, and the figures that others
published for them. FLOPs stand there as published; `Published.counted_as` says which of our counts they agree with.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from genas.core.errors import ConfigError, suggest
from genas.spaces.darts.encoding import DartsArchitecture


@dataclass(frozen=True)
class Published:
    """Figures that somebody published for one network; None where he gave none.

    Args:
        dataset: ``imagenet``, ``cifar10``, ``cifar100`` or ``coco``.
        source: where the figures stand.
        channels: width C of the network.
        params_m: parameters in millions.
        flops_m: what the source calls FLOPs, in millions.
        counted_as: the count of ours that this agrees with (``macs``, ``macs_thop``, ``macs_bn_relu``).
        top1: accuracy in percent.
        top5: the same among the first five.
        error: test error in percent.
        error_spread: its standard deviation.
        ap: average precision in percent (COCO), then at overlaps 0.5 and 0.75 and for small, medium, large objects.
        ap50: see `ap`.
        ap75: see `ap`.
        ap_small: see `ap`.
        ap_medium: see `ap`.
        ap_large: see `ap`.
        search_gpu_days: cost of the search; the hardware differs.
        note: what to know about them.
    """

    dataset: str
    source: str
    channels: int | None = None
    params_m: float | None = None
    flops_m: float | None = None
    counted_as: str | None = None
    top1: float | None = None
    top5: float | None = None
    error: float | None = None
    error_spread: float | None = None
    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    search_gpu_days: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class ZooEntry:
    """A published architecture.

    Args:
        name: such as ``genas_fbs_c100``.
        architecture: its cells.
        searched_on: the data of the search, as far as stated.
        origin: the repository that published it.
        imagenet_channels: widths of its published ImageNet networks.
        published: figures of others.
    """

    name: str
    architecture: DartsArchitecture
    searched_on: str
    origin: str
    imagenet_channels: tuple[int, ...]
    published: tuple[Published, ...] = ()

    @property
    def genotype(self) -> str:
        """The published text form."""
        return self.architecture.genotype


@cache
def _data() -> dict[str, Any]:
    text = files("genas.spaces.zoo").joinpath("published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def names() -> tuple[str, ...]:
    """The known names."""
    return tuple(_data())


@cache
def load(name: str) -> ZooEntry:
    """The architecture of that name.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in _data():
        hint = suggest(name, _data())
        raise ConfigError(f"no published architecture is called {name!r}; genas zoo lists their names.{hint}")
    entry = _data()[name]
    return ZooEntry(
        name=name,
        architecture=DartsArchitecture.parse(entry["edges"]),
        searched_on=entry["searched_on"],
        origin=entry["origin"],
        imagenet_channels=tuple(entry["imagenet_channels"]),
        published=tuple(Published(**record) for record in entry["published"]),
    )
