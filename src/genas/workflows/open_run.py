"""A run folder opened from Python: its settings, its architectures, its supernet and its network."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genas.core.result import Result
from genas.core.run_folder import read_config
from genas.core.run_paths import RunPaths
from genas.proxies import Scoring, needs_training
from genas.reporting.status import RetrainStatus, SearchStatus, status
from genas.spaces import Architecture, Network, Space, open_space
from genas.strategies import History, Record
from genas.training.standalone.loading import load
from genas.workflows.config import fill_defaults
from genas.workflows.session import Session, load_config
from genas.workflows.subject import find_subject


@dataclass(frozen=True)
class Run(Result):
    """A run folder of ``genas search`` or ``genas retrain``; nothing is written to it.

    Args:
        folder: where it lies.
        kind: ``search`` or ``retrain``.
        config: all settings, nested by section, as in its ``config.yaml``.
    """

    folder: Path
    kind: str
    config: dict[str, Any]

    @property
    def paths(self) -> RunPaths:
        """The files of the folder."""
        return RunPaths(self.folder)

    @cached_property
    def space(self) -> Space:
        """The search space."""
        options = dict(self.config["space"])
        return open_space(options.pop("name"), **options)

    @property
    def best(self) -> Architecture:
        """The best architecture of a search that is finished; the one that a retraining trains.

        Raises:
            RunError: the search is not finished.
        """
        return find_subject(str(self.folder)).architecture

    def status(self) -> SearchStatus | RetrainStatus:
        """How far the run is: see `genas.status`."""
        return status(self.folder)

    def records(self) -> tuple[Record, ...]:
        """All architectures that a search has evaluated, in the order in which they were proposed."""
        if not self.paths.history.exists():
            return ()
        with History(self.paths.history, readonly=True) as history:
            return tuple(history)

    def scoring(self, *, quiet: bool = True) -> Scoring:
        """The run's supernet, ready to score; what a `Proxy` is made with.

        Raises:
            RunError: the supernet is not trained to its end, or the run is one of ``genas retrain``.
        """
        config = load_config(self.folder)
        return Session(config, self.folder, quiet=quiet).scoring(
            self.folder, untrained=not needs_training(config.proxy)
        )

    def network(self) -> Network:
        """The network that the run trained: see `genas.load`."""
        return load(self.folder)


def open_run(run: str | Path) -> Run:
    """Opens a run folder.

    Args:
        run: of ``genas search`` or ``genas retrain``, finished or not.

    Raises:
        RunError: no run folder, or a damaged one.
    """
    folder = Path(run)
    config = fill_defaults(read_config(folder))
    return Run(folder, str(config.get("kind", "search")), config)
