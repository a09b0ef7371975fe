"""genas: neural architecture search with a loss-flatness-aware measure (GeNAS, IJCAI 2023).

Names are loaded at first use, so that ``genas --help`` starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas import testing as testing
    from genas.core.allocator import keep_freed_memory as keep_freed_memory
    from genas.core.errors import GenasError as GenasError
    from genas.core.settings import Settings as Settings
    from genas.data import Dataset as Dataset
    from genas.data import LabelledImages as LabelledImages
    from genas.data import Normalisation as Normalisation
    from genas.data import Splits as Splits
    from genas.data import open_dataset as open_dataset
    from genas.deploy.export import export as export
    from genas.deploy.hub import HubModel as HubModel
    from genas.proxies import Proxy as Proxy
    from genas.proxies import Score as Score
    from genas.proxies import Scoring as Scoring
    from genas.spaces import Architecture as Architecture
    from genas.spaces import Network as Network
    from genas.spaces import Space as Space
    from genas.spaces import open_space as open_space
    from genas.spaces import zoo as zoo
    from genas.strategies import History as History
    from genas.strategies import Proposal as Proposal
    from genas.strategies import Search as Search
    from genas.strategies import SearchSettings as SearchSettings
    from genas.training.standalone.loading import load as load
    from genas.training.standalone.results import Retrained as Retrained
    from genas.workflows.config import Config as Config
    from genas.workflows.config import build_config as build_config
    from genas.workflows.evaluate import evaluate as evaluate
    from genas.workflows.landscape import draw_landscape as draw_landscape
    from genas.workflows.predict import Predictions as Predictions
    from genas.workflows.predict import predict as predict
    from genas.workflows.rank import rank as rank
    from genas.workflows.retrain import retrain_architecture as retrain_architecture
    from genas.workflows.search import Result as Result
    from genas.workflows.search import run_pipeline as run_pipeline
    from genas.workflows.search import search as search
    from genas.workflows.sweep import sweep_weights as sweep_weights

_HOMES = {
    "Config": "workflows.config",
    "build_config": "workflows.config",
    "Dataset": "data",
    "LabelledImages": "data",
    "Normalisation": "data",
    "Splits": "data",
    "open_dataset": "data",
    "GenasError": "core.errors",
    "keep_freed_memory": "core.allocator",
    "evaluate": "workflows.evaluate",
    "export": "deploy.export",
    "HubModel": "deploy.hub",
    "draw_landscape": "workflows.landscape",
    "load": "training.standalone.loading",
    "predict": "workflows.predict",
    "Predictions": "workflows.predict",
    "Result": "workflows.search",
    "run_pipeline": "workflows.search",
    "search": "workflows.search",
    "rank": "workflows.rank",
    "Retrained": "training.standalone.results",
    "retrain_architecture": "workflows.retrain",
    "Proxy": "proxies",
    "Score": "proxies",
    "Scoring": "proxies",
    "Settings": "core.settings",
    "History": "strategies",
    "Proposal": "strategies",
    "Search": "strategies",
    "SearchSettings": "strategies",
    "sweep_weights": "workflows.sweep",
    "Architecture": "spaces",
    "Network": "spaces",
    "Space": "spaces",
    "open_space": "spaces",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"
_find = lazy_names(__name__, _HOMES)


_MODULES = {"zoo": "genas.spaces.zoo", "testing": "genas.testing"}


def __getattr__(name: str) -> Any:
    return import_module(_MODULES[name]) if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__", *_MODULES]
