"""Opens a run and a benchmark's table, scores, compares, writes results and page: `genas rank`."""

import hashlib
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from genas.analysis.ranking.analysis import analyse
from genas.analysis.ranking.page import build_ranking_page, verdicts
from genas.analysis.ranking.plan import FEW_IMAGES, RankPlan, expect
from genas.analysis.ranking.ranking import Ranking
from genas.analysis.ranking.scores import Scores
from genas.analysis.ranking.scoring import Scorer, TimedScoring
from genas.analysis.ranking.settings import PROXIES, StudySettings
from genas.analysis.ranking.study import Outcome, Study, draw
from genas.analysis.ranking.table import Table, open_table
from genas.analysis.ranking.variants import Variant, read_variants
from genas.core.checkpoint import load_checkpoint
from genas.core.deprecation import formerly
from genas.core.device import describe_machine
from genas.core.errors import ConfigError, RunError
from genas.core.progress import doing
from genas.core.run_folder import RunFolder, environment, explain, write_csv, write_json
from genas.core.run_paths import RankPaths, RunPaths
from genas.core.settings import combine, validate
from genas.core.terminal import say
from genas.data import Dataset
from genas.proxies import Proxy, ProxySettings
from genas.spaces.cost import Cost
from genas.workflows.config import Config, build_config, describe_given, read_yaml
from genas.workflows.rehearsal import rehearse_proxy
from genas.workflows.session import Session, changed_settings

FORMAT = "genas-rank-1"


def _given(
    proxies: str | Sequence[str | type[Proxy] | Proxy], named: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    """The list of the command line and the named variants for what a Python program passed."""
    if isinstance(proxies, str):
        return proxies, named
    given = [describe_given(proxy=one)["proxy"] for one in proxies]
    plain = [one["expression"] for one in given if len(one) == 1]
    return ",".join(plain), {**named, **{one["expression"]: one for one in given if len(one) > 1}}


@formerly("run", "table", "proxies")
def rank(
    run: str | Path,
    table: str | Path,
    *,
    proxies: str | Sequence[str | type[Proxy] | Proxy] = PROXIES,
    columns: Sequence[str] | None = None,
    genotype_column: str | None = None,
    variants: Mapping[str, Any] | str | Path | None = None,
    proxy_settings: Sequence[Mapping[str, Any]] = (),
    epoch: int | None = None,
    checkpoint: str | Path | None = None,
    name: str | None = None,
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    command: str | None = None,
    settings: StudySettings | Mapping[str, Any] | None = None,
    device: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> Ranking:
    """Scores architectures of a benchmark with a run's supernet and compares the ranking with the table's.

    Args:
        run: a run folder with a trained supernet.
        table: see `genas.analysis.ranking.table.open_table`.
        proxies: a text such as ``loss,flatness,ranks(loss,macs)``, or a sequence of names, `Proxy` subclasses and
            objects of such.
        columns: accuracy columns of the table; None for all.
        genotype_column: of the table; None to find it.
        variants: further variants by name (see `genas.analysis.ranking.variants`), or a YAML file of them.
        proxy_settings: changes of the run's settings for all variants, as ``{"proxy": {...}}``, later ones winning.
        epoch: score with the weights kept after that epoch (``supernet.keep_every``), 0 for the initial ones.
        checkpoint: score with the weights of this file.
        name: of the study, a folder in ``RUN/rank/``; None for ``final``, ``epoch-N`` or the checkpoint's name.
        data: where the run's data are now: ``folder:PATH``, or an object; None for where they were.
        data_root: the same, of a named data set.
        command: what the page shows as the command; None for this process's.
        settings: how many architectures and so on: `StudySettings` or a mapping of its fields.
        device: ``cpu`` or ``cuda``; None for the run's.
        seed: of the draw of architectures and of the bootstrap; None for that of `settings`.
        quiet: no progress.

    Raises:
        GenasError: a run, table or setting that does not fit, one sentence each.
    """
    comparison = _open_comparison(
        run,
        table,
        proxies=proxies,
        columns=columns,
        genotype_column=genotype_column,
        variants=variants,
        proxy_settings=proxy_settings,
        epoch=epoch,
        checkpoint=checkpoint,
        name=name,
        data=data,
        data_root=data_root,
        settings=settings,
        device=device,
        seed=seed,
        quiet=quiet,
    )
    if not (quiet or comparison.images <= FEW_IMAGES or RankPaths(comparison.folder).scores.exists()):
        say(comparison.plan().sentence())
    return comparison.score(command or shlex.join(["genas", *sys.argv[1:]]))


def plan_ranking(run: str | Path, table: str | Path, **options: Any) -> RankPlan:
    """How long `rank` will take with the same arguments; nothing is written."""
    return _open_comparison(run, table, **options).plan()


def _open_comparison(
    run: str | Path,
    table: str | Path,
    *,
    proxies: str | Sequence[str | type[Proxy] | Proxy] = PROXIES,
    columns: Sequence[str] | None = None,
    genotype_column: str | None = None,
    variants: Mapping[str, Any] | str | Path | None = None,
    proxy_settings: Sequence[Mapping[str, Any]] = (),
    epoch: int | None = None,
    checkpoint: str | Path | None = None,
    name: str | None = None,
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    settings: StudySettings | Mapping[str, Any] | None = None,
    device: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> "_Comparison":
    """Everything that a study needs, opened and tried; the arguments are those of `rank`."""
    run = Path(run)
    asked = settings if isinstance(settings, StudySettings) else read_settings([settings or {}])
    asked = asked if seed is None else asked.model_copy(update={"seed": seed})
    config = changed_settings(run, proxy_settings, ["proxy"], data=data, data_root=data_root, device=device)
    session = Session(config, run, quiet=quiet)
    named = variants if isinstance(variants, Mapping) else read_yaml(Path(variants)) if variants is not None else {}
    given = _given(proxies, named)
    chosen = read_variants(*given, session.config.proxy)
    weights = weights_file(run, epoch, Path(checkpoint) if checkpoint is not None else None)
    opened = open_table(Path(table), session.space, columns, genotype_column)
    genotypes = draw(opened.genotypes, asked.architectures, asked.seed)
    folder = RunPaths(run).ranks / _study_name(name, weights)
    scorer = _open_tried_scorer(run, session, weights, chosen)
    return _Comparison(run, folder, session, weights, opened, genotypes, given, chosen, scorer, asked, quiet)


def _open_tried_scorer(run: Path, session: Session, weights: Path, variants: Sequence[Variant]) -> Scorer:
    """The scorer, once every proxy has scored on two images."""
    config = session.config
    scorer = open_scorer(run, config, weights, session)
    for variant in variants:
        if variant.kind == "proxy":
            scorer.check(variant)
            rehearse_proxy(scorer.open_scoring(variant.proxy_settings, config.seed), variant.proxy_settings)
    return scorer


@dataclass(frozen=True)
class _Comparison:
    """What one study is of, opened and checked."""

    run: Path
    folder: Path
    session: Session
    weights: Path
    table: Table
    genotypes: Sequence[str]
    given: tuple[str, Mapping[str, Any]]
    variants: Sequence[Variant]
    scorer: Scorer
    settings: StudySettings
    quiet: bool

    @property
    def images(self) -> int:
        """Per score."""
        whole, fewer = len(self.session.splits.validation), self.session.config.proxy.evaluation.images
        return whole if fewer is None else min(whole, fewer)

    def plan(self) -> RankPlan:
        """How long the study will take, from a few scores on few images."""

        def limited(count: int) -> tuple[Scorer, Sequence[Variant]]:
            whole = self.session.config.model_dump(mode="json")
            fewer = build_config([whole, {"proxy": {"evaluation": {"images": count}}}])
            scorer = open_scorer(self.run, fewer, self.weights, self.session)
            return scorer, read_variants(*self.given, fewer.proxy)

        with doing("Timing the first architecture", self.quiet):
            return expect(limited, self.genotypes, self.settings, self.images)

    def score(self, command: str) -> Ranking:
        """Scores what is not scored yet, compares, and writes results and page."""
        session, settings, config = self.session, self.settings, self.session.config
        with RunFolder(self.folder), Scores(RankPaths(self.folder).scores) as scores:
            facts = {
                "weights": _digest(self.weights),
                "seed": config.seed,
                "data_limit": config.data.limit,
                "device": session.fabric.device.type,
            }
            scores.agree(facts, self.variants)

            def cost(genotype: str) -> Cost:
                return session.cost(session.space.parse(genotype))

            outcome = Study(scores, self.scorer, self.variants, self.genotypes, settings, cost, self.quiet).run()
            values = self.table.values(outcome.genotypes)
            _write_scores(self.folder, outcome, values)
            figures = analyse(outcome.scores, values, outcome.repeats, settings.analysis, settings.seed)
            result = Ranking(
                format=FORMAT,
                run=self.run,
                study=self.folder.name,
                command=command,
                weights={"file": str(self.weights), "epoch": _epoch(self.weights), "sha256": facts["weights"]},
                table=self.table.describe(),
                settings=settings.model_dump(mode="json"),
                **_described(figures, outcome, self.variants),
                run_settings=_run_settings(config),
                environment=environment(describe_machine(session.fabric.device)),
                verdicts={},
            )
            content = result.to_dict()
            found = {column: verdicts(content, column) for column in result.columns["names"]}
            result = replace(result, verdicts=found)
            write_json(RankPaths(self.folder).content, result.to_dict())
            build_ranking_page(self.folder)
        return result


def read_settings(layers: Sequence[Mapping[str, Any]]) -> StudySettings:
    """The settings from nested mappings, later ones winning.

    Raises:
        ConfigError: an unknown key or an impossible value; every fault is named.
    """
    return validate(StudySettings, combine(StudySettings, layers), "the settings of the study are wrong")


def weights_file(run: Path, epoch: int | None, checkpoint: Path | None) -> Path:
    """The file of supernet weights that a study scores with.

    Raises:
        ConfigError: both an epoch and a file.
        RunError: no such file; the epochs that were kept are named.
    """
    if epoch is not None and checkpoint is not None:
        raise ConfigError("--epoch and --checkpoint both name the weights; give one of them.")
    paths = RunPaths(run).supernet
    if checkpoint is not None:
        if not checkpoint.is_file():
            raise RunError(f"There is no checkpoint at {checkpoint}.")
        return checkpoint
    if epoch is None:
        return paths.checkpoint
    file = paths.initial if epoch == 0 else paths.epoch(epoch)
    if not file.is_file():
        kept = paths.kept_epochs()
        said = f"expected one of {', '.join(map(str, kept))}" if kept else "train with --set supernet.keep_every=5"
        raise RunError(f"{run} has kept no weights of epoch {epoch}: {said}.")
    return file


def open_scorer(run: Path, config: Config, weights: Path, session: Session | None = None) -> Scorer:
    """A run's supernet with the weights of a file, ready to score.

    Args:
        run: the run folder; nothing is written there.
        config: its configuration.
        weights: what `weights_file` gave.
        session: the opened configuration, where there is one.

    Raises:
        RunError: the supernet is not trained to its end and no other weights were named.
        CheckpointError: a damaged or foreign file.
    """
    session = session or Session(config, run)
    final = weights == RunPaths(run).supernet.checkpoint
    opened = session.scoring(run, weights=None if final else weights)

    def scoring(settings: ProxySettings, seed: int) -> TimedScoring:
        return TimedScoring(
            session.space,
            opened.supernet,
            opened.initial,
            session.splits,
            session.fabric,
            seed,
            settings.batchnorm,
            settings.evaluation,
        )

    return Scorer(session.space, scoring, config.seed, partial(open_scorer, run, config, weights))


def _study_name(name: str | None, weights: Path) -> str:
    if name is not None:
        if not name or Path(name).name != name or name.startswith("."):
            raise ConfigError(f"Invalid --name {name!r}: expected the name of a folder, without '/'.")
        return name
    return "final" if weights.stem == "checkpoint" else weights.stem


def _epoch(weights: Path) -> int | None:
    facts = load_checkpoint(weights)[1]
    if weights.stem == "initial":
        return 0
    epoch = facts.get("epoch")
    return int(epoch) if epoch is not None else None


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise explain(error, file) from error


def _run_settings(config: Config) -> dict[str, Any]:
    content = config.model_dump(mode="json")
    return {key: content[key] for key in ("seed", "device", "precision", "data", "space", "supernet")}


def _described(figures: dict[str, Any], outcome: Outcome, variants: Sequence[Variant]) -> dict[str, Any]:
    """The figures with what is known of each proxy beside them."""
    proxies = {}
    for variant in variants:
        found = figures["proxies"].get(variant.name, {"columns": {}, "retest": None})
        failed = outcome.failed[variant.name]
        proxies[variant.name] = {
            **variant.describe(),
            "seconds": outcome.seconds[variant.name],
            "failed": len(failed),
            "last_failure": failed[-1][1] if failed else None,
            **found,
        }
    return {**figures, "scored": len(outcome.genotypes), "proxies": proxies}


def _write_scores(folder: Path, outcome: Outcome, values: Mapping[str, Any]) -> None:
    """``scores.csv``: one row per architecture, the table's columns, the scores, and why one is missing."""
    reasons = {name: dict(failed) for name, failed in outcome.failed.items()}
    rows = []
    for place, genotype in enumerate(outcome.genotypes):
        row: dict[str, Any] = {"genotype": genotype}
        row |= {f"true:{name}": float(column[place]) for name, column in values.items()}
        row |= {name: _cell(scores[place]) for name, scores in outcome.scores.items()}
        for name, repeated in outcome.repeats.items():
            for number, scores in enumerate(repeated[1:], 1):
                row[f"{name}#{number}"] = _cell(scores[place]) if place < len(scores) else ""
        row["failures"] = "; ".join(
            f"{name}: {found[genotype]}" for name, found in reasons.items() if genotype in found
        )
        rows.append(row)
    write_csv(RankPaths(folder).table, rows)


def _cell(score: float) -> float | str:
    """Empty where scoring failed, of the proxy itself or of a member whose ranks it aggregates."""
    return float(score) if math.isfinite(score) else ""


__all__ = ["FORMAT", "PROXIES", "Table", "rank", "read_settings"]
