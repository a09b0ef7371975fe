"""Search metrics on the trained supernet; higher is better.

Names are imported at first use, so that settings can be read without torch.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas.proxies.accuracy import Accuracy as Accuracy
    from genas.proxies.accuracy import Loss as Loss
    from genas.proxies.angle import Angle as Angle
    from genas.proxies.angle import AngleSettings as AngleSettings
    from genas.proxies.base import Proxy as Proxy
    from genas.proxies.base import WithoutImages as WithoutImages
    from genas.proxies.combined import Combined as Combined
    from genas.proxies.consensus import Consensus as Consensus
    from genas.proxies.consensus import ConsensusSettings as ConsensusSettings
    from genas.proxies.curvature import CurvatureSettings as CurvatureSettings
    from genas.proxies.expression import KNOWN as KNOWN
    from genas.proxies.expression import ProxySettings as ProxySettings
    from genas.proxies.expression import checked_score as checked_score
    from genas.proxies.expression import needs_training as needs_training
    from genas.proxies.expression import open_proxy as open_proxy
    from genas.proxies.expression import parse_expression as parse_expression
    from genas.proxies.flatness import Flatness as Flatness
    from genas.proxies.flatness import FlatnessSettings as FlatnessSettings
    from genas.proxies.flatness import RelativeFlatness as RelativeFlatness
    from genas.proxies.flatness import RelativeFlatnessSettings as RelativeFlatnessSettings
    from genas.proxies.flatness import flatness_terms as flatness_terms
    from genas.proxies.scoring import BatchNormSettings as BatchNormSettings
    from genas.proxies.scoring import EvaluationSettings as EvaluationSettings
    from genas.proxies.scoring import Score as Score
    from genas.proxies.scoring import Scoring as Scoring
    from genas.proxies.zero_cost import ZeroCostSettings as ZeroCostSettings

_HOMES = {
    "Accuracy": "accuracy",
    "Loss": "accuracy",
    "Angle": "angle",
    "AngleSettings": "angle",
    "Proxy": "base",
    "WithoutImages": "base",
    "Combined": "combined",
    "Consensus": "consensus",
    "ConsensusSettings": "consensus",
    "CurvatureSettings": "curvature",
    "KNOWN": "expression",
    "ProxySettings": "expression",
    "checked_score": "expression",
    "needs_training": "expression",
    "open_proxy": "expression",
    "parse_expression": "expression",
    "Flatness": "flatness",
    "FlatnessSettings": "flatness",
    "RelativeFlatness": "flatness",
    "RelativeFlatnessSettings": "flatness",
    "flatness_terms": "flatness",
    "BatchNormSettings": "scoring",
    "EvaluationSettings": "scoring",
    "Score": "scoring",
    "Scoring": "scoring",
    "ZeroCostSettings": "zero_cost",
}

__getattr__ = lazy_names(__name__, _HOMES)
