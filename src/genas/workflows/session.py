"""What a configuration names, opened: data, space, device, the run folder, the finished supernet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from genas.core.device import Fabric, describe_machine, open_fabric
from genas.core.errors import ConfigError, RunError, SearchError
from genas.core.progress import doing
from genas.core.run_folder import RunFolder, digest_of, environment, keep_environment, read_config
from genas.core.run_paths import RunPaths
from genas.core.seeding import python_rng
from genas.core.settings import expand, merge, validate
from genas.data import Dataset, Splits, open_dataset
from genas.data.identity import HALVES, identify
from genas.data.inspection import check, summarise
from genas.data.named import describe_given as describe_data
from genas.data.record import check_data, check_place, locate_data, record_data
from genas.data.split import divided_by
from genas.proxies import Scoring, needs_training, parse_expression
from genas.proxies.engine import check_engine, choose_engine, packages_of
from genas.proxies.expression import custom_classes, keep_for
from genas.proxies.zero_cost import SynFlow, ZeroCostSettings
from genas.spaces import Architecture, Cost, Network, Space, architecture_cost, open_space
from genas.spaces.named import check_recorded
from genas.strategies import SearchSettings, Strategy, open_search
from genas.strategies.named import STRATEGIES, resolve_settings
from genas.training.standalone.data import parts_of
from genas.training.standalone.network import check_sizes, resize
from genas.training.supernet import initial_weights, initialise
from genas.training.supernet.adoption import adopt_supernet, check_adoption, unfinished_adoption
from genas.training.supernet.stored import load_supernet
from genas.workflows.code import check_code, code_of_run, record_code
from genas.workflows.config import Config, build_config, fill_defaults
from genas.workflows.continuation import done_of, keep_settings, reconcile
from genas.workflows.rehearsal import (
    rehearse_retraining,
    rehearse_scores,
    rehearse_space,
    rehearse_strategy,
    rehearse_supernet,
)

LIMIT_DRAWS = 200  # random architectures that must hold one within the limits before a run begins


class Session:
    """The components that a configuration names, opened: data, space, device.

    Args:
        config: the settings.
        run: the run folder that they belong to; the data must be those that it was begun with. None: any data.
        quiet: say neither that the data are being read nor what was found.
        anew: nothing was scored with the engine that `run` has, so that ``auto`` chooses one.
    """

    def __init__(self, config: Config, run: Path | None = None, *, quiet: bool = False, anew: bool = False) -> None:
        self.run, self._quiet = run, quiet
        self.space: Space = open_space(config.space.name, **config.space.options)
        check_recorded(self.space)
        parse_expression(config.proxy.expression)  # faults show before anything is loaded
        untrained: ZeroCostSettings = config.proxy.of(SynFlow)
        self.space.final(untrained.cells, untrained.channels)
        check_sizes(self.space, untrained.cells, untrained.channels)
        self.fabric: Fabric = open_fabric(config.device, config.precision)
        self.config = self._with_engine(config, None if anew else run)
        data = config.data
        root = Path(data.root) if data.root else None
        self.dataset: Dataset = open_dataset(
            data.name, root=root, image_size=data.image_size, resizing=data.resizing, **data.options
        )
        self._splits: Splits | None = None
        self.identity: dict[str, Any] = {}  # of the whole data set, once it is loaded

    def _with_engine(self, config: Config, run: Path | None) -> Config:
        """`config` with the engine that ``auto`` stands for: that of `run`, or what a trial shows.

        Raises:
            ConfigError: the machine or the precision does not have the engine.
        """
        evaluation = config.proxy.evaluation
        if evaluation.engine == "auto":
            if run is not None and RunPaths(run).config.exists():
                engine = fill_defaults(read_config(run))["proxy"]["evaluation"]["engine"]
            else:
                with doing("Choosing the engine of the evaluation", self._quiet):
                    engine = choose_engine(self.space, self.fabric, evaluation.precision)
            proxy = config.proxy.model_copy(update={"evaluation": evaluation.model_copy(update={"engine": engine})})
            config = config.model_copy(update={"proxy": proxy})
        check_engine(config.proxy.evaluation.engine, self.fabric, evaluation.precision)
        return config

    @property
    def splits(self) -> Splits:
        """The data, loaded at first use, when one line says what was found.

        Raises:
            DataError: they are missing or unfit, or not those that the run was begun with.
        """
        if self._splits is None:
            if self.run is not None:
                check_place(self.config.data.name, self.config.data.root, self.run)
            with doing(f"Reading the data {self.config.data.name}", self._quiet):
                splits = self.dataset.splits(self.config.seed)
            self.identity, halves = identify(splits), self.config.data.split_file
            if halves is not None:
                splits = divided_by(splits, Path(halves))
                self.identity[HALVES] = digest_of(Path(halves))
            if self.run is not None:
                check_data(self.run, self.identity)
            if self.config.data.limit is not None:
                splits = _limited(splits, self.config.data.limit)
            self._splits = summarise(self.dataset, splits, quiet=self._quiet)
        return self._splits

    def check_images(self) -> None:
        """Looks at every image once, before a run begins.

        Raises:
            DataError: one cannot be read.
        """
        if self.config.data.check:
            self._splits = check(self.dataset, self.splits, quiet=self._quiet)

    def cost(self, architecture: Architecture) -> Cost:
        """Parameters and MACs of the stand-alone network at the supernet's size."""
        return architecture_cost(self.space, architecture, self.splits.num_classes, self.splits.image_shape)

    def within_limits(self, architecture: Architecture) -> bool:
        """Whether the search's hard limits allow `architecture`."""
        limits = self.config.strategy
        if limits.max_macs is None and limits.max_params is None:
            return True
        return _within(self.cost(architecture), limits)

    def check_limits(self) -> None:
        """Draws some architectures, so that impossible limits show before the supernet is trained.

        Raises:
            SearchError: none of them is within the limits.
        """
        limits = self.config.strategy
        if limits.max_macs is None and limits.max_params is None:
            return
        rng = python_rng(self.config.seed, "limits")
        costs = []
        for _ in range(LIMIT_DRAWS):
            costs.append(self.cost(self.space.sample(rng)))
            if _within(costs[-1], limits):
                return
        least = f"{min(cost.macs for cost in costs):,} MACs and {min(cost.params for cost in costs):,} parameters"
        given = ", ".join(
            f"{key} {getattr(limits, key):,}" for key in ("max_macs", "max_params") if getattr(limits, key)
        )
        raise SearchError(
            f"none of {LIMIT_DRAWS} random architectures is within the limits ({given}); the smallest "
            f"had {least}: raise the limits, or take fewer cells or channels."
        )

    def open_search(self) -> Strategy:
        """The strategy, from its beginning."""
        return open_search(self.space, self.config.strategy, self.within_limits)

    def rehearse(self, *, scores: bool = True, retrain: bool = True) -> None:
        """Does once, on two images and without writing anything, what the run is going to do.

        Args:
            scores: the supernet and what scores with it.
            retrain: the training of the best architecture.

        Raises:
            ConfigError: something of it cannot be built or does not work.
            DataError: the data do not suffice.
        """
        config, splits, fabric = self.config, self.splits, self.fabric
        architecture = rehearse_space(self.space, splits, config.seed)
        if scores:
            if STRATEGIES.is_custom(config.strategy.algorithm):
                rehearse_strategy(self.open_search(), config.seed)
            train = config.supernet if needs_training(config.proxy) else None
            network, initial = rehearse_supernet(self.space, splits, train, fabric, config.seed)
            rehearse_scores(partial(self._scoring, network.eval(), initial), splits, config.proxy)
        if retrain:
            size, parts = resize(self.space, config.retrain), parts_of(splits, config.retrain)
            rehearse_retraining(size, architecture, splits, parts, config.retrain, fabric)

    def _scoring(self, network: Network, initial: dict[str, Tensor], splits: Splits) -> Scoring:
        proxy = self.config.proxy
        return Scoring(
            self.space, network, initial, splits, self.fabric, self.config.seed, proxy.batchnorm, proxy.evaluation
        )

    def scoring(self, run: Path, *, untrained: bool = False, weights: Path | None = None) -> Scoring:
        """The finished supernet of a run folder, ready to score.

        Args:
            run: the run folder; nothing is written there.
            untrained: the proxies need no training, so that a supernet that is not finished will do.
            weights: another file of the supernet's weights, as of `load_supernet`.

        Raises:
            RunError: the supernet is not trained to its end.
        """
        check_code(run, code_of_run(self.config))
        if untrained and RunPaths(run).supernet.initial.exists():
            network = initialise(self.space, self.splits.num_classes, self.splits.image_shape[0], self.config.seed)
            return self.scoring_of(network.to(self.fabric.device).eval(), run)
        network = load_supernet(run, self.space, self.splits, self.fabric, self.config.seed, weights)
        return self.scoring_of(network, run)

    def scoring_of(self, network: Network, run: Path) -> Scoring:
        """Scoring with a trained supernet that is at hand."""
        return self._scoring(network, initial_weights(RunPaths(run).supernet.path), self.splits)


def _within(cost: Cost, limits: SearchSettings) -> bool:
    return (limits.max_macs is None or cost.macs <= limits.max_macs) and (
        limits.max_params is None or cost.params <= limits.max_params
    )


def _limited(splits: Splits, limit: int) -> Splits:
    weights = splits.weights.subset(range(min(limit, len(splits.weights))))
    validation = splits.validation.subset(range(min(limit, len(splits.validation))))
    return replace(splits, weights=weights, validation=validation)


def frozen(config: Config, fabric: Fabric, space: Space) -> dict[str, Any]:
    """The configuration as the run folder keeps it: every default written out, the device decided."""
    content = config.model_dump(mode="json")
    content["device"] = fabric.device.type
    content["space"] = space.describe()
    content["strategy"] = resolve_settings(config.strategy).model_dump(mode="json")
    return content


def load_config(
    run: Path, data: str | type[Dataset] | Dataset | None = None, data_root: str | Path | None = None
) -> Config:
    """The configuration that a run was begun with; its data are looked for where they are now.

    Args:
        run: the run folder.
        data: the place of the run's data, in place of what it recorded: a name, or an object or a class of the user;
            `Session` makes sure that it is the same data.
        data_root: the same, of a named data set.

    Raises:
        RunError: no run folder of a search.
        ConfigError: `data` is another data set.
    """
    content = read_config(run)
    if content.get("kind") == "retrain":
        raise RunError(f"{run} is a run of genas retrain, not of a search; continue it with: genas retrain --run {run}")
    config = validate(Config, content, f"{run / 'config.yaml'} is damaged", RunError)
    given = {} if data is None else describe_data(data)
    place = given.pop("root", None if data_root is None else str(data_root))
    name, root = locate_data(config.data.name, config.data.root, run, given.pop("name", None), place)
    own = config.data.model_dump(mode="json")
    if other := {key: value for key, value in given.items() if value != own.get(key)}:
        raise ConfigError(
            f"data has {', '.join(f'{key}={value!r}' for key, value in other.items())}: expected the data set of {run} "
            f"with its own options ({', '.join(f'{key}={own.get(key)!r}' for key in other)}), perhaps at another place."
        )
    return config.model_copy(update={"data": config.data.model_copy(update={"name": name, "root": root})})


def changed_settings(
    run: Path,
    overrides: Sequence[Mapping[str, Any]],
    allowed: Sequence[str],
    *,
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    device: str | None = None,
) -> Config:
    """The configuration of a command that works on a trained supernet: the run's own, changed where the command may.

    Args:
        run: the run folder.
        overrides: nested mappings, later ones winning.
        allowed: the sections and settings that they may change.
        data: as of `load_config`.
        data_root: as of `load_config`.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's.

    Raises:
        ConfigError: an unknown key, an impossible value, or a change of what the run fixes.
    """
    own = load_config(run, data, data_root)
    before = own.model_dump(mode="json")
    layers = [expand(layer) for layer in overrides]
    proxy = merge({}, *layers).get("proxy")
    if isinstance(proxy, Mapping) and isinstance(proxy.get("expression"), str):
        before["proxy"] = keep_for(before["proxy"], proxy["expression"])
    config = build_config([before, *layers])
    now = config.model_dump(mode="json")
    fixed = [key for key in before if key not in allowed and now[key] != before[key]]
    if fixed:
        raise ConfigError(
            f"{' and '.join(fixed)} {'is' if len(fixed) == 1 else 'are'} fixed by the run {run}: expected changes of "
            f"{', '.join(allowed)} only."
        )
    return config if device is None else config.model_copy(update={"device": device})


@contextmanager
def open_session(
    config: Config,
    run: Path,
    supernet: Path | None = None,
    *,
    with_retrain: bool = True,
    quiet: bool = False,
    before: Callable[[Session], None] | None = None,
) -> Iterator[Session]:
    """Opens the components and the locked, frozen run folder, for as long as the context lasts.

    A fresh folder is made only after the data are loaded and all components have worked once (`Session.rehearse`), so
    that a wrong name, an unreadable image or a proxy that does not fit the space leaves nothing.

    Args:
        config: all settings; those of an existing run may differ from its own in what nothing was made with.
        run: the run folder.
        supernet: run folder whose trained supernet this run uses; it keeps a copy.
        with_retrain: the best architecture is going to be retrained.
        quiet: say nothing of what was found in the data.
        before: called when everything is open and nothing is written.

    Raises:
        RunError: the folder is another run's, or settings differ that something was made with.
        DataError: the data are not those of the run.
    """
    exists = RunPaths(run).config.exists()
    supernet = supernet or unfinished_adoption(run)
    done = done_of(run) if exists else None
    bound = done is not None and done.anything
    scored = done is not None and done.scored > 0
    session = Session(config, run if bound else supernet, quiet=quiet, anew=not scored)
    config = session.config  # with a chosen engine
    session.open_search()
    custom_classes(config.proxy)
    code = code_of_run(config)
    for made in (run if bound else None, supernet):
        if made is not None:
            check_code(made, code)
    content = frozen(config, session.fabric, session.space)
    if done is not None:
        reconcile(run, content, done)
    if supernet is not None:
        check_adoption(supernet, run)
    _ = session.splits
    if not bound:
        session.check_limits()
        session.check_images()
    if not exists or content != fill_defaults(read_config(run)):
        with doing("Trying the settings on two images", quiet):
            session.rehearse(
                scores=done is None or not done.scored,
                retrain=with_retrain and (done is None or not done.retrained),
            )
    if before is not None:
        before(session)
    with RunFolder(run) as folder:
        if exists:
            done = done_of(run)  # another process may have gone on until the lock was free
            if done.anything and not bound:
                raise RunError(f"another process has worked on {run} in the meantime; give the command again.")
            keep_settings(run, content, done)
        else:
            folder.freeze(content)
        if supernet is not None:
            adopt_supernet(supernet, run)
        record_code(run, code, anew=not bound)
        keep_environment(
            run, environment(describe_machine(session.fabric.device), packages_of(config.proxy.evaluation.engine))
        )
        record_data(run, session.splits, session.identity, config.data.name, config.data.root, anew=not bound)
        yield session
