"""Search metrics on the trained supernet; higher is better."""

from genas.proxy.accuracy import Accuracy, Loss
from genas.proxy.angle import Angle, AngleSettings
from genas.proxy.base import Proxy, WithoutPictures
from genas.proxy.combined import Combined
from genas.proxy.consensus import Consensus, ConsensusSettings
from genas.proxy.curvature import CurvatureSettings
from genas.proxy.expression import KNOWN, ProxySettings, checked_score, needs_training, open_proxy, parse_expression
from genas.proxy.flatness import (
    Flatness,
    FlatnessSettings,
    RelativeFlatness,
    RelativeFlatnessSettings,
    flatness_terms,
)
from genas.proxy.scoring import BatchNormSettings, EvaluationSettings, Score, Scoring
from genas.proxy.zero_cost import ZeroCostSettings

__all__ = [
    "KNOWN",
    "Accuracy",
    "Angle",
    "AngleSettings",
    "BatchNormSettings",
    "Combined",
    "Consensus",
    "ConsensusSettings",
    "CurvatureSettings",
    "EvaluationSettings",
    "Flatness",
    "FlatnessSettings",
    "Loss",
    "Proxy",
    "ProxySettings",
    "RelativeFlatness",
    "RelativeFlatnessSettings",
    "Score",
    "Scoring",
    "WithoutPictures",
    "ZeroCostSettings",
    "checked_score",
    "flatness_terms",
    "needs_training",
    "open_proxy",
    "parse_expression",
]
