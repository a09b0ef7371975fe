"""Architectures of the DARTS space: what is legal, and their text forms (methods.md 1.1, 1.3).

A cell has inputs 0 and 1 and nodes 2..5; every node keeps exactly two incoming edges with one operation each. The
28-number form has 14 numbers per cell, edge (input j, node n) at ``j + (2 + ... + (n-1))``, 0 for an unused edge.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from genas.core.errors import GenotypeError
from genas.spaces.architecture import Architecture
from genas.spaces.names import DARTS_OPERATIONS

NODES = 4
EDGES = 14
Pair = tuple[int, int]  # operation number 1..7, input index
Cell = tuple[tuple[Pair, Pair], ...]  # four nodes, pairs sorted by input


def edge_index(source: int, node: int) -> int:
    """Number of the edge from `source` to `node` (2..5) among a cell's 14."""
    return source + sum(range(2, node))


@dataclass(frozen=True)
class DartsArchitecture(Architecture):
    """A normal and a reduction cell, each four nodes of two (operation number, input) pairs sorted by input."""

    normal: Cell
    reduce: Cell

    def __post_init__(self) -> None:
        for label, cell in (("normal", self.normal), ("reduce", self.reduce)):
            _check(label, cell)

    @classmethod
    def parse(cls, text: str) -> "DartsArchitecture":
        """Reads the published ``Genotype(...)`` text or the 28-number form, with or without separators.

        Raises:
            GenotypeError: with the place where the text goes wrong.
        """
        if re.fullmatch(r"\s*\d{14}\s*/?\s*\d{14}\s*", text):
            return from_edges([int(digit) for digit in text if digit.isdigit()])
        if re.fullmatch(r"[\s\d,;/|\[\]()-]+", text):
            return from_edges([int(number) for number in re.findall(r"-?\d+", text)])
        return _GenotypeReader(text).read()

    @property
    def genotype(self) -> str:
        """The published form, ``Genotype(normal=[...], normal_concat=range(2, 6), ...)``."""

        def text(cell: Cell) -> str:
            return ", ".join(f"('{DARTS_OPERATIONS[number]}', {source})" for node in cell for number, source in node)

        return (
            f"Genotype(normal=[{text(self.normal)}], normal_concat=range(2, 6), "
            f"reduce=[{text(self.reduce)}], reduce_concat=range(2, 6))"
        )

    @property
    def short(self) -> str:
        """The 28 numbers without spaces, the cells parted by a slash."""
        digits = "".join(str(number) for number in self.edges)
        return f"{digits[:EDGES]}/{digits[EDGES:]}"

    def cell(self, reduction: bool) -> Cell:
        """The reduction cell or the normal one."""
        return self.reduce if reduction else self.normal

    @property
    def edges(self) -> tuple[int, ...]:
        """The 28-number form."""
        numbers = [0] * (2 * EDGES)
        for start, cell in ((0, self.normal), (EDGES, self.reduce)):
            for node, pairs in enumerate(cell, 2):
                for number, source in pairs:
                    numbers[start + edge_index(source, node)] = number
        return tuple(numbers)


def from_edges(numbers: Sequence[int]) -> DartsArchitecture:
    """An architecture from its 28 numbers.

    Raises:
        GenotypeError: not 28, out of range, or a node without exactly two edges.
    """
    if len(numbers) != 2 * EDGES:
        raise GenotypeError(f"expected 28 numbers (14 for the normal cell, 14 for the reduction), got {len(numbers)}.")
    cells = []
    for label, start in (("normal", 0), ("reduce", EDGES)):
        nodes = []
        for node in range(2, 2 + NODES):
            pairs = []
            for source in range(node):
                at = start + edge_index(source, node)
                if not 0 <= numbers[at] < len(DARTS_OPERATIONS):
                    raise GenotypeError(
                        f"{label} cell, edge {source}->{node} (number {at + 1} of 28): "
                        f"expected 0 to 7, got {numbers[at]}."
                    )
                if numbers[at]:
                    pairs.append((numbers[at], source))
            if len(pairs) != 2:
                raise GenotypeError(f"{label} cell, node {node}: expected exactly 2 used edges, got {len(pairs)}.")
            nodes.append((pairs[0], pairs[1]))
        cells.append(tuple(nodes))
    return DartsArchitecture(cells[0], cells[1])


def repair(numbers: Sequence[int], rng: random.Random) -> DartsArchitecture:
    """Makes 28 arbitrary operation numbers legal (methods.md 1.3).

    Per node, surplus edges are dropped and missing ones filled with a uniform operation, chosen uniformly.
    """
    fixed = list(numbers)
    for start in (0, EDGES):
        for node in range(2, 2 + NODES):
            places = [start + edge_index(source, node) for source in range(node)]
            used = [place for place in places if fixed[place]]
            free = [place for place in places if not fixed[place]]
            if len(used) > 2:
                for place in rng.sample(used, len(used) - 2):
                    fixed[place] = 0
            elif len(used) < 2:
                for place in rng.sample(free, 2 - len(used)):
                    fixed[place] = rng.randrange(1, len(DARTS_OPERATIONS))
    return from_edges(fixed)


def draft_text(numbers: Sequence[int]) -> str:
    """A text of its own for any 28 operation numbers: the genotype of legal ones, the numbers of others."""
    try:
        return from_edges(numbers).genotype
    except GenotypeError:
        return " ".join(map(str, numbers))


def _check(label: str, cell: Cell) -> None:
    if len(cell) != NODES:
        raise GenotypeError(f"{label} cell: expected {NODES} nodes, got {len(cell)}.")
    for node, pairs in enumerate(cell, 2):
        if len(pairs) != 2:
            raise GenotypeError(f"{label} cell, node {node}: expected 2 edges, got {len(pairs)}.")
        for number, source in pairs:
            if not 1 <= number < len(DARTS_OPERATIONS):
                raise GenotypeError(f"{label} cell, node {node}: expected an operation from 1 to 7, got {number}.")
            if not 0 <= source < node:
                raise GenotypeError(f"{label} cell, node {node}: expected an input from 0 to {node - 1}, got {source}.")
        if pairs[0][1] == pairs[1][1]:
            raise GenotypeError(
                f"{label} cell, node {node}: expected edges from two inputs, got both from input {pairs[0][1]}."
            )
        if pairs[0][1] > pairs[1][1]:
            raise GenotypeError(f"{label} cell, node {node}: the pairs must be sorted by input.")


_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<number>-?\d+)|(?P<string>'[^']*'|\"[^\"]*\")|(?P<mark>[()\[\],=.]))"
)


class _GenotypeReader:
    """A small recursive reader of the published text; nothing is evaluated."""

    def __init__(self, text: str) -> None:
        self.text = text.rstrip()
        self.at = 0

    def fail(self, wanted: str, at: int | None = None) -> NoReturn:
        place = self.at if at is None else at
        rest = self.text[place:].lstrip()
        place = len(self.text) - len(rest)
        raise GenotypeError(f"genotype, character {place + 1}: expected {wanted}, got {rest[:20]!r}.")

    def peek(self) -> tuple[str, str]:
        if self.at >= len(self.text):
            return "end", ""
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.fail("a name, a number, a quoted operation or one of ( ) [ ] , =")
        kind = match.lastgroup or ""
        return kind, match.group(kind)

    def take(self, kind: str, wanted: str, value: str | None = None) -> str:
        found, text = self.peek()
        if found != kind or (value is not None and text != value):
            self.fail(wanted)
        match = _TOKEN.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return text

    def mark(self, value: str) -> None:
        self.take("mark", repr(value), value)

    def skip(self, value: str) -> bool:
        if self.peek() == ("mark", value):
            self.mark(value)
            return True
        return False

    def read(self) -> DartsArchitecture:
        name = self.take("name", "Genotype( or 28 numbers")
        if self.skip("="):  # NAME = Genotype(...)
            name = self.take("name", "Genotype(")
        while self.skip("."):  # module.Genotype
            name = self.take("name", "Genotype")
        if name != "Genotype":
            self.fail("Genotype( or 28 numbers", 0)
        self.mark("(")
        cells: dict[str, Cell] = {}
        while not self.skip(")"):
            key = self.take("name", "normal=, normal_concat=, reduce=, reduce_concat= or )")
            self.mark("=")
            if key in ("normal", "reduce"):
                if key in cells:
                    self.fail(f"{key} once")
                cells[key] = self.cell(key)
            elif key in ("normal_concat", "reduce_concat"):
                self.concat()
            else:
                self.fail("normal, normal_concat, reduce or reduce_concat")
            if not self.skip(","):
                self.mark(")")
                break
        if self.at < len(self.text):
            self.fail("nothing more")
        for key in ("normal", "reduce"):
            if key not in cells:
                self.fail(f"{key}=[...]")
        return DartsArchitecture(cells["normal"], cells["reduce"])

    def cell(self, label: str) -> Cell:
        pairs: list[Pair] = []
        self.mark("[")
        while not self.skip("]"):
            node = 2 + len(pairs) // 2
            here = f"{label} cell, node {node}"
            self.mark("(")
            operation = self.take("string", f"{here}: a quoted operation")[1:-1]
            if operation not in DARTS_OPERATIONS[1:]:
                known = ", ".join(DARTS_OPERATIONS[1:])
                raise GenotypeError(f"{here}: expected one of {known}, got {operation!r}.")
            self.mark(",")
            source = int(self.take("number", f"{here}: the number of an input"))
            self.mark(")")
            pairs.append((DARTS_OPERATIONS.index(operation), source))
            if not self.skip(","):
                self.mark("]")
                break
        if len(pairs) != 2 * NODES:
            raise GenotypeError(f"{label} cell: expected 8 pairs, two for each node, got {len(pairs)}.")
        nodes = []
        for first, second in zip(pairs[::2], pairs[1::2], strict=True):
            nodes.append((first, second) if first[1] <= second[1] else (second, first))
        return tuple(nodes)

    def concat(self) -> None:
        start = self.at
        if self.peek()[0] == "name":
            self.take("name", "range(2, 6)", "range")
            self.mark("(")
            first = int(self.take("number", "2"))
            self.mark(",")
            last = int(self.take("number", "6"))
            self.mark(")")
            nodes = list(range(first, last))
        else:
            self.mark("[")
            nodes = []
            while not self.skip("]"):
                nodes.append(int(self.take("number", "the number of a node")))
                self.skip(",")
        if nodes != [2, 3, 4, 5]:
            self.fail("range(2, 6): the concatenation of nodes 2 to 5", start)
