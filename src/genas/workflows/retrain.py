"""From a genotype, a published architecture or a run to trained networks: what ``genas retrain`` does."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genas.core.deprecation import formerly
from genas.core.device import Fabric, describe_machine, open_fabric
from genas.core.distributed import agree, on_first
from genas.core.run_folder import (
    RunFolder,
    digest_of,
    environment,
    explain,
    keep_environment,
    read_config,
    write_config,
    write_json,
)
from genas.core.run_paths import EvaluationPaths, RunPaths, TrainingPaths
from genas.data import Dataset, Splits, open_dataset
from genas.data.identity import identify
from genas.data.inspection import check as check_images
from genas.data.inspection import summarise as summarise_data
from genas.data.record import check_data, check_place, locate_data, record_data
from genas.spaces import Architecture, Space, open_space
from genas.spaces.named import check_recorded
from genas.training.standalone import RetrainSettings
from genas.training.standalone import retrain as train_network
from genas.training.standalone.data import Parts, parts_of
from genas.training.standalone.network import check_pieces, resize, widest
from genas.training.standalone.plan import Plan, plan_of
from genas.training.standalone.results import Retrained, read_trained, summarise
from genas.training.standalone.weights import InitialWeights, Match, checkpoint_weights, supernet_weights, take_over
from genas.workflows.baselines import check_baselines, compare_with_random
from genas.workflows.code import check_code, code_of_run, record_code
from genas.workflows.config import Layers, describe_given, fill_defaults, given_layers
from genas.workflows.planning import RunPlan, plan_trainings, refuse_impossible
from genas.workflows.rehearsal import rehearse_retraining
from genas.workflows.retraining_settings import (
    WEIGHTS,
    check_first_weights,
    configure,
    has_training,
    is_begun,
    reconcile_retraining,
    weights_file,
)
from genas.workflows.sections import RetrainConfig
from genas.workflows.subject import text_of


@dataclass(frozen=True)
class _Opened:
    """The components of a retraining."""

    space: Space
    architecture: Architecture
    splits: Splits
    parts: Parts
    settings: RetrainSettings
    initial: InitialWeights | None
    identity: dict[str, Any]


def _first_weights(config: RetrainConfig) -> InitialWeights | None:
    """The weights that a training begins with; None for random ones."""
    if config.from_supernet is not None:
        return supernet_weights(Path(config.from_supernet))
    return None if config.from_checkpoint is None else checkpoint_weights(Path(config.from_checkpoint))


def _open(config: RetrainConfig, run: Path, fabric: Fabric, *, check: bool, quiet: bool) -> _Opened:
    _check_code(config, run)
    base = open_space(config.space.name, **config.space.options)
    check_recorded(base)
    architecture = base.parse(config.genotype)
    settings = config.retrain
    resize(base, settings)  # faults of size show before the data are read
    seeds_begun = [has_training(folder) for folder in _places(config, run)]
    # once all have begun the first weights are in use already, unless random architectures begin with them
    initial = None if all(seeds_begun) and config.baseline.choice == "none" else _first_weights(config)
    if initial is not None and any(seeds_begun):
        check_first_weights(run, *_weights_files(config))
    root = Path(config.data.root) if config.data.root else None
    data = config.data
    dataset = open_dataset(data.name, root=root, image_size=data.image_size, resizing=data.resizing, **data.options)
    record = run if any(seeds_begun) else _same_run(config)
    if record is not None:
        check_place(data.name, data.root, record)
    splits = dataset.splits(0)
    identity = identify(splits)
    if record is not None:
        check_data(record, identity, images_only=record != run)
    splits = summarise_data(dataset, splits, quiet=quiet)
    if check and data.check:
        splits = check_images(dataset, splits, quiet=quiet)
    check_baselines(config.baseline, splits)
    if config.max_macs is not None:
        channels = widest(base, architecture, settings, splits.num_classes, splits.image_shape, config.max_macs)
        settings = settings.model_copy(update={"channels": channels})
    own = resize(base, settings)
    if initial is not None:
        with torch.random.fork_rng(devices=[]):
            network = own.network(splits.num_classes, architecture, splits.image_shape[0])
        take_over(initial, network, own, architecture)  # weights that do not fit show before a folder is made
    parts = parts_of(splits, settings, fabric.world_size)
    if fabric.world_size == 1:
        check_pieces(own, architecture, splits.num_classes, splits.image_shape, len(parts.train), settings)
    if not any(seeds_begun):
        rehearse_retraining(own, architecture, splits, parts, settings, fabric)
    return _Opened(own, architecture, splits, parts, settings, initial, identity)


def _weights_files(config: RetrainConfig) -> list[Path]:
    """The file of the first weights; none without."""
    named = [(key, getattr(config, key)) for key in WEIGHTS]
    return [weights_file(key, str(path)) for key, path in named if path is not None]


def _check_code(config: RetrainConfig, run: Path) -> None:
    """Compares the code of custom classes with that of this run, of the search whose best it trains, and of a supernet.

    Raises:
        RunError: it is another, so that another network would be trained than the one that was meant.
    """
    code = code_of_run(config)
    if is_begun(run):
        check_code(run, code)
    for origin in (config.origin, config.from_supernet):
        if origin is not None and os.path.isfile(RunPaths(origin).config):
            check_code(Path(origin), code)


def _places(config: RetrainConfig, run: Path) -> list[Path]:
    """Where the networks of the seeds lie now: of one to which seeds are added, still in the run folder itself."""
    return [
        run if number == 0 and has_training(run) else RunPaths(run).seed(config.seeds, seed)
        for number, seed in enumerate(config.seeds)
    ]


def _same_run(config: RetrainConfig) -> Path | None:
    """The run whose best architecture is trained, where it is trained on that run's own data."""
    origin = Path(config.origin)
    if not os.path.isfile(RunPaths(origin).config):
        return None
    own = read_config(origin).get("data", {})
    place = locate_data(str(own.get("name")), own.get("root"), origin)
    same = place == (config.data.name, config.data.root) and all(
        own.get(key) == getattr(config.data, key) for key in ("image_size", "resizing")
    )
    return origin if same else None


def plan_retraining(config: RetrainConfig, run: Path, *, quiet: bool = False) -> RunPlan:
    """What a retraining needs; nothing is written.

    Args:
        config: all settings, from `configure`.
        run: the run folder, which need not exist.
        quiet: do not say what is being timed.

    Raises:
        GenasError: settings, data or weights that do not fit.
    """
    fabric = open_fabric(config.device, config.precision)
    config = _reconciled(config, run, fabric)
    return _timed(_open(config, run, fabric, check=False, quiet=True), config, run, fabric, quiet=quiet)


def _timed(opened: _Opened, config: RetrainConfig, run: Path, fabric: Fabric, *, quiet: bool = False) -> RunPlan:
    return plan_trainings(
        opened.space,
        opened.architecture,
        opened.splits,
        opened.settings,
        fabric,
        run,
        len(config.seeds),
        config.baseline,
        quiet=quiet,
    )


def retrain_run(
    config: RetrainConfig,
    run: Path,
    *,
    quiet: bool = False,
    on_plan: Callable[[Plan, RetrainSettings], None] | None = None,
    on_match: Callable[[Match], None] | None = None,
    on_time: Callable[[RunPlan], None] | None = None,
) -> Retrained:
    """Trains, or continues; one network per seed.

    Args:
        config: all settings, from `configure`.
        run: the run folder. One seed: its network lies there; several: in ``seed-N/``, and ``result.json`` sums up.
        quiet: no progress.
        on_plan: told what is going to be needed, before training.
        on_match: told what of the initial weights was taken.
        on_time: told how long it will take, before a run begins; None spares the timing of it. In one process only.

    Returns:
        Accuracies by seed, and their mean and spread.

    Raises:
        GenasError: see the steps.
    """
    fabric = open_fabric(config.device, config.precision, many=True)
    first = fabric.global_rank == 0
    fresh = first and not RunPaths(run).config.exists()
    config = agree(fabric, lambda: _reconciled(config, run, fabric))
    opened = agree(fabric, lambda: _open(config, run, fabric, check=fresh, quiet=quiet or not first))
    if on_time is not None and fresh and fabric.world_size == 1:
        expected = _timed(opened, config, run, fabric)
        on_time(expected)
        refuse_impossible(expected, run)
    folder = RunFolder(run)
    try:
        on_first(fabric, lambda: _begin(folder, config, opened, fabric))
        plan = plan_of(opened.space, opened.architecture, opened.splits, opened.parts, opened.settings, fabric)
        if fabric.global_rank == 0:
            write_json(RunPaths(run).plan, plan.as_dict())
            if on_plan is not None:
                on_plan(plan, opened.settings)
        trained = []
        for seed in config.seeds:
            own = RunPaths(run).seed(config.seeds, seed)
            train_network(
                own,
                opened.space,
                opened.architecture,
                opened.splits,
                opened.settings,
                fabric,
                seed,
                quiet,
                opened.initial,
                on_match,
            )
            trained.append(on_first(fabric, partial(read_trained, own, seed)))
        baseline = compare_with_random(
            run,
            opened.space,
            opened.architecture,
            opened.splits,
            opened.settings,
            config.baseline,
            fabric,
            config.seeds[0],
            [one.folder for one in trained],
            initial=opened.initial,
            quiet=quiet,
        )
        result = Retrained(
            run, config.genotype, config.recipe, opened.settings, plan, tuple(trained), summarise(trained), baseline
        )
        if len(config.seeds) > 1 and fabric.global_rank == 0:
            write_json(TrainingPaths(run).result, result.to_dict())
    finally:
        folder.__exit__(None, None, None)
    return result


def _frozen(config: RetrainConfig, fabric: Fabric) -> dict[str, Any]:
    return {**config.model_dump(mode="json"), "device": fabric.device.type}


def _reconciled(config: RetrainConfig, run: Path, fabric: Fabric) -> RetrainConfig:
    """The configuration that the run is to go on with: seeds that it has come first.

    Raises:
        RunError: a setting is bound.
    """
    if not is_begun(run):
        return config
    kept = reconcile_retraining(run, _frozen(config, fabric))
    return config.model_copy(update={"seeds": tuple(kept["seeds"])})


def _begin(folder: RunFolder, config: RetrainConfig, opened: _Opened, fabric: Fabric) -> None:
    """Locks the run folder and writes what it is to hold; the first process alone does."""
    folder.__enter__()
    run, content = folder.path, _frozen(config, fabric)
    anew = not is_begun(run)
    if not RunPaths(run).config.exists():
        folder.freeze(content)
    else:
        kept = content if anew else reconcile_retraining(run, content)
        if kept != fill_defaults(read_config(run)):
            write_config(run, kept)
    record_code(run, code_of_run(config), anew=anew)
    keep_environment(run, environment({**describe_machine(fabric.device), "processes": fabric.world_size}))
    record_data(run, opened.splits, opened.identity, config.data.name, config.data.root, anew=anew)
    for file in _weights_files(config):
        if file.is_file() and (anew or not RunPaths(run).first_weights.exists()):
            write_json(RunPaths(run).first_weights, {"file": str(file), "digest": digest_of(file)})
    if len(config.seeds) > 1 and has_training(run):
        _give_folder(run, RunPaths(run).seed(config.seeds, config.seeds[0]))


def _give_folder(run: Path, own: Path) -> None:
    """Moves the training of a single seed into a folder of its own, because others join it."""
    try:
        own.mkdir(exist_ok=True)
        for path in (*EvaluationPaths(run).existing(), *TrainingPaths(run).of_network()):
            if path.exists():
                path.replace(own / path.name)
    except OSError as error:
        raise explain(error, own) from error


@formerly("architecture", "data", "recipe", "run", subject="architecture", seeds="seed")
def retrain(
    architecture: str | Path | Architecture,
    *,
    data: str | type[Dataset] | Dataset | None = None,
    space: str | type[Space] | Space | None = None,
    recipe: str | None = None,
    run: str | Path = "runs/retrain",
    from_supernet: str | Path | None = None,
    from_checkpoint: str | Path | None = None,
    settings: Layers = None,
    device: str | None = None,
    seed: int | Sequence[int] | None = None,
    quiet: bool = False,
) -> Retrained:
    """Trains an architecture from scratch: what ``genas retrain`` does.

    Args:
        architecture: a run folder, a published architecture's name, a genotype or an `Architecture`.
        data: a data set's name, a `Dataset` subclass or an object of one; None for that of the run.
        space: the space of a genotype, as `genas.search` takes it; None to find it out.
        recipe: a recipe's name or file; None for the usual one.
        run: the run folder; the same call continues an interrupted training.
        from_supernet: run folder whose supernet gives the first weights.
        from_checkpoint: file that gives the first weights.
        settings: everything else, nested as in the run folder's ``config.yaml``: ``{"retrain": {"epochs": 10}}``; of
            several mappings, later ones win.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's own, ``auto`` in a new run.
        seed: one training for each of several; None for the run's own, 0 in a new run.
        quiet: no progress.

    Returns:
        Accuracies by seed, and their mean and spread.

    Raises:
        GenasError: one sentence that says what is wrong.
    """
    named: dict[str, Any] = {} if seed is None else {"seeds": [seed] if isinstance(seed, int) else list(seed)}
    given = describe_given(data=data, space=space)
    own = given.pop("space", {})
    named |= given
    if len(own) > 1:
        named["space"] = {key: value for key, value in own.items() if key != "name"}
    if from_checkpoint is not None:
        named["from_checkpoint"] = str(from_checkpoint)
    supernet = None if from_supernet is None else str(from_supernet)
    folder = Path(run)
    config = configure(
        text_of(architecture),
        space=own.get("name"),
        recipe=recipe,
        from_supernet=supernet,
        overrides=[*given_layers(settings, device=device), named],
        run=folder,
    )
    return retrain_run(config, folder, quiet=quiet)
