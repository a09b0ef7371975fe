"""Images in Parquet files with the columns of Hugging Face image data sets, read through `datasets`.

Which files are which split says `genas.data.layout`. Without a test split a fixed fifth is held out. The image column
holds ``{bytes, path}``, the label column numbers, class labels or texts (`genas.data.labels`); both are found by their
types.
"""

import atexit
import errno
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genas.core.errors import DataError
from genas.data.collection import Collection, FileDataset
from genas.data.decoding import decode
from genas.data.identity import ENDS, SAMPLED, file_fingerprints, fingerprint
from genas.data.labels import LabelColumn, classes_of
from genas.data.layout import parquet_layout
from genas.data.split import check_labels
from genas.data.summary import named, shown
from genas.data.vision import class_names

_LABEL_NAMES = ("label", "labels", "fine_label", "class", "target", "y")
_BLOCK = 256  # rows read at once
_UNWRITABLE = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.ENOSPC, errno.EDQUOT)
)


class ParquetImages:
    """The images of some tables, numbered through.

    Args:
        tables: `datasets.Dataset` objects whose image column is not decoded.
        column: the image column.
        names: what to call the tables in errors.
    """

    def __init__(self, tables: list[Any], column: str, names: list[str]) -> None:
        self.tables, self.column, self.names = tables, column, names
        self._lengths = [len(table) for table in tables]
        self._blocks = threading.local()
        self._fingerprints: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return sum(self._lengths)

    def __getitem__(self, index: int) -> Image.Image:
        return decode(*self.stored(index))

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of every image, [N]; 0 for one that lies in a file of its own."""
        from pyarrow import compute, types

        found = [np.empty(0, dtype=np.int64)]
        for table in self.tables:
            for rows in table.with_format("arrow").iter(4096):
                values = rows[self.column]
                if types.is_struct(values.type):
                    values = compute.struct_field(values, "bytes")
                sizes = compute.fill_null(compute.binary_length(values), 0)
                found.append(sizes.to_numpy(zero_copy_only=False).astype(np.int64))
        return np.concatenate(found)

    def _place(self, index: int) -> tuple[int, int]:
        row, number = index, 0
        while row >= self._lengths[number]:
            row -= self._lengths[number]
            number += 1
        return number, row

    def stored(self, index: int) -> tuple[Path | bytes, str]:
        """The bytes or the file of an image, and what to call it."""
        number, row = self._place(index)
        where = f"image {row} of {self.names[number]}"
        value = self._row(number, row)
        if value is None:
            raise DataError(f"Cannot read {where} (it is empty): replace or remove this row.")
        if isinstance(value, dict):
            if value.get("bytes") is not None:
                return value["bytes"], where
            if value.get("path"):
                return Path(value["path"]), f"{where}, {value['path']}"
            raise DataError(f"Cannot read {where} (neither bytes nor a path): replace or remove this row.")
        return value, where

    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per row, [N]: of the image's size in bytes and, in small sets, both ends of its content."""
        if self._fingerprints is None:
            look = len(self) <= SAMPLED
            found = [_of_rows(table, self.column, look) for table in self.tables]
            self._fingerprints = np.concatenate([np.empty(0, dtype=np.uint64), *found])
        return self._fingerprints

    def _row(self, number: int, row: int) -> Any:
        """The image of one row; a walk in the stored order reads whole blocks, one in random order single rows."""
        block = (number, row // _BLOCK)
        if getattr(self._blocks, "at", None) == block:
            return self._blocks.rows[row % _BLOCK]
        if row % _BLOCK:
            return self.tables[number][row][self.column]
        self._blocks.rows = self.tables[number][row : row + _BLOCK][self.column]
        self._blocks.at = block
        return self._blocks.rows[0]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_blocks"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._blocks = threading.local()


def _of_rows(table: Any, column: str, look: bool) -> NDArray[np.uint64]:
    """One number per image of a table, [N]; nothing is decoded, and of large sets nothing but sizes is looked at."""
    import pyarrow
    from pyarrow import compute

    prints: list[int] = []
    for rows in table.with_format("arrow").iter(1024):
        values, paths = rows[column], [None] * len(rows)
        if pyarrow.types.is_struct(values.type):
            paths = compute.struct_field(values, "path").to_pylist()
            values = compute.struct_field(values, "bytes")
        sizes = compute.binary_length(values).to_pylist()
        contents = values.to_pylist() if look else [b""] * len(rows)
        for size, content, path in zip(sizes, contents, paths, strict=True):
            if size is None and path:
                prints.append(int(file_fingerprints([path])[0]))
            else:
                ends = (content or b"")[:ENDS], (content or b"")[-ENDS:]
                prints.append(fingerprint(str(size).encode(), *ends))
    return np.array(prints, dtype=np.uint64)


class ParquetData(FileDataset):
    """A folder of Parquet files, or one file; see `FileDataset`.

    Args:
        root: the folder or the file.
        image_size: side in pixels; None for the images' own size where they share one of at most 224, else 224.
        resizing: see `FileDataset`.
    """

    def __init__(self, root: Path | str, image_size: int | None = None, resizing: str | None = None) -> None:
        super().__init__(root, image_size, resizing)
        self.name = f"parquet:{root}"

    def collect(self) -> Collection:
        """Finds files, columns and labels; labels are checked before any image is read.

        Raises:
            DataError: files are missing or damaged, columns are not found, or labels are unfit.
        """
        layout = parquet_layout(self.root)
        splits = {"train": layout.train, "validation": layout.validation, "test": layout.test}
        splits = {split: files for split, files in splits.items() if files}
        image, label, chosen = _columns(_features(layout.train[0]), layout.train[0])
        columns = {split: [_labels(file, image, label) for file in files] for split, files in splits.items()}
        for split, found in columns.items():
            if not any(len(column.values) for column in found):
                raise DataError(f"{_called(splits[split], self.root)} holds no rows: fill it or remove it.")
        others = [column for split, found in columns.items() if split != "train" for column in found]
        classes = classes_of(columns["train"], others)
        names = class_names(classes.names)
        labels = torch.tensor(classes.labels, dtype=torch.int64)
        numbers: dict[str, Tensor] = {}
        first = 0
        for split, found in columns.items():
            last = first + sum(len(column.values) for column in found)
            numbers[split] = torch.arange(first, last)
            first = last
        check_labels(labels[numbers["train"]], len(names), names)
        tables = [_images(files, image) for files in splits.values()]
        parts = [_called(files) for files in splits.values()]
        unused = Counter(
            {f"{layout.unused[0].suffix.lower()} of no split": len(layout.unused)} if layout.unused else {}
        )
        return Collection(
            ParquetImages(tables, image, parts),
            labels,
            names,
            numbers["train"],
            numbers.get("validation"),
            numbers.get("test"),
            {split: _called(files, self.root) for split, files in splits.items()},
            unused,
            chosen + classes.notes,
        )


def _called(files: Sequence[Path], root: Path | None = None) -> str:
    """The name of a split's files: the first one's, or the first and the last one's."""
    names = [
        file.relative_to(root).as_posix() if root is not None and file != root else file.name
        for file in (files[0], files[-1])
    ]
    return shown(names[0] if len(files) == 1 else f"{names[0]} to {names[1]}")


@contextmanager
def _quiet() -> Iterator[None]:
    from datasets import disable_progress_bars, enable_progress_bars
    from datasets.utils import are_progress_bars_disabled

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def _read(files: Sequence[Path], column: str) -> Any:
    """One column of some files as a table in the cache of `datasets`, or in another one where that is not writable."""
    from datasets import Dataset as Table

    paths = [str(file) for file in files]
    try:
        with _quiet():
            try:
                return Table.from_parquet(paths, columns=[column])
            except Exception as error:
                if not _no_cache(error):
                    raise
            return Table.from_parquet(paths, columns=[column], cache_dir=_temporary_cache())
    except Exception as error:  # `datasets` wraps pyarrow's errors in its own
        raise _unreadable(files, error) from error


def _no_cache(error: BaseException | None) -> bool:
    """Whether an error says that the cache's folder cannot be written (a home that is read-only, full or missing)."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            return True
        error = error.__cause__ or error.__context__
    return False


@cache
def _temporary_cache() -> str:
    folder = tempfile.mkdtemp(prefix="genas-parquet-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _unreadable(files: Sequence[Path], error: BaseException) -> DataError:
    cause = error.__cause__ or error
    reason = " ".join(str(cause).split())[:200] or type(cause).__name__
    return DataError(f"Cannot read {named([str(file) for file in files])} as Parquet ({reason}).")


def _features(file: Path) -> Any:
    """The columns of a file and their types, as `datasets` sees them."""
    from datasets import Features
    from pyarrow import parquet

    try:
        return Features.from_arrow_schema(parquet.read_schema(file))
    except Exception as error:
        raise _unreadable([file], error) from error


def _labels(file: Path, image: str, label: str) -> LabelColumn:
    """The labels of one file, as they stand there."""
    from datasets import ClassLabel
    from pyarrow import parquet

    features = _features(file)
    if image not in features or label not in features:
        raise DataError(f"{file} lacks the columns {image!r} and {label!r} of the other files.")
    kind = features[label]
    try:
        values = parquet.ParquetFile(file).read(columns=[label]).column(0).to_pylist()
    except Exception as error:
        raise _unreadable([file], error) from error
    return LabelColumn(file, values, tuple(kind.names) if isinstance(kind, ClassLabel) else None)


def _images(files: Sequence[Path], image: str) -> Any:
    """The image column of some files, not decoded."""
    from datasets import Image as ImageColumn

    return _read(files, image).cast_column(image, ImageColumn(decode=False))


def _columns(features: Any, file: Path) -> tuple[str, str, tuple[str, ...]]:
    """The columns of images and of labels, and notes where others might be meant."""
    from datasets import ClassLabel, Value
    from datasets import Image as ImageColumn

    def holds_images(kind: Any) -> bool:
        plain = isinstance(kind, Value) and kind.dtype in ("binary", "large_binary")
        return isinstance(kind, ImageColumn) or plain or (isinstance(kind, dict) and {"bytes", "path"} == set(kind))

    images = [name for name, kind in features.items() if holds_images(kind)]
    if not images:
        raise DataError(f"{file} has no column of images among {', '.join(features)}: expected one of {{bytes, path}}.")
    usual = [name for name in _LABEL_NAMES if name in features]
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    labels = [name for name in classes if name in usual] or classes or usual
    if not labels:
        raise DataError(
            f"{file} has no column of labels among {', '.join(features)}: expected one of {', '.join(_LABEL_NAMES)}."
        )
    candidates = {"images": images, "labels": list(dict.fromkeys((labels[0], *classes, *usual)))}
    notes = tuple(
        f"The {use} come from the column {shown(found[0])}, not from {shown(named(found[1:]))}."
        for use, found in candidates.items()
        if len(found) > 1
    )
    return images[0], labels[0], notes
