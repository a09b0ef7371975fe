"""One weight of a sum of proxies, swept: the share that a part has, and scores that all weights use together."""

from genas.analysis.sweep.scores import Remembered, Scores
from genas.analysis.sweep.weights import Template, mean_share, parse_template, weight_for

__all__ = ["Remembered", "Scores", "Template", "mean_share", "parse_template", "weight_for"]
