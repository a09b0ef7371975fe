"""Draws cells as arc diagrams in SVG: nodes on one line, each operation an arc with its name at the apex.

The height of an arc depends on how many columns it spans, so two names on one side can share a place only if the edges
are the same: no layout search is needed and nothing ever overlaps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from genas.core.errors import GenasError
from genas.spaces.definition import SPACES, CellGraph, definition_of, recognise

_COLUMN, _STEP, _NODE, _MARGIN = 122, 34, 15, 46  # pixels: between nodes, per spanned column, node radius, edge of page
_COLOURS = (
    ("none", "#b9bec7"),
    ("skip", "#2b8a5a"),
    ("max_pool", "#c2701a"),
    ("avg_pool", "#c2701a"),
    ("dil_conv", "#7b4bb7"),
    ("sep_conv", "#2763b8"),
    ("nor_conv", "#2763b8"),
    ("mbconv", "#2763b8"),
    ("identity", "#2b8a5a"),
)


def cell_graphs(genotype: str, space: Mapping[str, Any] | None = None) -> tuple[CellGraph, ...]:
    """The cells of an architecture, as its space draws them; none for a space that does not say how.

    Args:
        genotype: its text form.
        space: name and options of the space; None for a built-in one, which the text tells.
    """
    found = recognise(genotype)
    try:
        if found is not None:
            name, architecture = found
        elif space is not None:
            options = dict(space)
            name = str(options.pop("name"))
            architecture = SPACES.find(name).from_options(name, options).parse(genotype)
        else:
            return ()
        cells = definition_of(name).cells
    except GenasError:  # the custom class is gone, or has changed
        return ()
    return () if cells is None else cells(architecture)


def draw_cell(graph: CellGraph) -> str:
    """The SVG of a cell, without outside references."""
    arcs = _arcs(graph)
    above = max((arc.height for arc in arcs if arc.side < 0), default=0) + 22
    below = max((arc.height for arc in arcs if arc.side > 0), default=0) + 22
    columns = len(graph.nodes) + (graph.output is not None)
    width, total = 2 * _MARGIN + _COLUMN * (columns - 1), above + below
    label = f"{graph.title}: " + ", ".join(
        f"{operation} from {graph.nodes[source]} to {graph.nodes[target]}" for source, target, operation in graph.edges
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {total:.0f}" width="{width:.0f}" '
        f'height="{total:.0f}" role="img" aria-label="{escape(label)}" '
        'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="12.5">'
    ]
    if graph.output is not None and graph.concatenated:
        first, last = _at(min(graph.concatenated)), _at(len(graph.nodes))
        parts.append(
            f'<line x1="{first:.0f}" y1="{above:.0f}" x2="{last:.0f}" y2="{above:.0f}" '
            'stroke="#d3d7de" stroke-width="7"/>'
        )
    parts += [part for arc in arcs for part in _draw_arc(arc, above)]
    parts += [_draw_name(arc, above) for arc in arcs]
    parts += _draw_nodes(graph, above)
    parts.append("</svg>")
    return "".join(parts)


@dataclass(frozen=True)
class _Arc:
    """An operation from column `source` to column `target`, above the line (side -1) or below it (side 1)."""

    source: int
    target: int
    operation: str
    side: int

    @property
    def height(self) -> float:
        return 26 + _STEP * (self.target - self.source - 1)

    @property
    def colour(self) -> str:
        return next((value for start, value in _COLOURS if self.operation.startswith(start)), "#444")


def _arcs(graph: CellGraph) -> list[_Arc]:
    """The edges; a node's first input lies above, its second below, and so on."""
    arcs: list[_Arc] = []
    seen: dict[int, int] = {}
    for source, target, operation in graph.edges:
        arcs.append(_Arc(source, target, operation, -1 if seen.get(target, 0) % 2 == 0 else 1))
        seen[target] = seen.get(target, 0) + 1
    return arcs


def _at(column: int) -> float:
    return _MARGIN + _COLUMN * column


def _draw_arc(arc: _Arc, line: float) -> Iterator[str]:
    """The curve, and its head unless the operation gives nothing."""
    side, dead = arc.side, arc.operation == "none"
    x1, x2 = _at(arc.source) + 5, _at(arc.target) - 5
    y1 = line + side * (_NODE - 2)
    control = line + side * arc.height * 4 / 3 - side * (_NODE - 2) / 3
    pull = min(34.0, (x2 - x1) / 3)
    dash = ' stroke-dasharray="2 4"' if dead else ""
    yield (
        f'<path d="M{x1:.1f} {y1:.1f} C{x1 + pull:.1f} {control:.1f} {x2 - pull:.1f} {control:.1f} '
        f'{x2:.1f} {y1 + side * 5:.1f}" fill="none" stroke="{arc.colour}" stroke-width="{1.2 if dead else 1.9}"{dash}/>'
    )
    if not dead:
        tip = y1 + side * 1
        yield (
            f'<path d="M{x2 - 4.5:.1f} {tip + side * 8:.1f} L{x2 + 0.5:.1f} {tip:.1f} '
            f'L{x2 + 4:.1f} {tip + side * 8.5:.1f} Z" fill="{arc.colour}"/>'
        )


def _draw_name(arc: _Arc, line: float) -> str:
    """The operation's name at the apex."""
    x, y = (_at(arc.source) + 5 + (_at(arc.target) - 5)) / 2, line + arc.side * arc.height
    wide = 6.9 * len(arc.operation) + 12
    return (
        f'<rect x="{x - wide / 2:.1f}" y="{y - 10:.1f}" width="{wide:.1f}" height="20" rx="10" fill="#fff" '
        f'stroke="{arc.colour}" stroke-opacity=".35"/>'
        f'<text x="{x:.1f}" y="{y + 4.3:.1f}" text-anchor="middle" fill="{arc.colour}">{escape(arc.operation)}</text>'
    )


def _draw_nodes(graph: CellGraph, line: float) -> Iterator[str]:
    for column, name in enumerate(graph.nodes):
        outer = not any(target == column for _, target, _ in graph.edges)
        fill, ink = ("#1f2937", "#fff") if outer or name == "out" else ("#fff", "#1f2937")
        wide = 40 if len(name) > 1 else 2 * _NODE
        yield (
            f'<rect x="{_at(column) - wide / 2:.1f}" y="{line - _NODE:.1f}" width="{wide}" height="{2 * _NODE}" '
            f'rx="{_NODE}" fill="{fill}" stroke="#1f2937" stroke-width="1.5"/>'
            f'<text x="{_at(column):.1f}" y="{line + 4.5:.1f}" text-anchor="middle" fill="{ink}">{escape(name)}</text>'
        )
    if graph.output is not None:
        x = _at(len(graph.nodes))
        yield (
            f'<rect x="{x - 32:.1f}" y="{line - _NODE:.1f}" width="64" height="{2 * _NODE}" rx="{_NODE}" '
            'fill="#1f2937"/>'
            f'<text x="{x:.1f}" y="{line + 4.5:.1f}" text-anchor="middle" fill="#fff">{escape(graph.output)}</text>'
        )
