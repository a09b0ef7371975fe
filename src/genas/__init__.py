"""genas: neural architecture search with a loss-flatness-aware measure (GeNAS, IJCAI 2023).

Names are loaded at first use, so that ``genas --help`` starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genas.lazy import lazy_names
from genas.zoo.hook import watch as _watch

if TYPE_CHECKING:
    from genas import zoo as zoo
    from genas.config import Config as Config
    from genas.config import build_config as build_config
    from genas.data import Dataset as Dataset
    from genas.data import LabelledImages as LabelledImages
    from genas.data import Normalisation as Normalisation
    from genas.data import Splits as Splits
    from genas.data import open_dataset as open_dataset
    from genas.errors import GenasError as GenasError
    from genas.evaluation import evaluate as evaluate
    from genas.landscapes import draw_landscape as draw_landscape
    from genas.loading import load as load
    from genas.pipeline import Result as Result
    from genas.pipeline import run_pipeline as run_pipeline
    from genas.pipeline import search as search
    from genas.prediction import Predictions as Predictions
    from genas.prediction import predict as predict
    from genas.proxy import Proxy as Proxy
    from genas.proxy import Score as Score
    from genas.proxy import Scoring as Scoring
    from genas.ranking import rank as rank
    from genas.retrain.export import export as export
    from genas.retrain.hub import HubModel as HubModel
    from genas.retrain.results import Retrained as Retrained
    from genas.retraining import retrain_architecture as retrain_architecture
    from genas.settings import Settings as Settings
    from genas.space import Architecture as Architecture
    from genas.space import Network as Network
    from genas.space import Space as Space
    from genas.space import open_space as open_space
    from genas.strategy import History as History
    from genas.strategy import Proposal as Proposal
    from genas.strategy import Search as Search
    from genas.strategy import SearchSettings as SearchSettings
    from genas.sweeps import sweep_weights as sweep_weights

_HOMES = {
    "Config": "config",
    "build_config": "config",
    "Dataset": "data",
    "LabelledImages": "data",
    "Normalisation": "data",
    "Splits": "data",
    "open_dataset": "data",
    "GenasError": "errors",
    "evaluate": "evaluation",
    "export": "retrain.export",
    "HubModel": "retrain.hub",
    "draw_landscape": "landscapes",
    "load": "loading",
    "predict": "prediction",
    "Predictions": "prediction",
    "Result": "pipeline",
    "run_pipeline": "pipeline",
    "search": "pipeline",
    "rank": "ranking",
    "Retrained": "retrain.results",
    "retrain_architecture": "retraining",
    "Proxy": "proxy",
    "Score": "proxy",
    "Scoring": "proxy",
    "Settings": "settings",
    "History": "strategy",
    "Proposal": "strategy",
    "Search": "strategy",
    "SearchSettings": "strategy",
    "sweep_weights": "sweeps",
    "Architecture": "space",
    "Network": "space",
    "Space": "space",
    "open_space": "space",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"
_find = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return import_module("genas.zoo") if name == "zoo" else _find(name)


_watch()  # timm.create_model knows the published networks, whichever of the two is imported first


def __dir__() -> list[str]:
    return [*__all__, "__version__", "zoo"]
