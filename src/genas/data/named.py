"""Data sets by name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genas.core.errors import ConfigError
from genas.core.registry import Registry, check_rebuilt, parameters_of
from genas.data.summary import shown

if TYPE_CHECKING:
    from genas.data.base import Dataset

DATASETS: "Registry[Dataset]" = Registry(
    "data set",
    "genas.data.base:Dataset",
    {
        "digits": "genas.data.digits:Digits",
        "cifar10": "genas.data.vision:Cifar10",
        "cifar100": "genas.data.vision:Cifar100",
        "imagenet16-120": "genas.data.imagenet16:ImageNet16_120",
        "imagenet": "genas.data.vision:ImageNet",
        "folder:PATH": "genas.data.vision:ImageFolderData",
        "parquet:PATH": "genas.data.parquet:ParquetData",
    },
)

FIELDS = ("name", "root", "image_size", "resizing", "check", "limit", "split_file")
"""Settings of every data set; whatever else stands beside them is an option of its constructor."""


def takes_size(name: str) -> bool:
    """Whether the images of a built-in data set can be brought to a size."""
    return not DATASETS.is_custom(name) and "image_size" in options_taken(name)


def options_taken(name: str) -> list[str]:
    """The parameters of the constructor of a data set."""
    return parameters_of(DATASETS.find(name))[1:]


def open_dataset(
    name: str,
    *,
    root: Path | None = None,
    image_size: int | None = None,
    resizing: str | None = None,
    **options: Any,
) -> "Dataset":
    """A data set by name; nothing is read yet.

    Args:
        name: a name of `DATASETS` or package.module:Name of a `Dataset` subclass.
        root: the folder of a named data set's files; None for the usual place.
        image_size: side in pixels that images are resized to; for ``imagenet``, ``folder:`` and ``parquet:``.
        resizing: how they get that size, for the same; see `genas.data.collection.FileDataset`.
        options: of the constructor; that of a custom class is also given the above where they are set.

    Raises:
        ConfigError: an unknown name, or an option that the data set does not have.
    """
    for text in (name, str(root or "")):
        if text.encode(errors="ignore").decode() != text:
            raise ConfigError(f"The data set's name {shown(text)} is not valid UTF-8: rename the file or folder.")
    kind, colon, rest = name.partition(":")
    custom, path = DATASETS.is_custom(name), DATASETS.path_in(name)
    if (custom and "/" in rest) or (not colon and name not in DATASETS.table and os.path.exists(name)):
        raise _path_alone(name, rest or name)
    found, taken = DATASETS.find(name), options_taken(name)
    sizes = {"image_size": image_size, "resizing": resizing}
    given = {**{key: value for key, value in sizes.items() if value is not None}, **options}
    if custom:
        return DATASETS.make(name, options=given if root is None else {"root": str(root), **given})
    for key in given:
        if key not in taken and key in sizes:
            raise ConfigError(f"data.{key} does not apply to {name!r}: expected imagenet, folder: or parquet:.")
        if key not in taken:
            raise ConfigError(f"the data set {name!r} has no option {key}.")
    if path is not None:
        if not path:
            raise ConfigError(f"{name!r} names no path; write {kind}:PATH.")
        if root is not None:
            raise ConfigError(f"data.root is for the named data sets; {kind}: already has a path.")
        given["root"] = path
    elif "root" in taken:
        given["root"] = root or found.usual_root
    return DATASETS.make(name, options=given)


def _path_alone(name: str, path: str) -> ConfigError:
    """The error for a `name` that lacks what says how to read its `path`."""
    kind = "parquet" if path.endswith(".parquet") else "folder"
    return ConfigError(
        f"Unknown data set {name!r}: expected folder:PATH or parquet:PATH. Did you mean '{kind}:{path}'?"
    )


def describe_given(data: object) -> dict[str, Any]:
    """The settings under ``data`` for what a Python program passed: a name, a subclass of `Dataset`, or an object.

    Raises:
        ConfigError: it is something else, or name and options would not make it again.
    """
    name, options = DATASETS.describe(data)
    if isinstance(data, str):
        return {"name": name}
    if name not in DATASETS.table and not isinstance(data, type):
        check_rebuilt(name, data, open_dataset(name, **options))
    if DATASETS.path_in(name) is not None:
        if "root" not in options:
            raise ConfigError(f"data is the class {data!r}: expected an object with a path, or the name {name!r}.")
        name = name.replace("PATH", str(options.pop("root")))
    return {"name": name, **options}
