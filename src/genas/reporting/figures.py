"""The report's charts, drawn by matplotlib as SVG."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genas.core.run_folder import write_atomically
from genas.reporting.data import CalibrationBin, Candidate, CorruptionCurve, NoiseCurve, Progress, TrainingCurve

BLUE, ORANGE, GREEN, GREY, PURPLE = "#2763b8", "#c2701a", "#2b8a5a", "#8a93a3", "#7b4bb7"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "genas",
    "font.family": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3b0",
    "axes.labelcolor": "#374151",
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "axes.grid": True,
    "grid.color": "#e8ebf0",
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}


def painted(
    paint: Callable[[Any], None], size: tuple[float, float], formats: tuple[str, ...] = ("svg",)
) -> dict[str, bytes]:
    """A figure in the style of the reports.

    Args:
        paint: draws on an empty matplotlib figure.
        size: width and height in inches.
        formats: of ``svg`` and ``png``.

    Returns:
        The files by format; the same image gives the same bytes.
    """
    import logging

    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    finder = logging.getLogger("matplotlib.font_manager")
    level = finder.level
    finder.setLevel(logging.ERROR)  # a family of the list that is not installed is no news
    files = {}
    try:
        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(figure)
            paint(figure)
            for name in formats:
                out = io.BytesIO()
                nothing = {"Date": None, "Creator": None} if name == "svg" else {"Software": None}
                figure.savefig(out, format=name, metadata=nothing, dpi=160)
                files[name] = out.getvalue()
    finally:
        finder.setLevel(level)
    if "svg" in files:
        files["svg"] = files["svg"][files["svg"].index(b"<svg") :]
    return files


def write_figures(folder: Path, drawn: Mapping[str, Mapping[str, bytes]]) -> None:
    """Writes what `painted` gave, by file name without suffix, into ``figures/`` of a folder."""
    for name, files in drawn.items():
        for suffix, file in files.items():
            write_atomically(folder / "figures" / f"{name}.{suffix}", file)


def _draw(paint: Callable[[Any], None], size: tuple[float, float] = (4.7, 3.1)) -> str:
    return painted(lambda figure: paint(figure.add_subplot()), size)["svg"].decode()


def search_progress(history: tuple[Progress, ...]) -> str:
    """Every score in the order of scoring, and the best so far."""

    def paint(axes: Any) -> None:
        places = [point.index + 1 for point in history]
        scores = [point.score for point in history]
        best = _running(scores)
        axes.scatter(places, scores, s=13, color=GREY, linewidths=0, alpha=0.75, label="an architecture")
        axes.step(places, best, where="post", color=BLUE, linewidth=2, label="best so far")
        starts = [point.index + 0.5 for point, before in zip(history[1:], history, strict=False)]
        for start, point, before in zip(starts, history[1:], history, strict=False):
            if point.generation != before.generation and history[-1].generation <= 30:
                axes.axvline(start, color="#d5dae2", linewidth=1, zorder=0)
        axes.set_xlabel("architectures scored (lines: generations)")
        axes.set_ylabel("score")
        low, high = _range(scores)
        axes.set_ylim(low, high)
        axes.legend(loc="lower right", fontsize=9)

    return _draw(paint)


def _running(scores: list[float]) -> list[float]:
    best, out = float("-inf"), []
    for score in scores:
        best = max(best, score)
        out.append(best)
    return out


def _range(values: list[float]) -> tuple[float, float]:
    """All values unless a few outliers below would flatten the rest."""
    ranked = sorted(values)
    high, low = ranked[-1], ranked[0]
    fifth = ranked[len(ranked) // 20]
    if len(ranked) > 20 and high > fifth and low < high - 4 * (high - fifth):
        low = high - 2 * (high - fifth)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def score_and_size(best: tuple[Candidate, ...]) -> str:
    """Score against multiply-accumulates of the best architectures."""

    def paint(axes: Any) -> None:
        axes.scatter(
            [c.macs / 1e6 for c in best[1:]], [c.score for c in best[1:]], s=36, color=GREY, label="the others"
        )
        axes.scatter([best[0].macs / 1e6], [best[0].score], s=64, color=BLUE, label="the best", zorder=3)
        axes.set_xlabel("MACs of the path in the supernet, millions")
        axes.set_ylabel("score")
        axes.legend(loc="best", fontsize=9)

    return _draw(paint)


STRENGTH = {
    "absolute": "standard deviation of the weight noise",
    "filter": "norm of the weight noise / norm of the filter",
}


def noise(curves: tuple[NoiseCurve, ...], measured: tuple[float, ...] = (), scale: str = "absolute") -> str:
    """Validation loss against the strength of the weight noise, and where flatness was measured."""
    colours = {"best": BLUE, "median": GREY, "worst": ORANGE}

    def paint(axes: Any) -> None:
        for curve in curves:
            colour = colours.get(curve.label, GREEN)
            axes.plot(curve.sigmas, curve.losses, "o-", color=colour, markersize=4, linewidth=1.8, label=curve.label)
            low = [loss - spread for loss, spread in zip(curve.losses, curve.spread, strict=True)]
            high = [loss + spread for loss, spread in zip(curve.losses, curve.spread, strict=True)]
            axes.fill_between(curve.sigmas, low, high, color=colour, alpha=0.15, linewidth=0)
        for sigma in measured:
            axes.axvline(sigma, color="#d5dae2", linewidth=1, zorder=0)
        axes.set_xlabel(STRENGTH[scale])
        axes.set_ylabel("validation loss")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.28 * (high - low))  # room for the legend
        axes.legend(loc="upper left", fontsize=9)

    return _draw(paint)


def training(curve: TrainingCurve) -> str:
    """Loss (left) and accuracy (right) by epoch."""

    def paint(axes: Any) -> None:
        marker = "o-" if len(curve.epochs) < 3 else "-"
        axes.plot(curve.epochs, curve.columns["loss"], marker, color=BLUE, linewidth=1.8, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss", color=BLUE)
        if "accuracy" in curve.columns:
            right = axes.twinx()
            right.grid(False)
            right.spines["right"].set_visible(True)
            percent = [100 * value for value in curve.columns["accuracy"]]
            right.plot(curve.epochs, percent, marker, color=ORANGE, linewidth=1.8, markersize=4)
            right.set_ylabel("training accuracy, %", color=ORANGE)

    return _draw(paint)


def corruption(curves: tuple[CorruptionCurve, ...]) -> str:
    """Accuracy by severity: thin lines for corruptions, bold ones for the means of their groups."""
    groups = list(dict.fromkeys(curve.group for curve in curves))
    colours = dict(zip(groups, (BLUE, ORANGE, GREEN, PURPLE), strict=False))

    def paint(axes: Any) -> None:
        for group in groups:
            rows = [[100 * value for value in curve.accuracies] for curve in curves if curve.group == group]
            colour, places = colours.get(group, GREY), range(len(rows[0]))
            if len(rows) > 1:
                for row in rows:
                    axes.plot(places, row, "-", color=colour, linewidth=0.8, alpha=0.35)
            means = [sum(column) / len(column) for column in zip(*rows, strict=True)]
            axes.plot(places, means, "o-", color=colour, linewidth=2, markersize=4, label=group)
        axes.set_xlabel("severity")
        axes.set_ylabel("accuracy, %")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left", fontsize=9)

    return _draw(paint)


def reliability(bins: tuple[CalibrationBin, ...]) -> str:
    """Accuracy against confidence, with the interval of every bin; its number of images beside it."""

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="calibrated")
        confidence = [one.confidence for one in bins]
        low = [max(0.0, one.accuracy - one.low) for one in bins]
        high = [max(0.0, one.high - one.accuracy) for one in bins]
        axes.errorbar(
            confidence,
            [one.accuracy for one in bins],
            yerr=[low, high],
            fmt="o",
            color=BLUE,
            markersize=4,
            linewidth=1.4,
            label="accuracy, 95 %",
        )
        least, most = min(one.count for one in bins), max(one.count for one in bins)
        images = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        axes.set_xlabel(f"confidence ({len(bins)} bins of {images} images)")
        axes.set_ylabel("accuracy, share")
        bottom = min(confidence + [one.low for one in bins])
        axes.set_xlim(max(0.0, bottom - 0.06), 1.02)
        axes.set_ylim(max(0.0, bottom - 0.06), 1.02)
        axes.legend(loc="upper left", fontsize=9)

    return _draw(paint)


def trained_noise(curves: tuple[NoiseCurve, ...], scale: str) -> str:
    """Loss of trained networks against the strength of the weight noise."""

    def paint(axes: Any) -> None:
        for number, curve in enumerate(curves):
            colour = (BLUE, ORANGE, GREEN, PURPLE, GREY)[number % 5]
            axes.plot(curve.sigmas, curve.losses, "o-", color=colour, markersize=4, linewidth=1.8, label=curve.label)
            low = [loss - spread for loss, spread in zip(curve.losses, curve.spread, strict=True)]
            high = [loss + spread for loss, spread in zip(curve.losses, curve.spread, strict=True)]
            axes.fill_between(curve.sigmas, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xlabel(STRENGTH["absolute" if scale == "absolute" else "filter"])
        axes.set_ylabel("loss")
        if len(curves) > 1:
            axes.legend(loc="upper left", fontsize=9)

    return _draw(paint)
