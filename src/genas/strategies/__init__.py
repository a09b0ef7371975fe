"""Search over a space by ask and tell.

Names are imported at first use, so that a history can be read without torch.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas.strategies.base import Proposal as Proposal
    from genas.strategies.base import Strategy as Strategy
    from genas.strategies.evolution import Evolution as Evolution
    from genas.strategies.history import History as History
    from genas.strategies.history import Record as Record
    from genas.strategies.loop import run_search as run_search
    from genas.strategies.named import open_search as open_search
    from genas.strategies.random_search import RandomSearch as RandomSearch
    from genas.strategies.settings import SearchSettings as SearchSettings

_HOMES = {
    "Proposal": "base",
    "Strategy": "base",
    "SearchSettings": "settings",
    "Evolution": "evolution",
    "History": "history",
    "Record": "history",
    "run_search": "loop",
    "open_search": "named",
    "RandomSearch": "random_search",
}

__getattr__ = lazy_names(__name__, _HOMES)
