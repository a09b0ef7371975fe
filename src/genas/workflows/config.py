"""The configuration of a run: one frozen model per component, filled from presets, a YAML file and the command line.

Later wins: the models' defaults (publications), the preset of the space, the preset of the data set,
``--as-published``, the YAML file, the named options, ``--set``.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import Field

from genas.core.errors import ConfigError
from genas.core.run_folder import FORMER_SECTIONS, explain
from genas.core.settings import (
    combine,
    current_names,
    expand,
    keys_of,
    merge,
    validate,
)
from genas.data.named import describe_given as describe_data
from genas.proxies import ProxySettings
from genas.proxies.expression import complete, place_settings
from genas.proxies.named import PROXIES
from genas.spaces.definition import definition_of
from genas.spaces.named import describe_given as describe_space
from genas.strategies import SearchSettings
from genas.strategies.named import STRATEGIES
from genas.training.standalone import RetrainSettings
from genas.training.standalone.settings import BaselineSettings
from genas.training.supernet import SupernetSettings
from genas.workflows.presets import AS_PUBLISHED, DATA_PRESETS, LARGE_SIDE, LEAST_SIDE, SCALE_PRESETS, Scale, is_own
from genas.workflows.sections import DataSettings, ReportSettings, RetrainConfig, RunSettings, SpaceSettings

_WRONG = "the configuration is wrong"


class Config(RunSettings):
    """All settings of a run."""

    former_names: ClassVar[Mapping[str, str]] = FORMER_SECTIONS

    supernet: SupernetSettings = Field(default_factory=SupernetSettings)
    proxy: ProxySettings = Field(default_factory=ProxySettings)
    strategy: SearchSettings = Field(default_factory=SearchSettings)
    retrain: RetrainSettings = Field(default_factory=RetrainSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)
    baseline: BaselineSettings = Field(default_factory=BaselineSettings)


def scale_settings(scale: Scale, data: str, space: str, side: int | None) -> dict[str, Any]:
    """The settings of a scale.

    Args:
        scale: which.
        data: the data set's name; image size and options for large images are chosen for own images alone.
        space: the space's name.
        side: of the images as they are; None where it is not known.
    """
    definition = definition_of(space)
    settings: dict[str, Any] = {**SCALE_PRESETS[scale], "space": dict(definition.sizes.get(scale, {}))}
    largest = definition.largest_sides.get(scale)
    if is_own(data) and side is not None and largest is not None:
        size = max(min(side, largest), LEAST_SIDE)
        settings["data"] = {"image_size": size}
        if size >= LARGE_SIDE:
            settings["space"] |= definition.large_image_options
    return settings


def published_behaviour(space: str) -> dict[str, Any]:
    """The settings of ``--as-published`` in a space."""
    return combine(Config, [AS_PUBLISHED, definition_of(space).as_published])


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a configuration file.

    Raises:
        ConfigError: missing, unreadable or no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"the configuration file {path} does not exist.") from error
    except OSError as error:
        raise explain(error, path) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply for a configuration.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected a mapping of sections.")
    try:
        return expand(content)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; give it once.") from error


def parse_assignment(text: str) -> dict[str, Any]:
    """``section.key=value`` as a nested mapping; the value is read as YAML.

    Raises:
        ConfigError: malformed.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise ConfigError(f"--set {text!r} is malformed; it must read section.key=value.")
    try:
        nested: Any = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        raise ConfigError(f"--set {text!r}: the value is not YAML.") from error
    if isinstance(nested, str):
        with contextlib.suppress(ValueError):
            nested = float(nested)  # YAML 1.1 reads 5e-4 as text
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    assert isinstance(nested, dict)
    return nested


def build_config(
    overrides: Sequence[Mapping[str, Any]] = (),
    *,
    as_published: bool = False,
    scale: Scale | None = None,
    side: int | None = None,
) -> Config:
    """The configuration from presets and overrides, later ones winning.

    Args:
        overrides: nested mappings: the file, the named options, the assignments.
        as_published: switch the published code's behaviour on.
        scale: sizes and lengths of a named scale; None for the published ones, or the data set's own.
        side: of own images as they are, for the image size of a scale; None leaves it open.

    Raises:
        ConfigError: an unknown key, a wrong type or an impossible value; every fault is named.
    """
    try:
        given = combine(Config, overrides)
    except ValueError as error:
        raise ConfigError(f"the settings: {error}; give it once.") from error
    for section in ("data", "space"):
        if section in given and not isinstance(given[section], Mapping):
            raise ConfigError(f"{section} is {given[section]!r}; expected a mapping such as {{name: ...}}.")
    data = str(given.get("data", {}).get("name", DataSettings().name))
    space = str(given.get("space", {}).get("name", SpaceSettings().name))
    definition = definition_of(space)
    base = combine(Config, [definition.settings, DATA_PRESETS.get(data, {})])
    base = merge(base, {"space": {"name": space, **definition.sizes.get(data, {})}})
    if scale is not None:
        asked = given.get("data", {}).get("image_size")
        base = merge(base, scale_settings(scale, data, space, side if asked is None else asked))
    if as_published:
        base = merge(base, published_behaviour(space))
    config = validate(Config, merge(base, given), _WRONG)
    return config.model_copy(update={"proxy": complete(config.proxy)})


def describe_given(
    *, data: object = None, space: object = None, proxy: object = None, search: object = None
) -> dict[str, Any]:
    """The settings for what a Python program passed: names, classes or objects; None for what it left open.

    Raises:
        ConfigError: something else, or name and options would not make it again.
    """
    given: dict[str, Any] = {}
    if data is not None:
        given["data"] = describe_data(data)
    if space is not None:
        given["space"] = describe_space(space)
    for section, key, registry, thing in (
        ("proxy", "expression", PROXIES, proxy),
        ("strategy", "algorithm", STRATEGIES, search),
    ):
        if thing is not None:
            name, options = registry.describe(thing)
            given[section] = {key: name, **({"options": options} if options else {})}
    if proxy is not None:
        given["proxy"] = place_settings(given["proxy"])
    if isinstance(asked := getattr(search, "settings", None), SearchSettings):  # of an object
        given["strategy"] = {**asked.model_dump(exclude_unset=True), **given["strategy"]}
    return given


Layers = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""Settings nested by section, as in the YAML file; of several mappings, later ones win."""


def given_layers(
    settings: Layers, *, device: str | None = None, seed: int | None = None, **named: object
) -> list[Mapping[str, Any]]:
    """The settings that a Python program passed, later ones winning.

    Args:
        settings: nested mappings.
        device: None for what `settings` or the run has.
        seed: the same.
        named: names, classes or objects, as of `describe_given`.

    Raises:
        ConfigError: settings that are no mappings; and see `describe_given`.
    """
    several = isinstance(settings, Sequence) and not isinstance(settings, str)
    layers = list(settings) if several and settings else [settings or {}]
    for layer in layers:
        if not isinstance(layer, Mapping):
            raise ConfigError(
                f"settings is {layer!r}: expected nested mappings such as {{'supernet': {{'epochs': 10}}}}."
            )
    single = {key: value for key, value in (("device", device), ("seed", seed)) if value is not None}
    return [*layers, describe_given(**named), single]


def known_settings() -> list[str]:
    """All settings of a run, as dotted keys."""
    return keys_of(Config)


def fill_defaults(frozen: Mapping[str, Any]) -> dict[str, Any]:
    """A run's frozen configuration with the settings that it lacks because they came after it, at their defaults.

    One that is wrong otherwise is given back as it is: whoever compares it will name what differs.
    """
    model = RetrainConfig if frozen.get("kind") == "retrain" else Config
    frozen = current_names(model, frozen)
    try:
        whole = validate(model, frozen, _WRONG).model_dump(mode="json")
    except ConfigError:
        return dict(frozen)
    return merge(whole, frozen)


def build_retrain_config(content: Mapping[str, Any]) -> RetrainConfig:
    """The configuration of a retraining.

    Raises:
        ConfigError: an unknown key, a wrong type or an impossible value; every fault is named.
    """
    return validate(RetrainConfig, content, _WRONG)
