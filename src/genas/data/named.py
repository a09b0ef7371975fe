"""Data sets by name."""

import difflib
import importlib
from pathlib import Path
from typing import Any

from genas.data.base import Dataset
from genas.data.digits import Digits
from genas.data.imagenet16 import ImageNet16_120
from genas.data.parquet import ParquetData
from genas.data.summary import shown
from genas.data.vision import Cifar10, Cifar100, ImageFolderData, ImageNet
from genas.errors import ConfigError

DEFAULT_ROOT = Path("data")
_ROOTED: dict[str, Any] = {"cifar10": Cifar10, "cifar100": Cifar100, "imagenet16-120": ImageNet16_120}
KNOWN = ("digits", *_ROOTED, "imagenet", "folder:PATH", "parquet:PATH", "package.module:Name")


def open_dataset(
    name: str, *, root: Path | None = None, image_size: int | None = None, resizing: str | None = None
) -> Dataset:
    """A data set by name; nothing is read yet.

    Args:
        name: one of `KNOWN`.
        root: the folder of a named data set's files; None for ``data`` in the working folder.
        image_size: side in pixels that pictures are resized to; only for ``imagenet``, ``folder:`` and ``parquet:``.
        resizing: how they get that size, for the same; see `genas.data.collection.FileDataset`.

    Raises:
        ConfigError: an unknown name, or an option that the data set does not have.
    """
    kind, colon, rest = name.partition(":")
    for text in (name, str(root or "")):
        if text.encode(errors="ignore").decode() != text:
            raise ConfigError(f"The data set's name {shown(text)} is not valid UTF-8: rename the file or folder.")
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
    if name == "digits":
        return Digits()
    if name in _ROOTED:
        found: Dataset = _ROOTED[name](root or DEFAULT_ROOT)
        return found
    if colon:
        return _own(name)
    close = difflib.get_close_matches(name, ("digits", *_ROOTED, "imagenet"), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"unknown data set {name!r}; known are {', '.join(KNOWN)}.{hint}")


def _own(name: str) -> Dataset:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{name!r} cannot be imported ({error}); it must read package.module:Name.") from error
    if not (isinstance(found, type) and issubclass(found, Dataset)):
        raise ConfigError(f"{name!r} is not a subclass of genas.Dataset.")
    return found()
