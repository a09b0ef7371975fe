"""Text forms of architectures by what they look like; no torch needed."""

from genas.spaces.definition import definition_of, recognise, space_of


def short(genotype: str) -> str:
    """The form for tables; the genotype itself where it is of a custom space."""
    found = recognise(genotype)
    return genotype if found is None else found[1].short


def function_of(genotype: str) -> str:
    """The same text for genotypes of one function (`Space.function_key`), of spaces that are known without torch."""
    name = space_of(genotype)
    key = None if name is None else definition_of(name).function_key
    found = None if key is None else recognise(genotype)  # reading a genotype takes longer than all else here
    return genotype if found is None or key is None else key(found[1])
