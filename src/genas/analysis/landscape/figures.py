"""The figures of a landscape: lines, noise, contours and surfaces, all networks in one figure each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genas.core.arithmetic import ceil_div
from genas.reporting.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, painted

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "#b3365b", "#3b8ea5", "#6b5b2e")
FORMATS = ("svg", "png")
LEVELS = 15  # contour levels, common to all panels
COLUMNS = 3  # panels side by side


@dataclass(frozen=True)
class Band:
    """A curve with its spread.

    Args:
        label: of the network.
        x: coordinates.
        middle: median over directions or draws.
        low: 10th percentile.
        high: 90th percentile.
    """

    label: str
    x: tuple[float, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Plane:
    """Losses on a grid; rows are y, columns x, both from -reach to reach."""

    label: str
    side: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]


def bands(curves: Sequence[Band], across: str, data: str) -> dict[str, bytes]:
    """Median and 10-90 % band of each network; a logarithmic axis where losses differ by more than tenfold."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for number, curve in enumerate(curves):
            colour = COLOURS[number % len(COLOURS)]
            middle, low, high = (_finite(values) for values in (curve.middle, curve.low, curve.high))
            axes.plot(curve.x, middle, "-", color=colour, linewidth=1.8, label=curve.label)
            axes.fill_between(curve.x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xlabel(across)
        axes.set_ylabel(f"{data} loss")
        seen = [value for curve in curves for value in (*_seen(curve.high), *_seen(curve.low))]
        if min(seen) > 0 and max(seen) > 10 * min(seen):
            _plain_log(axes, "y")
        if len(curves) > 1:
            axes.legend(loc="best", fontsize=9)

    return painted(paint, (4.7, 3.1), FORMATS)


def contours(planes: Sequence[Plane], data: str) -> dict[str, bytes]:
    """A panel for each network, with common levels and colours."""

    def paint(figure: Any) -> None:
        levels, norm = _scale(planes)
        panels = _panels(figure, len(planes), {})
        for axes, plane in zip(panels, planes, strict=True):
            rows = [_finite(row) for row in plane.losses]
            filled = axes.contourf(
                plane.side, plane.side, rows, levels=levels, norm=norm, cmap="viridis", extend="both"
            )
            axes.contour(plane.side, plane.side, rows, levels=levels, colors="white", linewidths=0.6, alpha=0.7)
            axes.plot([0], [0], "+", color="white", markersize=8)
            axes.set_title(plane.label, fontsize=10.5)
            axes.set_aspect("equal")
            axes.grid(False)
            axes.set_xlabel("along direction 0")
        panels[0].set_ylabel("along direction 1")
        bar = figure.colorbar(filled, ax=panels, ticks=levels[::2], shrink=0.85)
        bar.ax.set_yticklabels([f"{level:.3g}" for level in levels[::2]])
        bar.ax.minorticks_off()
        bar.set_label(f"{data} loss")

    return painted(paint, _size(len(planes), 3.3), FORMATS)


def surfaces(planes: Sequence[Plane], data: str) -> dict[str, bytes]:
    """As `contours`, as surfaces with a common height axis; the height is logarithmic where the levels are."""

    def paint(figure: Any) -> None:
        import numpy
        from matplotlib.colors import LogNorm

        levels, norm = _scale(planes)
        for axes, plane in zip(_panels(figure, len(planes), {"projection": "3d"}), planes, strict=True):
            losses = numpy.array([_finite(row) for row in plane.losses])
            height = numpy.clip(losses, levels[0], levels[-1])
            logarithmic = isinstance(norm, LogNorm)
            z = numpy.log10(height) if logarithmic else height
            x, y = numpy.meshgrid(plane.side, plane.side)
            from matplotlib import colormaps

            axes.plot_surface(
                x, y, z, facecolors=colormaps["viridis"](norm(height)), rstride=1, cstride=1, linewidth=0.2, shade=False
            )
            ends = (levels[0], levels[-1])
            low, high = numpy.log10(ends) if logarithmic else ends
            axes.set_zlim(low, high)
            ticks = numpy.linspace(low, high, 4)
            axes.set_zticks(ticks, [f"{(10**tick if logarithmic else tick):.2g}" for tick in ticks])
            axes.set_title(plane.label, fontsize=10.5)
            ends_and_middle = [plane.side[0], 0.0, plane.side[-1]]
            axes.set_xticks(ends_and_middle)
            axes.set_yticks(ends_and_middle)
            axes.tick_params(labelsize=8)
            axes.set_zlabel(f"{data} loss", fontsize=9)

    return painted(paint, _size(len(planes), 3.6), FORMATS)


def _panels(figure: Any, count: int, options: dict[str, Any]) -> list[Any]:
    columns = min(count, COLUMNS)
    rows = ceil_div(count, columns)
    return [figure.add_subplot(rows, columns, number + 1, **options) for number in range(count)]


def _size(count: int, side: float) -> tuple[float, float]:
    columns = min(count, COLUMNS)
    return side * columns + 1.8, side * ceil_div(count, columns)


def _scale(planes: Sequence[Plane]) -> tuple[Any, Any]:
    """Common levels and their norm: from the least loss to the 95th percentile, logarithmic beyond fourfold."""
    import numpy
    from matplotlib.colors import LogNorm, Normalize

    losses = numpy.sort([value for plane in planes for row in plane.losses for value in _seen(row)])
    low, high = float(losses[0]), float(losses[int(0.95 * (len(losses) - 1))])
    high = high if high > low else low + max(abs(low), 1e-9) * 1e-3
    if low > 0 and high > 4 * low:
        return numpy.geomspace(low, high, LEVELS), LogNorm(low, high)
    return numpy.linspace(low, high, LEVELS), Normalize(low, high)


def _plain_log(axes: Any, which: str) -> None:
    """A logarithmic axis with plain numbers on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log") if which == "y" else axes.set_xscale("log")
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _seen(values: Sequence[float]) -> list[float]:
    return [value for value in values if value not in (float("inf"), float("-inf")) and value == value]


def _finite(values: Sequence[float]) -> list[float]:
    """Infinite losses leave gaps."""
    return [value if value not in (float("inf"), float("-inf")) else float("nan") for value in values]
