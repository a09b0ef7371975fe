"""The loss around the weights that an architecture has: lines, planes, noise."""

from genas.analysis.landscape.directions import Direction, cosine, move, normalised, random_direction
from genas.analysis.landscape.points import CENTRE, Place, Points
from genas.analysis.landscape.settings import LandscapeSettings, read_settings
from genas.analysis.landscape.summary import line_losses, noise_losses, plane_losses, quantiles, summarise
from genas.analysis.landscape.walk import Site, grid, measured, places, walk

__all__ = [
    "CENTRE",
    "Direction",
    "LandscapeSettings",
    "Place",
    "Points",
    "Site",
    "cosine",
    "grid",
    "line_losses",
    "measured",
    "move",
    "noise_losses",
    "normalised",
    "places",
    "plane_losses",
    "quantiles",
    "random_direction",
    "read_settings",
    "summarise",
    "walk",
]
