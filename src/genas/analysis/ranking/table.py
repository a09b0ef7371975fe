"""Tables of benchmarks: what architectures reach when each is trained for itself.

Read are CSV (also ``.gz``) and Parquet with a column of genotypes, the JSON file of NAS-Bench-Macro, and the official
archives of NATS-Bench through the package ``nats_bench``. A table is checked whole before anything is scored.
"""

import contextlib
import csv
import gzip
import hashlib
import importlib
import io
import json
import math
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genas.core.errors import DataError, GenotypeError
from genas.core.lazy import check_extra
from genas.spaces.base import Space
from genas.spaces.definition import SPACES, definition_of, recognise

LEAST = 10  # rows below which no rank correlation is worth a number
GENOTYPE_COLUMNS = ("genotype", "arch", "architecture", "arch_str")
NO_ACCURACY = ("index", "arch_index", "id", "seed", "params", "flops", "macs", "std", "latency", "epoch", "epochs")
"""Numeric columns that are not taken for accuracies unless they are named."""
_NATS = re.compile(r"NATS-(tss|sss)-v\d")
_NATS_COLUMNS = {
    # name: data set and figure of the interface; the test columns are those of methods.md 13.3
    "cifar10_test": ("cifar10", "test-accuracy"),
    "cifar100_test": ("cifar100", "test-accuracy"),
    "imagenet16_test": ("ImageNet16-120", "test-accuracy"),
    "cifar10_valid": ("cifar10-valid", "valid-accuracy"),
    "cifar100_valid": ("cifar100", "valid-accuracy"),
    "imagenet16_valid": ("ImageNet16-120", "valid-accuracy"),
}
_NATS_EPOCHS = "200"  # the long one of the benchmark's two trainings


class Table(ABC):
    """Architectures of one space with the accuracies of one training each.

    Args:
        source: where it came from.
        genotypes: text forms as the space writes them, all different.
        columns: names of the accuracy columns.
    """

    def __init__(self, source: Path, genotypes: Sequence[str], columns: Sequence[str]) -> None:
        self.source, self.genotypes, self.columns = source, tuple(genotypes), tuple(columns)

    def __len__(self) -> int:
        return len(self.genotypes)

    @abstractmethod
    def values(self, genotypes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """The columns for some of the architectures, in their order: [n] each.

        Raises:
            DataError: an accuracy is missing.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Source, rows, columns, and what tells this table from another; JSON-able."""


class FileTable(Table):
    """A table that lies in memory."""

    def __init__(
        self,
        source: Path,
        genotypes: Sequence[str],
        columns: Mapping[str, NDArray[np.float64]],
    ) -> None:
        super().__init__(source, genotypes, tuple(columns))
        self._values = dict(columns)
        self._rows = {genotype: row for row, genotype in enumerate(self.genotypes)}

    def values(self, genotypes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """See `Table.values`."""
        rows = [self._rows[genotype] for genotype in genotypes]
        return {name: column[rows] for name, column in self._values.items()}

    def describe(self) -> dict[str, Any]:
        """See `Table.describe`; ``sha256`` is of the file."""
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        return {"file": str(self.source), "sha256": digest, "rows": len(self), "columns": list(self.columns)}


class NatsTable(Table):
    """The topology space of NATS-Bench through its official interface: accuracies after 200 epochs, mean over seeds.

    Args:
        source: the archive.
        interface: what ``nats_bench.create`` gave.
        columns: some of ``{cifar10,cifar100,imagenet16}_{test,valid}``.
    """

    def __init__(self, source: Path, interface: Any, columns: Sequence[str]) -> None:
        super().__init__(source, tuple(interface.meta_archs), columns)
        self._interface = interface
        self._places = {genotype: index for index, genotype in enumerate(self.genotypes)}

    def values(self, genotypes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Asks the interface for these architectures alone: it reads a file for each."""
        found: dict[str, list[float]] = {name: [] for name in self.columns}
        for genotype in genotypes:
            for name in self.columns:
                dataset, figure = _NATS_COLUMNS[name]
                with contextlib.redirect_stdout(io.StringIO()):  # it prints
                    answer = self._interface.get_more_info(
                        self._places[genotype], dataset, hp=_NATS_EPOCHS, is_random=False
                    )
                value = answer.get(figure)
                if value is None or not math.isfinite(value):
                    raise DataError(f"{self.source}, {genotype}: {name} is {value}; choose other columns (--columns).")
                found[name].append(float(value))
        return {name: np.array(column) for name, column in found.items()}

    def describe(self) -> dict[str, Any]:
        """See `Table.describe`."""
        return {"file": str(self.source), "rows": len(self), "columns": list(self.columns), "epochs": _NATS_EPOCHS}


def open_table(
    path: Path, space: Space, columns: Sequence[str] | None = None, genotype_column: str | None = None
) -> Table:
    """Opens a benchmark's table.

    Args:
        path: CSV, CSV.gz, Parquet, the JSON file of NAS-Bench-Macro (genotype to ``mean_acc`` and more), or an
            archive of NATS-Bench (``NATS-tss-...``, folder or file).
        space: the run's space; every genotype must be of it.
        columns: accuracy columns; None for all numeric ones that `NO_ACCURACY` does not name (``mean_acc`` of
            NAS-Bench-Macro, the three test columns of NATS-Bench).
        genotype_column: None for the one called genotype, arch, architecture or arch_str.

    Raises:
        DataError: no such file, no or duplicate or unknown genotypes, missing columns, accuracies that are missing or
            no numbers, fewer than 10 rows, a table of another space.
        ConfigError: the package nats_bench is needed and missing.
    """
    if not path.exists():
        raise DataError(f"There is no table at {path}; give a CSV, Parquet or JSON file, or an archive of NATS-Bench.")
    if _NATS.match(path.name):
        return _open_nats(path, space, columns)
    if path.is_dir():
        raise DataError(f"{path} is a folder; a table is a file, or the folder of an archive called NATS-tss-... .")
    names = path.name.lower()
    if names.endswith((".csv", ".csv.gz")):
        content = _read_csv(path)
    elif names.endswith((".parquet", ".pq")):
        content = _read_parquet(path)
    elif names.endswith(".json"):
        content = _read_json(path)
        columns = columns or [name for name in ("mean_acc",) if name in content] or None
    else:
        raise DataError(f"{path} is no table: .csv, .csv.gz, .parquet and .json are read.")
    key = _genotype_column(path, content, genotype_column)
    rows = len(content[key])
    if rows < LEAST:
        raise DataError(f"{path} has {rows} rows; a rank correlation needs at least {LEAST}.")
    genotypes = _genotypes(path, content[key], space)
    return FileTable(path, genotypes, _columns(path, content, key, columns))


def _read_csv(path: Path) -> dict[str, list[Any]]:
    try:
        compressed = path.suffix.lower() == ".gz"
        with (gzip.open if compressed else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            heads = [head.strip() for head in next(reader, [])]
            body = [(reader.line_num, row) for row in reader if row]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}).") from error
    if len(set(heads)) < len(heads):
        raise DataError(f"{path} has two columns of one name in {', '.join(heads)}; rename one.")
    for number, row in body:
        if len(row) != len(heads):
            raise DataError(
                f"{path}, line {number}: expected {len(heads)} values, one for each column, got {len(row)}."
            )
    return {head: [row[place] for _, row in body] for place, head in enumerate(heads)}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet ({' '.join(str(error).split())}).") from error
    return {str(name): table.column(name).to_pylist() for name in table.column_names}


def _read_json(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_pairs_of(path))
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(
            f"{path} has another layout: expected an object that maps each genotype to an object of figures."
        )
    names: dict[str, None] = {}
    for entry in content.values():
        names |= dict.fromkeys(name for name, value in entry.items() if not isinstance(value, (list, dict)))
    table: dict[str, list[Any]] = {"genotype": list(content)}
    return table | {name: [entry.get(name) for entry in content.values()] for name in names}


def _pairs_of(path: Path) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                raise DataError(f"{path} names {key!r} twice; remove one.")
            found[key] = value
        return found

    return pairs


def _genotype_column(path: Path, content: Mapping[str, Sequence[Any]], named: str | None) -> str:
    if named is not None:
        if named not in content:
            raise DataError(f"{path} has no column {named!r} for genotypes; it has {', '.join(content)}.")
        return named
    found = [name for name in content if name.lower() in GENOTYPE_COLUMNS]
    if len(found) == 1:
        return found[0]
    said = f"several columns of genotypes ({', '.join(found)})" if found else "no column of genotypes"
    raise DataError(
        f"{path} has {said}: name one with --genotype-column, or call it {' or '.join(GENOTYPE_COLUMNS)}; it has "
        f"{', '.join(content) or 'no columns'}."
    )


def _genotypes(path: Path, texts: Sequence[Any], space: Space) -> list[str]:
    seen: dict[str, int] = {}
    for row, text in enumerate(texts, 1):
        try:
            genotype = space.parse(str(text)).genotype
        except GenotypeError as error:
            other = recognise(str(text))
            if other is not None and other[0] != space.name:
                raise DataError(
                    f"{path} is a table of the space {other[0]!r}, the run's space is {space.name!r}: "
                    f"row {row} is {text}."
                ) from error
            raise DataError(f"{path}, row {row}: {text!r} is no architecture of {space.name!r} ({error})") from error
        if genotype in seen:
            raise DataError(f"{path} has {genotype} twice, in rows {seen[genotype]} and {row}; remove one.")
        seen[genotype] = row
    return list(seen)


def _columns(
    path: Path, content: Mapping[str, Sequence[Any]], key: str, named: Sequence[str] | None
) -> dict[str, NDArray[np.float64]]:
    others = [name for name in content if name != key]
    if named:
        missing = [name for name in named if name not in others]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; it has {', '.join(others) or 'no others'}.")
        chosen = list(dict.fromkeys(named))
    else:
        chosen = [name for name in others if name.lower() not in NO_ACCURACY and _is_numeric(content[name])]
        if not chosen:
            raise DataError(f"{path} has no numeric column of accuracies; name one of {', '.join(others)}.")
    return {name: _numbers(path, name, content[name]) for name in chosen}


def _is_numeric(values: Sequence[Any]) -> bool:
    """Whether the first value that is there is a number: a fault further down is an error, not another column."""
    for value in values:
        if value not in (None, ""):
            return _number(value) is not None
    return False


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _numbers(path: Path, name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    numbers = []
    for row, value in enumerate(values, 1):
        number = _number(value)
        if number is None or not math.isfinite(number):
            raise DataError(
                f"{path}, row {row}: {name} is {value!r}, not a finite number; mend or remove the row, or choose other "
                "columns (--columns)."
            )
        numbers.append(number)
    return np.array(numbers, dtype=np.float64)


def _open_nats(path: Path, space: Space, columns: Sequence[str] | None) -> NatsTable:
    found = _NATS.match(path.name)
    kind = None if found is None else found.group(1)
    if kind is None or kind != space.definition.nats_bench:
        owners = [repr(name) for name in SPACES.names if definition_of(name).nats_bench == kind]
        raise DataError(
            f"{path} is not a table of the run's space {space.name!r}: archives NATS-{kind}-... of NATS-Bench belong "
            f"to {' and '.join(owners) or 'none of the spaces of genas'}."
        )
    wrong = [name for name in columns or () if name not in _NATS_COLUMNS]
    if wrong:
        raise DataError(f"{path} has no column {', '.join(wrong)}; it has {', '.join(_NATS_COLUMNS)}.")
    check_extra(["nats_bench"], "nats")
    package = importlib.import_module("nats_bench")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            interface = package.create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
    except Exception as error:  # whatever unpickling a damaged archive raises
        raise DataError(f"nats_bench cannot open {path} ({type(error).__name__}: {error}).") from error
    for genotype in interface.meta_archs:
        space.parse(genotype)
    return NatsTable(path, interface, columns or list(_NATS_COLUMNS)[:3])
