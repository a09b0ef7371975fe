"""The page of a sweep, from ``sweep.json`` of its folder."""

import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genas.core.run_folder import write_atomically
from genas.core.run_paths import SweepPaths
from genas.reporting.data import EvaluationTable
from genas.reporting.figures import BLUE, GREY, ORANGE, painted, write_figures
from genas.reporting.page import cell_images, count, embedded, environment, letter, percent

Row = Mapping[str, Any]
SHOWN = ("angle", "flatness", "loss", "params", "macs")  # of every winner, whatever the sum is made of


def build_sweep_page(folder: Path) -> Path:
    """Writes ``sweep.html`` and ``figures/`` beside ``sweep.json``; returns the page's path."""
    content = json.loads(SweepPaths(folder).content.read_text(encoding="utf-8"))
    drawn = draw(content)
    write_figures(folder, drawn)
    html = (
        environment()
        .get_template("sweep_page.html.j2")
        .render(
            title=f"{content['expression']}: the share of {content['swept']}",
            created=datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
            facts=_facts(content),
            images=[(embedded(files["svg"].decode()), _ALT[name]) for name, files in drawn.items()],
            table=_table(content),
            winners=_winners(content),
        )
    )
    path = SweepPaths(folder).page
    write_atomically(path, html.encode())
    return path


_ALT = {
    "share-cost": "Parameters and multiply-accumulates of the winner against the share",
    "share-loss": "Validation loss of the winner with the supernet's weights against the share",
    "share-accuracy": "Test accuracy of the retrained winner against the share",
}


def draw(content: Row) -> dict[str, dict[str, bytes]]:
    """Cost, loss and, after retraining, test accuracy of the winners against the share."""
    rows = sorted(content["weights"], key=lambda row: row["share"]["kept"])
    found = {"share-cost": _figure(content, rows, _cost)}
    if all(row.get("loss") is not None for row in rows):
        found["share-loss"] = _figure(content, rows, _loss)
    if all("top1" in row.get("test", {}) for row in rows):
        found["share-accuracy"] = _figure(content, rows, _accuracy)
    return found


def _figure(content: Row, rows: list[Row], paint: Callable[[Any, list[float], list[Row]], None]) -> dict[str, bytes]:
    def whole(figure: Any) -> None:
        axes = figure.add_subplot()
        paint(axes, [100 * row["share"]["kept"] for row in rows], rows)
        axes.set_xlabel(f"share of {content['swept']} in the kept, %")

    return painted(whole, (4.7, 3.1), ("svg", "png"))


def _cost(axes: Any, shares: list[float], rows: list[Row]) -> None:
    axes.plot(shares, [row["macs"] / 1e6 for row in rows], "o-", color=BLUE, linewidth=1.8, markersize=5)
    axes.set_ylabel("million multiply-accumulates", color=BLUE)
    right = axes.twinx()
    right.grid(False)
    right.spines["right"].set_visible(True)
    right.plot(
        shares, [row["params"] / 1e6 for row in rows], "s--", color=ORANGE, linewidth=1.2, markersize=8, mfc="none"
    )
    right.set_ylabel("million parameters", color=ORANGE)


def _loss(axes: Any, shares: list[float], rows: list[Row]) -> None:
    axes.plot(shares, [row["loss"] for row in rows], "o-", color=GREY, linewidth=1.8, markersize=5)
    axes.set_ylabel("validation loss, supernet's weights")


def _accuracy(axes: Any, shares: list[float], rows: list[Row]) -> None:
    axes.plot(shares, [100 * row["test"]["top1"] for row in rows], "o-", color=BLUE, linewidth=1.8, markersize=5)
    axes.set_ylabel("test accuracy, retrained, %")


def _facts(content: Row) -> list[tuple[str, str]]:
    computed = ", ".join(f"{name} {amount:,}" for name, amount in content["scores_computed"].items())
    return [
        ("Run", content["run"]),
        ("Score", f"{content['expression']}, each part normalised"),
        (
            "Share",
            f"absolute contribution of {content['swept']} over the sum of all absolute contributions; mean over the "
            f"{content['kept']} best of each search (kept), and of its winner",
        ),
        ("Architectures", f"{content['architectures']:,} in {len(content['weights'])} searches"),
        ("Computed", f"scores of parts, each once for all weights: {computed}"),
    ]


def _table(content: Row) -> EvaluationTable:
    rows = content["weights"]
    shares = any("wanted_share" in row for row in rows)
    tested = any(row.get("test") for row in rows)
    others = [name for name in content.get("parts", ()) if name not in SHOWN]
    heads = (
        "w",
        *(("wanted",) if shares else ()),
        "kept",
        "winner's",
        "winner",
        "score",
        "params",
        "MACs",
        "angle",
        "flatness",
        "loss",
        *others,
        *(("test top-1",) if tested else ()),
    )
    names = _letters(content)
    return EvaluationTable(
        "Weights and winners",
        heads,
        tuple(
            (
                f"{row['weight']:g}",
                *((_share(row["wanted_share"]),) if shares else ()),
                _share(row["share"]["kept"]),
                _share(row["share"]["winner"]),
                names[row["genotype"]],
                f"{row['score']:.4g}",
                count(row["params"]),
                count(row["macs"]),
                *("" if row[key] is None else f"{row[key]:.4g}" for key in ("angle", "flatness", "loss", *others)),
                *((percent(row["test"]["top1"]) if row.get("test") else "",) if tested else ()),
            )
            for row in rows
        ),
        f"Wanted, kept, winner's: the share of {content['swept']} that was aimed at over random architectures, and "
        "what came out in the kept and in the winner. Parameters and MACs: path in the supernet. Scores of different "
        "weights are not comparable. Angle in radians; loss on the validation images with the supernet's weights.",
    )


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _letters(content: Row) -> dict[str, str]:
    """A letter for each winner; weights with the same winner have the same letter."""
    winners = dict.fromkeys(row["genotype"] for row in content["weights"])
    return {genotype: letter(place) for place, genotype in enumerate(winners)}


def _winners(content: Row) -> list[dict[str, Any]]:
    found = []
    for genotype, name in _letters(content).items():
        weights = [f"{row['weight']:g}" for row in content["weights"] if row["genotype"] == genotype]
        found.append(
            {
                "letter": name,
                "weights": ", ".join(weights),
                "genotype": genotype,
                "cells": cell_images(genotype, name),
            }
        )
    return found
