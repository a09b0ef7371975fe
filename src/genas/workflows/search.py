"""The whole way in one function: data, space, supernet, proxy, search, retrain, report."""

import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genas.analysis.verdicts import Verdict
from genas.analysis.verdicts.measure import measure_noise
from genas.analysis.verdicts.read import read_verdicts
from genas.core.deprecation import formerly
from genas.core.profiling import Profile
from genas.core.result import Result
from genas.core.run_folder import read_config, write_atomically, write_json
from genas.core.run_paths import RunPaths
from genas.core.seeding import derive
from genas.data import Dataset
from genas.proxies import Proxy, needs_training, open_proxy
from genas.reporting.build import build_report
from genas.spaces import Space
from genas.strategies import History, Record, Strategy, run_search
from genas.workflows.baselines import check_baselines
from genas.workflows.best import TrainedBest, train_best
from genas.workflows.code import check_scores, code_of_scores
from genas.workflows.config import Config, Layers, given_layers
from genas.workflows.continuation import settings_from_supernet, settings_on
from genas.workflows.noise_curves import write_noise_curves
from genas.workflows.planning import RunPlan, check_disk, plan_search, refuse_impossible
from genas.workflows.presets import Scale
from genas.workflows.session import Session, open_session
from genas.workflows.supernet import check_trained, supernet_of


@dataclass(frozen=True)
class SearchResult(Result):
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
) -> SearchResult:
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

    with open_session(config, run, supernet, with_retrain=with_retrain, quiet=quiet, before=plan) as session:
        code = code_of_scores(config.proxy, config.strategy)
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
            if config.strategy.noise_of_best:
                other = scoring.reseeded(derive(config.seed, "verdicts.again"))
                measure_noise(proxy, lambda: open_proxy(other, config.proxy), scoring, history, run, quiet)
            if trained and config.report.noise_curves:
                write_noise_curves(run, history, scoring, config, quiet)
        del network
        scoring.forget()
        trained_best = train_best(session, run, best, watch, quiet) if with_retrain else TrainedBest()
        report = build_report(run)
        warnings = read_verdicts(run, read_config(run))
    return SearchResult(
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


@formerly("data", "space", "proxy", "strategy", "run", algorithm="strategy", with_retrain="retrain")
def search(
    data: str | type[Dataset] | Dataset | None = None,
    *,
    space: str | type[Space] | Space | None = None,
    proxy: str | type[Proxy] | Proxy | None = None,
    strategy: str | type[Strategy] | Strategy | None = None,
    run: str | Path = "runs/search",
    supernet: str | Path | None = None,
    retrain: bool = True,
    as_published: bool = False,
    scale: Scale | None = None,
    profile: bool = False,
    settings: Layers = None,
    device: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> SearchResult:
    """Searches an architecture: what ``genas search`` does.

    Args:
        data: a data set's name, a `Dataset` subclass or an object of one, such as ``Flowers("photos")``; None for the
            run's own, ``digits`` in a new run.
        space: a space's name, a `Space` subclass or an object of one, such as ``Chain(width=16)``; None for the run's
            own, ``darts`` in a new run.
        proxy: an expression such as ``angle + 16*flatness``, a `Proxy` subclass (its options: ``proxy.options``) or an
            object of one; None for the run's own, ``flatness`` in a new run.
        strategy: ``evolution``, ``random``, a `Strategy` subclass (its options: ``strategy.options``) or an object of
            one; None for the run's own, ``evolution`` in a new run.
        run: the run folder; the same call continues an interrupted run.
        supernet: run folder whose trained supernet is used, with its settings to begin with; None to train one.
        retrain: train the best architecture from scratch at the end.
        as_published: the official code's behaviour, point by point.
        scale: ``quick``, ``standard`` or ``paper``; None for what the data set's kind suggests (docs/scales.md).
        profile: write traces and a summary by phase into ``profile/`` of the run folder.
        settings: everything else, nested as in the YAML file: ``{"supernet": {"epochs": 10}}``; of several mappings,
            later ones win.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's own, ``auto`` in a new run.
        seed: of every random stream; None for the run's own, 0 in a new run.
        quiet: no progress.

    Returns:
        The best architecture, its scores and costs, and the path of the report.

    Raises:
        GenasError: bad settings, bad data, a run folder of another configuration, and so on, one sentence each.
    """
    layers = given_layers(settings, data=data, space=space, proxy=proxy, search=strategy, device=device, seed=seed)
    folder, source = Path(run), None if supernet is None else Path(supernet)
    if source is not None:
        config = settings_from_supernet(source, folder, layers, as_published)
    else:
        config = settings_on(folder, layers, as_published, scale)
    return run_pipeline(
        config,
        folder,
        with_retrain=retrain,
        quiet=quiet,
        command="genas.search(...)",
        profile=profile,
        supernet=source,
    )
