"""Architectures of NAS-Bench-Macro (Su et al., CVPR 2021; methods.md 14): eight layers, three operations."""

from typing import ClassVar

from genas.spaces.architecture import ChoiceArchitecture
from genas.spaces.names import NASBENCH_MACRO_OPERATIONS

STAGES = (2, 3, 3)
"""Layers per stage; the first of each halves the side and doubles the width."""
LAYERS = sum(STAGES)
FIRST = tuple(sum(STAGES[:stage]) for stage in range(len(STAGES)))
"""Positions of the first layers of the stages."""


class NasBenchMacroArchitecture(ChoiceArchitecture):
    """Operation numbers 0..2 of the eight layers; the text form is the benchmark's, such as ``02012100``."""

    choices: ClassVar = {f"layer {layer}": NASBENCH_MACRO_OPERATIONS for layer in range(LAYERS)}


def canonical(architecture: NasBenchMacroArchitecture) -> NasBenchMacroArchitecture:
    """The one of all architectures with the same stand-alone network that has its identities at the end of each stage.

    An identity behind the first layer of a stage does nothing, wherever it stands, so the benchmark trains 3,969
    networks for its 6,561 strings. (In a supernet they differ: its weights lie on layers.)
    """
    operations: list[int] = []
    for first, count in zip(FIRST, STAGES, strict=True):
        head, *rest = architecture.operations[first : first + count]
        operations += [head, *(number for number in rest if number), *(number for number in rest if not number)]
    return NasBenchMacroArchitecture(tuple(operations))
