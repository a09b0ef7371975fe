"""Training of one architecture from scratch."""

from genas.retrain.recipe import RetrainSettings
from genas.retrain.train import measure, retrain

__all__ = ["RetrainSettings", "measure", "retrain"]
