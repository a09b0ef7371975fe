"""What the NAS-Bench-Macro space says about itself."""

from genas.spaces.definition import CellGraph, SpaceDefinition, by_scale
from genas.spaces.nasbench_macro.encoding import LAYERS, NasBenchMacroArchitecture


def _cells(architecture: NasBenchMacroArchitecture) -> tuple[CellGraph, ...]:
    edges = tuple((layer, layer + 1, name) for layer, name in enumerate(architecture.operation_names))
    return (CellGraph("Layers", ("in", *map(str, range(LAYERS))), None, (), edges),)


DEFINITION = SpaceDefinition(
    sizes=by_scale(channels=(4, 8, 16, 32), tail_channels=(64, 128, 320, 1280)),
    largest_sides={"quick": 32, "standard": 48},
    recipes={"": "nasbench-macro"},
    cells=_cells,
    genotype_pattern=r"\A[012]{8}\Z",
    parse=NasBenchMacroArchitecture.parse,
)
