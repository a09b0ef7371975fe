"""Numbers from a landscape: how fast the loss rises, how wide the minimum is, with the spread over directions.

Of a line with losses L(t), t = 0 at the weights:

* *rise* at radius r: ``(L(r) + L(-r)) / 2 - L(0)``, L between two points being interpolated linearly;
* *curvature*: ``(L(h) - 2 L(0) + L(-h)) / h^2`` with h the smallest step of the line;
* *width*: the mean over both sides of the smallest ``|t|`` at which the loss exceeds ``L(0)`` by the threshold; a side
  that never does counts with the whole range, and ``open_sides`` says how many there are.

Of each: the median over directions, the 10th and the 90th percentile, and the values themselves. Architectures are
moved along common directions, so differences between them are to be judged direction by direction: ``flattest`` counts
the directions in which a network's rise is the least of all.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from genas.analysis.landscape.points import CENTRE, Place, Points
from genas.analysis.landscape.settings import LandscapeSettings
from genas.analysis.landscape.walk import grid


def summarise(points: Points, names: Sequence[str], settings: LandscapeSettings) -> list[dict[str, Any]]:
    """One object per network and data set.

    Args:
        points: with all places of these networks.
        names: the networks.
        settings: what was asked for.

    Returns:
        ``network``, ``data``, ``loss`` and ``accuracy`` at the weights, ``line``, ``noise`` (absent without),
        ``plane`` (absent without).
    """
    rows = []
    for data in settings.data:
        found = [_one(points, name, data, settings) for name in names]
        rises = [row["line"]["rise"]["by_direction"] for row in found]
        for number, row in enumerate(found):
            others = [rise for place, rise in enumerate(rises) if place != number]
            if others:
                row["line"]["flattest"] = sum(
                    all(rises[number][direction] < other[direction] for other in others)
                    for direction in range(settings.directions)
                )
            rows.append(_plain(row))
    return rows


def line_losses(points: Points, name: str, data: str, settings: LandscapeSettings) -> list[list[float]]:
    """[directions][points]: the losses along each line, the weights' own in the middle."""
    along = grid(settings.reach, settings.points)
    return [
        [points[name, data, Place("line", number, x) if x else CENTRE].loss for x in along]
        for number in range(settings.directions)
    ]


def plane_losses(points: Points, name: str, data: str, settings: LandscapeSettings) -> list[list[float]]:
    """[side][side]: the losses on the plane; rows are y, columns x."""
    side = grid(settings.reach, settings.contour)
    return [[points[name, data, Place("plane", 0, x, y) if x or y else CENTRE].loss for x in side] for y in side]


def noise_losses(points: Points, name: str, data: str, settings: LandscapeSettings) -> list[list[float]]:
    """[draws][1 + strengths]: the losses under each draw of noise, the weights' own first."""
    centre = points[name, data, CENTRE].loss
    return [
        [centre, *(points[name, data, Place("noise", draw, sigma)].loss for sigma in settings.strengths)]
        for draw in range(settings.draws)
    ]


def quantiles(columns: Sequence[Sequence[float]]) -> tuple[list[float], list[float], list[float]]:
    """Median, 10th and 90th percentile over the rows of [rows][columns]; infinite losses rank above all others.

    Between two ranks torch interpolates; next to an infinite one that gives no number, so it counts as infinite.
    """
    table = torch.tensor(columns, dtype=torch.float64)
    found = torch.quantile(table, torch.tensor([0.5, 0.1, 0.9], dtype=torch.float64), dim=0)
    middle, low, high = torch.nan_to_num(found, nan=math.inf, posinf=math.inf).tolist()
    return middle, low, high


def width(along: Sequence[float], losses: Sequence[float], threshold: float) -> tuple[float, int]:
    """The mean distance at which the loss exceeds that of the middle by `threshold`, and the number of open sides.

    Args:
        along: coordinates, symmetric about 0 in the middle.
        losses: the same number.
        threshold: above 0, in nats.
    """
    half = len(along) // 2
    wanted = losses[half] + threshold
    sides, unbounded = [], 0
    for step in (1, -1):
        side = [(abs(along[half + step * k]), losses[half + step * k]) for k in range(half + 1)]
        for (near, low), (far, high) in pairwise(side):
            if high > wanted:
                sides.append(near + (far - near) * (wanted - low) / (high - low) if math.isfinite(high) else near)
                break
        else:
            sides.append(along[-1])
            unbounded += 1
    return sum(sides) / 2, unbounded


def loss_at(along: Sequence[float], losses: Sequence[float], where: float) -> float:
    """The loss at a coordinate, interpolated linearly."""
    for (near, low), (far, high) in pairwise(zip(along, losses, strict=True)):
        if near <= where <= far:
            if where in (near, far):
                return low if where == near else high
            return low + (high - low) * (where - near) / (far - near)
    raise ValueError(f"{where} lies outside {along[0]} to {along[-1]}")


def _one(points: Points, name: str, data: str, settings: LandscapeSettings) -> dict[str, Any]:
    centre = points[name, data, CENTRE]
    row: dict[str, Any] = {"network": name, "data": data, "loss": centre.loss, "accuracy": centre.accuracy}
    row["line"] = _line(line_losses(points, name, data, settings), settings)
    if settings.strengths:
        table = noise_losses(points, name, data, settings)
        middle, low, high = quantiles(table)
        row["noise"] = {
            "scale": settings.noise,
            "sigmas": [0.0, *settings.strengths],
            "mean": [sum(column) / len(column) for column in zip(*table, strict=True)],
            "median": middle,
            "low": low,
            "high": high,
            "by_draw": table,
        }
    if settings.contour:
        flat = [loss for line in plane_losses(points, name, data, settings) for loss in line]
        below = sum(loss <= centre.loss + settings.threshold for loss in flat)
        row["plane"] = {"points": len(flat), "lowest": min(flat), "highest": max(flat), "below": below / len(flat)}
    return row


def _line(lines: list[list[float]], settings: LandscapeSettings) -> dict[str, Any]:
    along, radius = grid(settings.reach, settings.points), settings.measured_radius
    half = settings.points // 2
    step = along[half + 1]
    centre = lines[0][half]
    rises = [(loss_at(along, line, radius) + loss_at(along, line, -radius)) / 2 - centre for line in lines]
    curvatures = [(line[half + 1] - 2 * centre + line[half - 1]) / step**2 for line in lines]
    widths = [width(along, line, settings.threshold) for line in lines]
    return {
        "directions": len(lines),
        "radius": radius,
        "rise": _spread(rises),
        "curvature": {"step": step, **_spread(curvatures)},
        "width": {
            "threshold": settings.threshold,
            "open_sides": sum(unbounded for _, unbounded in widths),
            **_spread([one for one, _ in widths]),
        },
    }


def _spread(values: list[float]) -> dict[str, Any]:
    middle, low, high = quantiles([[value] for value in values])
    return {"median": middle[0], "low": low[0], "high": high[0], "by_direction": values}


def _plain(value: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
