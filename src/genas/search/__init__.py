"""Search over a space by ask and tell."""

from genas.search.base import Proposal, Search, SearchSettings
from genas.search.evolution import Evolution
from genas.search.history import History, Record
from genas.search.loop import evaluate, run_search
from genas.search.named import open_search
from genas.search.random_search import RandomSearch

__all__ = [
    "Evolution",
    "History",
    "Proposal",
    "RandomSearch",
    "Record",
    "Search",
    "SearchSettings",
    "evaluate",
    "open_search",
    "run_search",
]
