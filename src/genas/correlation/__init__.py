"""How well proxies rank the architectures of a benchmark."""

from genas.correlation.analysis import AnalysisSettings, analyse
from genas.correlation.scores import Scored, Scores
from genas.correlation.scoring import Scorer, TimedScoring
from genas.correlation.study import Outcome, Study, StudySettings, draw
from genas.correlation.table import Table, open_table
from genas.correlation.variants import COVARIATES, Variant, read_variants

__all__ = [
    "COVARIATES",
    "AnalysisSettings",
    "Outcome",
    "Scored",
    "Scorer",
    "Scores",
    "Study",
    "StudySettings",
    "Table",
    "TimedScoring",
    "Variant",
    "analyse",
    "draw",
    "open_table",
    "read_variants",
]
