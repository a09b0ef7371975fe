"""Search metrics on the trained supernet; higher is better."""

from genas.proxies.accuracy import Accuracy, Loss
from genas.proxies.angle import Angle, AngleSettings
from genas.proxies.base import Proxy, WithoutImages
from genas.proxies.combined import Combined
from genas.proxies.consensus import Consensus, ConsensusSettings
from genas.proxies.curvature import CurvatureSettings
from genas.proxies.expression import KNOWN, ProxySettings, checked_score, needs_training, open_proxy, parse_expression
from genas.proxies.flatness import (
    Flatness,
    FlatnessSettings,
    RelativeFlatness,
    RelativeFlatnessSettings,
    flatness_terms,
)
from genas.proxies.scoring import BatchNormSettings, EvaluationSettings, Score, Scoring
from genas.proxies.zero_cost import ZeroCostSettings

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
    "WithoutImages",
    "ZeroCostSettings",
    "checked_score",
    "flatness_terms",
    "needs_training",
    "open_proxy",
    "parse_expression",
]
