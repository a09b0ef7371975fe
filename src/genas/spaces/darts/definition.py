"""What the DARTS space says about itself."""

from genas.spaces.darts.encoding import NODES, Cell, DartsArchitecture
from genas.spaces.definition import CellGraph, SpaceDefinition, by_scale
from genas.spaces.names import DARTS_OPERATIONS


def _cells(architecture: DartsArchitecture) -> tuple[CellGraph, ...]:
    return _cell("Normal cell", architecture.normal), _cell("Reduction cell", architecture.reduce)


def _cell(title: str, cell: Cell) -> CellGraph:
    edges = [(source, node, DARTS_OPERATIONS[number]) for node, pairs in enumerate(cell, 2) for number, source in pairs]
    names = ("k-2", "k-1", *(str(node) for node in range(NODES)))
    return CellGraph(title, names, "concat", tuple(range(2, 2 + NODES)), tuple(edges))


DEFINITION = SpaceDefinition(
    as_published={"space": {"mutation": "as-published"}},  # G1
    sizes=by_scale(cells=(3, 5, 8, 8), channels=(4, 8, 16, 16)),
    largest_sides={"quick": 64, "standard": 128},
    # hands an eighth of the side to the cells, where the ``cifar`` stem hands on all of it
    large_image_options={"stem": "imagenet"},
    recipes={"": "cifar", "imagenet": "imagenet"},
    cells=_cells,
    genotype_pattern="Genotype",
    parse=DartsArchitecture.parse,
)
