"""Every scored architecture of a run, on disk (SQLite): what a search learns from, and what a resume continues from.

A record is committed as soon as it is scored, so a kill loses at most the architecture in progress. Failed
architectures are records too; they are never tried again.
"""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from genas.core.arithmetic import ceil_div
from genas.core.database import Database, writing
from genas.core.errors import RunError
from genas.spaces.text import function_of
from genas.strategies.pareto import non_dominated

LOOKED_AT = 5_000  # best records among which those of one function are looked for

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
  pictures INTEGER,
  objectives TEXT
);
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_whole_score ON architectures (score DESC, id) WHERE failed IS NULL AND pictures IS NULL;
CREATE INDEX IF NOT EXISTS by_generation ON architectures (generation);
CREATE INDEX IF NOT EXISTS by_failure ON architectures (id) WHERE failed IS NOT NULL;
CREATE TABLE IF NOT EXISTS drafts (text TEXT NOT NULL, generation INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS drafts_by_generation ON drafts (generation);
"""
_COLUMNS = "genotype, generation, origin, parents, failed, score, parts, params, macs, seconds, pictures, objectives"
_ADDED = {"pictures": "INTEGER", "objectives": "TEXT"}  # since the first histories, where NULL says what was meant


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
        macs: multiply-accumulates of one image.
        seconds: time the scoring took.
        images: validation images seen before a race stopped it, its score an estimate; None: fully evaluated.
        objectives: what a search for several goals compares, by name, each higher is better; empty where the score
            is the only one.
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
    images: int | None = None
    objectives: Mapping[str, float] = field(default_factory=dict)


class History(Database):
    """The open history file; use it as a context manager.

    Args:
        path: ``history.sqlite`` of the run folder, or ``:memory:``.
        readonly: only look; the file must exist.
    """

    what, schema = "a history", _SCHEMA

    def _prepare(self, *, readonly: bool) -> None:
        if not readonly:
            self._migrate()
        super()._prepare(readonly=readonly)
        names = [row[1] for row in self._db.execute("PRAGMA table_info(architectures)")]
        shown = (f"NULL AS {name}" if name in _ADDED and name not in names else name for name in _COLUMNS.split(", "))
        self._columns = ", ".join(("id", *shown))
        self._whole = "failed IS NULL AND pictures IS NULL" if "pictures" in names else "failed IS NULL"

    def _migrate(self) -> None:
        names = [row[1] for row in self._db.execute("PRAGMA table_info(architectures)")]
        for name, kind in _ADDED.items() if names else ():
            if name not in names:
                self._db.execute(f"ALTER TABLE architectures ADD COLUMN {name} {kind}")

    def add(self, record: Record) -> None:
        """Adds a record; its number is given by the file.

        Raises:
            RunError: the genotype is known already, or the file cannot be written.
        """
        try:
            with writing(self.path):
                self._db.execute(
                    f"INSERT INTO architectures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                        record.images,
                        json.dumps(dict(record.objectives)) if record.objectives else None,
                    ),
                )
        except sqlite3.IntegrityError as error:
            raise RunError(f"{record.genotype} is in the history already.") from error

    def facts(self) -> dict[str, str]:
        """What the records depend on beside the run's settings: fingerprints of custom classes, by their names."""
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone() is None:
            return {}
        return dict(self._db.execute("SELECT key, value FROM facts"))

    def take_down(self, facts: Mapping[str, str]) -> None:
        """Adds facts, those of earlier ones replaced.

        Raises:
            RunError: the file cannot be written.
        """
        with writing(self.path):
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

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

    def front(self, before_generation: int | None = None) -> list[Record]:
        """The non-dominated set: fully evaluated records that none surpasses in all objectives, in order of evaluation.

        One record dominates another if it is at least as good in every objective and better in one; equals stay
        together. Records without objectives are compared by their score.

        Args:
            before_generation: only of earlier generations than this.

        Raises:
            RunError: the records have different objectives.
        """
        where = self._whole if before_generation is None else f"{self._whole} AND generation < {before_generation:d}"
        chosen = f"SELECT {self._columns} FROM architectures WHERE {where} ORDER BY id"
        rows = self._db.execute(f"SELECT id, score, objectives FROM ({chosen})")
        numbers, points, names = [], [], None
        for number, score, text in rows:
            objectives = json.loads(text) if text else {"score": score}
            names = names or sorted(objectives)
            if sorted(objectives) != names:
                raise RunError(
                    f"{self.path} holds architectures with the objectives {', '.join(names)} and others with "
                    f"{', '.join(sorted(objectives))}: expected the same for all; search again in another run folder."
                )
            numbers.append(number)
            points.append([objectives[name] for name in names])
        kept = [numbers[place] for place in non_dominated(points)]
        return [self._select("WHERE id = ?", (number,))[0] for number in kept]

    def best_functions(self, count: int = 10) -> list[tuple[Record, int]]:
        """The best records of different functions, best first, each with the number of other genotypes of its function.

        Args:
            count: at most that many.

        Returns:
            The best record of each function, and how many of the best `LOOKED_AT` records are the same function.
        """
        groups: dict[str, list[Record]] = {}
        for record in self.best(LOOKED_AT):
            key = function_of(str(record.parts.get("shared_with", record.genotype)))
            groups.setdefault(key, []).append(record)
        return [(group[0], len(group) - 1) for group in itertools.islice(groups.values(), count)]

    def at_rank(self, place: int) -> Record | None:
        """The record at a place, from 0, of all that were scored, whole or estimated; None where there are fewer."""
        rows = self._select("WHERE failed IS NULL ORDER BY score DESC, id LIMIT 1 OFFSET ?", (place,))
        return rows[0] if rows else None

    def columns(self) -> Iterator[tuple[int, float | None, int, int, bool, bool]]:
        """Of every record, in order: generation, score (None: failed), params, macs, scored whole, score shared.

        Nothing is kept in memory, so that a history of millions of records can be walked through.
        """
        yield from self._db.execute(
            "SELECT generation, CASE WHEN failed IS NULL THEN score END, COALESCE(params, 0), COALESCE(macs, 0), "
            f"{self._whole}, json_extract(parts, '$.shared_with') IS NOT NULL FROM architectures ORDER BY id"
        )

    def whole_parts(self, count: int) -> Iterator[dict[str, Any]]:
        """The terms of about `count` scores of different functions, evenly spaced over those that were scored whole."""
        step = ceil_div(len(self), count) or 1
        where = f"{self._whole} AND json_extract(parts, '$.shared_with') IS NULL AND id % ? = 0"
        for (parts,) in self._db.execute(f"SELECT parts FROM architectures WHERE {where}", (step,)):
            yield json.loads(parts)

    def seconds(self) -> float:
        """Time that all scores took together."""
        return float(self._db.execute("SELECT COALESCE(SUM(seconds), 0) FROM architectures").fetchone()[0])

    def generation(self, number: int) -> list[Record]:
        """All records of one generation, in order."""
        return self._select("WHERE generation = ? ORDER BY id", (number,))

    def drafts(self, before_generation: int) -> set[str]:
        """What `note_drafts` was given for earlier generations than this."""
        rows = self._db.execute("SELECT text FROM drafts WHERE generation < ?", (before_generation,))
        return {row[0] for row in rows}

    def note_drafts(self, generation: int, texts: Iterable[str]) -> None:
        """Remembers the unrepaired children that were drawn for a generation; a later call for it replaces them.

        Raises:
            RunError: the file cannot be written.
        """
        with writing(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM drafts WHERE generation = ?", (generation,))
            self._db.executemany("INSERT INTO drafts VALUES (?, ?)", ((text, generation) for text in texts))

    def generations(self) -> int:
        """Number of generations that have begun: the last one's number and 1."""
        return int(self._db.execute("SELECT COALESCE(MAX(generation), -1) FROM architectures").fetchone()[0]) + 1

    def failure_count(self) -> int:
        """Number of failed records."""
        return self._count("failed IS NOT NULL")

    def stopped_count(self) -> int:
        """Number of records whose scores are estimates, because a race stopped them."""
        return len(self) - self.failure_count() - self._count(self._whole)

    def _count(self, where: str) -> int:
        return int(self._db.execute(f"SELECT COUNT(*) FROM architectures WHERE {where}").fetchone()[0])

    def failures(self, count: int = -1) -> list[Record]:
        """The failed records, in order; all of them unless `count` is not negative."""
        return self._select("WHERE failed IS NOT NULL ORDER BY id LIMIT ?", (count,))

    def _select(self, where: str, values: tuple[Any, ...]) -> list[Record]:
        return [_record(row) for row in self._db.execute(f"SELECT {self._columns} FROM architectures {where}", values)]


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
        images=row[11],
        objectives=json.loads(row[12]) if row[12] else {},
    )
