"""What ``genas retrain`` is told, as a configuration: subject, recipe, data, sizes; or changes of a run."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genas.core.errors import ConfigError, RunError
from genas.core.run_folder import digest_of, flatten, read_config
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.core.settings import merge
from genas.data.location import same_kind
from genas.data.record import locate_data
from genas.spaces import open_space
from genas.spaces.definition import definition_of
from genas.training.standalone import RetrainSettings
from genas.training.standalone.network import resize
from genas.training.standalone.recipe import is_published, read_recipe
from genas.workflows.config import build_retrain_config, fill_defaults
from genas.workflows.continuation import PLACE, changes_of, differing, more_epochs
from genas.workflows.sections import DataSettings, RetrainConfig
from genas.workflows.subject import Subject, find_subject

#: What every retraining begins with; the recipe and the user change it.
BASE = {"best": "held-out", "layout": "channels-last"}
RUN_RECIPE = "the run's own"
SIZES = ("cells", "channels", "stem", "pool_bn")
"""Settings of a recipe that decide on an option of the space."""


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
        raise ConfigError("name the data to train on, such as --data cifar10 or --data folder:photos.")
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
        return bool(resize(base, settings).describe().get(key) != wanted.get(key))

    if config.max_macs is not None:
        narrow, wide = (resize(base, recipe.model_copy(update={"channels": width})).describe() for width in (16, 32))
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
            actual = resize(base, recipe).describe().get(key)
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
            raise ConfigError(f"{section} is {given[section]!r}: expected a setting of it, {section}.key=value.")
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
    name = subject.space["name"]
    recipes = definition_of(name).recipes
    recipe = recipes.get(data, recipes.get(""))
    if recipe is None:
        raise ConfigError(f"there is no published recipe for the space {name!r}; name one with --recipe.")
    return recipe


def _supernet_space(run: Path, own: dict[str, Any]) -> dict[str, Any]:
    """The space at the supernet's size, which the network has to share."""
    theirs = dict(read_config(run)["space"])
    if theirs["name"] != own["name"]:
        raise ConfigError(
            f"the supernet of {run} is of the space {theirs['name']!r}, the architecture of {own['name']!r}."
        )
    return theirs


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


def has_training(folder: Path) -> bool:
    """Whether a training has taken a step in `folder`, or has ended there."""
    if TrainingPaths(folder).checkpoint.exists():
        return True
    path = TrainingPaths(folder).result  # where several seeds were trained, the folder above has a summary of this name
    return path.is_file() and "seeds" not in json.loads(path.read_text(encoding="utf-8"))


def is_begun(run: Path) -> bool:
    """Whether a run of ``genas retrain`` has trained a step of any seed.

    Raises:
        RunError: the folder is a run of a search.
    """
    if not RunPaths(run).config.exists():
        return False
    if read_config(run).get("kind") != "retrain":
        raise RunError(
            f"{run} is the run folder of a search; to train its best into another: genas retrain {run} --run OTHER"
        )
    return any(has_training(folder) for folder in (run, *RunPaths(run).seeds()))


_FREE_OF_RETRAINING = (
    "origin",
    "data.check",
    "recipe",
    "retrain.checkpoint_seconds",
    "baseline.choice",
    "baseline.equal_macs",
)
WEIGHTS = ("from_supernet", "from_checkpoint")


def reconcile_retraining(run: Path, now: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a run of ``genas retrain`` is to be kept with, given another one; nothing is written.

    Args:
        run: its folder; a training has begun.
        now: the frozen configuration that is asked for.

    Returns:
        `now`, with the seeds that the run has first, and the place of the data as it was given.

    Raises:
        RunError: a setting is bound; those are named.
    """
    before = fill_defaults(read_config(run))
    first, second = flatten(before), flatten(now)
    free = {*_FREE_OF_RETRAINING, *(key for key in WEIGHTS if _same_weights(run, key, first.get(key), second.get(key)))}
    kept = dict(now)
    if same_kind(str(first.get("data.name")), str(second.get("data.name"))):
        free |= set(PLACE)
        kept = merge(kept, {"data": {key: before["data"].get(key) for key in ("name", "root")}})
    seeds = list(before["seeds"])
    if set(seeds) <= set(now["seeds"]):
        free.add("seeds")
        kept["seeds"] = seeds + [seed for seed in now["seeds"] if seed not in seeds]
    if more_epochs(before["retrain"], now["retrain"]):
        free.add("retrain.epochs")
    bound = [key for key in differing(first, second) if key not in free]
    if bound:
        why = "; every epoch of this schedule depends on how many there are" if bound == ["retrain.epochs"] else ""
        raise RunError(
            f"{run} has begun to train, so {changes_of(bound, first, second)} cannot change{why}: choose another "
            "folder with --run."
        )
    return kept


def _same_weights(run: Path, key: str, before: Any, now: Any) -> bool:
    """Whether another path leads to the first weights that the run recorded."""
    if not (before and now):
        return False
    if os.path.abspath(str(before)) == os.path.abspath(str(now)):
        return True
    file = weights_file(key, str(now))
    return file.is_file() and _recorded_weights(run) == digest_of(file)


def _recorded_weights(run: Path) -> str | None:
    """Digest of the first weights; None where a run from before it was recorded, or one of random weights."""
    path = RunPaths(run).first_weights
    return json.loads(path.read_text(encoding="utf-8")).get("digest") if path.is_file() else None


def check_first_weights(run: Path, file: Path) -> None:
    """Makes sure that a run's further seeds begin with the weights that the first ones began with.

    Raises:
        RunError: the file has another content than the run recorded.
    """
    if _recorded_weights(run) not in (None, digest_of(file)):
        raise RunError(f"{file} holds other weights than {run} was begun with; choose another folder with --run.")


def weights_file(key: str, path: str) -> Path:
    """The file of first weights that a setting of `WEIGHTS` names."""
    if key == "from_supernet":
        return RunPaths(path).supernet.checkpoint
    return TrainingPaths(path).model if Path(path).is_dir() else Path(path)
