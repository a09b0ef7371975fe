"""The whole way in one function: data, space, supernet, proxy, search, retrain, report."""

import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genas.analysis.verdicts import Verdict
from genas.analysis.verdicts.measure import check_supernet, measure_noise
from genas.analysis.verdicts.read import read_verdicts
from genas.analysis.verdicts.training import supernet_not_trained
from genas.core.errors import ConfigError, GenasError
from genas.core.profiling import Profile
from genas.core.registry import blame
from genas.core.run_folder import read_config, write_atomically, write_json
from genas.core.run_paths import RunPaths
from genas.core.seeding import derive
from genas.core.terminal import say, warn
from genas.data import Dataset
from genas.proxies import Proxy, Score, Scoring, checked_score, needs_training, open_proxy
from genas.reporting.build import build_report
from genas.spaces import Architecture, Network, Space
from genas.strategies import History, Record, Search, run_search
from genas.strategies.measure import NOT_THE_ARCHITECTURES_FAULT
from genas.training.supernet import train_supernet, untrained_supernet
from genas.workflows.baselines import check_baselines
from genas.workflows.best import TrainedBest, train_best
from genas.workflows.code import check_scores, code_of_scores
from genas.workflows.config import Config, describe_given
from genas.workflows.continuation import settings_from_supernet, settings_on
from genas.workflows.noise_curves import write_noise_curves
from genas.workflows.planning import RunPlan, check_disk, plan_search, refuse_impossible
from genas.workflows.presets import Scale
from genas.workflows.session import Session, begun
from genas.workflows.subject import parse_architecture


@dataclass(frozen=True)
class Result:
    """What a search found.

    Args:
        run: the run folder.
        genotype: the best architecture.
        score: its score.
        parts: what the score is made of.
        params: parameters of the path in the supernet: at the supernet's size and with its batch norm.
        macs: multiply-accumulates of that path for one image.
        network: ``params`` and ``macs`` of the network that was retrained; empty without.
        test: test loss and accuracies after retraining; empty without.
        report: the report page.
        warnings: what is wrong with the result although it looks right; empty where nothing is.
        baseline: the comparison with random architectures of the same training; None without.
    """

    run: Path
    genotype: str
    score: float
    parts: dict[str, Any]
    params: int
    macs: int
    network: dict[str, int]
    test: dict[str, float]
    report: Path
    warnings: tuple[Verdict, ...] = ()
    baseline: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "run": str(self.run), "report": str(self.report)}


def train_supernet_of(config: Config, run: Path, quiet: bool = False) -> Path:
    """Trains or continues the supernet of a run; returns the checkpoint's path."""
    with begun(config, run, with_retrain=False, quiet=quiet) as session:
        network = supernet_of(session, run, trained=True, quiet=quiet)
        check_trained(session.scoring_of(network, run), run, config, quiet)
    return RunPaths(run).supernet.checkpoint


def run_pipeline(
    config: Config,
    run: Path,
    *,
    with_retrain: bool = True,
    quiet: bool = False,
    command: str | None = None,
    profile: bool = False,
    supernet: Path | None = None,
    on_plan: Callable[[RunPlan], None] | None = None,
) -> Result:
    """Runs or continues a search to its report.

    Args:
        config: all settings.
        run: the run folder.
        with_retrain: retrain the winner.
        quiet: no progress.
        command: what the report shows as the command; None for this process's.
        profile: write traces and a summary by phase into ``profile/``.
        supernet: run folder whose trained supernet is used in place of training one.
        on_plan: told what the run is going to need, before anything is written; None spares the timing of it.

    Returns:
        The best architecture and where everything lies.

    Raises:
        GenasError: see the steps.
    """

    def plan(session: Session) -> None:
        check_baselines(config.baseline, session.splits, with_retrain)
        if supernet is None:
            check_disk(config, session, run)
        if on_plan is not None:
            found = plan_search(config, session, run, with_retrain=with_retrain, with_supernet=supernet is None)
            on_plan(found)
            refuse_impossible(found, run)

    with begun(config, run, supernet, with_retrain=with_retrain, quiet=quiet, before=plan) as session:
        code = code_of_scores(config.proxy, config.search)
        check_scores(run, code)
        write_atomically(RunPaths(run).command, ((command or shlex.join(["genas", *sys.argv[1:]])) + "\n").encode())
        watch = Profile(RunPaths(run).profile, session.fabric.device) if profile else None
        trained = needs_training(config.proxy)
        with watch.phase("supernet") if watch and trained else nullcontext():
            network = supernet_of(session, run, trained, quiet)
        scoring = session.scoring_of(network, run)
        if trained:
            check_trained(scoring, run, config, quiet)
        proxy = open_proxy(scoring, config.proxy)
        search = session.open_search()
        with History(RunPaths(run).history) as history:
            history.take_down(code)
            with watch.phase("search") if watch else nullcontext():
                best = run_search(search, proxy, history, session.cost, config.seed, quiet, RunPaths(run).race)
            write_best(run, best, len(history))
            if config.search.noise_of_best:
                other = scoring.reseeded(derive(config.seed, "verdicts.again"))
                measure_noise(proxy, lambda: open_proxy(other, config.proxy), scoring, history, run, quiet)
            if trained and config.report.noise_curves:
                write_noise_curves(run, history, scoring, config, quiet)
        del network
        scoring.forget()
        trained_best = train_best(session, run, best, watch, quiet) if with_retrain else TrainedBest()
        report = build_report(run)
        warnings = read_verdicts(run, read_config(run))
    return Result(
        run=run,
        genotype=best.genotype,
        score=best.score if best.score is not None else float("nan"),
        parts=best.parts,
        params=best.params or 0,
        macs=best.macs or 0,
        network=trained_best.size,
        test=trained_best.test,
        report=report,
        warnings=tuple(warnings),
        baseline=trained_best.baseline,
    )


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


def write_best(run: Path, best: Record, evaluated: int) -> None:
    """Writes ``best.json``."""
    write_json(
        RunPaths(run).best_architecture,
        {
            "genotype": best.genotype,
            "score": best.score,
            "parts": best.parts,
            **({"objectives": dict(best.objectives)} if best.objectives else {}),
            "params": best.params,
            "macs": best.macs,
            "generation": best.generation,
            "evaluated": evaluated,
        },
    )


def score_genotypes(config: Config, run: Path, genotypes: list[str], quiet: bool = False) -> list[dict[str, Any]]:
    """Scores architectures by hand with a run's finished supernet; nothing is written to the run.

    Args:
        config: the run's configuration, perhaps with another proxy.
        run: the run folder.
        genotypes: text forms.
        quiet: no progress.

    Returns:
        One object per genotype: ``genotype``, ``score``, the proxy's terms, its ``objectives`` where it gives some,
        ``params``, ``macs``.

    Raises:
        GenotypeError: a malformed text.
        RunError: the supernet is not finished.
    """
    session = Session(config, run, quiet=quiet)
    config = session.config
    architectures = [parse_architecture(session.space, text) for text in genotypes]
    proxy = open_proxy(session.scoring(run, untrained=not needs_training(config.proxy)), config.proxy)
    rows = []
    for architecture in architectures:
        score = _score(proxy, architecture, config)
        cost = session.cost(architecture)
        rows.append(
            {
                "genotype": architecture.genotype,
                "score": score.value,
                **score.terms,
                **({"objectives": dict(score.objectives)} if score.objectives else {}),
                "params": cost.params,
                "macs": cost.macs,
            }
        )
    return rows


def _score(proxy: Proxy, architecture: Architecture, config: Config) -> Score:
    try:
        return checked_score(proxy, architecture)
    except NOT_THE_ARCHITECTURES_FAULT:
        raise
    except Exception as error:  # a custom proxy may raise anything
        said = str(error).rstrip(".") if isinstance(error, GenasError) else blame(error)
        raise ConfigError(f"{config.proxy.expression!r} cannot score {architecture.genotype}: {said}.") from error


def search(
    data: str | type[Dataset] | Dataset | None = None,
    space: str | type[Space] | Space | None = None,
    proxy: str | type[Proxy] | None = None,
    algorithm: str | type[Search] | None = None,
    run: str | Path = "runs/search",
    *,
    supernet: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    with_retrain: bool = True,
    as_published: bool = False,
    scale: Scale | None = None,
    quiet: bool = False,
    profile: bool = False,
) -> Result:
    """Searches from Python: what ``genas search`` does.

    Args:
        data: a data set's name, a `Dataset` subclass or an object of one, such as ``Flowers("photos")``; None for the
            run's own, ``digits`` in a new run.
        space: a space's name, a `Space` subclass or an object of one, such as ``Chain(width=16)``; None for the run's
            own, ``darts`` in a new run.
        proxy: an expression such as ``angle + 16*flatness``, or a `Proxy` subclass (its options: ``proxy.options``);
            None for the run's own, ``flatness`` in a new run.
        algorithm: ``evolution``, ``random``, or a `Search` subclass (its options: ``search.options``); None for the
            run's own, ``evolution`` in a new run.
        run: the run folder; the same call continues an interrupted run.
        supernet: run folder whose trained supernet is used, with its settings to begin with; None to train one.
        settings: everything else, nested as in the YAML file: ``{"supernet": {"epochs": 10}}``.
        with_retrain: retrain the winner.
        as_published: the official code's behaviour, point by point.
        scale: ``quick``, ``standard`` or ``paper``; None for what the data set's kind suggests (docs/scales.md).
        quiet: no progress.
        profile: write traces and a summary by phase into ``profile/`` of the run folder.

    Returns:
        The best architecture, its scores and costs, and the path of the report.

    Raises:
        GenasError: bad settings, bad data, a run folder of another configuration, and so on, one sentence each.
    """
    named = describe_given(data=data, space=space, proxy=proxy, search=algorithm)
    layers, folder = [settings or {}, named], Path(run)
    source = None if supernet is None else Path(supernet)
    if source is not None:
        config = settings_from_supernet(source, folder, layers, as_published)
    else:
        config = settings_on(folder, layers, as_published, scale)
    return run_pipeline(
        config,
        folder,
        with_retrain=with_retrain,
        quiet=quiet,
        command="genas.search(...)",
        profile=profile,
        supernet=source,
    )
