"""Text forms of architectures by what they look like; no torch needed."""

import re

from genas.errors import GenotypeError
from genas.space.architecture import Architecture
from genas.space.darts import encoding as darts
from genas.space.nasbench201 import encoding as nasbench201
from genas.space.nasbench_macro import encoding as nasbench_macro


def recognise(genotype: str) -> Architecture | None:
    """The architecture of a known space; None for the text form of a user's own space."""
    try:
        if "Genotype" in genotype:
            return darts.DartsArchitecture.parse(genotype)
        if genotype.startswith("|"):
            return nasbench201.NasBench201Architecture.parse(genotype)
        if re.fullmatch(r"[012]{8}", genotype):
            return nasbench_macro.NasBenchMacroArchitecture.parse(genotype)
    except GenotypeError:
        return None
    return None


def short(genotype: str) -> str:
    """The form for tables."""
    known = recognise(genotype)
    return genotype if known is None else known.short


def function_of(genotype: str) -> str:
    """The same text for genotypes of one function (`Space.function_key`), of spaces that are known without torch."""
    known = recognise(genotype)
    return nasbench201.function_key(known) if isinstance(known, nasbench201.NasBench201Architecture) else genotype
