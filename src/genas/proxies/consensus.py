"""A sum in which several proxies have an equal say, whatever their units.

    consensus(a) = sum_i (n_i(a) - m_i) / q_i

n_i is the i-th proxy's normalised value (`genas.proxies.combined`), m_i its median and q_i its interquartile range over
a few architectures that the run's seed draws from the space; the score of a middling architecture is about 0. Nothing
is fitted: the scales come from the scores alone, no true accuracy is looked at. Sums of scaled values, unlike sums of
ranks, need no population, so that a search can ask for the score of one architecture, and they still tell apart the
best, which have all passed the reference. Quartiles, because a single architecture that no signal passes through would
otherwise decide the scale.

Which proxies take part by default, and the evidence: studies/ranking.
"""

import math
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from genas.core.arithmetic import ceil_div
from genas.core.errors import GenasError
from genas.core.seeding import python_rng
from genas.core.settings import Settings
from genas.proxies.base import Proxy, Sections, as_score, called, known_score
from genas.proxies.combined import Combined
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture

LEAST = 8  # architectures of the reference that all proxies must have scored
REFERENCE_IMAGES = 1000  # validation images that they are scored on, where a proxy looks at any


class ConsensusSettings(Settings):
    """The consensus of several proxies."""

    members: tuple[str, ...] = ("angle", "loss", "naswot", "jacob-cov", "params", "macs")
    """Proxies that have an equal say. genas's own choice (studies/ranking)."""
    reference: int = Field(32, ge=LEAST)
    """Random architectures from which the scale of each proxy is taken. genas's own."""

    @field_validator("members")
    @classmethod
    def _several(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) < 2:
            raise ValueError("a consensus needs at least two proxies")
        if len(set(value)) < len(value):
            raise ValueError("a proxy is named twice")
        if "consensus" in value:
            raise ValueError("consensus cannot be a part of itself")
        return value


class Consensus(Combined):
    """Several proxies, each in units of its interquartile range over random architectures.

    Args:
        scoring: the trained supernet and the data.
        members: the proxies.
        settings: how many architectures the scales are taken from.
    """

    name = "consensus"
    Settings = ConsensusSettings
    explanation = "Sum of several proxies, each in units of its own spread over random architectures."
    formula = "sum_i (n_i - median_i) / interquartile range_i"
    citation = "genas"
    passes = "those of its members"
    settings: ConsensusSettings

    def __init__(
        self,
        scoring: Scoring,
        members: tuple[Proxy, ...],
        settings: ConsensusSettings | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        super().__init__(scoring, tuple((1.0, member) for member in members), names, settings)
        self._members = members

    @classmethod
    def open(cls, scoring: Scoring, sections: Sections) -> Self:
        """The proxy of a configuration, with its members."""
        settings = sections.of(cls)
        opened = tuple(sections.open(name, scoring) for name in settings.members)
        return cls(scoring, opened, settings, called(settings.members, opened))

    @classmethod
    def members(cls, settings: ConsensusSettings) -> tuple[str, ...]:
        """See `Proxy.members`."""
        return settings.members

    @property
    def weights(self) -> list[float]:
        """1 / q_i of each member, in order; computed at the first score."""
        return [weight for weight, _ in self._scales]

    @property
    def centres(self) -> list[float]:
        """m_i of each member."""
        return [centre for _, centre in self._scales]

    @cached_property
    def _scales(self) -> list[tuple[float, float]]:
        rng = python_rng(self.scoring.seed, "proxy.consensus")
        rows = []
        for _ in range(self.settings.reference):
            architecture = self.scoring.space.sample(rng)
            try:
                row = [member.normalised(_quick_score(member, architecture)) for member in self._members]
            except GenasError:
                continue
            if all(math.isfinite(value) for value in row):
                rows.append(row)
        if len(rows) < LEAST:
            raise GenasError(
                f"consensus: only {len(rows)} of {self.settings.reference} random architectures could be scored by "
                f"all of {', '.join(self.names)}; at least {LEAST} are needed"
            )
        return [(_inverse_scale(column), float(np.median(column))) for column in np.array(rows).T]


def _quick_score(member: Proxy, architecture: Architecture) -> Score:
    """The score of a random architecture, from a part of the images where the proxy allows it."""
    if not member.raceable:
        return known_score(member, architecture)
    scoring = member.scoring
    images = min(REFERENCE_IMAGES, scoring.validation_count)
    batches = slice(0, ceil_div(images, scoring.evaluation.batch_size))
    return as_score(member.score_of_means(architecture, member.statistics(architecture, batches).mean(0)))


def _inverse_scale(values: NDArray[np.float64]) -> float:
    """1 / interquartile range; the standard deviation where half of the values are alike, 0 where all are."""
    low, high = np.percentile(values, [25, 75])
    scale = float(high - low) or float(values.std())
    return 1 / scale if scale > 0 else 0.0
