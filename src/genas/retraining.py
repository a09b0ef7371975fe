"""From a genotype, a published architecture or a run to trained networks: what ``genas retrain`` does."""

import hashlib
import json
import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genas.baselines import check_baselines, compare_with_random
from genas.code import check_code, code_of_run, record_code
from genas.config import DataSettings, RetrainConfig, build_retrain_config, completed, merge
from genas.continuation import (
    FIRST_WEIGHTS,
    WEIGHTS,
    check_first_weights,
    has_training,
    is_begun,
    reconcile_retraining,
    weights_file,
)
from genas.data import Dataset, Splits, open_dataset
from genas.data.identity import identify
from genas.data.inspection import check as check_images
from genas.data.inspection import summarise as summarise_data
from genas.data.named import describe_given as describe_data_given
from genas.data.record import check_data, check_place, locate_data, record_data
from genas.device import Fabric, describe_machine, open_fabric
from genas.errors import ConfigError, RunError
from genas.planning import RunPlan, plan_trainings, refuse_impossible
from genas.processes import agree, on_first
from genas.rehearsal import rehearse_retraining
from genas.retrain import RetrainSettings, retrain
from genas.retrain.data import Parts, parts_of
from genas.retrain.network import check_pieces, sized, widest
from genas.retrain.plan import Plan, plan_of
from genas.retrain.recipe import is_published, read_recipe
from genas.retrain.weights import InitialWeights, Match, checkpoint_weights, supernet_weights, take_over
from genas.runs import (
    RunFolder,
    digest_of,
    environment,
    explain,
    keep_environment,
    read_config,
    write_config,
    write_json,
)
from genas.space import Architecture, Space, open_space
from genas.space.named import check_recorded
from genas.space.named import describe_given as describe_space_given
from genas.subject import Subject, find_subject

#: What every retraining begins with; the recipe and the user change it.
BASE = {"best": "held-out", "layout": "channels-last"}
RUN_RECIPE = "the run's own"
SIZES = ("cells", "channels", "stem", "pool_bn")
"""Settings of a recipe that decide on an option of the space."""
_SPACE_RECIPES = {"nasbench201": "nasbench201", "nasbench_macro": "nasbench-macro", "nasbench-macro": "nasbench-macro"}


@dataclass(frozen=True)
class Trained:
    """What one seed came to.

    Args:
        seed: the seed.
        folder: where its network lies.
        test: test loss and accuracies of the last epoch; empty without a test set.
        best: epoch, accuracy that chose it, and test figures of the best epoch; empty where none is chosen.
    """

    seed: int
    folder: Path
    test: dict[str, float]
    best: dict[str, Any]


@dataclass(frozen=True)
class Retrained:
    """What a retraining came to.

    Args:
        run: the run folder.
        genotype: the architecture.
        recipe: the recipe's name.
        settings: the recipe with all changes.
        plan: parameters, MACs, memory.
        runs: one per seed.
        summary: ``last`` and, where one is chosen, ``best``: top-1 and top-5 as mean and standard deviation (n - 1)
            over the seeds; no deviation for one seed.
        baseline: the comparison with random architectures of the same training; None without.
    """

    run: Path
    genotype: str
    recipe: str
    settings: RetrainSettings
    plan: Plan
    runs: tuple[Trained, ...]
    summary: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``result.json`` and ``--json``."""
        return {
            "run": str(self.run),
            "genotype": self.genotype,
            "recipe": self.recipe,
            "params": self.plan.params,
            "macs": self.plan.macs,
            "best_by": self.settings.best,
            **({"dry_run": True} if self.settings.dry else {}),
            "seeds": [
                {"seed": one.seed, "folder": str(one.folder), "test": one.test, "best": one.best} for one in self.runs
            ],
            "summary": self.summary,
            "baseline": self.baseline,
        }


def configure(
    subject: str,
    *,
    space: str | None = None,
    recipe: str | None = None,
    from_supernet: str | None = None,
    overrides: Sequence[Mapping[str, Any]] = (),
    run: Path | None = None,
) -> RetrainConfig:
    """The configuration of a retraining.

    Args:
        subject: a run folder, a published architecture's name or a genotype.
        space: the space of a genotype; None to find it out.
        recipe: a recipe's name or file. None: a run's own settings, else ``cifar`` or ``imagenet`` in the DARTS space,
            and the benchmark's own recipe in another one. ImageNet recipes that come with genas give a published
            architecture its published width.
        from_supernet: run folder whose supernet gives the first weights; its sizes are then those of the network.
        overrides: nested mappings such as ``{"data": {"name": "cifar10"}, "retrain": {"epochs": 10}}``, later ones
            winning; settings of the recipe may stand without their section.
        run: the run folder; where it exists, what is not given is as the run was begun.

    Raises:
        GenasError: an unknown name, a malformed genotype, a wrong setting; the folder is that of another training.
    """
    given = _merged(overrides)
    explicit = {key: value for key, value in given.get("space", {}).items() if key != "name"}
    found = find_subject(subject, space, explicit)
    if from_supernet is not None:
        from_supernet = os.path.abspath(from_supernet)
    if run is not None and is_begun(run):
        return _changed(run, found.architecture.genotype, recipe, from_supernet, given)
    data = merge(_data_of(found, given), given.get("data", {}))
    if "name" not in data:
        raise ConfigError("name the data to train on, such as --data cifar10 or --data folder:my-pictures.")
    if recipe is None and found.retrain:
        name, fields = RUN_RECIPE, {**found.retrain, "limit_batches": None, "limit_epochs": None}
    else:
        name = recipe or _default_recipe(found, str(data["name"]))
        fields = read_recipe(name)
        if found.imagenet_channels and fields.get("stem") == "imagenet" and is_published(name):
            fields = {**fields, "channels": found.imagenet_channels[0]}
    own = found.space
    if from_supernet is not None and not found.data:
        own = _supernet_space(Path(from_supernet), own)
    content = {
        "origin": subject,
        "genotype": found.architecture.genotype,
        "recipe": name,
        "from_supernet": from_supernet,
        "space": own,
        "retrain": merge({**fields, **BASE}, {}) if name == RUN_RECIPE else merge(BASE, fields),
    }
    content = merge(content, {**given, "data": data})
    if content.get("max_macs") is not None and "channels" in given.get("retrain", {}):
        raise ConfigError("--max-macs finds the width, so --channels has no place beside it; give one of them.")
    return _settled(build_retrain_config(content), explicit, given.get("retrain", {}))


def _data_of(subject: Subject, given: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings of its data, without the options of a custom class where another data set is named."""
    name = given.get("data", {}).get("name", subject.data.get("name"))
    if name == subject.data.get("name"):
        return subject.data
    return {key: value for key, value in subject.data.items() if key in DataSettings.model_fields}


def _settled(config: RetrainConfig, explicit: Mapping[str, Any], asked: Mapping[str, Any]) -> RetrainConfig:
    """The configuration in which no size that was given by hand is overruled by one of the recipe.

    Args:
        config: the space as given, and the recipe with what was given of it.
        explicit: options of the space that were given by hand.
        asked: settings of the recipe that were given by hand.

    Raises:
        ConfigError: an option has no effect on the network, or contradicts another that was given by hand.
    """
    if not explicit:
        return config
    base, recipe = open_space(config.space.name, **config.space.options), config.retrain
    wanted = base.describe()

    def differs(settings: RetrainSettings, key: str) -> bool:
        return bool(sized(base, settings).describe().get(key) != wanted.get(key))

    if config.max_macs is not None:
        narrow, wide = (sized(base, recipe.model_copy(update={"channels": width})).describe() for width in (16, 32))
        for key in explicit:
            if narrow.get(key) != wide.get(key):
                raise ConfigError(
                    f"--max-macs finds the width, so space.{key} has no place beside it; give one of them."
                )
    for key in explicit:
        if not differs(recipe, key):
            continue
        of_recipe = [name for name in SIZES if name not in asked and getattr(recipe, name) is not None]
        without = [recipe.model_copy(update={name: None}) for name in of_recipe]
        recipe = next((one for one in without if not differs(one, key)), recipe)
        if differs(recipe, key):
            actual = sized(base, recipe).describe().get(key)
            by_hand = [name for name in SIZES if asked.get(name) is not None]
            hint = f"it contradicts retrain.{by_hand[0]}; give one of them" if by_hand else "leave it out"
            raise ConfigError(
                f"space.{key} is {wanted.get(key)!r}, but the network to train has {actual!r} there: {hint}."
            )
    return config.model_copy(update={"retrain": recipe})


def _merged(overrides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Overrides as one mapping, later ones winning."""
    given: dict[str, Any] = {}
    for override in overrides:
        given = merge(given, _sectioned(override))
    for section in ("data", "space", "retrain"):
        if not isinstance(given.get(section, {}), Mapping):
            raise ConfigError(f"{section} is {given[section]!r}; a setting of it was wanted, as {section}.key=value.")
    if given.get("from_checkpoint") is not None:
        given["from_checkpoint"] = os.path.abspath(str(given["from_checkpoint"]))
    return given


def _changed(
    run: Path, genotype: str | None, recipe: str | None, from_supernet: str | None, given: dict[str, Any]
) -> RetrainConfig:
    """The configuration of a run that has begun, with what was given in place of its own; it may be refused later."""
    own = load_retrain_config(run).model_dump(mode="json")
    if genotype is not None and genotype != own["genotype"]:
        raise RunError(f"{run} trains {own['genotype']}, got {genotype}; choose another folder with --run.")
    if recipe is not None and recipe != own["recipe"]:
        own = {**own, "recipe": recipe, "retrain": merge(BASE, read_recipe(recipe))}
    if from_supernet is not None:
        own["from_supernet"] = from_supernet
    data = given.get("data", {})
    name, root = locate_data(own["data"]["name"], own["data"]["root"], run, data.get("name"), data.get("root"))
    explicit = {key: value for key, value in given.get("space", {}).items() if key != "name"}
    content = merge(merge(own, given), {"data": {"name": name, "root": root}})
    return _settled(build_retrain_config(content), explicit, given.get("retrain", {}))


def _sectioned(override: Mapping[str, Any]) -> dict[str, Any]:
    """An override in which settings of the recipe may stand without their section."""
    bare = {key: value for key, value in override.items() if key not in RetrainConfig.model_fields}
    rest = {key: value for key, value in override.items() if key not in bare}
    return merge(rest, {"retrain": bare}) if bare else rest


def continued(
    run: Path | None,
    *,
    recipe: str | None = None,
    from_supernet: str | None = None,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> RetrainConfig:
    """The configuration of a run that is continued without naming its subject again.

    Args:
        run: its folder.
        recipe: as of `configure`, in place of the run's.
        from_supernet: as of `configure`, in place of the run's.
        overrides: as of `configure`, in place of the run's own settings.

    Raises:
        ConfigError: no folder was given.
    """
    if run is None:
        raise ConfigError("name what to train: a genotype, a published architecture (genas zoo) or a run folder.")
    supernet = None if from_supernet is None else os.path.abspath(from_supernet)
    return _changed(run, None, recipe, supernet, _merged(overrides))


def default_run(config: RetrainConfig) -> Path:
    """The run folder when none is named: ``runs/retrain-WHAT-DATA-RECIPE``."""
    what = Path(config.origin).name if len(config.origin) < 40 else config.space.name
    digest = hashlib.blake2b(config.genotype.encode(), digest_size=3).hexdigest()
    recipe = "own" if config.recipe == RUN_RECIPE else Path(config.recipe).stem
    dry = "-dry-run" if config.retrain.dry else ""  # never in the way of the real run
    text = f"retrain-{what}-{digest}-{config.data.name}-{recipe}{dry}"
    return Path("runs") / re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")


def _default_recipe(subject: Subject, data: str) -> str:
    if (name := subject.space["name"]) == "darts":
        return "imagenet" if data == "imagenet" else "cifar"
    if name in _SPACE_RECIPES:
        return _SPACE_RECIPES[name]
    raise ConfigError(f"there is no published recipe for the space {name!r}; name one with --recipe.")


def _supernet_space(run: Path, own: dict[str, Any]) -> dict[str, Any]:
    """The space at the supernet's size, which the network has to share."""
    theirs = dict(read_config(run)["space"])
    if theirs["name"] != own["name"]:
        raise ConfigError(
            f"the supernet of {run} is of the space {theirs['name']!r}, the architecture of {own['name']!r}."
        )
    return theirs


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


def _seed_folder(run: Path, seeds: Sequence[int], seed: int) -> Path:
    """Where the network of a seed lies."""
    return run if len(seeds) == 1 else run / f"seed-{seed}"


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
    sized(base, settings)  # faults of size show before the data are read
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
    own = sized(base, settings)
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
        if origin is not None and os.path.isfile(os.path.join(origin, "config.yaml")):
            check_code(Path(origin), code)


def _places(config: RetrainConfig, run: Path) -> list[Path]:
    """Where the networks of the seeds lie now: of one to which seeds are added, still in the run folder itself."""
    return [
        run if number == 0 and has_training(run) else _seed_folder(run, config.seeds, seed)
        for number, seed in enumerate(config.seeds)
    ]


def _same_run(config: RetrainConfig) -> Path | None:
    """The run whose best architecture is trained, where it is trained on that run's own data."""
    origin = Path(config.origin)
    if not os.path.isfile(origin / "config.yaml"):
        return None
    own = read_config(origin).get("data", {})
    place = locate_data(str(own.get("name")), own.get("root"), origin)
    same = place == (config.data.name, config.data.root) and all(
        own.get(key) == getattr(config.data, key) for key in ("image_size", "resizing")
    )
    return origin if same else None


def plan_retraining(config: RetrainConfig, run: Path) -> RunPlan:
    """What a retraining needs; nothing is written.

    Args:
        config: all settings, from `configure`.
        run: the run folder, which need not exist.

    Raises:
        GenasError: settings, data or weights that do not fit.
    """
    fabric = open_fabric(config.device, config.precision)
    config = _reconciled(config, run, fabric)
    return _timed(_open(config, run, fabric, check=False, quiet=True), config, run, fabric)


def _timed(opened: _Opened, config: RetrainConfig, run: Path, fabric: Fabric) -> RunPlan:
    return plan_trainings(
        opened.space,
        opened.architecture,
        opened.splits,
        opened.settings,
        fabric,
        run,
        len(config.seeds),
        config.baseline,
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
    fresh = first and not (run / "config.yaml").exists()
    config = agree(fabric, lambda: _reconciled(config, run, fabric))
    opened = agree(fabric, lambda: _open(config, run, fabric, check=fresh, quiet=quiet or not first))
    if on_time is not None and fresh and fabric.world_size == 1:
        expected = _timed(opened, config, run, fabric)
        on_time(expected)
        refuse_impossible(expected, run)
    folder = RunFolder(run)
    try:
        on_first(fabric, lambda: _begin(folder, config, opened, fabric))
        if fabric.device.type == "cuda":
            torch.backends.cudnn.benchmark = False
        plan = plan_of(opened.space, opened.architecture, opened.splits, opened.parts, opened.settings, fabric)
        if fabric.global_rank == 0:
            write_json(run / "plan.json", plan.as_dict())
            if on_plan is not None:
                on_plan(plan, opened.settings)
        trained = []
        for seed in config.seeds:
            own = _seed_folder(run, config.seeds, seed)
            retrain(
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
            trained.append(on_first(fabric, partial(_read, own, seed)))
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
            write_json(run / "result.json", result.as_dict())
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
    if not (run / "config.yaml").exists():
        folder.freeze(content)
    else:
        kept = content if anew else reconcile_retraining(run, content)
        if kept != completed(read_config(run)):
            write_config(run, kept)
    record_code(run, code_of_run(config), anew=anew)
    keep_environment(run, environment({**describe_machine(fabric.device), "processes": fabric.world_size}))
    record_data(run, opened.splits, opened.identity, config.data.name, config.data.root, anew=anew)
    for file in _weights_files(config):
        if file.is_file() and (anew or not (run / FIRST_WEIGHTS).exists()):
            write_json(run / FIRST_WEIGHTS, {"file": str(file), "digest": digest_of(file)})
    if len(config.seeds) > 1 and has_training(run):
        _give_folder(run, _seed_folder(run, config.seeds, config.seeds[0]))


_OF_ONE_SEED = (
    "tensorboard",
    "metrics.csv",
    "initial_weights.json",
    "best.safetensors",
    "model.json",
    "model.safetensors",
    "result.json",
    "checkpoint.safetensors",
)


def _give_folder(run: Path, own: Path) -> None:
    """Moves the training of a single seed into a folder of its own, because others join it."""
    try:
        own.mkdir(exist_ok=True)
        for path in (*sorted(run.glob("evaluation*")), *(run / name for name in _OF_ONE_SEED)):
            if path.exists():
                path.replace(own / path.name)
    except OSError as error:
        raise explain(error, own) from error


def _read(folder: Path, seed: int) -> Trained:
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return Trained(seed, folder, content["test"], content.get("best", {}))


def summarise(trained: Sequence[Trained]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean and standard deviation (n - 1) of the accuracies over the seeds, of the last and of the best epoch."""
    kinds = {"last": [one.test for one in trained], "best": [one.best.get("test", {}) for one in trained]}
    summary: dict[str, dict[str, dict[str, float | None]]] = {}
    for kind, rows in kinds.items():
        for figure in ("top1", "top5"):
            values = [row[figure] for row in rows if figure in row]
            if values and len(values) == len(trained):
                spread = statistics.stdev(values) if len(values) > 1 else None
                summary.setdefault(kind, {})[figure] = {"mean": statistics.fmean(values), "std": spread}
    return summary


def load_retrain_config(run: Path) -> RetrainConfig:
    """The configuration that a run of ``genas retrain`` was begun with.

    Raises:
        RunError: no run folder, or that of a search.
    """
    content = read_config(run)
    if content.get("kind") != "retrain":
        raise RunError(
            f"{run} is the run folder of a search; to train its winner anew: genas retrain {run} --run OTHER"
        )
    return build_retrain_config(content)


def retrain_architecture(
    subject: str,
    data: str | type[Dataset] | Dataset | None = None,
    recipe: str | None = None,
    run: str | Path = "runs/retrain",
    *,
    seeds: Sequence[int] | None = None,
    space: str | type[Space] | Space | None = None,
    from_supernet: str | Path | None = None,
    from_checkpoint: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Retrained:
    """Trains an architecture from Python: what ``genas retrain`` does.

    Args:
        subject: a run folder, a published architecture's name or a genotype.
        data: a data set's name, a `Dataset` subclass or an object of one; None for that of the run.
        recipe: a recipe's name or file; None for the usual one.
        run: the run folder; the same call continues an interrupted training.
        seeds: one training each; None for the run's own, 0 in a new run.
        space: the space of a genotype, as `genas.search` takes it; None to find it out.
        from_supernet: run folder whose supernet gives the first weights.
        from_checkpoint: file that gives the first weights.
        settings: everything else, nested as in the run folder's ``config.yaml``: ``{"retrain": {"epochs": 10}}``.
        quiet: no progress.

    Returns:
        Accuracies by seed, and their mean and spread.

    Raises:
        GenasError: one sentence that says what is wrong.
    """
    named: dict[str, Any] = {} if seeds is None else {"seeds": list(seeds)}
    if data is not None:
        named["data"] = describe_data_given(data)
    own = {} if space is None else describe_space_given(space)
    if len(own) > 1:
        named["space"] = {key: value for key, value in own.items() if key != "name"}
    if from_checkpoint is not None:
        named["from_checkpoint"] = str(from_checkpoint)
    supernet = None if from_supernet is None else str(from_supernet)
    folder = Path(run)
    config = configure(
        subject,
        space=own.get("name"),
        recipe=recipe,
        from_supernet=supernet,
        overrides=[settings or {}, named],
        run=folder,
    )
    return retrain_run(config, folder, quiet=quiet)
