"""Every scored architecture of a run, on disk (SQLite): what a search learns from, and what a resume continues from.

A record is committed as soon as it is scored, so a kill loses at most the architecture in progress. Failed
architectures are records too; they are never tried again.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from genas.database import open_database, writing
from genas.errors import RunError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS architectures (
  id INTEGER PRIMARY KEY,
  genotype TEXT NOT NULL UNIQUE,
  generation INTEGER NOT NULL,
  origin TEXT NOT NULL,
  parents TEXT NOT NULL,
  failed TEXT,
  score REAL,
  parts TEXT NOT NULL,
  params INTEGER,
  macs INTEGER,
  seconds REAL NOT NULL,
  pictures INTEGER
);
CREATE INDEX IF NOT EXISTS by_whole_score ON architectures (score DESC, id) WHERE failed IS NULL AND pictures IS NULL;
CREATE INDEX IF NOT EXISTS by_generation ON architectures (generation);
CREATE INDEX IF NOT EXISTS by_failure ON architectures (id) WHERE failed IS NOT NULL;
"""
_COLUMNS = "id, genotype, generation, origin, parents, failed, score, parts, params, macs, seconds, pictures"


@dataclass(frozen=True)
class Record:
    """One architecture of the history.

    Args:
        number: place in the order of evaluation, from 1; 0 for a new record.
        genotype: text form.
        generation: generation of the search, from 0; -1 when scored by hand.
        origin: ``random``, ``mutation``, ``crossover`` or ``given``.
        parents: genotypes of the parents.
        failed: the reason, or None.
        score: the proxy's value; None when failed.
        parts: the proxy's terms.
        params: parameters of the stand-alone network.
        macs: multiply-accumulates of one picture.
        seconds: time the scoring took.
    """

    number: int
    genotype: str
    generation: int
    origin: str
    parents: tuple[str, ...]
    failed: str | None
    score: float | None
    parts: dict[str, Any]
    params: int | None
    macs: int | None
    seconds: float
    pictures: int | None = None
    """Validation pictures seen before a race stopped it, its score an estimate; None: scored whole."""


class History:
    """The open history file; use it as a context manager.

    Args:
        path: ``history.sqlite`` of the run folder, or ``:memory:``.
        readonly: only look; the file must exist.
    """

    def __init__(self, path: Path | str, readonly: bool = False) -> None:
        self.path = Path(path)
        try:
            if readonly:
                self._db = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)
            else:
                self._db = open_database(path)
                self._migrate()
                self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise RunError(f"{self.path} cannot be opened as a history ({error}).") from error
        names = [row[1] for row in self._db.execute("PRAGMA table_info(architectures)")]
        self._columns = _COLUMNS if "pictures" in names else _COLUMNS.replace("pictures", "NULL AS pictures")
        self._whole = "failed IS NULL AND pictures IS NULL" if "pictures" in names else "failed IS NULL"

    def _migrate(self) -> None:
        names = [row[1] for row in self._db.execute("PRAGMA table_info(architectures)")]
        if names and "pictures" not in names:  # a file from before races: everything in it was scored whole
            self._db.execute("ALTER TABLE architectures ADD COLUMN pictures INTEGER")

    def add(self, record: Record) -> None:
        """Adds a record; its number is given by the file.

        Raises:
            RunError: the genotype is known already, or the file cannot be written.
        """
        try:
            with writing(self.path):
                self._db.execute(
                    "INSERT INTO architectures (genotype, generation, origin, parents, failed, score, parts, params, "
                    "macs, seconds, pictures) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        record.genotype,
                        record.generation,
                        record.origin,
                        json.dumps(record.parents),
                        record.failed,
                        record.score,
                        json.dumps(record.parts),
                        record.params,
                        record.macs,
                        record.seconds,
                        record.pictures,
                    ),
                )
        except sqlite3.IntegrityError as error:
            raise RunError(f"{record.genotype} is in the history already.") from error

    def find(self, genotype: str) -> Record | None:
        """The record of a genotype, scored or failed."""
        rows = self._select("WHERE genotype = ?", (genotype,))
        return rows[0] if rows else None

    def __contains__(self, genotype: str) -> bool:
        return self._db.execute("SELECT 1 FROM architectures WHERE genotype = ?", (genotype,)).fetchone() is not None

    def __len__(self) -> int:
        return int(
            self._db.execute("SELECT COALESCE(MAX(id), 0) FROM architectures").fetchone()[0]
        )  # nothing is deleted

    def __iter__(self) -> Iterator[Record]:
        for row in self._db.execute(f"SELECT {self._columns} FROM architectures ORDER BY id"):
            yield _record(row)

    def best(self, count: int = 10, before_generation: int | None = None) -> list[Record]:
        """The best records that were scored whole, best first; ties in order of evaluation.

        Args:
            count: at most that many.
            before_generation: only of earlier generations than this.
        """
        if before_generation is None:
            return self._select(f"WHERE {self._whole} ORDER BY score DESC, id LIMIT ?", (count,))
        return self._select(
            f"WHERE {self._whole} AND generation < ? ORDER BY score DESC, id LIMIT ?",
            (before_generation, count),
        )

    def generation(self, number: int) -> list[Record]:
        """All records of one generation, in order."""
        return self._select("WHERE generation = ? ORDER BY id", (number,))

    def failure_count(self) -> int:
        """Number of failed records."""
        return int(self._db.execute("SELECT COUNT(*) FROM architectures WHERE failed IS NOT NULL").fetchone()[0])

    def failures(self) -> list[Record]:
        """The failed records, in order."""
        return self._select("WHERE failed IS NOT NULL ORDER BY id", ())

    def _select(self, where: str, values: tuple[Any, ...]) -> list[Record]:
        return [_record(row) for row in self._db.execute(f"SELECT {self._columns} FROM architectures {where}", values)]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _record(row: tuple[Any, ...]) -> Record:
    return Record(
        number=row[0],
        genotype=row[1],
        generation=row[2],
        origin=row[3],
        parents=tuple(json.loads(row[4])),
        failed=row[5],
        score=row[6],
        parts=json.loads(row[7]),
        params=row[8],
        macs=row[9],
        seconds=row[10],
        pictures=row[11],
    )
