"""What a space says about itself beside its architectures and networks; no torch needed.

A space says it in the attribute ``definition`` of its class. One whose package has a module ``definition`` says it
there, so that settings, reports and tables find it by the name in `SPACES` without torch. A new built-in space is a
file or a package, and one line of `SPACES`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from genas.core.errors import GenotypeError
from genas.core.registry import Registry
from genas.spaces.architecture import Architecture

if TYPE_CHECKING:
    from genas.spaces.base import Space

SPACES: "Registry[Space]" = Registry(
    "space",
    "genas.spaces.base:Space",
    {
        "darts": "genas.spaces.darts.space:DartsSpace",
        "nasbench201": "genas.spaces.nasbench201.space:NasBench201Space",
        "nasbench-macro": "genas.spaces.nasbench_macro.space:NasBenchMacroSpace",
    },
)


@dataclass(frozen=True)
class CellGraph:
    """A cell to draw.

    Args:
        title: such as "Normal cell".
        nodes: labels, inputs first, in topological order.
        output: label of the output that concatenates `concatenated`; None where the last node is the output.
        concatenated: numbers of the nodes whose outputs the cell concatenates.
        edges: (source, target, operation), numbers into `nodes`.
    """

    title: str
    nodes: tuple[str, ...]
    output: str | None
    concatenated: tuple[int, ...]
    edges: tuple[tuple[int, int, str], ...]


def by_scale(**options: tuple[int, int, int, int]) -> dict[str, dict[str, int]]:
    """`SpaceDefinition.sizes` from the values of each option for the digits, ``quick``, ``standard`` and ``paper``."""
    scales = ("digits", "quick", "standard", "paper")
    return {scale: {name: values[place] for name, values in options.items()} for place, scale in enumerate(scales)}


@dataclass(frozen=True, kw_only=True)
class SpaceDefinition:
    """What a space says about itself; everything may be left out.

    Args:
        settings: changes of the settings' defaults, by section, such as ``{"supernet": {"nesterov": True}}``.
        as_published: further changes under ``--as-published``.
        sizes: options of the space by scale (``quick``, ``standard``, ``paper``) or by name of a data set.
        largest_sides: by scale, the side in pixels that larger images of the user's own are resized to.
        large_image_options: options of the space for images from `genas.workflows.presets.LARGE_SIDE` pixels on.
        recipes: the recipe of ``genas retrain`` by name of a data set; ``""`` stands for all others.
        cells: the cells of an architecture, for the report.
        nats_bench: the kind of NATS-Bench archives that hold this space (``tss``).
        genotype_pattern: regular expression that tells the space's genotypes from those of other built-in spaces.
        parse: reads a genotype without torch.
        function_key: `Space.function_key` of the space with its default options.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    as_published: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    largest_sides: Mapping[str, int] = field(default_factory=dict)
    large_image_options: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, str] = field(default_factory=dict)
    cells: Callable[[Any], tuple[CellGraph, ...]] | None = None
    nats_bench: str | None = None
    genotype_pattern: str | None = None
    parse: Callable[[str], Architecture] | None = None
    function_key: Callable[[Any], str] | None = None


def definition_of(name: str) -> SpaceDefinition:
    """What the space of that name says about itself; nothing for an unknown name.

    Args:
        name: one of `SPACES`, or package.module:Name of a custom space.

    Raises:
        ConfigError: the custom class cannot be imported.
    """
    if name in SPACES.table:
        package = SPACES.table[name].partition(":")[0].rpartition(".")[0]
        if package and find_spec(f"{package}.definition"):
            found: SpaceDefinition = import_module(f"{package}.definition").DEFINITION
            return found
    elif not SPACES.is_custom(name):
        return SpaceDefinition()
    return SPACES.find(name).definition


def space_of(genotype: str) -> str | None:
    """Name of the built-in space of a genotype, by what it looks like; None for other texts."""
    for name in SPACES.names:
        definition = definition_of(name)
        if definition.parse and definition.genotype_pattern and re.search(definition.genotype_pattern, genotype):
            return name
    return None


def recognise(genotype: str) -> tuple[str, Architecture] | None:
    """Name of the built-in space and architecture of a genotype, by what it looks like; None for other texts."""
    name = space_of(genotype)
    parse = None if name is None else definition_of(name).parse
    if name is None or parse is None:
        return None
    try:
        return name, parse(genotype)
    except GenotypeError:
        return None
