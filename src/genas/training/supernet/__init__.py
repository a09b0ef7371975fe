"""The weight-sharing supernet: its training and the batch-norm statistics of its paths."""

from genas.training.supernet.batchnorm import recalibrate
from genas.training.supernet.train import (
    SupernetSettings,
    initial_weights,
    initialise,
    load_weights,
    random_labels,
    train_supernet,
    untrained_supernet,
)

__all__ = [
    "SupernetSettings",
    "initial_weights",
    "initialise",
    "load_weights",
    "random_labels",
    "recalibrate",
    "train_supernet",
    "untrained_supernet",
]
