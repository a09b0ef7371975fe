"""Validation accuracy and loss of a path: the metric of SPOS (Guo et al., ECCV 2020), and its smooth sibling."""

import math

import torch
from torch import Tensor

from genas.errors import GenasError
from genas.proxy.base import Proxy
from genas.proxy.scoring import Score
from genas.space.base import Architecture


class _Mean(Proxy):
    """A mean over pictures of columns loss and accuracy."""

    @property
    def raceable(self) -> bool:
        """A function of means over pictures, unless batches are averaged instead."""
        return self.scoring.evaluation.weighting == "pictures"

    @property
    def columns(self) -> int:
        """Cross-entropy, and whether classified rightly."""
        return 2

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """[pictures, 2]: cross-entropy, 1 where classified rightly."""
        losses, right = self.scoring.picture_losses(self.scoring.prepared(architecture), part)
        return torch.stack([losses, right.double()], 1)

    def score(self, architecture: Architecture) -> Score:
        """Terms: loss, accuracy."""
        if self.raceable:
            return self.whole_score(architecture)
        result = self.scoring.evaluate(self.scoring.prepared(architecture))
        return self.score_of_means(architecture, torch.tensor([result.loss, result.accuracy], dtype=torch.float64))


class Accuracy(_Mean):
    """Top-1 accuracy on the validation half after recalibration, as a fraction in [0, 1]."""

    name = "accuracy"
    by_function = True

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """Terms: loss, accuracy."""
        loss, accuracy = means.tolist()
        return Score(accuracy, {"loss": loss, "accuracy": accuracy})

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """The accuracies."""
        return means[:, 1]


class Loss(_Mean):
    """Minus the mean cross-entropy on the validation half after recalibration."""

    name = "loss"
    by_function = True

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """Terms: loss, accuracy."""
        loss, accuracy = means.tolist()
        if not math.isfinite(loss):
            raise GenasError(f"the validation loss is not finite: {loss}")
        return Score(-loss, {"loss": loss, "accuracy": accuracy})

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """Minus the losses."""
        return -means[:, 0]
