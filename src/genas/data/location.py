"""Where the files of a data set lie, and how a run finds them again.

A run records the place of its data (``location`` in ``data.json``): as given, absolute, and relative to the run folder.
So it works from any working directory, and where run and data were moved together.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genas.data.named import DATASETS, options_taken


def data_path(name: str, root: str | None) -> Path | None:
    """Where a data set's files lie; None where it has no files of its own or they are not ours to find."""
    if path := DATASETS.path_in(name):
        return Path(path).expanduser()
    if name in DATASETS.table and "root" in options_taken(name):
        return Path(root).expanduser() if root else DATASETS.find(name).usual_root
    return None


def at_path(name: str, path: Path) -> tuple[str, str | None]:
    """Name and root of the same data set at another place."""
    kind = name.partition(":")[0]
    return (name, str(path)) if DATASETS.path_in(name) is None else (f"{kind}:{path}", None)


def same_kind(name: str, other: str) -> bool:
    """Whether two names may be those of one data set at two places."""
    entry = DATASETS.entry(name)
    return name == other or (DATASETS.path_in(name) is not None and entry == DATASETS.entry(other))


def describe_location(name: str, root: str | None, run: Path) -> dict[str, str] | None:
    """What a run records of the place of its data; None where there is no such place."""
    path = data_path(name, root)
    if path is None:
        return None
    absolute = Path(os.path.abspath(path))
    return {"given": str(path), "absolute": str(absolute), "from_run": os.path.relpath(absolute, os.path.abspath(run))}


def find_data(name: str, root: str | None, location: Mapping[str, Any] | None, run: Path) -> tuple[str, str | None]:
    """Name and root of a run's data where they are now.

    Args:
        name: as the run was given it.
        root: the same.
        location: what the run recorded; None where it recorded nothing.
        run: the run folder.

    Returns:
        The first of the recorded places that exists: absolute, relative to the working directory, relative to the run
        folder. As given where none does: opening them says what is missing.
    """
    if data_path(name, root) is None or not location:
        return name, root
    places = (Path(location["absolute"]), Path(location["given"]), Path(os.path.abspath(run)) / location["from_run"])
    found = next((place for place in places if place.exists()), None)
    return (name, root) if found is None else at_path(name, Path(os.path.abspath(found)))
