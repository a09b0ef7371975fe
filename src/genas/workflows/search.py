"""The whole way in one function: data, space, supernet, proxy, search, retrain, report."""

import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genas.analysis.verdicts import Verdict
from genas.analysis.verdicts.measure import check_supernet, measure_noise
from genas.analysis.verdicts.read import read_verdicts
from genas.analysis.verdicts.training import supernet_not_trained
from genas.core.checkpoint import load_checkpoint
from genas.core.errors import ConfigError, GenasError
from genas.core.fingerprint import refuse_other_code
from genas.core.profiling import Profile
from genas.core.registry import blame
from genas.core.run_folder import explain, read_config, read_rows, write_atomically, write_json
from genas.core.run_paths import EvaluationPaths, RunPaths, TrainingPaths
from genas.core.seeding import derive
from genas.core.terminal import say, warn
from genas.data import Dataset
from genas.proxies import Proxy, Score, Scoring, checked_score, needs_training, open_proxy
from genas.reporting.build import build_report
from genas.spaces import Architecture, Network, Space, architecture_cost
from genas.strategies import History, Record, Search, run_search
from genas.strategies.measure import NOT_THE_ARCHITECTURES_FAULT
from genas.training.standalone import retrain
from genas.training.standalone.baseline import seconds_of
from genas.training.standalone.network import sized, without_auxiliary
from genas.training.supernet import train_supernet, untrained_supernet
from genas.workflows.baselines import check_baselines, compare_with_random
from genas.workflows.code import code_of_scores
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
        macs: multiply-accumulates of that path for one picture.
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
        trained_best = _train_best(session, run, best, watch, quiet) if with_retrain else _Best()
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


@dataclass(frozen=True)
class _Best:
    """The retrained best architecture: its size and test figures, and the comparison with random ones."""

    size: dict[str, int] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None


def _train_best(session: Session, run: Path, best: Record, watch: Profile | None, quiet: bool) -> _Best:
    """Trains the best architecture from scratch, or continues, and compares it with random ones."""
    config = session.config
    set_aside_others(run, best.genotype)
    size, architecture = sized(session.space, config.retrain), session.space.parse(best.genotype)
    kept = without_auxiliary(size)
    cost = architecture_cost(kept, architecture, session.splits.num_classes, session.splits.image_shape)
    with watch.phase("retrain") if watch else nullcontext():
        test = retrain(
            RunPaths(run).retrain.path,
            size,
            architecture,
            session.splits,
            config.retrain,
            session.fabric,
            config.seed,
            quiet,
        )
    compared = config.baseline.choice != "none"
    with watch.phase("baselines") if watch and compared else nullcontext():
        baseline = compare_with_random(
            run,
            size,
            architecture,
            session.splits,
            config.retrain,
            config.baseline,
            session.fabric,
            config.seed,
            [RunPaths(run).retrain.path],
            spent=seconds_spent(run),
            allowed=session.within_limits,
            quiet=quiet,
        )
    return _Best({"params": cost.params, "macs": cost.macs}, test, baseline)


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


def seconds_spent(run: Path) -> float:
    """Time that supernet, scores and retraining of a run took."""
    paths = RunPaths(run)
    trainings = sum(seconds_of(read_rows(one.metrics)) for one in (paths.supernet, paths.retrain))
    with History(paths.history, readonly=True) as history:
        return trainings + history.seconds()


def check_trained(scoring: Scoring, run: Path, config: Config, quiet: bool = False) -> None:
    """Compares some paths of the trained supernet with chance, and says at once where it is no better.

    Random labels teach nothing of the true ones, so that supernets of them are not compared.
    """
    if config.supernet.labels != "true":
        return
    verdict = supernet_not_trained(check_supernet(scoring, run), config.supernet.epochs)
    if verdict is not None:
        warn(verdict.sentence, quiet)


def set_aside_others(run: Path, genotype: str) -> None:
    """Moves a retraining of another architecture, and what was measured on it, to ``superseded/``.

    A search that goes on for more generations may find a better architecture than the one that was retrained.

    Args:
        run: the run folder, locked.
        genotype: the architecture to retrain.
    """
    training = RunPaths(run).retrain
    before = _retrained_genotype(training)
    if before in (None, genotype):
        return
    place = RunPaths(run).superseded / hashlib.blake2b(str(before).encode(), digest_size=4).hexdigest()
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path in (*EvaluationPaths(run).existing(), training.path):
            path.replace(place / path.name)
    except OSError as error:
        raise explain(error, place) from error


def _retrained_genotype(training: TrainingPaths) -> str | None:
    """The architecture that a retraining is of; None where none has begun."""
    if training.result.is_file():
        return str(json.loads(training.result.read_text(encoding="utf-8"))["genotype"])
    if training.checkpoint.is_file():
        return str(load_checkpoint(training.checkpoint)[1]["identity"]["genotype"])
    return None


def check_scores(run: Path, code: Mapping[str, str]) -> None:
    """Compares the code of custom proxies and strategies with that which the stored scores come from.

    Raises:
        RunError: it is another.
    """
    file = RunPaths(run).history
    if not code or not file.exists():
        return
    with History(file, readonly=True) as history:
        before = history.facts()
        scored = len(history) > 0 or any(RunPaths(run).race.glob("*.safetensors"))
    if scored:
        again = f"genas search --supernet {run} ... --run OTHER"
        refuse_other_code(
            before,
            code,
            f"the scores in {file} were computed, and scores of two versions are not mixed",
            f"restore the code, or search again with the same supernet by: {again}",
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
