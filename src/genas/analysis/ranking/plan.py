"""How long a ranking study will take, from its first architecture scored on few images and on some more."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genas.analysis.ranking.scoring import Job, Scorer
from genas.analysis.ranking.settings import StudySettings
from genas.analysis.ranking.variants import Variant
from genas.core.progress import duration
from genas.core.result import Result

FEW_IMAGES = 1000  # proposed where all images take long
LONG = 600.0  # seconds from which on fewer images are proposed


@dataclass(frozen=True)
class RankPlan(Result):
    """How long a study will take.

    Args:
        architectures: to score, repetitions counted in.
        images: per score.
        fixed: seconds of an architecture that do not depend on the images.
        each: seconds of an architecture and image.
        workers: processes.
    """

    architectures: int
    images: int
    fixed: float
    each: float
    workers: int

    def seconds(self, images: int | None = None) -> float:
        """Of the whole study, on another number of images perhaps."""
        count = self.images if images is None else images
        return self.architectures * (self.fixed + count * self.each) / self.workers

    @property
    def advice(self) -> str:
        """What to give for a shorter study; empty where it is short."""
        if self.seconds() < LONG or self.images <= FEW_IMAGES:
            return ""
        shorter = duration(self.seconds(FEW_IMAGES))
        return f"--set proxy.evaluation.images={FEW_IMAGES} scores on {FEW_IMAGES:,} images, in about {shorter}"

    def sentence(self) -> str:
        """The plan in words."""
        spent = duration(self.seconds())
        text = f"Scoring {self.architectures:,} architectures on {self.images:,} images takes about {spent}"
        return f"{text}; for less: {self.advice}." if self.advice else f"{text}."

    def to_dict(self) -> dict[str, Any]:
        """The whole time and the advice stand beside the fields."""
        return {**super().to_dict(), "seconds": self.seconds(), "advice": self.advice}


def expect(
    limited: Callable[[int], tuple[Scorer, Sequence[Variant]]],
    genotypes: Sequence[str],
    asked: StudySettings,
    whole: int,
) -> RankPlan:
    """Times the first architecture on few images and on some more, and draws that out.

    Args:
        limited: opens scorer and variants that look at so many images.
        genotypes: what will be scored.
        asked: settings of the study.
        whole: images per score.
    """

    def timed(count: int) -> float:
        scorer, variants = limited(count)
        jobs = [Job(variant, 0) for variant in variants if variant.kind == "proxy"]
        scorer.score(genotypes[0], jobs)  # opens what is shared, first use of kernels
        scorer, variants = limited(count)
        for variant in variants:
            if variant.kind == "proxy":
                scorer.check(variant)
        begun = time.perf_counter()
        scorer.score(genotypes[0], jobs)
        return time.perf_counter() - begun

    few, more = (min(count, whole) for count in (16, 80))
    first, second = timed(few), timed(more)
    each = max(second - first, 0.0) / max(more - few, 1)
    repeated = len(genotypes[: asked.repeat_architectures]) * (asked.repeats - 1)
    return RankPlan(len(genotypes) + repeated, whole, max(first - few * each, 0.0), each, asked.workers)
