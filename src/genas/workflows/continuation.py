"""What an existing run binds, and what may still change.

A setting is bound by what was made with it, and by nothing else:

* data, space, seed, device and precision by anything that was trained or scored;
* ``supernet.*`` by a supernet that has trained a step;
* ``proxy.*`` (what the proxy reads of it) and ``search.*`` by scored architectures; more generations may always be
  asked for, because the proposals of a generation depend on the generations before it alone;
* ``retrain.*`` by a retraining that has begun; more epochs are well defined where no epoch depends on how many there
  will be.

How often something is saved binds nothing. The place of the data binds nothing either: their identity is compared.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genas.core.errors import RunError
from genas.core.run_folder import change_of, changed_keys, flatten, read_config, write_config
from genas.core.run_paths import RunPaths
from genas.core.settings import combine, current_names, merge
from genas.data import open_dataset
from genas.data.collection import FileDataset
from genas.data.location import same_kind
from genas.data.record import locate_data
from genas.proxies import ProxySettings
from genas.proxies.expression import keep_for, sections_read
from genas.strategies import History
from genas.strategies.named import STRATEGIES
from genas.training.standalone import RetrainSettings
from genas.training.standalone.schedule import extendable
from genas.workflows.config import Config, build_config, fill_defaults, published_behaviour, scale_settings
from genas.workflows.presets import Scale, default_scale, is_own

FREE = (
    "data.check",
    "supernet.checkpoint_seconds",
    "supernet.keep_every",
    "strategy.noise_of_best",
    "retrain.checkpoint_seconds",
)
_BASE = ("data", "space", "seed", "device", "precision")
PLACE = ("data.name", "data.root")


@dataclass(frozen=True)
class Done:
    """How far a run of a search is.

    Args:
        trained: the supernet has trained a step.
        scored: architectures in the history.
        generations: generations that have one in the history.
        retrained: the retraining of the best has begun.
    """

    trained: bool
    scored: int
    generations: int
    retrained: bool

    @property
    def anything(self) -> bool:
        """Whether the data, the space and the seed are bound."""
        return self.trained or self.retrained or self.scored > 0


def done_of(run: Path) -> Done:
    """What lies in a run folder.

    Raises:
        RunError: the history is damaged.
    """
    scored = generations = 0
    paths = RunPaths(run)
    if paths.history.exists():
        with History(paths.history, readonly=True) as history:
            scored, generations = len(history), history.generations()
    retrained = paths.retrain.checkpoint.exists() or paths.retrain.result.exists()
    return Done(paths.supernet.checkpoint.exists(), scored, generations, retrained)


def settings_on(
    run: Path, layers: Sequence[Mapping[str, Any]], as_published: bool = False, scale: Scale | None = None
) -> Config:
    """The configuration of a command on a run folder: the run's own where there is one, changed by what was given.

    Args:
        run: the run folder, which may not exist yet.
        layers: nested mappings: file, named options, assignments; later ones win.
        as_published: the published code's behaviour was asked for.
        scale: the scale that was asked for; None for that of a new run's data, or what the run has.

    Raises:
        ConfigError: an unknown key or an impossible value; other data than the run's.
        RunError: the folder is one of genas retrain.
    """
    if not RunPaths(run).config.exists():
        return fresh_settings(layers, as_published, scale)
    given = combine(Config, layers)
    before = current_names(Config, read_config(run))
    if before.get("kind") == "retrain":
        raise RunError(f"{run} is a run of genas retrain, not of a search; continue it with: genas retrain --run {run}")
    data, space, proxy = (_mapping(given.get(section)) for section in ("data", "space", "proxy"))
    if isinstance(proxy.get("expression"), str):
        before = {**before, "proxy": keep_for(before["proxy"], proxy["expression"])}
    own = before["data"]
    other = not same_kind(str(data.get("name", own["name"])), str(own["name"]))
    other = other or space.get("name", before["space"]["name"]) != before["space"]["name"]
    if other and not done_of(run).anything:  # presets depend on data and space: as if the folder were new
        return fresh_settings(layers, as_published, scale)
    name, root = locate_data(own["name"], own.get("root"), run, data.get("name"), data.get("root"))
    if isinstance(given.get("data", {}), Mapping):
        given = merge(given, {"data": {"name": name, "root": root}})
    published = published_behaviour(before["space"]["name"]) if as_published else {}
    scaled = {} if scale is None else scale_settings(scale, str(own["name"]), before["space"]["name"], None)
    return build_config([before, scaled, published, given])


def fresh_settings(
    layers: Sequence[Mapping[str, Any]], as_published: bool = False, scale: Scale | None = None
) -> Config:
    """The configuration of a run that does not exist yet.

    Args:
        layers: nested mappings: file, named options, assignments; later ones win.
        as_published: the published code's behaviour was asked for.
        scale: what was asked for; None: ``standard`` for own images of 64 pixels and more, else the published settings
            or the data set's preset.

    Raises:
        ConfigError: an unknown key or an impossible value.
        DataError: own images, whose size decides, cannot be read.
    """
    config = build_config(layers, as_published=as_published)
    data = config.data
    side = None
    if is_own(data.name) and not as_published and (scale is None or data.image_size is None):
        files = open_dataset(data.name)
        side = files.own_side() if isinstance(files, FileDataset) else None
    scale = scale or default_scale(side)
    if scale is None:
        return config
    return build_config(layers, as_published=as_published, scale=scale, side=data.image_size or side)


def settings_from_supernet(
    source: Path, run: Path | None, layers: Sequence[Mapping[str, Any]], as_published: bool = False
) -> Config:
    """The configuration of a search with the trained supernet of another run: that run's, changed by what was given.

    Args:
        source: run folder with the supernet.
        run: folder of the search; one that exists keeps its own settings as `settings_on` does.
        layers: as of `settings_on`.
        as_published: as of `settings_on`.

    Raises:
        RunError: a setting is bound by the supernet; those are named.
    """
    if run is not None and RunPaths(run).config.exists():
        return settings_on(run, layers, as_published)
    config = settings_on(source, layers, as_published)
    first, second = flatten(fill_defaults(read_config(source))), flatten(config.model_dump(mode="json"))
    found = [
        key
        for key in differing(first, second)
        if key.partition(".")[0] in ("supernet", *_BASE) and key not in (*FREE, *PLACE)
    ]
    if found:
        raise RunError(
            f"the supernet of {source} was trained with other settings: {changes_of(found, first, second)}; leave them "
            "out, or train another supernet."
        )
    return config


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def reconcile(run: Path, now: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """The configuration that a run is to be kept with, given another one; nothing is written.

    Args:
        run: the run folder of a search, with a configuration.
        now: the frozen configuration that is asked for.
        done: how far the run is.

    Returns:
        `now`, with the place of the data as the run was given it.

    Raises:
        RunError: a setting is bound; those are named, with a way to get what was asked for.
    """
    before = fill_defaults(read_config(run))
    first, second = flatten(before), flatten(now)
    changed = differing(first, second)
    if same_kind(str(first.get("data.name")), str(second.get("data.name"))):
        changed = [key for key in changed if key not in PLACE]
        now = merge(now, {"data": {key: before["data"].get(key) for key in ("name", "root")}})
    sentences = []
    for binding in _BINDINGS:
        bound = [key for key in changed if key not in FREE and binding.holds(key, before, now, done)]
        if bound:
            sentences.append(
                f"{binding.fact(done)}, so {changes_of(bound, first, second)} cannot change: {binding.advice(run)}."
            )
            changed = [key for key in changed if key not in bound]
    if sentences:
        raise RunError(f"{run} {' It '.join(sentences)}")
    return dict(now)


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Settings with other values; of a file of halves the content counts, as a part of the data's identity."""
    halves = first.get("data.split_file") and second.get("data.split_file")
    return [key for key in changed_keys(first, second) if not (halves and key == "data.split_file")]


def changes_of(keys: list[str], first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """What each of the settings was and is, as part of a sentence."""
    return ", ".join(change_of(key, first, second) for key in keys)


@dataclass(frozen=True)
class _Binding:
    """Settings that one thing binds.

    Args:
        holds: whether a key with another value is bound, given both configurations and what is done.
        fact: what binds it, as ``has trained its supernet``.
        advice: what to do instead.
    """

    holds: Callable[[str, Mapping[str, Any], Mapping[str, Any], Done], bool]
    fact: Callable[[Done], str]
    advice: Callable[[Path], str]


def _binds_base(key: str, before: Mapping[str, Any], now: Mapping[str, Any], done: Done) -> bool:
    section = key.partition(".")[0]
    return done.trained if section == "supernet" else section in _BASE and done.anything


def _binds_search(key: str, before: Mapping[str, Any], now: Mapping[str, Any], done: Done) -> bool:
    section, _, rest = key.partition(".")
    if not done.scored or section not in ("proxy", "strategy"):
        return False
    if key == "strategy.generations":
        strategy = STRATEGIES.find(before["strategy"]["algorithm"])
        return int(now["strategy"]["generations"]) < done.generations or not strategy.extendable
    if section == "proxy" and rest != "expression":
        read = sections_read(ProxySettings.model_validate(before["proxy"]))
        return rest.partition(".")[0] in read
    return True


def _binds_retraining(key: str, before: Mapping[str, Any], now: Mapping[str, Any], done: Done) -> bool:
    if not done.retrained or key.partition(".")[0] != "retrain":
        return False
    return key != "retrain.epochs" or not more_epochs(before["retrain"], now["retrain"])


def more_epochs(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a retraining of `before` can go on to the epochs of `now`, as if they had been asked for at once."""
    return int(now["epochs"]) > int(before["epochs"]) and extendable(RetrainSettings.model_validate(dict(now)))


_BINDINGS = (
    _Binding(
        _binds_base,
        lambda done: "has trained its supernet" if done.trained else "has begun",
        lambda _: "choose another folder with --run",
    ),
    _Binding(
        _binds_search,
        lambda done: f"has scored {done.scored:,} architectures in {done.generations} generation(s)",
        lambda run: f"search again with the same supernet by: genas search --supernet {run} ... --run OTHER",
    ),
    _Binding(
        _binds_retraining,
        lambda _: "has begun to retrain its best architecture",
        lambda run: f"train it anew by: genas retrain {run} ... --run OTHER",
    ),
)


def keep_settings(run: Path, now: Mapping[str, Any], done: Done) -> None:
    """Writes other settings into an existing run, where they may change.

    Args:
        run: the run folder, locked.
        now: the frozen configuration that is asked for.
        done: how far the run is.

    Raises:
        RunError: a setting is bound.
    """
    kept = reconcile(run, now, done)
    if kept == fill_defaults(read_config(run)):
        return
    _clear_unbound(run, done)
    write_config(run, kept)


def _clear_unbound(run: Path, done: Done) -> None:
    """Removes what other settings would not make alike; nothing that is bound was made with it."""
    if not done.trained and not RunPaths(run).supernet.origin.exists():
        shutil.rmtree(RunPaths(run).supernet.path, ignore_errors=True)  # first weights of another seed or space
    if not done.scored:
        shutil.rmtree(RunPaths(run).race, ignore_errors=True)  # what single images gave under another proxy
