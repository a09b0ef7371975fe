"""What a ranking study scores and computes; no torch needed."""

from typing import Annotated

from pydantic import Field

from genas.core.settings import Settings

PROXIES = "loss,accuracy,angle,flatness,ranks(loss,macs)"
"""What is ranked where nothing else is named."""


class AnalysisSettings(Settings):
    """What is computed from the scores."""

    replicates: int = Field(1000, ge=100)
    """Bootstrap samples of the architectures."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Of the percentile intervals."""
    best_count: int = Field(50, ge=5)
    """Tau is also computed among so many best architectures by truth."""
    best_share: float = Field(0.1, gt=0, lt=1)
    """And among the best share of them."""
    tries: tuple[Annotated[int, Field(ge=1)], ...] = (10, 50, 100)
    """Sizes of the random subsets from which the pick's regret is computed; that of all comes in any case."""


class StudySettings(Settings):
    """What is scored, and how often."""

    architectures: int | None = Field(100, ge=10)
    """Architectures, drawn uniformly from the table by the seed; None for all of them. A larger draw contains a smaller
    one."""
    seed: int = Field(0, ge=0)
    """Seed of the draw of architectures and of the bootstrap. It does not depend on the run, so that runs can be
    compared."""
    repeats: int = Field(1, ge=1)
    """Score random proxies so often, with other noise and images: measures test-retest tau."""
    repeat_architectures: int | None = Field(None, ge=10)
    """Repeat on so many architectures, the first of the draw; None for all."""
    workers: int = Field(1, ge=1)
    """Processes that score, with one thread each. 1 scores in the command's own process."""
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    """What is computed from the scores."""
