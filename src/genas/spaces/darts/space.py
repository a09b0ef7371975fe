"""The DARTS space (Liu et al., ICLR 2019): sampling, mutation, crossover, networks, the angle's terms."""

import random
from collections.abc import Sequence
from math import prod
from typing import Any, Literal

from pydantic import Field

from genas.core.errors import ConfigError
from genas.core.settings import Settings
from genas.spaces.base import AngleTerms, Architecture, Network, Space
from genas.spaces.configured import ConfiguredSpace
from genas.spaces.darts.definition import DEFINITION
from genas.spaces.darts.encoding import (
    EDGES,
    NODES,
    Cell,
    DartsArchitecture,
    draft_text,
    edge_index,
    from_edges,
    repair,
)
from genas.spaces.darts.network import DartsCell, DartsNetwork
from genas.spaces.edges import Edge, EdgeSpace, strongest
from genas.spaces.names import DARTS_OPERATIONS

ATTEMPTS = 20


class DartsConfig(Settings):
    """Sizes and options of the DARTS space."""

    cells: int = Field(8, ge=3)
    """Cells of the network, reductions at L//3 and 2L//3 (methods.md 1.4: 8)."""
    channels: int = Field(16, ge=2)
    """Width C of the first cell (methods.md 1.4: 16)."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    """``imagenet`` halves the side three times before the first cell's output (methods.md 2.2)."""
    bn_affine: bool = True
    """Batch norm of the cells has scale and shift (methods.md 1.4: yes for RLNAS and GeNAS)."""
    pool_bn: bool = True
    """Batch norm after pools (methods.md 1.2: in search networks only; 12.2: in DropNAS's final networks too)."""
    auxiliary: bool = False
    """A second head behind the second reduction cell, in stand-alone networks (methods.md 2.1: for the loss of final
    networks)."""
    auxiliary_bn: bool | None = None
    """Batch norm after that head's 2x2 convolution; None: as DARTS, PC-DARTS, RLNAS and GeNAS have it, with the
    ``cifar`` stem only (methods.md 2.1, 2.2). P-DARTS and ABS have it on ImageNet too."""
    mutation: Literal["all", "as-published"] = "all"
    """``as-published`` mutates the normal cell only, and a child may equal its parent (G1)."""


class DartsSpace(ConfiguredSpace[DartsArchitecture], EdgeSpace):
    """1.08e18 architectures of a normal and a reduction cell."""

    name = "darts"
    definition, architecture_class, config_class = DEFINITION, DartsArchitecture, DartsConfig
    config: DartsConfig

    def size(self) -> int:
        """Number of legal architectures: 1,037,664,180 squared."""
        return int(prod(node * (node - 1) // 2 for node in range(2, 2 + NODES)) * 7 ** (2 * NODES)) ** 2

    def sample(self, rng: random.Random) -> DartsArchitecture:
        """Two distinct inputs and two operations per node, uniformly."""

        def cell() -> Cell:
            nodes = []
            for node in range(2, 2 + NODES):
                first, second = sorted(rng.sample(range(node), 2))
                count = len(DARTS_OPERATIONS)
                nodes.append(((rng.randrange(1, count), first), (rng.randrange(1, count), second)))
            return tuple(nodes)

        return DartsArchitecture(cell(), cell())

    def mutate(self, architecture: Architecture, rng: random.Random, probability: float = 0.1) -> DartsArchitecture:
        """Each of the 28 positions gets, with `probability`, a uniform operation from 0..7; then repair."""
        return self.mutate_draft(architecture, rng, probability)[1]

    def mutate_draft(
        self, architecture: Architecture, rng: random.Random, probability: float = 0.1
    ) -> tuple[str, DartsArchitecture]:
        """As `mutate`, with the text of the 28 numbers before the repair; see `Space.mutate_draft`."""
        parent = self.own(architecture)
        published = self.config.mutation == "as-published"
        positions = EDGES if published else 2 * EDGES
        for _ in range(ATTEMPTS):
            numbers = list(parent.edges)
            for position in range(positions):
                if rng.random() < probability:
                    numbers[position] = rng.randrange(len(DARTS_OPERATIONS))
            child = repair(numbers, rng)
            if published or child != parent:
                return draft_text(numbers), child
        # tiny probabilities: change one used operation, so that the child differs
        numbers = list(parent.edges)
        position = rng.choice([place for place, number in enumerate(numbers) if number])
        numbers[position] = rng.choice([n for n in range(1, len(DARTS_OPERATIONS)) if n != numbers[position]])
        return draft_text(numbers), from_edges(numbers)

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> DartsArchitecture:
        """Each of the 28 positions from either parent with probability 1/2; then repair."""
        return self.crossover_draft(first, second, rng)[1]

    def crossover_draft(
        self, first: Architecture, second: Architecture, rng: random.Random
    ) -> tuple[str, DartsArchitecture]:
        """As `crossover`, with the text of the 28 numbers before the repair; see `Space.mutate_draft`."""
        numbers = [rng.choice(pair) for pair in zip(self.own(first).edges, self.own(second).edges, strict=True)]
        return draft_text(numbers), repair(numbers, rng)

    def parse(self, text: str) -> DartsArchitecture:
        """The published ``Genotype(...)`` or 28 numbers."""
        return self.architecture_class.parse(text)

    def network(
        self, num_classes: int, architecture: Architecture | None = None, image_channels: int = 3
    ) -> DartsNetwork:
        """The supernet or a stand-alone network."""
        chosen = None if architecture is None else self.own(architecture)
        return DartsNetwork(num_classes, chosen, image_channels=image_channels, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return self.config.model_dump(exclude={"mutation"})

    def edges(self) -> tuple[Edge, ...]:
        """The 14 edges of the normal cell and the 14 of the reduction cell."""
        return tuple(
            Edge(cell, source, node, DARTS_OPERATIONS)
            for cell in ("normal", "reduce")
            for node in range(2, 2 + NODES)
            for source in range(node)
        )

    def operations_of(self, architecture: Architecture) -> tuple[str, ...]:
        """The operation of every edge; ``none`` on unused ones."""
        return tuple(DARTS_OPERATIONS[number] for number in self.own(architecture).edges)

    def derive(self, weights: Sequence[Sequence[float]]) -> DartsArchitecture:
        """Per node the two edges with the greatest weight, on each its strongest operation; ``none`` never counts.

        Source: methods.md 9. Of equal weights, the first is taken.
        """
        numbers = [0] * (2 * EDGES)
        for start in (0, EDGES):
            for node in range(2, 2 + NODES):
                places = [start + edge_index(source, node) for source in range(node)]
                for place in sorted(places, key=lambda place: -max(weights[place][1:]))[:2]:
                    numbers[place] = 1 + strongest(weights[place][1:])
        return from_edges(numbers)

    def mixed_network(self, num_classes: int, image_channels: int = 3, channel_share: int = 1) -> DartsNetwork:
        """See `EdgeSpace.mixed_network`; the cells' batch norm has neither scale nor shift (methods.md 1.4)."""
        options = {**self._options, "bn_affine": False, "channel_share": channel_share}
        return DartsNetwork(num_classes, image_channels=image_channels, **options)

    def final(self, cells: int | None = None, channels: int | None = None, **options: Any) -> Space:
        """The space at the size of a network to retrain: affine BN, no BN after pools (methods.md 2.1).

        Args:
            cells: L; None keeps it.
            channels: C; None keeps it.
            options: further fields of `DartsConfig`, such as ``stem="imagenet"``, ``auxiliary=True`` or, as DropNAS
                has it, ``pool_bn=True``.

        Raises:
            ConfigError: an unknown option or an impossible value.
        """
        return self.changed(cells, channels, options, pool_bn=False, bn_affine=True)

    def angle_terms(
        self, network: Network, architecture: Architecture, *, dil_shift_as_scale: bool = False
    ) -> AngleTerms:
        """Variant B of methods.md section 8."""
        if not isinstance(network, DartsNetwork):
            raise ConfigError("the angle of the DARTS space needs a network of the DARTS space.")
        chosen = self.own(architecture)
        known = dict(network.named_parameters())
        terms: list[tuple[str, int]] = [
            (name, 1) for name in known if name.startswith(("stem", "classifier.weight")) or ".preprocess" in name
        ]
        length, square = 0, 0.0
        for position, cell in enumerate(network.cells):
            assert isinstance(cell, DartsCell)
            counts = path_counts(chosen.reduce if cell.reduction else chosen.normal)
            for (number, source, node), count in counts.items():
                operation = DARTS_OPERATIONS[number]
                strided = cell.reduction and source < 2
                width = cell.width
                if operation.endswith("pool_3x3"):
                    length += count * 9 * width
                    square += count * width / 9
                elif operation == "skip_connect" and not strided:
                    length += count * width * width
                    square += count * width
                prefix = f"cells.{position}.edges.{edge_index(source, node)}.{operation}."
                for name in (name for name in known if name.startswith(prefix)):
                    if dil_shift_as_scale and operation.startswith("dil") and name.endswith("bn.bias"):
                        name = name.removesuffix("bias") + "weight"
                    terms.append((name, count))
        return AngleTerms(tuple(terms), length, square, has_path=True)


def path_counts(cell: Cell) -> dict[tuple[int, int, int], int]:
    """How many active input-to-output paths use each edge (operation number, input, node).

    A path starts at an input, follows edges and leaves the cell from any node: every node feeds the output.
    """
    edges = {(number, source, node) for node, pairs in enumerate(cell, 2) for number, source in pairs}
    into = {0: 1, 1: 1}
    for node in range(2, 2 + NODES):
        into[node] = sum(into[source] for _, source, end in edges if end == node)
    out: dict[int, int] = {}
    for node in reversed(range(2, 2 + NODES)):
        out[node] = 1 + sum(out[end] for _, source, end in edges if source == node)
    return {edge: into[edge[1]] * out[edge[2]] for edge in edges}


def active_paths(cell: Cell) -> int:
    """Number of active input-to-output paths of a cell."""
    into = {0: 1, 1: 1}
    for node, pairs in enumerate(cell, 2):
        into[node] = sum(into[source] for _, source in pairs)
    return sum(into[node] for node in range(2, 2 + NODES))
