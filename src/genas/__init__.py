"""genas: neural architecture search with a loss-flatness-aware measure (GeNAS, IJCAI 2023).

Names are loaded at first use, so that ``genas --help`` starts without torch.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas import testing as testing
    from genas.analysis.ranking.ranking import Ranking as Ranking
    from genas.core.allocator import keep_freed_memory as keep_freed_memory
    from genas.core.errors import CheckpointError as CheckpointError
    from genas.core.errors import ConfigError as ConfigError
    from genas.core.errors import CostError as CostError
    from genas.core.errors import DataError as DataError
    from genas.core.errors import GenasError as GenasError
    from genas.core.errors import GenotypeError as GenotypeError
    from genas.core.errors import Interrupted as Interrupted
    from genas.core.errors import RunError as RunError
    from genas.core.errors import SearchError as SearchError
    from genas.core.result import Result as Result
    from genas.core.settings import Settings as Settings
    from genas.data import Augmentation as Augmentation
    from genas.data import Dataset as Dataset
    from genas.data import LabelledImages as LabelledImages
    from genas.data import Normalisation as Normalisation
    from genas.data import ResidentImages as ResidentImages
    from genas.data import Splits as Splits
    from genas.data import StreamedImages as StreamedImages
    from genas.data import open_dataset as open_dataset
    from genas.deploy.export import Exported as Exported
    from genas.deploy.hub import HubModel as HubModel
    from genas.proxies import Proxy as Proxy
    from genas.proxies import Score as Score
    from genas.proxies import Scoring as Scoring
    from genas.reporting.status import BestArchitecture as BestArchitecture
    from genas.reporting.status import RetrainStatus as RetrainStatus
    from genas.reporting.status import SearchStatus as SearchStatus
    from genas.reporting.status import Status as Status
    from genas.reporting.status import status as status
    from genas.spaces import AngleTerms as AngleTerms
    from genas.spaces import Architecture as Architecture
    from genas.spaces import CellGraph as CellGraph
    from genas.spaces import ChoiceArchitecture as ChoiceArchitecture
    from genas.spaces import ChoiceSpace as ChoiceSpace
    from genas.spaces import Cost as Cost
    from genas.spaces import FeatureInfo as FeatureInfo
    from genas.spaces import Network as Network
    from genas.spaces import Space as Space
    from genas.spaces import SpaceDefinition as SpaceDefinition
    from genas.spaces import architecture_cost as architecture_cost
    from genas.spaces import copy_path as copy_path
    from genas.spaces import open_space as open_space
    from genas.spaces import zoo as zoo
    from genas.strategies import History as History
    from genas.strategies import Proposal as Proposal
    from genas.strategies import Record as Record
    from genas.strategies import SearchSettings as SearchSettings
    from genas.strategies import Strategy as Strategy
    from genas.training.standalone.loading import load as load
    from genas.training.standalone.results import Retrained as Retrained
    from genas.workflows.config import Config as Config
    from genas.workflows.config import build_config as build_config
    from genas.workflows.evaluate import Evaluation as Evaluation
    from genas.workflows.evaluate import evaluate as evaluate
    from genas.workflows.export import export as export
    from genas.workflows.landscape import Landscape as Landscape
    from genas.workflows.landscape import landscape as landscape
    from genas.workflows.open_run import Run as Run
    from genas.workflows.open_run import open_run as open_run
    from genas.workflows.predict import Predictions as Predictions
    from genas.workflows.predict import predict as predict
    from genas.workflows.rank import rank as rank
    from genas.workflows.report import Report as Report
    from genas.workflows.report import report as report
    from genas.workflows.retrain import retrain as retrain
    from genas.workflows.score import Scored as Scored
    from genas.workflows.score import Scores as Scores
    from genas.workflows.score import score as score
    from genas.workflows.search import SearchResult as SearchResult
    from genas.workflows.search import search as search
    from genas.workflows.supernet import TrainedSupernet as TrainedSupernet
    from genas.workflows.supernet import supernet as supernet
    from genas.workflows.sweep import Sweep as Sweep
    from genas.workflows.sweep import sweep as sweep

_HOMES = {
    "keep_freed_memory": "core.allocator",
    "CheckpointError": "core.errors",
    "ConfigError": "core.errors",
    "CostError": "core.errors",
    "DataError": "core.errors",
    "GenasError": "core.errors",
    "GenotypeError": "core.errors",
    "Interrupted": "core.errors",
    "RunError": "core.errors",
    "SearchError": "core.errors",
    "Result": "core.result",
    "Settings": "core.settings",
    "Augmentation": "data",
    "Dataset": "data",
    "LabelledImages": "data",
    "Normalisation": "data",
    "ResidentImages": "data",
    "Splits": "data",
    "StreamedImages": "data",
    "open_dataset": "data",
    "Exported": "deploy.export",
    "HubModel": "deploy.hub",
    "Proxy": "proxies",
    "Score": "proxies",
    "Scoring": "proxies",
    "BestArchitecture": "reporting.status",
    "RetrainStatus": "reporting.status",
    "SearchStatus": "reporting.status",
    "Status": "reporting.status",
    "status": "reporting.status",
    "AngleTerms": "spaces",
    "Architecture": "spaces",
    "CellGraph": "spaces",
    "ChoiceArchitecture": "spaces",
    "ChoiceSpace": "spaces",
    "Cost": "spaces",
    "FeatureInfo": "spaces",
    "Network": "spaces",
    "Space": "spaces",
    "SpaceDefinition": "spaces",
    "architecture_cost": "spaces",
    "copy_path": "spaces",
    "open_space": "spaces",
    "History": "strategies",
    "Proposal": "strategies",
    "Record": "strategies",
    "SearchSettings": "strategies",
    "Strategy": "strategies",
    "load": "training.standalone.loading",
    "Retrained": "training.standalone.results",
    "Config": "workflows.config",
    "build_config": "workflows.config",
    "Evaluation": "workflows.evaluate",
    "evaluate": "workflows.evaluate",
    "export": "workflows.export",
    "Landscape": "workflows.landscape",
    "landscape": "workflows.landscape",
    "Run": "workflows.open_run",
    "open_run": "workflows.open_run",
    "Predictions": "workflows.predict",
    "predict": "workflows.predict",
    "Ranking": "analysis.ranking.ranking",
    "rank": "workflows.rank",
    "Report": "workflows.report",
    "report": "workflows.report",
    "retrain": "workflows.retrain",
    "Scored": "workflows.score",
    "Scores": "workflows.score",
    "score": "workflows.score",
    "SearchResult": "workflows.search",
    "search": "workflows.search",
    "TrainedSupernet": "workflows.supernet",
    "supernet": "workflows.supernet",
    "Sweep": "workflows.sweep",
    "sweep": "workflows.sweep",
}
_MODULES = {"testing": "testing", "zoo": "spaces.zoo"}
_OLD = {
    "Search": ("strategies:Strategy", "Strategy"),
    "draw_landscape": ("workflows.landscape:landscape", "landscape"),
    "retrain_architecture": ("workflows.retrain:retrain", "retrain"),
    "run_pipeline": ("workflows.search:run_pipeline", "search"),
    "sweep_weights": ("workflows.sweep:sweep", "sweep"),
}
"""Old names, for one version more: where what they stand for is, and the name that replaces them."""

__all__ = sorted(_HOMES)
__version__ = "0.1.0"
__getattr__ = lazy_names(__name__, _HOMES, _OLD, _MODULES)


def __dir__() -> list[str]:
    return [*__all__, "__version__", *_MODULES]
