"""What a command is told to work on: a run folder, the name of a published architecture, or a genotype."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genas.core.errors import ConfigError, GenotypeError, RunError, suggest
from genas.core.run_folder import no_run, read_config
from genas.core.run_paths import RunPaths
from genas.data.record import locate_data
from genas.spaces.base import Architecture, Space
from genas.spaces.definition import SPACES
from genas.spaces.named import open_space
from genas.spaces.zoo import load, names


@dataclass(frozen=True)
class Subject:
    """An architecture and where it came from.

    Args:
        architecture: the architecture.
        space: name and options of its space.
        data: settings of the data set that a run was begun with; empty for other subjects.
        retrain: settings of the retraining of that run; empty for other subjects.
        imagenet_channels: first widths that a published architecture was trained with on ImageNet.
    """

    architecture: Architecture
    space: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    retrain: dict[str, Any] = field(default_factory=dict)
    imagenet_channels: tuple[int, ...] = ()


def find_subject(text: str, space: str | None = None, options: Mapping[str, Any] | None = None) -> Subject:
    """Finds out what `text` names.

    Args:
        text: a run folder, a published architecture's name or a genotype.
        space: the space of a genotype; None to find it out.
        options: of that space, where they decide how a genotype is read.

    Raises:
        GenotypeError: no space takes the genotype, or several do.
        RunError: the run has no best architecture yet.
        ConfigError: nothing has that name.
    """
    folder = Path(text)
    if os.path.isfile(RunPaths(folder).config):  # a genotype may be too long for a path, which Path.is_file refuses
        return _of_run(folder, space, options or {})
    if text in names():
        entry = load(text)
        return replace(_of_genotype(entry.genotype, space, {}), imagenet_channels=tuple(entry.imagenet_channels))
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise ConfigError(
            f"{text!r} is neither a run folder, nor a published architecture, nor a genotype.{suggest(text, names())} "
            "Published architectures: genas zoo."
        )
    if re.fullmatch(r"[^\s|()\[\]]*/[^\s|()\[\]]*", text):
        raise RunError(no_run(text))
    return _of_genotype(text, space, options or {})


def text_of(architecture: str | Path | Architecture) -> str:
    """The text for what a Python program passed: a genotype, a name, a path, or an architecture."""
    return architecture.genotype if isinstance(architecture, Architecture) else str(architecture)


def parse_architecture(space: Space, text: str) -> Architecture:
    """The architecture of `space` that a genotype, or a published architecture's name, stands for.

    Args:
        space: the space.
        text: a genotype in any text form, or a name of the zoo.

    Raises:
        GenotypeError: it is neither, or a published architecture of another space.
    """
    if text in names():
        try:
            return space.parse(load(text).genotype)
        except GenotypeError as error:
            found = _of_genotype(load(text).genotype, None, {}).space["name"]
            raise GenotypeError(
                f"{text} is an architecture of the space {found!r}, expected one of {space.describe()['name']!r}."
            ) from error
    try:
        return space.parse(text)
    except GenotypeError as error:
        if hint := suggest(text, names()):
            raise GenotypeError(f"{str(error).rstrip('.')}.{hint}") from error
        raise


def _of_run(folder: Path, space: str | None, changes: Mapping[str, Any]) -> Subject:
    config = read_config(folder)
    own = dict(config["space"])
    if space is not None and space != own["name"]:
        raise ConfigError(f"{folder} is a run in the space {own['name']!r}, not in {space!r}; leave --space out.")
    genotype = config.get("genotype")
    if genotype is None:
        if not RunPaths(folder).best_architecture.is_file():
            raise RunError(f"the search of {folder} is not finished: continue it with: genas search --run {folder}")
        genotype = json.loads(RunPaths(folder).best_architecture.read_text(encoding="utf-8"))["genotype"]
    options = {key: value for key, value in own.items() if key != "name"}
    architecture = open_space(own["name"], **{**options, **changes}).parse(genotype)
    data = {key: value for key, value in config["data"].items() if key not in ("limit", "split_file")}
    data["name"], data["root"] = locate_data(str(data["name"]), data.get("root"), folder)
    return Subject(architecture, own, data, dict(config["retrain"]))


def _of_genotype(text: str, space: str | None, options: Mapping[str, Any]) -> Subject:
    found, faults = [], []
    for name in [space] if space else SPACES.names:
        try:
            opened = open_space(name, **(options if space else {}))
            found.append(Subject(opened.parse(text), opened.describe()))
        except GenotypeError as error:
            faults.append(f"{name}: {str(error).rstrip('.')}")
    if not found:
        raise GenotypeError(f"{text!r} is no genotype of {'this' if space else 'any'} space ({'; '.join(faults)}).")
    if len(found) > 1:
        names = ", ".join(subject.space["name"] for subject in found)
        raise GenotypeError(f"the genotype {text!r} is one of several spaces ({names}); name one with --space.")
    return found[0]
