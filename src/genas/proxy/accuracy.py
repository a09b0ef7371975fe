"""Validation accuracy and loss of a path: the metric of SPOS (Guo et al., ECCV 2020), and its smooth sibling."""

import math

from genas.errors import GenasError
from genas.proxy.base import Proxy, Score
from genas.space.base import Architecture


class Accuracy(Proxy):
    """Top-1 accuracy on the validation half after recalibration, as a fraction in [0, 1]."""

    name = "accuracy"
    by_function = True

    def score(self, architecture: Architecture) -> Score:
        """Terms: loss, accuracy."""
        result = self.scoring.evaluate(self.scoring.prepared(architecture))
        return Score(result.accuracy, {"loss": result.loss, "accuracy": result.accuracy})


class Loss(Proxy):
    """Minus the mean cross-entropy on the validation half after recalibration."""

    name = "loss"
    by_function = True

    def score(self, architecture: Architecture) -> Score:
        """Terms: loss, accuracy."""
        result = self.scoring.evaluate(self.scoring.prepared(architecture))
        if not math.isfinite(result.loss):
            raise GenasError(f"the validation loss is not finite: {result.loss}")
        return Score(-result.loss, {"loss": result.loss, "accuracy": result.accuracy})
