"""The NAS-Bench-201 space: sampling, mutation, crossover, networks, the angle's terms (methods.md 13)."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from genas.core.errors import ConfigError
from genas.core.settings import Settings
from genas.spaces.base import AngleTerms, Architecture, Network, Space
from genas.spaces.choices import ChoiceSpace
from genas.spaces.edges import Edge
from genas.spaces.names import NASBENCH201_OPERATIONS
from genas.spaces.nasbench201.definition import DEFINITION
from genas.spaces.nasbench201.encoding import EDGES, NasBench201Architecture, function_key
from genas.spaces.nasbench201.network import NasBench201Cell, NasBench201Network


class NasBench201Config(Settings):
    """Sizes of the NAS-Bench-201 networks."""

    cells_per_stage: int = Field(5, ge=1)
    """Searchable cells in each of the three stages (methods.md 13.2: 5)."""
    channels: int = Field(16, ge=2)
    """Width of the first stage (methods.md 13.2: 16)."""
    cell_bn_affine: bool = False
    """Batch norm of the cells has scale and shift (methods.md 13.3: no in the supernet; 13.2: yes in the benchmark's
    networks)."""
    unreached: Literal["skip", "run"] = "skip"
    """Operations that no signal reaches (2,290 architectures hold such a convolution). ``skip``: neither built nor run
    nor counted. ``run``: built, run on zeros and counted in MACs and parameters, as the benchmark's networks are, where
    such a convolution adds its batch norm's constant shift."""


class NasBench201Space(ChoiceSpace[NasBench201Architecture]):
    """15,625 cells of six edges with five operations."""

    name = "nasbench201"
    definition, architecture_class, config_class = DEFINITION, NasBench201Architecture, NasBench201Config
    config: NasBench201Config
    cells_option = "cells_per_stage"

    def describe(self) -> dict[str, Any]:
        """Name and options; ``unreached`` only where it is not the default, as in runs from before it was one."""
        return {key: value for key, value in super().describe().items() if (key, value) != ("unreached", "skip")}

    def sample_training_path(self, rng: random.Random, num_cells: int) -> Sequence[NasBench201Architecture]:
        """Every cell draws for itself; a node redraws until one operation is not `none` (methods.md 13.3)."""

        def cell() -> NasBench201Architecture:
            numbers: list[int] = []
            for node in (1, 2, 3):
                drawn = [0] * node
                while not any(drawn):
                    drawn = [rng.randrange(len(NASBENCH201_OPERATIONS)) for _ in range(node)]
                numbers += drawn
            return NasBench201Architecture(tuple(numbers))

        return [cell() for _ in range(num_cells)]

    def function_key(self, architecture: Architecture) -> str:
        """See `function_key` of the encoding."""
        return function_key(self.own(architecture), self.config.unreached == "run")

    def benchmark(self) -> "NasBench201Space":
        """See `Space.benchmark`: what no signal reaches is counted too."""
        return NasBench201Space(self.config.model_copy(update={"unreached": "run"}))

    def edges(self) -> tuple[Edge, ...]:
        """The six edges of the cell."""
        return tuple(Edge("cell", source, node, NASBENCH201_OPERATIONS) for source, node in EDGES)

    def network(
        self, num_classes: int, architecture: Architecture | None = None, image_channels: int = 3
    ) -> NasBench201Network:
        """The supernet or a stand-alone network."""
        return self._network(num_classes, architecture, image_channels)

    def mixed_network(self, num_classes: int, image_channels: int = 3, channel_share: int = 1) -> NasBench201Network:
        """See `EdgeSpace.mixed_network`."""
        return self._network(num_classes, None, image_channels, channel_share=channel_share)

    def _network(
        self, num_classes: int, architecture: Architecture | None, image_channels: int, **others: Any
    ) -> NasBench201Network:
        return NasBench201Network(
            num_classes,
            None if architecture is None else self.own(architecture),
            cells_per_stage=self.config.cells_per_stage,
            channels=self.config.channels,
            image_channels=image_channels,
            cell_bn_affine=self.config.cell_bn_affine,
            unreached=self.config.unreached,
            **others,
        )

    def final(self, cells: int | None = None, channels: int | None = None, **options: Any) -> Space:
        """The space of networks to retrain: affine BN.

        Args:
            cells: cells of one stage; None keeps them.
            channels: width of the first stage; None keeps it.
            options: further fields of `NasBench201Config`.

        Raises:
            ConfigError: an unknown option or an impossible value.
        """
        return self.changed(cells, channels, options, cell_bn_affine=True)

    def angle_terms(
        self, network: Network, architecture: Architecture, *, dil_shift_as_scale: bool = False
    ) -> AngleTerms:
        """Variant E of methods.md section 8 (there are no dilated convolutions to slip on)."""
        if not isinstance(network, NasBench201Network):
            raise ConfigError("the angle of NAS-Bench-201 needs a network of the space 'nasbench201'.")
        chosen = self.own(architecture)
        counts = Counter(edge for path in chosen.active_paths for edge in path)
        terms: list[tuple[str, int]] = [(name, 1) for name, _ in network.named_parameters() if ".edges." not in name]
        length, square = 0, 0.0
        for position, cell in enumerate(network.cells):
            if not isinstance(cell, NasBench201Cell):
                continue
            for edge, count in sorted(counts.items()):
                operation = NASBENCH201_OPERATIONS[chosen.operations[edge]]
                if operation == "avg_pool_3x3":
                    length += count * 9 * cell.width
                    square += count * cell.width / 9
                elif operation.startswith("nor_conv"):
                    terms.append((f"cells.{position}.edges.{edge}.{operation}.conv.weight", count))
        return AngleTerms(tuple(terms), length, square, has_path=bool(counts))
