"""What the report shows, as plain values; `build` collects them, `page` draws them."""

from dataclasses import dataclass
from typing import Any

from genas.analysis.verdicts import Verdict
from genas.analysis.verdicts.parts import Spread
from genas.spaces.definition import CellGraph


@dataclass(frozen=True)
class Candidate:
    """A scored architecture."""

    rank: int
    genotype: str
    short: str
    score: float
    parts: dict[str, Any]
    params: int
    macs: int
    generation: int
    equal: int = 0
    """Further genotypes of the same function among the best."""


@dataclass(frozen=True)
class Progress:
    """One point of the search: the `index`-th scored architecture."""

    generation: int
    index: int
    score: float


@dataclass(frozen=True)
class NoiseCurve:
    """Mean validation loss of one architecture at growing weight noise, with the spread over draws."""

    label: str
    genotype: str
    sigmas: tuple[float, ...]
    losses: tuple[float, ...]
    spread: tuple[float, ...]


@dataclass(frozen=True)
class TrainingCurve:
    """Columns of a training's metrics by epoch."""

    title: str
    epochs: tuple[int, ...]
    columns: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class CorruptionCurve:
    """Accuracy of one corruption by severity, the clean accuracy first; means over the networks."""

    name: str
    group: str
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationData:
    """What was measured on a trained network, or on one per seed.

    Args:
        networks: names of the networks.
        facts: what was measured, and on what.
        cards: figures to show first, as texts.
        bins: of the calibration curve, each of enough images, pooled over the networks.
        corruptions: empty where none was asked for.
        noise: curves by scale (``absolute``, ``relative``), one per network.
        tables: title, heads, rows of texts, and a remark.
        confusion: which classes are taken for which; None for too many classes.
        mistakes: those that the first network was surest of.
    """

    networks: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    cards: tuple[tuple[str, str], ...]
    bins: tuple["CalibrationBin", ...]
    corruptions: tuple[CorruptionCurve, ...]
    noise: dict[str, tuple[NoiseCurve, ...]]
    tables: tuple["EvaluationTable", ...]
    confusion: "Confusion | None" = None
    mistakes: tuple["Mistake", ...] = ()


@dataclass(frozen=True)
class CalibrationBin:
    """Images of similar confidence: means, the interval of the accuracy, and how many they are."""

    confidence: float
    accuracy: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Confusion:
    """Images by true class (rows) and predicted class (columns), summed over the networks."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Mistake:
    """An image that was classified wrongly; `source` is the address of its thumbnail."""

    true: str
    predicted: str
    probability: float
    number: int
    source: str


@dataclass(frozen=True)
class EvaluationTable:
    """A table of texts; all columns but the first are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remark: str = ""
    folded: bool = False


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Args:
        history: of a long search a sample, see `scored`.
        scored: architectures that were scored, drawn or not.
        failed: genotype and reason of the first that failed.
        failed_count: how many failed.
        warnings: what is wrong with the result although it looks right.
        baseline: the comparison with random architectures of the same training (``baseline.json``).
        left_out: why there is no such comparison.
        spreads: of each part of a weighted sum over the architectures.
        network: ``params`` and ``macs`` of the retrained network; None where it was not retrained, or before they were
            written down.
    """

    title: str
    created: str
    command: str
    summary: tuple[tuple[str, str], ...]
    config: dict[str, Any]
    environment: dict[str, Any]
    history: tuple[Progress, ...]
    scored: int
    failed: tuple[tuple[str, str], ...]
    failed_count: int
    best: tuple[Candidate, ...]
    cells: tuple[CellGraph, ...]
    noise_curves: tuple[NoiseCurve, ...]
    supernet_curve: TrainingCurve | None
    retrain_curve: TrainingCurve | None
    test: dict[str, float] | None
    next_steps: tuple[tuple[str, str], ...]
    warnings: tuple[Verdict, ...] = ()
    spreads: tuple[Spread, ...] = ()
    baseline: dict[str, Any] | None = None
    left_out: str | None = None
    evaluation: EvaluationData | None = None
    network: dict[str, int] | None = None
