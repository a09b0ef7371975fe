"""Validation accuracy and loss of a path: the metric of SPOS (Guo et al., ECCV 2020), and its smooth sibling."""

import math

from torch import Tensor

from genas.core.errors import GenasError
from genas.proxies.base import Look, PerImage
from genas.proxies.scoring import Score
from genas.spaces.base import Architecture

TERMS = {
    "loss": "cross-entropy in nats; chance is ln K for K classes",
    "accuracy": "share of the validation images that are classified rightly",
}


class _Mean(PerImage):
    """A mean over images of columns loss and accuracy."""

    by_function = True
    section = "evaluation"
    citation = "SPOS (ECCV 2020)"
    passes = "B + N"
    terms = TERMS

    @property
    def columns(self) -> int:
        """Cross-entropy, and whether classified rightly."""
        return 2

    def measure(self, architecture: Architecture, look: Look) -> list[Tensor]:
        """Cross-entropy, 1 where classified rightly."""
        losses, right = look(self.scoring.prepared(architecture), None)
        return [losses, right.double()]

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """Terms: loss, accuracy."""
        loss, accuracy = means.tolist()
        value = float(self.values_of_means(architecture, means[None])[0])
        return Score(value, {"loss": loss, "accuracy": accuracy})


class Accuracy(_Mean):
    """Top-1 accuracy on the validation half after recalibration, as a fraction in [0, 1]."""

    name = "accuracy"
    measures = "cross-entropy and correctness"
    explanation = "Accuracy on the validation images with the supernet's weights."
    formula = "share of correct predictions"

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """The accuracies."""
        return means[:, 1]


class Loss(_Mean):
    """Minus the mean cross-entropy on the validation half after recalibration."""

    name = "loss"
    measures = "cross-entropy and correctness"
    explanation = "Minus the loss on the validation images with the supernet's weights."
    formula = "- L"

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """Terms: loss, accuracy."""
        if not math.isfinite(means[0]):
            raise GenasError(f"the validation loss is not finite: {means[0].item()}")
        return super().score_of_means(architecture, means)

    def natural(self, score: Score) -> float:
        """The loss itself."""
        return -score.value

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """Minus the losses."""
        return -means[:, 0]
