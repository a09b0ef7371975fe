"""Walks through the places of a landscape: moves the weights, measures, moves on.

All of it is ``w + sum of t * direction``: a line has one random direction, a plane two (numbers 0 and 1 of the lines),
and noise of strength sigma is a step of length sigma along a draw, the same draw at every strength, as `genas evaluate`
has it (`genas.evaluation.flatness`).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from genas.analysis.landscape.directions import Direction, move, random_direction
from genas.analysis.landscape.points import CENTRE, Place, Points
from genas.analysis.landscape.settings import LandscapeSettings
from genas.core.errors import RunError
from genas.evaluation.flatness import noise_direction
from genas.proxies.perturbation import keep_weights
from genas.proxies.scoring import LossAndAccuracy, Scoring
from genas.spaces.base import Network


@dataclass(frozen=True)
class Site:
    """A network to walk around.

    Args:
        name: in tables and in the file of points.
        network: in evaluation mode; left bit-identical.
        measures: loss and accuracy of the network as it stands, by data set (``validation``, ``test``).
        recalibrate: estimates the batch-norm statistics for the weights as they stand.
    """

    name: str
    network: nn.Module
    measures: Mapping[str, Callable[[], LossAndAccuracy]]
    recalibrate: Callable[[], None]


def measured(scoring: Scoring, network: Network) -> LossAndAccuracy:
    """Loss and accuracy of `network` as it stands, bit for bit what the proxies ``loss`` and ``accuracy`` compute."""
    if scoring.evaluation.weighting == "batches":
        return scoring.evaluate(network)
    losses, right = scoring.image_losses(network, slice(0, scoring.batch_count))
    loss, accuracy = torch.stack([losses, right.double()], 1).mean(0).tolist()
    return LossAndAccuracy(loss, accuracy)


def grid(reach: float, points: int) -> list[float]:
    """`points` (odd) evenly spaced coordinates from -reach to reach; the middle one is exactly 0."""
    half = points // 2
    return [reach * (place - half) / half for place in range(points)]


def places(settings: LandscapeSettings) -> list[Place]:
    """All places, the weights themselves first."""
    found = [CENTRE]
    along = grid(settings.reach, settings.points)
    found += [Place("line", number, x) for number in range(settings.directions) for x in along if x]
    found += [Place("noise", draw, sigma) for draw in range(settings.draws) for sigma in settings.strengths]
    if settings.contour:
        side = grid(settings.reach, settings.contour)
        found += [Place("plane", 0, x, y) for y in side for x in side if x or y]
    return found


def walk(
    site: Site,
    wanted: Sequence[Place],
    settings: LandscapeSettings,
    seed: int,
    points: Points,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Computes what is not in `points` yet.

    Args:
        site: the network.
        wanted: places; neighbours in the order share their directions.
        settings: see there.
        seed: of the directions and the noise.
        points: known points; new ones are added as they come.
        tick: called after every place, computed or known; what it raises ends the walk with everything restored.

    Raises:
        RunError: the loss of the weights themselves is not finite, so that nothing can be told of its rise.
    """
    with keep_weights(site.network) as origin, _kept_statistics(site.network):
        directions = _Directions(origin, settings, seed)
        for place in wanted:
            missing = [data for data in site.measures if points.get(site.name, data, place) is None]
            if missing:
                move(site.network, origin, directions.steps(place))
                if settings.batchnorm == "recomputed" and place != CENTRE:
                    site.recalibrate()
                for data in missing:
                    points.add(site.name, data, place, site.measures[data]())
            if place == CENTRE:
                _check_centre(site, points)
            tick()


def _check_centre(site: Site, points: Points) -> None:
    for data in site.measures:
        loss = points[site.name, data, CENTRE].loss
        if not math.isfinite(loss):
            raise RunError(
                f"the {data} loss of {site.name!r} is {loss} at the weights themselves, so there is no landscape "
                "around them: its training diverged, or the images are not those it was trained on."
            )


class _Directions:
    """The directions that places need; the last two are kept, because they are as large as the network."""

    def __init__(self, origin: Mapping[str, torch.Tensor], settings: LandscapeSettings, seed: int) -> None:
        self.origin, self.settings, self.seed = origin, settings, seed
        self._known: dict[tuple[str, int], Direction] = {}

    def steps(self, place: Place) -> list[tuple[float, Direction]]:
        """Lengths and directions from the weights to `place`."""
        if place == CENTRE:
            return []
        if place.kind == "noise":
            return [(place.x, self._get("noise", place.direction))]
        if place.kind == "line":
            return [(place.x, self._get("random", place.direction))]
        return [(place.x, self._get("random", 0)), (place.y, self._get("random", 1))]

    def _get(self, kind: str, number: int) -> Direction:
        key = (kind, number)
        if key not in self._known:
            settings = self.settings
            direction: Direction
            if kind == "random":
                direction = random_direction(self.origin, self.seed, number, settings.normalise, settings.vectors)
            else:
                assert settings.noise != "none"
                direction = noise_direction(self.origin, settings.noise, self.seed, number)
            while len(self._known) > 1:
                self._known.pop(next(iter(self._known)))
            self._known[key] = direction
        return self._known[key]


@contextmanager
def _kept_statistics(network: nn.Module) -> Iterator[None]:
    """Restores the buffers of `network`, bit by bit, at the end."""
    copies = {name: value.clone() for name, value in network.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in network.named_buffers():
                value.copy_(copies[name])
