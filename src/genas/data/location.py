"""Where the files of a data set lie, and how a run finds them again.

A run records the place of its data (``location`` in ``data.json``): as given, absolute, and relative to the run folder.
So it works from any working directory, and where run and data were moved together.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genas.data.named import DEFAULT_ROOT

_BY_PATH = ("folder", "parquet")
_ROOTED = ("cifar10", "cifar100", "imagenet16-120")


def data_path(name: str, root: str | None) -> Path | None:
    """Where a data set's files lie; None where it has no files of its own or they are not ours to find."""
    kind, _, rest = name.partition(":")
    if kind in _BY_PATH and rest:
        return Path(rest).expanduser()
    if name == "imagenet":
        return Path(root).expanduser() if root else DEFAULT_ROOT / "imagenet"
    if name in _ROOTED:
        return Path(root).expanduser() if root else DEFAULT_ROOT
    return None


def at_path(name: str, path: Path) -> tuple[str, str | None]:
    """Name and root of the same data set at another place."""
    kind = name.partition(":")[0]
    return (f"{kind}:{path}", None) if kind in _BY_PATH else (name, str(path))


def same_kind(name: str, other: str) -> bool:
    """Whether two names may be those of one data set at two places."""
    kind, other_kind = name.partition(":")[0], other.partition(":")[0]
    return name == other or (kind == other_kind and kind in _BY_PATH)


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
