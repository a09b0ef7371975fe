"""Pictures in Parquet files with the columns of Hugging Face image data sets, read through `datasets`.

The training part is every file whose name starts with ``train``, the test part those that start with ``test`` or
``val``; both may lie in a folder ``data``. Without a test part a fixed fifth is held out. The picture column
holds ``{bytes, path}``, the label column numbers, class labels or texts; both are found by their types.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from genas.data.augment import Augmentation
from genas.data.base import Dataset, LabelledImages, Normalisation, Splits
from genas.data.pictures import RESIDENT_BYTES, decode, sample_numbers
from genas.data.split import check_labels, hold_out_test, make_splits
from genas.data.vision import build_sets
from genas.errors import DataError

_LABEL_NAMES = ("label", "labels", "fine_label", "class", "target", "y")
_BLOCK = 256  # rows read at once


class ParquetPictures:
    """The pictures of some tables, numbered through.

    Args:
        tables: `datasets.Dataset` objects whose picture column is not decoded.
        column: the picture column.
        names: what to call the tables in errors.
    """

    def __init__(self, tables: list[Any], column: str, names: list[str]) -> None:
        self.tables, self.column, self.names = tables, column, names
        self._lengths = [len(table) for table in tables]
        self._blocks = threading.local()

    def __len__(self) -> int:
        return sum(self._lengths)

    def __getitem__(self, index: int) -> Image.Image:
        row, number = index, 0
        while row >= self._lengths[number]:
            row -= self._lengths[number]
            number += 1
        where = f"picture {row} of {self.names[number]}"
        value = self._row(number, row)
        if value is None:
            raise DataError(f"Cannot read {where} (it is empty): replace or remove this row.")
        if isinstance(value, dict):
            if value.get("bytes") is not None:
                return decode(value["bytes"], where)
            if value.get("path"):
                return decode(Path(value["path"]), f"{where}, {value['path']}")
            raise DataError(f"Cannot read {where} (neither bytes nor a path): replace or remove this row.")
        return decode(value, where)

    def _row(self, number: int, row: int) -> Any:
        block = (number, row // _BLOCK)
        if getattr(self._blocks, "at", None) != block:
            first = block[1] * _BLOCK
            self._blocks.rows = self.tables[number][first : first + _BLOCK][self.column]
            self._blocks.at = block
        return self._blocks.rows[row % _BLOCK]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_blocks"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._blocks = threading.local()


class ParquetData(Dataset):
    """A folder of Parquet files, or one file.

    Pictures are brought to squares as `ImageFolderData` does; the usual augmentation is a crop with a padding of an
    eighth of the side, and a flip.

    Args:
        root: the folder or the file.
        image_size: side in pixels; None for the pictures' own size where they share one of at most 224, else 224.
    """

    def __init__(self, root: Path | str, image_size: int | None = None) -> None:
        self.root = Path(root).expanduser()
        self.image_size = image_size
        self.name = f"parquet:{root}"

    def splits(self, seed: int) -> Splits:
        """Divides the training pictures into class-balanced halves by `seed`.

        Raises:
            DataError: files are missing or damaged, columns are not found, a class is empty, a picture is unreadable.
        """
        train, test, names, normalisation = self._loaded
        return make_splits(
            train,
            test,
            seed,
            normalisation=normalisation,
            class_names=names,
            augmentation=Augmentation(crop_padding=max(1, train.image_shape[1] // 8), flip=True),
        )

    @cached_property
    def _loaded(self) -> tuple[LabelledImages, LabelledImages, tuple[str, ...], Normalisation]:
        from datasets import Image as ImageColumn

        train_files, test_files = _find(self.root)
        tables, parts = [], []
        for files in (train_files, test_files):
            if files:
                tables.append(_read(files))
                parts.append(files[0].name if len(files) == 1 else f"{files[0].name} to {files[-1].name}")
        picture, label = _columns(tables[0].features, train_files[0])
        for table, part in zip(tables[1:], parts[1:], strict=True):
            if picture not in table.features or label not in table.features:
                raise DataError(f"{part} lacks the columns {picture!r} and {label!r} of the training part.")
        raw = [table[label] for table in tables]
        names = _class_names(tables[0].features[label], [value for values in raw for value in values])
        place = {name: number for number, name in enumerate(names)}
        labels = torch.tensor(
            [value if isinstance(value, int) else place[str(value)] for values in raw for value in values]
        )
        undecoded = [
            table.select_columns([picture]).cast_column(picture, ImageColumn(decode=False)) for table in tables
        ]
        pictures = ParquetPictures(undecoded, picture, parts)
        if len(tables) == 1:
            train, test = hold_out_test(labels, len(names), names)
        else:
            train = torch.arange(len(tables[0]))
            test = torch.arange(len(tables[0]), len(labels))
            check_labels(labels[train], len(names), names)
        size = self.image_size or _own_size(pictures)
        stream = len(pictures) * 3 * size * size > RESIDENT_BYTES
        sets = build_sets(pictures, labels, train, test, size, normalisation=None, stream=stream)
        return sets[0], sets[1], names, sets[2]


def _find(root: Path) -> tuple[list[Path], list[Path]]:
    if root.is_file():
        return [root], []
    if not root.is_dir():
        raise DataError(f"There is no file or folder {root.absolute()}: give the path of a folder of Parquet files.")
    files = sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")])
    if not files:
        raise DataError(f"No *.parquet files in {root.absolute()}: give the folder that holds them.")
    train = [file for file in files if file.name.startswith("train")]
    test = [file for file in files if file.name.startswith("test")]
    test = test or [file for file in files if file.name.startswith("val")]
    if not train and test:
        raise DataError(f"No training files in {root.absolute()}: their names must start with 'train'.")
    return train or files, test


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


def _read(files: list[Path]) -> Any:
    from datasets import Dataset as Table

    try:
        with _quiet():
            return Table.from_parquet([str(file) for file in files])
    except Exception as error:  # `datasets` wraps pyarrow's errors in its own
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise DataError(f"Cannot read {', '.join(str(file) for file in files)} as Parquet ({reason}).") from error


def _columns(features: Any, file: Path) -> tuple[str, str]:
    from datasets import ClassLabel, Value
    from datasets import Image as ImageColumn

    def holds_pictures(kind: Any) -> bool:
        plain = isinstance(kind, Value) and kind.dtype in ("binary", "large_binary")
        return isinstance(kind, ImageColumn) or plain or (isinstance(kind, dict) and {"bytes", "path"} == set(kind))

    pictures = [name for name, kind in features.items() if holds_pictures(kind)]
    if not pictures:
        raise DataError(
            f"{file} has no column of pictures among {', '.join(features)}; one of {{bytes, path}} is wanted."
        )
    named = [name for name in _LABEL_NAMES if name in features]
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    labels = [name for name in classes if name in named] or classes or named
    if not labels:
        raise DataError(
            f"{file} has no column of labels among {', '.join(features)}; one of {', '.join(_LABEL_NAMES)} is wanted."
        )
    return pictures[0], labels[0]


def _class_names(kind: Any, values: list[Any]) -> tuple[str, ...]:
    from datasets import ClassLabel

    if any(value is None for value in values):
        raise DataError(f"Row {values.index(None)} has no label: fill it or remove the row.")
    if isinstance(kind, ClassLabel):
        return tuple(kind.names)
    if all(isinstance(value, int) for value in values):
        return tuple(str(number) for number in range(max(values, default=-1) + 1))
    return tuple(sorted({str(value) for value in values}))


def _own_size(pictures: ParquetPictures) -> int:
    sizes = {pictures[number].size for number in sample_numbers(len(pictures), 64)}
    side = min(min(size) for size in sizes) if len(sizes) == 1 else 224
    return min(side, 224)
