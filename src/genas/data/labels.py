"""From the label columns of Parquet files to classes: one rule for every type of label.

Classes are matched by name between files, never by number. Named classes (`ClassLabel`) keep the order of the first
train file. Integers become classes in ascending order, everything else in the alphabetical order of its text. A label
that is missing, or negative as unlabelled rows are marked, is refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from genas.core.errors import DataError
from genas.data.summary import named, shown

_MOST_GAPS = 5


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one file.

    Args:
        file: where they come from.
        values: one per row: an integer, a boolean, a float, a text or None.
        names: names of the classes that integers stand for; None where a value speaks for itself.
    """

    file: Path
    values: Sequence[Any]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Classes:
    """Class names in label order, the labels of all rows of all files, and notes for the user."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    notes: tuple[str, ...] = ()


def classes_of(train: Sequence[LabelColumn], others: Sequence[LabelColumn]) -> Classes:
    """Finds the classes of the train split and the labels of all files in order.

    Args:
        train: of the train split; they decide which classes there are.
        others: of the validation and test splits.

    Raises:
        DataError: a row without a label, a label of another split that the train split does not have, or labels of
            several types.
    """
    for column in (*train, *others):
        _check(column)
    kinds = {_kind(column) for column in (*train, *others) if len(column.values)}
    if len(kinds) > 1:
        raise DataError(
            f"The files of {train[0].file.parent} have labels of several types ({', '.join(sorted(kinds))}): expected "
            "one; convert the label columns."
        )
    texts = [_texts(column) for column in (*train, *others)]
    notes: tuple[str, ...] = ()
    if train[0].names is not None:
        names = tuple(dict.fromkeys(name for column in train for name in column.names or ()))
    else:
        values = {value for column in train for value in column.values}
        if all(_is_integer(value) for value in values):
            names = tuple(str(value) for value in sorted(values))
            notes = _number_notes(sorted(values))
        else:
            names = tuple(sorted({_text(value) for value in values}))
    place = {name: number for number, name in enumerate(names)}
    for column, found in zip(others, texts[len(train) :], strict=True):
        unknown = sorted({text for text in found if text not in place})
        if unknown:
            raise DataError(
                f"{column.file} has classes that the train split does not have ({shown(named(unknown))}): remove their "
                "rows or add training images of them."
            )
    return Classes(names, tuple(place[text] for found in texts for text in found), notes)


def _check(column: LabelColumn) -> None:
    values = column.values
    missing = next((row for row, value in enumerate(values) if value is None or value != value), None)
    if missing is not None:
        raise DataError(f"Row {missing} of {column.file} has no label: fill it or remove the row.")
    strange = next((value for value in values if not isinstance(value, int | float | str)), None)
    if strange is not None:
        raise DataError(
            f"A label of {column.file} is of the type {type(strange).__name__}: expected one class per image, as a "
            "number, a text or a ClassLabel."
        )
    negative = sum(isinstance(value, int | float) and value < 0 for value in values)
    if negative:
        raise DataError(
            f"{negative:,} of {len(values):,} rows of {column.file} have a negative label, which marks images without "
            "one: label them, or remove the rows or the file."
        )
    if column.names is not None:
        beyond = next((value for value in values if not 0 <= value < len(column.names)), None)
        if beyond is not None:
            raise DataError(
                f"A label of {column.file} is {beyond}: expected a number below {len(column.names)}, the number of its "
                "named classes."
            )


def _kind(column: LabelColumn) -> str:
    if column.names is not None:
        return "named classes"
    first = column.values[0]
    if isinstance(first, bool):
        return "true or false"
    if isinstance(first, int | float) and not (isinstance(first, float) and math.isinf(first)):
        return "numbers"
    return "texts"


def _texts(column: LabelColumn) -> list[str]:
    if column.names is not None:
        return [column.names[value] for value in column.values]
    return [_text(value) for value in column.values]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number_notes(values: Sequence[int]) -> tuple[str, ...]:
    """What to say of numbers, ascending, that are not 0, 1, 2 and so on."""
    if not values or (values[0] == 0 and values[-1] == len(values) - 1):
        return ()
    text = f"The labels are not 0 to {len(values) - 1} but {shown(named([str(value) for value in values]))}"
    gaps: list[str] = []
    for before, after in pairwise(values):
        if after - before > 1 and len(gaps) < _MOST_GAPS:
            gaps.append(f"{before + 1}" if after - before == 2 else f"{before + 1} to {after - 1}")
    without = f" (no images with label {', '.join(gaps)})" if gaps else ""
    return (f"{text}{without}; they are numbered in this order and named by their values.",)
