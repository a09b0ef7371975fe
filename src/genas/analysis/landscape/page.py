"""The page and the figures of a landscape, from the file of points and ``landscape.json`` of its folder."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genas.analysis.landscape.figures import Band, Plane, bands, contours, surfaces
from genas.analysis.landscape.points import Points
from genas.analysis.landscape.settings import LandscapeSettings
from genas.analysis.landscape.summary import line_losses, noise_losses, plane_losses, quantiles
from genas.analysis.landscape.walk import grid
from genas.core.run_folder import write_atomically
from genas.core.run_paths import LandscapePaths
from genas.reporting.data import EvaluationTable
from genas.reporting.figures import write_figures
from genas.reporting.page import cell_images, embedded, environment, number, percent

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """A section with figures.

    Args:
        title: of the section.
        remark: how to read them.
        images: (data URI, text for those who do not see it).
        wide: one below the other, because each has a panel for every network.
    """

    title: str
    remark: str
    images: tuple[tuple[str, str], ...]
    wide: bool = False


def build_landscape_page(folder: Path, points: Points, settings: LandscapeSettings) -> Path:
    """Writes ``landscape.html`` and ``figures/`` beside ``landscape.json``.

    Args:
        folder: holds ``landscape.json``.
        points: with all places that `settings` ask for.
        settings: see there.

    Returns:
        The page's path.
    """
    content = json.loads(LandscapePaths(folder).content.read_text(encoding="utf-8"))
    networks = {row["name"]: row for row in content["networks"]}
    drawn = draw(points, {name: row["label"] for name, row in networks.items()}, settings)
    write_figures(folder, drawn)
    page = environment().get_template("landscape_page.html.j2")
    html = page.render(
        title=f"Loss landscape in {Path(content['run']).name}",
        created=datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        facts=_facts(content),
        figures=_sections(drawn, settings),
        tables=[table for table in (_lines_table(content), _noise_table(content)) if table.rows],
        networks=[_network(row) for row in networks.values()],
    )
    path = LandscapePaths(folder).page
    write_atomically(path, html.encode())
    return path


def draw(points: Points, labels: Mapping[str, str], settings: LandscapeSettings) -> dict[str, dict[str, bytes]]:
    """The figures by file name without suffix, each in all formats.

    Args:
        points: with all places.
        labels: of the networks, by name.
        settings: see there.
    """
    found = {}
    along = tuple(grid(settings.reach, settings.points))
    for data in settings.data:
        lines = [_band(label, along, line_losses(points, name, data, settings)) for name, label in labels.items()]
        found[f"lines-{data}"] = bands(lines, _distance(settings), data)
        if settings.strengths:
            sigmas = (0.0, *settings.strengths)
            curves = [
                _band(label, sigmas, noise_losses(points, name, data, settings)) for name, label in labels.items()
            ]
            across = "norm of the noise / norm of the filter"
            if settings.noise == "absolute":
                across = "standard deviation of the weight noise"
            found[f"noise-{data}"] = bands(curves, across, data)
        if settings.contour:
            side = tuple(grid(settings.reach, settings.contour))
            planes = [
                Plane(label, side, tuple(tuple(row) for row in plane_losses(points, name, data, settings)))
                for name, label in labels.items()
            ]
            found[f"contours-{data}"] = contours(planes, data)
            found[f"surfaces-{data}"] = surfaces(planes, data)
    return found


def _band(label: str, across: tuple[float, ...], rows: Sequence[Sequence[float]]) -> Band:
    middle, low, high = quantiles(rows)
    return Band(label, across, tuple(middle), tuple(low), tuple(high))


def _distance(settings: LandscapeSettings) -> str:
    return (
        "distance / norm of each filter"
        if settings.normalise == "filter"
        else "distance, in standard deviations of a weight's step"
    )


def _sections(drawn: Mapping[str, Mapping[str, bytes]], settings: LandscapeSettings) -> list[Shown]:
    plural = "directions" if settings.directions > 1 else "direction"
    texts = {
        "lines": (
            "Along random directions",
            f"Median over {settings.directions} {plural}, the same for all networks where they share weights; band: "
            "10th to 90th percentile. A wide valley is a flat minimum.",
        ),
        "noise": (
            "Under growing Gaussian noise",
            f"Median over {settings.draws} draws of the noise; band: 10th to 90th percentile.",
        ),
        "contours": (
            "On a plane through the weights",
            "Colours and levels are common to all panels; beyond the 95th percentile of the losses they do not change. "
            "The cross marks the weights.",
        ),
        "surfaces": ("The same plane as a surface", "The height axis is common to all panels."),
    }
    sections = []
    for kind, (title, remark) in texts.items():
        images = tuple(
            (embedded(drawn[f"{kind}-{data}"]["svg"].decode()), f"{title}: {data} loss")
            for data in settings.data
            if f"{kind}-{data}" in drawn
        )
        if images:
            sections.append(Shown(title, remark, images, kind in ("contours", "surfaces")))
    return sections


def _facts(content: Result) -> list[tuple[str, str]]:
    settings = content["settings"]
    images = "those that the run scores on" if settings["images"] is None else f"{settings['images']:,}, at most"
    moved = "do not move" if settings["vectors"] == "fixed" else "move as filters of their own"
    lengths = "with the norm of each filter" if settings["normalise"] == "filter" else "plain Gaussian"
    rows = [
        ("Run", content["run"]),
        ("Images", f"{' and '.join(settings['data'])}: {images}, the same for all"),
        (
            "Directions",
            f"{settings['directions']} random ones, {lengths}; batch norm's scales and shifts and biases {moved}",
        ),
        ("Lines", f"{settings['points']} points from {-settings['range']:g} to {settings['range']:g}"),
        ("Batch norm", f"statistics {settings['batchnorm']} at each point"),
    ]
    if settings["contour"]:
        cosines = [f"{row['cosine_of_plane']:.3f}" for row in content["networks"]]
        rows.append(
            ("Plane", f"{settings['contour']} x {settings['contour']} points; cosine of its sides {', '.join(cosines)}")
        )
    if settings["sigmas"]:
        sigmas = ", ".join(f"{sigma:g}" for sigma in settings["sigmas"])
        rows.append(("Noise", f"{settings['noise']}, strengths {sigmas}, {settings['draws']} draws"))
    return rows


def _lines_table(content: Result) -> EvaluationTable:
    labels = {row["name"]: row["label"] for row in content["networks"]}
    results = content["results"]
    settings = content["settings"]
    rows = [
        (
            labels[row["network"]],
            row["data"],
            number(row["loss"]),
            percent(row["accuracy"]),
            spread(row["line"]["rise"]),
            spread(row["line"]["curvature"]),
            spread(row["line"]["width"]),
            f"{row['line']['flattest']} of {row['line']['directions']}" if "flattest" in row["line"] else "",
        )
        for row in results
    ]
    return EvaluationTable(
        "Rise, curvature and width",
        ("network", "data", "loss", "accuracy", f"rise at {settings['radius']:g}", "curvature", "width", "flattest in"),
        tuple(rows),
        "Median over directions with the 10th and 90th percentile. Rise: mean of both sides, in nats. Curvature: "
        "second difference at the smallest step. Width: distance at which the loss has risen by "
        f"{settings['threshold']:g}; a side where it does not counts with the whole range. Flattest in: directions in "
        "which the network's rise is the least of all.",
    )


def _noise_table(content: Result) -> EvaluationTable:
    labels = {row["name"]: row["label"] for row in content["networks"]}
    found = [row for row in content["results"] if "noise" in row]
    sigmas = found[0]["noise"]["sigmas"] if found else []
    rows = [
        (
            labels[row["network"]],
            row["data"],
            *(number(value) if value is not None else "inf" for value in row["noise"]["mean"]),
        )
        for row in found
    ]
    return EvaluationTable(
        "Mean loss under noise", ("network", "data", *(f"{sigma:g}" for sigma in sigmas)), tuple(rows), "By strength."
    )


def spread(entry: Result) -> str:
    """A median with the 10th and 90th percentile; None is beyond all numbers."""
    middle, low, high = ("inf" if entry[key] is None else f"{entry[key]:.3g}" for key in ("median", "low", "high"))
    return f"{middle} [{low}, {high}]"


def _network(row: Result) -> dict[str, Any]:
    remark = "at the weights that the supernet gives it"
    if row["weights"] != "supernet":
        remark = f"trained on its own: {row['weights']}; the validation images were among its training images"
    cells = cell_images(row["genotype"], row["label"])
    return {"label": row["label"], "remark": remark, "genotype": row["genotype"], "cells": cells}
