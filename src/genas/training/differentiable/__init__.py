"""Gradient methods: the architecture is a set of continuous parameters, trained beside the weights."""

from genas.training.differentiable.base import Derived, GradientMethod, GradientSettings
from genas.training.differentiable.darts import Darts, DartsSettings
from genas.training.differentiable.drop_nas import DropNas, DropNasSettings
from genas.training.differentiable.pc_darts import PcDarts, PcDartsSettings
from genas.training.differentiable.record import EpochRecord, read_records
from genas.training.differentiable.train import train_architecture

__all__ = [
    "Darts",
    "DartsSettings",
    "Derived",
    "DropNas",
    "DropNasSettings",
    "EpochRecord",
    "GradientMethod",
    "GradientSettings",
    "PcDarts",
    "PcDartsSettings",
    "read_records",
    "train_architecture",
]
