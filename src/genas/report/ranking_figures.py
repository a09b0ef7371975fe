"""The charts of a ranking study: bars with intervals, the matrix of mutual tau, scatter plots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genas.report.figures import BLUE, ORANGE, draw

Paint = Callable[[Any], None]


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
        text = draw(self.paint, self.size).decode()
        return text[text.index("<svg") :]

    def png(self) -> bytes:
        """The PNG file."""
        return draw(self.paint, self.size, "png")


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

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            colour = ORANGE if row.baseline else BLUE
            axes.barh(place, row.value, height=0.66, color=colour, alpha=0.8, linewidth=0)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color="#1f2937", linewidth=1.4, solid_capstyle="butt")
        axes.axvline(0, color="#9aa3b0", linewidth=1)
        axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)

    return Chart(paint, (4.9, 0.95 + 0.27 * len(rows)))


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


def scatter(ranks: Sequence[float], truth: Sequence[float], title: str, label: str) -> Chart:
    """True accuracy against the rank by score.

    Args:
        ranks: 100 for the best score, towards 0.
        truth: accuracies.
        title: the proxy.
        label: the table's column.
    """

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        low, high = _range(truth)
        shown = [max(value, low) for value in truth]
        outside = [value < low for value in truth]
        colours = [ORANGE if out else BLUE for out in outside]
        size = 10 if len(truth) < 400 else 5 if len(truth) < 3000 else 2
        # points as a picture: thousands of them would make a heavy page
        axes.scatter(ranks, shown, s=size, c=colours, alpha=0.55, linewidths=0, rasterized=True)
        axes.set_title(_short(title, 34), fontsize=10.5)
        axes.set_xlim(-2, 102)
        axes.set_ylim(low - (high - low) * 0.03, high)
        axes.set_xlabel("rank by score, % (right: best)")
        axes.set_ylabel(_short(label, 20))

    return Chart(paint, (3.1, 2.5))


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the twentieth of the values that is lowest, if the rest lies close together; else all."""
    ranked = sorted(values)
    low, high = ranked[0], ranked[-1]
    tenth = ranked[len(ranked) // 10]
    if len(ranked) >= 20 and high > tenth and low < high - 3 * (high - tenth):
        low = high - 2 * (high - tenth)
    return low, high + (high - low) * 0.04 or low + 1


def _short(name: str, length: int = 30) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
