"""The charts of a ranking study: bars with intervals, the matrix of mutual tau, scatter plots."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from genas.core.arithmetic import ceil_div
from genas.reporting.figures import BLUE, ORANGE, painted

Paint = Callable[[Any], None]
KINDS = ((False, BLUE, "proxy"), (True, ORANGE, "size alone (params, MACs)"))  # of bars
POINTS = 2000  # at most so many in a scatter plot: every k-th of the draw


@dataclass(frozen=True)
class Chart:
    """Something to draw, as SVG or PNG.

    Args:
        paint: given an empty figure.
        size: in inches.
    """

    paint: Paint
    size: tuple[float, float]

    def svg(self) -> str:
        """The SVG element."""
        return painted(self.paint, self.size)["svg"].decode()

    def png(self) -> bytes:
        """The PNG file."""
        return painted(self.paint, self.size, ("png",))["png"]


@dataclass(frozen=True)
class Bar:
    """One bar with its interval; a baseline is drawn in another colour."""

    name: str
    value: float
    low: float | None
    high: float | None
    baseline: bool = False


def bars(rows: Sequence[Bar], label: str) -> Chart:
    """Horizontal bars, the first on top.

    Args:
        rows: in the order of drawing.
        label: of the axis.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            colour = ORANGE if row.baseline else BLUE
            axes.barh(place, row.value, height=0.66, color=colour, alpha=0.8, linewidth=0)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color="#1f2937", linewidth=1.4, solid_capstyle="butt")
        axes.axvline(0, color="#9aa3b0", linewidth=1)
        kinds = {row.baseline for row in rows}
        shown: list[Any] = [Patch(color=colour, alpha=0.8, label=name) for key, colour, name in KINDS if key in kinds]
        if any(row.low is not None for row in rows):
            shown.append(Line2D([], [], color="#1f2937", linewidth=1.4, label="interval"))
        figure.legend(handles=shown, loc="outside upper left", ncols=3, fontsize=9, frameon=False)
        axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)

    return Chart(paint, (4.9, 1.2 + 0.27 * len(rows)))


def matrix(names: Sequence[str], values: Sequence[Sequence[float | None]]) -> Chart:
    """Mutual tau, written into the cells."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        numbers = [[float("nan") if value is None else value for value in row] for row in values]
        axes.imshow(numbers, cmap="RdBu", vmin=-1, vmax=1)
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                text = "–" if value is None else f"{value:.2f}".replace("-0.", "-.").replace("0.", ".")
                dark = value is not None and abs(value) > 0.6
                axes.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if dark else "#1f2937")
        short = [_short(name) for name in names]
        axes.set_xticks(range(len(names)), short, rotation=50, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), short)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)

    side = 2.3 + 0.42 * len(names)
    return Chart(paint, (side, side - 0.2))


def scatter(ranks: Sequence[float], truth: Sequence[float], title: str, label: str) -> str:
    """True accuracy against the rank by score, as SVG; written by hand, because a study has dozens of them.

    Args:
        ranks: 100 for the best score, towards 0.
        truth: accuracies.
        title: the proxy.
        label: the table's column.
    """
    step = ceil_div(len(ranks), POINTS)
    low, high = _range(truth)
    wide, tall, left, top = 236, 150, 46, 26  # pixels: the plot, and where it begins

    def across(rank: float) -> float:
        return left + wide * rank / 100

    def up(value: float) -> float:
        return top + tall * (1 - (max(value, low) - low) / (high - low))

    shown = list(zip(ranks[::step], truth[::step], strict=True))
    size = 5 if len(shown) < 300 else 3.4 if len(shown) < 1200 else 2.4
    thinned = f" ({len(shown):,} of {len(ranks):,})" if step > 1 else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 296 222" width="296" height="222" role="img" '
        f'aria-label="{escape(label)} against the rank by {escape(title)}" '
        'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="11" fill="#4b5563">',
        f'<text x="{left}" y="15" font-size="12.5" fill="#1f2937">{escape(_short(title, 36))}</text>',
    ]
    for tick in _ticks(low, high):
        parts.append(f'<path d="M{left} {up(tick):.1f}h{wide}" stroke="#e8ebf0"/>')
        parts.append(f'<text x="{left - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for rank in (0, 50, 100):
        parts.append(f'<text x="{across(rank):.0f}" y="{top + tall + 16}" text-anchor="middle">{rank}</text>')
    parts.append(f'<path d="M{left} {top}v{tall}h{wide}" stroke="#9aa3b0" fill="none"/>')
    for colour, below in ((BLUE, False), (ORANGE, True)):
        points = "".join(f"M{across(rank):.1f} {up(value):.1f}h0" for rank, value in shown if (value < low) is below)
        if points:
            parts.append(
                f'<path d="{points}" stroke="{colour}" stroke-width="{size}" stroke-linecap="round" '
                'stroke-opacity=".6" fill="none"/>'
            )
    middle = left + wide / 2
    parts.append(
        f'<text x="{middle}" y="{top + tall + 34}" text-anchor="middle">rank by score, %{thinned}</text></svg>'
    )
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values between two bounds."""
    size = 10 ** math.floor(math.log10(high - low))
    step = next(size * part for part in (0.2, 0.25, 0.5, 1, 2) if (high - low) / (size * part) <= 6)
    return [round(number * step, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the twentieth of the values that is lowest, if the rest lies close together; else all."""
    ranked = sorted(values)
    low, high = ranked[0], ranked[-1]
    tenth = ranked[len(ranked) // 10]
    if len(ranked) >= 20 and high > tenth and low < high - 3 * (high - tenth):
        low = high - 2 * (high - tenth)
    return low, high + ((high - low) * 0.04 or 1.0)


def _short(name: str, length: int = 30) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
