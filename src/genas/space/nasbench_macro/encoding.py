"""Architectures of NAS-Bench-Macro (Su et al., CVPR 2021; methods.md 14): eight layers, three operations."""

import re
from dataclasses import dataclass

from genas.errors import GenotypeError
from genas.space.architecture import Architecture
from genas.space.names import NASBENCH_MACRO_OPERATIONS

STAGES = (2, 3, 3)
"""Layers per stage; the first of each halves the side and doubles the width."""
LAYERS = sum(STAGES)
FIRST = tuple(sum(STAGES[:stage]) for stage in range(len(STAGES)))
"""Positions of the first layers of the stages."""


@dataclass(frozen=True)
class NasBenchMacroArchitecture(Architecture):
    """Operation numbers 0..2 of the eight layers."""

    operations: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != LAYERS:
            raise GenotypeError(f"expected {LAYERS} operations, one for each layer, got {len(self.operations)}.")
        for layer, number in enumerate(self.operations):
            if not 0 <= number < len(NASBENCH_MACRO_OPERATIONS):
                raise GenotypeError(f"layer {layer}: expected an operation from 0 to 2, got {number}.")

    @property
    def genotype(self) -> str:
        """The benchmark's string of eight digits, such as ``02012100``."""
        return "".join(str(number) for number in self.operations)


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


def parse(text: str) -> NasBenchMacroArchitecture:
    """Reads eight digits 0..2, with or without separators.

    Raises:
        GenotypeError: with the place where the text goes wrong.
    """
    wrong = re.search(r"[^\s\d,;\[\]()]", text)
    if wrong or not text.strip():
        place = wrong.start() if wrong else 0
        came = repr(text[place : place + 12]) if wrong else "the end"
        raise GenotypeError(f"genotype, character {place + 1}: expected eight digits from 0 to 2, got {came}.")
    numbers = re.findall(r"\d+", text)
    digits = numbers[0] if len(numbers) == 1 else numbers
    return NasBenchMacroArchitecture(tuple(int(digit) for digit in digits))
