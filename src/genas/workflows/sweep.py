"""A search for each of several weights with one supernet: `genas sweep`."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genas.analysis.sweep import Remembered, Scores, Template, mean_share, parse_template, weight_for
from genas.analysis.sweep.page import build_sweep_page
from genas.analysis.sweep.weights import check_shares, check_weights
from genas.core.deprecation import formerly
from genas.core.errors import ConfigError, GenasError, RunError
from genas.core.fingerprint import refuse_other_code
from genas.core.result import Result
from genas.core.run_folder import RunFolder, changes, digest_of, flatten, write_csv, write_json
from genas.core.run_paths import RunPaths, SweepPaths, TrainingPaths
from genas.core.seeding import python_rng
from genas.core.settings import current_names, expand, merge
from genas.core.terminal import say
from genas.data import Dataset
from genas.proxies import Combined, Scoring, open_proxy
from genas.proxies.named import PROXIES
from genas.spaces import Architecture
from genas.strategies import History, Record, run_search
from genas.training.standalone import retrain as train_network
from genas.training.standalone.network import resize
from genas.workflows.code import code_of_scores
from genas.workflows.config import Config, Layers, fill_defaults, given_layers
from genas.workflows.landscape import check_name
from genas.workflows.rehearsal import rehearse_proxy
from genas.workflows.search import write_best
from genas.workflows.session import Session, changed_settings

FORMAT = "genas-sweep-1"
POSTER_SHARES = (0.0, 20.0, 43.0, 76.0, 89.0)  # shares of flatness beside the angle, in per cent (the GeNAS poster)
# told of every winner, whatever the expression, with these of their terms
ALWAYS: dict[str, tuple[str, ...]] = {"angle": (), "flatness": (), "loss": ("accuracy",)}
COSTS = ("params", "macs")
CHANGEABLE = ("proxy", "strategy", "retrain")


@dataclass(frozen=True)
class Sweep(Result):
    """Searches with several weights of one part of a sum of proxies; what ``sweep.json`` holds.

    Args:
        format: of the file.
        run: the run folder.
        folder: where the results lie.
        expression: the sum.
        swept: the part whose weight is open.
        parts: names of all parts.
        kept: architectures that a generation keeps: ``share.kept`` is of so many best.
        scores_computed: how many architectures each part has scored, for all weights together.
        architectures: that the searches evaluated.
        weights: for each weight: ``weight``, ``share`` of the swept part, and the best architecture with its figures.
    """

    format: str
    run: Path
    folder: Path
    expression: str
    swept: str
    parts: list[str]
    kept: int
    scores_computed: dict[str, int]
    architectures: int
    weights: list[dict[str, Any]]


@formerly("run", "proxy", expression="proxy", with_retrain="retrain")
def sweep(
    run: str | Path,
    *,
    proxy: str = "angle + w*flatness",
    weights: Sequence[float] | None = None,
    shares: Sequence[float] | None = None,
    name: str | None = None,
    retrain: bool = False,
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    settings: Layers = None,
    device: str | None = None,
    quiet: bool = False,
) -> Sweep:
    """Searches once for each weight, or continues, and tells what the swept part's share does.

    Args:
        run: a run folder with a finished supernet; nothing of it is trained again.
        proxy: a sum of proxies, one of which has the weight ``w``.
        weights: the weights.
        shares: in place of weights: wanted mean shares of the swept part, in per cent, over the random architectures
            that every search begins with. Neither: those of the GeNAS poster.
        name: the results lie in ``sweep/NAME`` of the run folder; None for a name made of the expression.
        retrain: train every winner from scratch.
        data: where the run's data are now: ``folder:PATH``, or an object; None for where they were.
        data_root: the same, of a named data set.
        settings: changes of the run's settings of proxy, search and retraining, nested as in the YAML file.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's.
        quiet: no progress.

    Raises:
        GenasError: a malformed expression, impossible weights or shares, no finished supernet.
        Interrupted: Ctrl-C; what is scored is kept.
    """
    template = parse_template(proxy)
    if weights is not None and shares is not None:
        raise ConfigError("both weights and shares came; give one of them.")
    wanted = check_shares(POSTER_SHARES if shares is None else shares) if weights is None else None
    given = check_weights(weights) if weights is not None else ()
    run = Path(run)
    folder = RunPaths(run).sweeps / check_name(name or _name_of(proxy))
    one = " + ".join(f"{abs(part.weight):g}*{part.name}" for part in template.parts(1.0))
    changes = given_layers(settings)
    if "expression" in (merge({}, *map(expand, changes)).get("proxy") or {}):
        raise ConfigError("the sum of a sweep comes with --proxy; leave proxy.expression out.")
    layers = [*changes, {"proxy": {"expression": one}}]
    config = changed_settings(run, layers, CHANGEABLE, data=data, data_root=data_root, device=device)
    session = Session(config, run, quiet=quiet)
    config = session.config
    with RunFolder(run):
        scoring = session.scoring(run)
        rehearse_proxy(scoring, config.proxy)
        if retrain:
            session.rehearse(scores=False)
        _check_identity(folder, run, template, session)
        folder.mkdir(parents=True, exist_ok=True)
        with Scores(SweepPaths(folder).scores) as scores:
            searches = _Sweep(folder, template, session, scoring, scores, quiet)
            if wanted is not None:
                given = searches.weights_of(wanted)
            rows = searches.rows(given, wanted, retrain)
            result = Sweep(
                format=FORMAT,
                run=run,
                folder=folder,
                expression=proxy,
                swept=template.swept.name,
                parts=searches.names,
                kept=config.strategy.parents,
                scores_computed=scores.counts(),
                architectures=sum(row["evaluated"] for row in rows),
                weights=rows,
            )
    write_json(SweepPaths(folder).content, result.to_dict())
    write_csv(SweepPaths(folder).table, _flat(rows))
    build_sweep_page(folder)
    return result


@dataclass(frozen=True)
class _Sweep:
    """What all weights have in common."""

    folder: Path
    template: Template
    session: Session
    scoring: Scoring
    scores: Scores
    quiet: bool

    @property
    def names(self) -> list[str]:
        """The proxies of the sum."""
        return [part.name for part in self.template.parts(1.0)]

    def proxy(self, name: str) -> Remembered:
        """A part of the sum, its scores shared by all weights."""
        config = self.session.config
        options = config.proxy.options if PROXIES.is_custom(name) else {}
        settings = config.proxy.model_copy(update={"expression": name, "options": options})
        return Remembered(open_proxy(self.scoring, settings), self.scores, config.strategy.share_functions, name)

    def weights_of(self, shares: Sequence[float]) -> tuple[float, ...]:
        """The weights that give the wanted mean shares over the first generation, which is random."""
        config = self.session.config
        search = self.session.open_search()
        with History(":memory:") as empty:
            sample = search.ask(empty, python_rng(config.seed, "search", 0), 0)
        parts = [(part, self.proxy(part.name)) for part in self.template.fixed]
        own = self.proxy(self.template.swept.name)
        swept, others = [], []
        for proposal in sample:
            try:
                value = _normalised(own, proposal.architecture)
                rest = sum(abs(part.weight * _normalised(proxy, proposal.architecture)) for part, proxy in parts)
            except GenasError:
                continue  # the search will record the failure
            swept.append(abs(value))
            others.append(rest)
        if not swept:
            raise RunError("none of the random architectures could be scored, so no weight can be found for a share.")
        found = tuple(weight_for(share, swept, others) for share in shares)
        write_json(
            SweepPaths(self.folder).shares,
            [
                {"wanted": share, "weight": weight, "in_sample": mean_share(weight, swept, others)}
                for share, weight in zip(shares, found, strict=True)
            ],
        )
        return check_weights(found)

    def rows(
        self, weights: Sequence[float], wanted: Sequence[float] | None, with_retrain: bool
    ) -> list[dict[str, Any]]:
        """Searches with each weight, trains the winners where that is asked for, and gives what the table tells."""
        rows: list[dict[str, Any]] = []
        for number, weight in enumerate(weights):
            if not self.quiet:
                say(f"w = {weight:g}, search {number + 1} of {len(weights)}")
            asked = {} if wanted is None else {"wanted_share": wanted[number]}
            rows.append({"weight": weight, **asked, **self.search(weight)})
        for row in rows:
            test = self.retrain(row["genotype"]) if with_retrain else self.trained(row["genotype"])
            if test:
                row["test"] = test
        return rows

    def search(self, weight: float) -> dict[str, Any]:
        """Searches with one weight; what the table tells of it."""
        config = self.session.config
        parts = tuple((part.weight, self.proxy(part.name)) for part in self.template.parts(weight))
        search = self.session.open_search()
        short = f"{weight:g}"
        folder = self.folder / f"w-{short if float(short) == weight else repr(weight)}"
        folder.mkdir(exist_ok=True)
        with History(RunPaths(folder).history) as history:
            proxy = Combined(self.scoring, parts)
            best = run_search(search, proxy, history, self.session.cost, config.seed, self.quiet)
            write_best(folder, best, len(history))
            kept = history.best(config.strategy.parents)
            whole = [record for record in history if record.failed is None]
            facts = {"evaluated": len(history), "failed": history.failure_count()}
        return {
            "share": {"winner": self._share([best]), "kept": self._share(kept), "all": self._share(whole)},
            "genotype": best.genotype,
            "score": best.score,
            "params": best.params,
            "macs": best.macs,
            **self._values(self.session.space.parse(best.genotype)),
            **facts,
        }

    def retrain(self, genotype: str) -> dict[str, float]:
        """Trains a winner from scratch; weights with the same winner share the training."""
        config, session = self.session.config, self.session
        return train_network(
            self._trained_folder(genotype),
            resize(session.space, config.retrain),
            session.space.parse(genotype),
            session.splits,
            config.retrain,
            session.fabric,
            config.seed,
            self.quiet,
        )

    def trained(self, genotype: str) -> dict[str, float]:
        """What an earlier training of a winner gave; empty without one."""
        path = TrainingPaths(self._trained_folder(genotype)).result
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["test"] if path.exists() else {}
        return found

    def _trained_folder(self, genotype: str) -> Path:
        return SweepPaths(self.folder).retrained / hashlib.blake2b(genotype.encode(), digest_size=6).hexdigest()

    def _share(self, records: Sequence[Record]) -> float:
        """The mean share of the swept part; 0 where it does not enter."""
        shares: list[float] = [record.parts.get(self.template.swept.name, {}).get("share", 0.0) for record in records]
        return sum(shares) / len(shares)

    def _values(self, architecture: Architecture) -> dict[str, float | None]:
        """Angle, flatness, loss and accuracy, and the parts of the sum, each on its own scale; None where undefined."""
        values: dict[str, float | None] = {}
        for name in dict.fromkeys([*ALWAYS, *self.names]):
            if name in COSTS:
                continue  # told of every winner in any case
            try:
                proxy = self.proxy(name)
                score = proxy.score(architecture)
            except GenasError:
                values[name] = None  # a space of one's own may have no angle
                continue
            values[name] = proxy.natural(score)
            values |= {term: score.terms[term] for term in ALWAYS.get(name, ())}
        return values


def _normalised(proxy: Remembered, architecture: Architecture) -> float:
    return proxy.normalised(proxy.score(architecture))


def _name_of(expression: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", expression).strip("-.")


def _check_identity(folder: Path, run: Path, template: Template, session: Session) -> None:
    """Scores of other settings or weights of the supernet are never mixed with those that are there.

    Raises:
        RunError: the folder was begun otherwise; the differing keys are named.
    """
    config = session.config
    digest = digest_of(RunPaths(run).supernet.checkpoint)
    settings = config.model_dump(mode="json", include={"proxy", "strategy", "retrain"})
    del settings["proxy"]["expression"]
    now = {"expression": template.text, "supernet": digest, "device": session.fabric.device.type, **settings}
    code = code_of_scores(config.proxy, config.strategy)
    path = SweepPaths(folder).settings
    if not path.exists():
        write_json(path, {**now, "code": code} if code else now)
        return
    before = current_names(Config, json.loads(path.read_text(encoding="utf-8")))
    advice = "restore it, or choose another --name"
    refuse_other_code(before.pop("code", {}), code, f"the scores in {folder} were computed", advice)
    # settings that came later, at their defaults
    named = {"proxy": {"expression": config.proxy.expression}}
    whole = fill_defaults(merge({section: before[section] for section in settings}, named))
    del whole["proxy"]["expression"]
    before |= {section: whole[section] for section in settings}
    changed = changes(before, json.loads(json.dumps(now)))
    if changed:
        raise RunError(f"{folder} was begun with other settings: {', '.join(changed)}; choose another --name.")


def _flat(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of ``sweep.csv``; a winner that was not trained has no test results."""
    flat = [{key.replace(".", "_"): value for key, value in flatten(row).items()} for row in rows]
    columns = dict.fromkeys(key for row in flat for key in row)
    return [{key: row.get(key, "") for key in columns} for row in flat]
