"""The supernet of a run, trained or continued: what ``genas supernet`` does, and the first step of a search."""

from dataclasses import dataclass
from pathlib import Path

from genas.analysis.verdicts import Verdict
from genas.analysis.verdicts.measure import check_supernet
from genas.analysis.verdicts.read import read_verdicts
from genas.analysis.verdicts.training import supernet_not_trained
from genas.core.result import Result
from genas.core.run_folder import read_config
from genas.core.run_paths import RunPaths
from genas.core.terminal import say, warn
from genas.data import Dataset
from genas.proxies import Proxy, Scoring
from genas.spaces import Network, Space
from genas.training.supernet import train_supernet, untrained_supernet
from genas.workflows.config import Config, Layers, given_layers
from genas.workflows.continuation import settings_on
from genas.workflows.presets import Scale
from genas.workflows.session import Session, open_session


@dataclass(frozen=True)
class TrainedSupernet(Result):
    """The trained supernet of a run.

    Args:
        run: the run folder.
        checkpoint: the file of its weights.
        warnings: what is wrong with it although it looks right; empty where nothing is.
    """

    run: Path
    checkpoint: Path
    warnings: tuple[Verdict, ...] = ()


def supernet(
    data: str | type[Dataset] | Dataset | None = None,
    *,
    space: str | type[Space] | Space | None = None,
    proxy: str | type[Proxy] | Proxy | None = None,
    run: str | Path = "runs/search",
    as_published: bool = False,
    scale: Scale | None = None,
    settings: Layers = None,
    device: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> TrainedSupernet:
    """Trains a supernet only, or continues: what ``genas supernet`` does. `genas.search` on the same run goes on.

    Args:
        data: as of `genas.search`, and so are the others.
        space: the search space.
        proxy: what the run is going to score with.
        run: the run folder; the same call continues an interrupted run.
        as_published: the official code's behaviour, point by point.
        scale: ``quick``, ``standard`` or ``paper``.
        settings: everything else, nested as in the YAML file.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's own.
        seed: of every random stream; None for the run's own.
        quiet: no progress.

    Returns:
        Where its weights lie, and what is wrong with it.

    Raises:
        GenasError: bad settings, bad data, a run folder of another configuration, one sentence each.
    """
    layers = given_layers(settings, data=data, space=space, proxy=proxy, device=device, seed=seed)
    return train_supernet_of(settings_on(Path(run), layers, as_published, scale), Path(run), quiet)


def train_supernet_of(config: Config, run: Path, quiet: bool = False) -> TrainedSupernet:
    """Trains or continues the supernet of a run."""
    with open_session(config, run, with_retrain=False, quiet=quiet) as session:
        network = supernet_of(session, run, trained=True, quiet=quiet)
        check_trained(session.scoring_of(network, run), run, config, quiet)
    return TrainedSupernet(run, RunPaths(run).supernet.checkpoint, tuple(read_verdicts(run, read_config(run))))


def supernet_of(session: Session, run: Path, trained: bool, quiet: bool = False) -> Network:
    """The supernet of a run: trained, continued or merely loaded; untrained where no proxy asks for more."""
    config, folder = session.config, RunPaths(run).supernet.path
    if trained:
        return train_supernet(
            folder, session.space, session.splits, config.supernet, session.fabric, config.seed, quiet
        )
    if not quiet:
        say(f"No supernet is trained: {config.proxy.expression} needs none.")
    return untrained_supernet(folder, session.space, session.splits, session.fabric, config.seed)


def check_trained(scoring: Scoring, run: Path, config: Config, quiet: bool = False) -> None:
    """Compares some paths of the trained supernet with chance, and says at once where it is no better.

    Random labels teach nothing of the true ones, so that supernets of them are not compared.
    """
    if config.supernet.labels != "true":
        return
    verdict = supernet_not_trained(check_supernet(scoring, run), config.supernet.epochs)
    if verdict is not None:
        warn(verdict.sentence, quiet)
