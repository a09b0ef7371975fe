"""The angle between an architecture's weights before and after training (Hu et al., ABS, ECCV 2020; RLNAS, CVPR 2021).

    angle(a) = arccos( <V(theta0, a), V(theta, a)> / (|V(theta0, a)| |V(theta, a)|) )

V concatenates, for every active input-to-output path of every cell, the parameters along it; an operation on several
paths counts once per path. Which parameters and constants enter is the space's
business (`Space.angle_terms`): variant B
of methods.md section 8 for the DARTS space, variant E for NAS-Bench-201.

Deviations from the published code: float64 and a clamped cosine (T8); the dilated convolutions' BN shift is used
(``dil_shift``, G2).
"""

import math
from typing import ClassVar, Literal

from torch import Tensor

from genas.core.settings import Settings
from genas.proxies.base import WithoutImages
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture


class AngleSettings(Settings):
    """The angle."""

    dil_shift: Literal["shift", "scale"] = "shift"
    """``scale`` replaces a dilated convolution's BN shift by a second copy of its scale, as published (G2)."""


class Angle(WithoutImages):
    """The angle in radians."""

    name = "angle"
    Settings = AngleSettings
    explanation = "Angle in radians between the path's weights before and after training: how much was learnt."
    formula = "arccos(<V_0, V> / (|V_0| |V|))"
    citation = "ABS (ECCV 2020), RLNAS (CVPR 2021)"
    passes = "none"
    terms: ClassVar = {"cosine": "cosine of the angle", "length": "entries of the weight vectors that are compared"}
    settings: AngleSettings

    def __init__(self, scoring: Scoring, settings: AngleSettings | None = None) -> None:
        super().__init__(scoring, settings)
        # per parameter: <before, after>, <before, before>, <after, after>, number of entries
        self._products: dict[str, tuple[float, float, float, int]] = {}
        self._trained: dict[str, Tensor] = dict(scoring.supernet.named_parameters())

    def score(self, architecture: Architecture) -> Score:
        """Terms: cosine, length (number of entries of V). 0 where no path is active."""
        terms = self.scoring.space.angle_terms(
            self.scoring.supernet, architecture, dil_shift_as_scale=self.settings.dil_shift == "scale"
        )
        if not terms.has_path:
            return Score(0.0, {"cosine": 1.0, "length": 0})
        dot = before = after = terms.constant_square
        length = terms.constant_length
        for name, multiplicity in terms.parameters:
            cross, first, second, count = self._product(name)
            dot += multiplicity * cross
            before += multiplicity * first
            after += multiplicity * second
            length += multiplicity * count
        cosine = max(-1.0, min(1.0, dot / math.sqrt(before * after)))
        return Score(math.acos(cosine), {"cosine": cosine, "length": length})

    def normalised(self, score: Score) -> float:
        """Angle / pi (methods.md 4.3)."""
        return score.value / math.pi

    def _product(self, name: str) -> tuple[float, float, float, int]:
        if name not in self._products:
            first = self.scoring.initial[name].double().flatten()
            second = self._trained[name].detach().cpu().double().flatten()
            self._products[name] = (
                float(first @ second),
                float(first @ first),
                float(second @ second),
                first.numel(),
            )
        return self._products[name]
