"""How well proxies rank the architectures of a benchmark."""

from genas.analysis.ranking.analysis import AnalysisSettings, analyse
from genas.analysis.ranking.scores import Scored, Scores
from genas.analysis.ranking.scoring import Scorer, TimedScoring
from genas.analysis.ranking.study import Outcome, Study, StudySettings, draw
from genas.analysis.ranking.table import Table, open_table
from genas.analysis.ranking.variants import COVARIATES, Variant, read_variants

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
