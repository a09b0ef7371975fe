"""The data of a run: what it records of them (``data.json``), where they are now, whether they are still the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genas.core.errors import ConfigError, DataError, RunError
from genas.core.run_folder import write_json
from genas.core.run_paths import RunPaths
from genas.data.base import Splits
from genas.data.identity import differences, listed
from genas.data.location import data_path, describe_location, find_data, same_kind


def read_record(run: Path) -> dict[str, Any]:
    """What a run recorded of its data; empty where it has recorded nothing yet.

    Raises:
        RunError: the file is damaged.
    """
    path = RunPaths(run).data
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: expected JSON ({error}); restore it from a copy of the run.") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: expected a JSON object; restore it from a copy of the run.")
    return content


def check_place(name: str, root: str | None, run: Path) -> None:
    """Says where a run's data were looked for, before they are opened.

    Raises:
        DataError: they are not there.
    """
    path = data_path(name, root)
    if path is not None and not path.exists():
        raise DataError(
            f"the data of {run} are not at {path.absolute()}: where they lie elsewhere now, name the place with "
            f"{'--data ' + name.partition(':')[0] + ':PATH' if ':' in name else '--data-root'}."
        )


def check_data(run: Path, identity: Mapping[str, Any], *, images_only: bool = False) -> None:
    """Makes sure that data are those that a run was begun with.

    Args:
        run: the run folder; nothing is compared where it has recorded nothing.
        identity: of the data, see `genas.data.identity.identify`.
        images_only: classes and images count, but not their size nor how they are divided into splits.

    Raises:
        DataError: they differ; what differs is named.
        RunError: the record is damaged.
    """
    record = read_record(run)
    if not record:
        return
    try:
        found = differences(record.get("identity") or record, identity, images_only=images_only)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise RunError(f"{RunPaths(run).data} is damaged ({error!r}); restore it from a copy of the run.") from error
    if found:
        raise DataError(
            f"the data are not those that {run} was begun with: {listed(found)}; restore them, name their place with "
            "--data, or begin another run."
        )


def record_data(
    run: Path, splits: Splits, identity: Mapping[str, Any], name: str, root: str | None, *, anew: bool = False
) -> None:
    """Records counts, classes, normalisation, identity and place of a run's data where they are not yet recorded.

    Args:
        run: the run folder, locked.
        splits: as the run uses them, perhaps limited.
        identity: of the whole data set.
        name: of the data set, where it was found; a new place replaces the recorded one.
        root: folder of a named data set's files.
        anew: nothing was made with the recorded data yet, so others may take their place.
    """
    before = read_record(run)
    content = {**(describe_data(splits) if anew or not before else before)}
    content.setdefault("identity", identity)
    location = describe_location(name, root, run)
    if location is not None:
        same = content.get("location", {}).get("absolute") == location["absolute"]
        content["location"] = {**location, "given": content["location"]["given"]} if same else location
    if content != before:
        write_json(RunPaths(run).data, content)


def locate_data(
    name: str, root: str | None, run: Path, data: str | None = None, data_root: str | None = None
) -> tuple[str, str | None]:
    """Name and root of a run's data where they are now.

    Args:
        name: of the run's data set, as it was begun.
        root: folder of a named data set's files, as it was begun.
        run: its folder.
        data: the place that the user names, as ``--data`` takes it.
        data_root: the same, of a named data set.

    Raises:
        ConfigError: `data` is another data set than the run's.
    """
    if data is None and data_root is None:
        return find_data(name, root, read_record(run).get("location"), run)
    if data is not None and not same_kind(data, name):
        raise ConfigError(
            f"{run} was begun with the data set {name!r}, got {data!r}: --data names the place of the same data here; "
            "begin another run for other data."
        )
    return data or name, data_root if data_root is not None else root


def describe_data(splits: Splits) -> dict[str, Any]:
    """Counts, classes and normalisation for the record."""
    return {
        "classes": list(splits.class_names),
        "image_shape": list(splits.image_shape),
        "weights": len(splits.weights),
        "validation": len(splits.validation),
        "train": len(splits.train),
        "test": len(splits.test) if splits.test is not None else 0,
        "mean": list(splits.normalisation.mean),
        "std": list(splits.normalisation.std),
        "normalisation": splits.normalisation.source,
        "found": splits.summary.as_dict() if splits.summary is not None else None,
    }
