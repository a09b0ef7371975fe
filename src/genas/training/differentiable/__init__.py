"""Gradient methods: the architecture is a set of continuous parameters, trained beside the weights."""

from genas.training.differentiable.base import Derived, GradientMethod, GradientSettings
from genas.training.differentiable.darts import Darts, DartsSettings
from genas.training.differentiable.drop_nas import DropNas, DropNasSettings
from genas.training.differentiable.p_darts import PDartsSettings, PDartsStage, search_in_stages
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
    "PDartsSettings",
    "PDartsStage",
    "PcDarts",
    "PcDartsSettings",
    "read_records",
    "search_in_stages",
    "train_architecture",
]
