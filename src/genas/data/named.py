"""Data sets by name."""

import os
from pathlib import Path
from typing import Any

from genas.data.base import Dataset
from genas.data.digits import Digits
from genas.data.imagenet16 import ImageNet16_120
from genas.data.parquet import ParquetData
from genas.data.summary import shown
from genas.data.vision import Cifar10, Cifar100, ImageFolderData, ImageNet
from genas.errors import ConfigError
from genas.registry import check_rebuilt, known_names, load_class, make, name_and_options, options_of

DEFAULT_ROOT = Path("data")
_ROOTED: dict[str, Any] = {"cifar10": Cifar10, "cifar100": Cifar100, "imagenet16-120": ImageNet16_120}
KNOWN = ("digits", *_ROOTED, "imagenet", "folder:PATH", "parquet:PATH", "package.module:Name")

FIELDS = ("name", "root", "image_size", "resizing", "check", "limit", "split_file")
"""Settings of every data set; whatever else stands beside them is an option of a custom class."""


def is_custom(name: str) -> bool:
    """Whether a data set's name is that of a class, package.module:Name."""
    kind, colon, _ = name.partition(":")
    return bool(colon) and kind not in ("folder", "parquet")


def takes_size(name: str) -> bool:
    """Whether the images of a data set can be brought to a size."""
    return name == "imagenet" or name.partition(":")[0] in ("folder", "parquet")


def open_dataset(
    name: str,
    *,
    root: Path | None = None,
    image_size: int | None = None,
    resizing: str | None = None,
    **options: Any,
) -> Dataset:
    """A data set by name; nothing is read yet.

    Args:
        name: one of `KNOWN`.
        root: the folder of a named data set's files; None for ``data`` in the working folder.
        image_size: side in pixels that pictures are resized to; for ``imagenet``, ``folder:`` and ``parquet:``.
        resizing: how they get that size, for the same; see `genas.data.collection.FileDataset`.
        options: of the constructor of a custom class, which is also given the above where they are set.

    Raises:
        ConfigError: an unknown name, or an option that the data set does not have.
    """
    kind, colon, rest = name.partition(":")
    for text in (name, str(root or "")):
        if text.encode(errors="ignore").decode() != text:
            raise ConfigError(f"The data set's name {shown(text)} is not valid UTF-8: rename the file or folder.")
    if is_custom(name) and "/" in rest:
        raise _path_alone(name, rest)
    if is_custom(name):
        sizes = {"root": root if root is None else str(root), "image_size": image_size, "resizing": resizing}
        given = {**{key: value for key, value in sizes.items() if value is not None}, **options}
        made: Dataset = make(name, load_class(name, Dataset), options=given)
        return made
    if options:
        raise ConfigError(f"the data set {name!r} has no option {', '.join(options)}.")
    if name == "imagenet":
        return ImageNet(root or DEFAULT_ROOT / "imagenet", image_size, resizing)
    if colon and kind in ("folder", "parquet"):
        if not rest:
            raise ConfigError(f"{name!r} names no path; write {kind}:PATH.")
        if root is not None:
            raise ConfigError(f"data.root is for the named data sets; {kind}: already has a path.")
        return (ImageFolderData if kind == "folder" else ParquetData)(rest, image_size, resizing)
    if image_size is not None and (name == "digits" or name in _ROOTED):
        raise ConfigError(f"data.image_size does not apply to {name!r}: its pictures have one size.")
    if resizing is not None and (name == "digits" or name in _ROOTED):
        raise ConfigError(f"data.resizing does not apply to {name!r}: expected imagenet, folder: or parquet: images.")
    if name == "digits":
        return Digits()
    if name in _ROOTED:
        found: Dataset = _ROOTED[name](root or DEFAULT_ROOT)
        return found
    raise _path_alone(name, name) if os.path.exists(name) else known_names(KNOWN[:-1], "data set", name)


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
    kinds = {kind: name for name, kind in {"digits": Digits, "imagenet": ImageNet, **_ROOTED}.items()}
    paths: dict[type, str] = {ImageFolderData: "folder", ParquetData: "parquet"}
    if isinstance(data, type) and data in kinds:
        return {"name": kinds[data]}
    if isinstance(data, Dataset) and type(data) in kinds:
        return {"name": kinds[type(data)], **options_of(data)}
    if isinstance(data, Dataset) and type(data) in paths:
        options = options_of(data)
        return {"name": f"{paths[type(data)]}:{options.pop('root')}", **options}
    name, options = name_and_options(data, Dataset, "data", objects=True)
    if isinstance(data, Dataset):
        check_rebuilt(name, data, open_dataset(name, **options))
    return {"name": name, **options}
