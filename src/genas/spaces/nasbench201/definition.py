"""What the NAS-Bench-201 space says about itself."""

from genas.spaces.definition import CellGraph, SpaceDefinition, by_scale
from genas.spaces.nasbench201.encoding import EDGES, NasBench201Architecture, function_key


def _cells(architecture: NasBench201Architecture) -> tuple[CellGraph, ...]:
    edges = tuple((*edge, name) for edge, name in zip(EDGES, architecture.operation_names, strict=True))
    return (CellGraph("Cell", ("in", "1", "2", "out"), None, (), edges),)


DEFINITION = SpaceDefinition(
    settings={"supernet": {"nesterov": True, "weight_decay": 5e-4, "clip": None}},  # methods.md 13.3
    as_published={"supernet": {"shifted_schedule": False}},  # 13.3: that code sets the rate of the epoch itself
    sizes=by_scale(cells_per_stage=(1, 1, 2, 5), channels=(4, 8, 16, 16)),
    largest_sides={"quick": 32, "standard": 48},
    recipes={"": "nasbench201"},
    cells=_cells,
    nats_bench="tss",
    genotype_pattern=r"\A\|",
    parse=NasBench201Architecture.parse,
    function_key=function_key,
)
