"""Weighted sums of proxies.

Each part enters normalised as published (methods.md 4.3): angle / pi, flatness / sigma_1 (so that a weight w means
gamma = w / sigma_1), accuracy and loss as they are. Counts, synflow and jacob-cov, which differ by factors, enter as
logarithms, the others as they are. The share of a part is its absolute contribution over the sum of all absolute
contributions.
"""

import math

import torch
from torch import Tensor

from genas.core.settings import Settings
from genas.proxies.base import Proxy, WithoutImages, as_score, known_score
from genas.proxies.scoring import Score, Scoring
from genas.spaces.base import Architecture


class Combined(Proxy):
    """A weighted sum of normalised proxies.

    Args:
        scoring: the trained supernet and the data.
        parts: (weight, proxy) each.
        names: what the terms call the parts; empty for what they call themselves.
        settings: of a subclass.
    """

    name = "combined"

    def __init__(
        self,
        scoring: Scoring,
        parts: tuple[tuple[float, Proxy], ...],
        names: tuple[str, ...] = (),
        settings: Settings | None = None,
    ) -> None:
        super().__init__(scoring, settings)
        self.parts = parts
        self.names = names or tuple(proxy.name for _, proxy in parts)
        self.by_function = all(proxy.by_function for _, proxy in parts)

    def score(self, architecture: Architecture) -> Score:
        """Terms: per part its value, normalised value, weight, contribution, share and its own terms."""
        if self.raceable:
            return self.whole_score(architecture)
        return self._sum([known_score(proxy, architecture) for _, proxy in self.parts])

    @property
    def weights(self) -> list[float]:
        """What each part's normalised value is multiplied by."""
        return [weight for weight, _ in self.parts]

    @property
    def centres(self) -> list[float]:
        """What is subtracted from each part's normalised value first: nothing."""
        return [0.0] * len(self.parts)

    @property
    def raceable(self) -> bool:
        """Where all parts are functions of means over images, or of no such image as the angle."""
        proxies = [proxy for _, proxy in self.parts]
        return any(proxy.raceable for proxy in proxies) and all(
            proxy.raceable or isinstance(proxy, WithoutImages) for proxy in proxies
        )

    def statistics(self, architecture: Architecture, part: slice) -> Tensor:
        """The parts' columns side by side."""
        return torch.cat([proxy.statistics(architecture, part) for _, proxy in self.parts], 1)

    @property
    def columns(self) -> int:
        """Those of all parts."""
        return sum(self._widths)

    @property
    def _widths(self) -> list[int]:
        return [proxy.columns for _, proxy in self.parts]

    def score_of_means(self, architecture: Architecture, means: Tensor) -> Score:
        """As `score`."""
        split = torch.split(means, self._widths)
        pairs = zip(self.parts, split, strict=True)
        return self._sum([as_score(proxy.score_of_means(architecture, part)) for (_, proxy), part in pairs])

    def values_of_means(self, architecture: Architecture, means: Tensor) -> Tensor:
        """The weighted sums of the parts' normalised values."""
        total = torch.zeros(len(means), dtype=torch.float64)
        split = torch.split(means, self._widths, 1)
        scales = zip(self.weights, self.centres, strict=True)
        for (_, proxy), (weight, centre), part in zip(self.parts, scales, split, strict=True):
            values = proxy.values_of_means(architecture, part)
            normalised = [proxy.normalised(Score(value)) for value in values.tolist()]
            total += weight * (torch.tensor(normalised, dtype=torch.float64) - centre)
        return total

    def _sum(self, scores: list[Score]) -> Score:
        rows = []
        scales = zip(self.weights, self.centres, strict=True)
        for name, (_, proxy), score, (weight, centre) in zip(self.names, self.parts, scores, scales, strict=True):
            normalised = proxy.normalised(score)
            rows.append((name, score, normalised, weight, weight * (normalised - centre)))
        whole = sum(abs(contribution) for *_, contribution in rows)
        terms = {
            name: {
                "value": score.value,
                "normalised": normalised,
                "weight": weight,
                "contribution": contribution,
                "share": abs(contribution) / whole if whole > 0 else 0.0,
                **score.terms,
            }
            for name, score, normalised, weight, contribution in rows
        }
        return Score(math.fsum(contribution for *_, contribution in rows), terms)
