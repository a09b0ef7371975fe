"""Architectures of NAS-Bench-201 (Dong and Yang, ICLR 2020; methods.md 13.1): six edges, five operations."""

import re
from typing import ClassVar, Self

from genas.core.errors import GenotypeError
from genas.spaces.architecture import ChoiceArchitecture
from genas.spaces.names import NASBENCH201_OPERATIONS

EDGES: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, node) of the six edges in their published order."""
PATHS: tuple[tuple[int, ...], ...] = ((3,), (1, 5), (0, 2, 5), (0, 4))
"""The four input-to-output paths as edge numbers."""


class NasBench201Architecture(ChoiceArchitecture):
    """Operation numbers 0..4 of the six edges, in the order of `EDGES`."""

    choices: ClassVar = {f"edge {source}->{node}": NASBENCH201_OPERATIONS for source, node in EDGES}

    @property
    def genotype(self) -> str:
        """``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
        nodes = []
        for node in (1, 2, 3):
            pairs = [
                f"{NASBENCH201_OPERATIONS[number]}~{source}"
                for (source, end), number in zip(EDGES, self.operations, strict=True)
                if end == node
            ]
            nodes.append(f"|{'|'.join(pairs)}|")
        return "+".join(nodes)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the published string, or six operation numbers.

        Raises:
            GenotypeError: with the place where the text goes wrong.
        """
        text = text.strip()
        if re.fullmatch(r"[\s\d,;\[\]()]+", text):
            return super().parse(text)
        return cls(tuple(_read_operations(text)))

    @property
    def active_paths(self) -> tuple[tuple[int, ...], ...]:
        """The input-to-output paths (edge numbers) without a `none`."""
        return tuple(path for path in PATHS if all(self.operations[edge] for edge in path))

    @property
    def unreached(self) -> frozenset[int]:
        """The edges that no signal from the input reaches: their source node has no active input."""
        reached = {0}
        for (source, node), number in zip(EDGES, self.operations, strict=True):
            if number and source in reached:
                reached.add(node)
        return frozenset(index for index, (source, _) in enumerate(EDGES) if source not in reached)


def function_key(architecture: NasBench201Architecture, run_unreached: bool = False) -> str:
    """What the cell computes, as a sum of terms: equal for architectures that are one function of the weights.

    A skip hands its source's terms on, an average pool (linear) pools each of them, a convolution is named by its edge
    because the supernet's weights lie on edges; what does not reach the output vanishes.

    Args:
        architecture: of the cell.
        run_unreached: convolutions of zeros are run and add what their batch norm makes of them, not left out.
    """
    terms: list[list[str]] = [["x"], [], [], []]
    for index, ((source, node), number) in enumerate(zip(EDGES, architecture.operations, strict=True)):
        inputs = terms[source]
        match NASBENCH201_OPERATIONS[number]:
            case "skip_connect":
                terms[node] += inputs
            case "avg_pool_3x3":
                terms[node] += [f"pool({term})" for term in inputs]
            case "nor_conv_1x1" | "nor_conv_3x3" as name if inputs or run_unreached:
                terms[node].append(f"{name}@{index}({'+'.join(sorted(inputs))})")
    return "+".join(sorted(terms[3])) or "0"


def _read_operations(text: str) -> list[int]:
    """The operation numbers of the published string."""
    numbers = []
    at = 0

    def expect(mark: str) -> None:
        nonlocal at
        if not text.startswith(mark, at):
            came = repr(text[at : at + 12]) if at < len(text) else "the end"
            raise GenotypeError(f"genotype, character {at + 1}: expected {mark!r}, got {came}.")
        at += len(mark)

    for node in (1, 2, 3):
        if node > 1:
            expect("+")
        expect("|")
        for source in range(node):
            match = re.compile(r"[A-Za-z0-9_]*").match(text, at)
            name = match.group() if match else ""
            if name not in NASBENCH201_OPERATIONS:
                raise GenotypeError(
                    f"genotype, character {at + 1} (edge {source}->{node}): expected one of "
                    f"{', '.join(NASBENCH201_OPERATIONS)}, got {name!r}."
                )
            numbers.append(NASBENCH201_OPERATIONS.index(name))
            at += len(name)
            expect(f"~{source}")
            expect("|")
    if at < len(text):
        raise GenotypeError(f"genotype, character {at + 1}: expected the end, got {text[at : at + 12]!r}.")
    return numbers
