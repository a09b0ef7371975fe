"""The history of a study on disk (SQLite): every score as it comes, by variant, repeat and architecture.

A score is committed as soon as it is known, so a kill loses at most the architecture in progress, and a later study
of the same name takes over what is there: more architectures, proxies or repeats only add to it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from genas.analysis.ranking.variants import Variant
from genas.core.database import Database, writing
from genas.core.errors import RunError
from genas.core.fingerprint import refuse_other_code
from genas.core.run_folder import flatten
from genas.proxies import ProxySettings
from genas.proxies.expression import sections_read
from genas.spaces.cost import Cost

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS variants (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS scores (
  variant TEXT NOT NULL,
  repeat INTEGER NOT NULL,
  genotype TEXT NOT NULL,
  score REAL,
  failed TEXT,
  terms TEXT NOT NULL,
  seconds REAL,
  shared_with TEXT,
  PRIMARY KEY (variant, repeat, genotype)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS costs (genotype TEXT PRIMARY KEY, params INTEGER NOT NULL, macs INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Scored:
    """One score.

    Args:
        variant: name of what scored.
        repeat: 0, or the number of the repetition.
        genotype: what was scored.
        score: higher is better; None where it failed.
        failed: the reason.
        terms: what the score is made of.
        seconds: what scoring this architecture by this variant alone takes; None where another's score was taken over.
        shared_with: the architecture of the same function that was scored instead.
    """

    variant: str
    repeat: int
    genotype: str
    score: float | None
    failed: str | None
    terms: Mapping[str, Any]
    seconds: float | None
    shared_with: str | None = None


class Scores(Database):
    """The open file; use it as a context manager.

    Args:
        path: ``scores.sqlite``.

    Raises:
        RunError: it cannot be opened.
    """

    what, schema = "the history of a study", _SCHEMA

    def agree(self, facts: Mapping[str, Any], variants: Iterable[Variant]) -> None:
        """Writes down what the scores depend on, or checks that it is what the earlier ones depended on.

        Raises:
            RunError: other weights, another seed, or a variant with other settings than before.
        """
        known = {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM facts")}
        changed = [
            f"{key} (was {known[key]!r}, now {value!r})"
            for key, value in facts.items()
            if known.get(key, value) != value
        ]
        if changed:
            raise self._other(f"they differ in {', '.join(changed)}")
        for variant in variants:
            row = self._db.execute("SELECT content FROM variants WHERE name = ?", (variant.name,)).fetchone()
            if row is None:
                continue
            before = json.loads(row[0])
            refuse_other_code(
                before.pop("code", {}),
                variant.describe()["code"],
                f"the scores in {self.path} were computed",
                "restore it, or give another name with --name",
            )
            if other := _differences(before, variant):
                raise self._other(f"{variant.name} had other settings ({', '.join(other)})")
        with self._db:
            self._db.execute("BEGIN")
            for key, value in facts.items():
                self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (key, json.dumps(value)))
            for variant in variants:
                row_content = json.dumps(variant.describe())
                self._db.execute("INSERT OR REPLACE INTO variants VALUES (?, ?)", (variant.name, row_content))

    def _other(self, reason: str) -> RunError:
        return RunError(
            f"{self.path.parent} holds the scores of another study: {reason}. Give the first settings to continue it, "
            "or another name with --name."
        )

    def add(self, rows: Iterable[Scored]) -> None:
        """Adds scores, all or none.

        Raises:
            RunError: the file cannot be written.
        """
        self._insert(
            "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    row.variant,
                    row.repeat,
                    row.genotype,
                    row.score,
                    row.failed,
                    json.dumps(dict(row.terms)),
                    row.seconds,
                    row.shared_with,
                )
                for row in rows
            ),
        )

    def add_cost(self, genotype: str, cost: Cost) -> None:
        """Adds parameters and MACs of an architecture.

        Raises:
            RunError: the file cannot be written.
        """
        self._insert("INSERT INTO costs VALUES (?, ?, ?)", [(genotype, cost.params, cost.macs)])

    def costs(self) -> dict[str, Cost]:
        """Parameters and MACs by genotype."""
        rows = self._db.execute("SELECT genotype, params, macs FROM costs")
        return {genotype: Cost(params, macs) for genotype, params, macs in rows}

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with writing(self.path), self._db:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)

    def of(self, variant: str, repeat: int = 0) -> dict[str, Scored]:
        """All scores of a variant by genotype."""
        rows = self._db.execute(
            "SELECT genotype, score, failed, terms, seconds, shared_with FROM scores WHERE variant = ? AND repeat = ?",
            (variant, repeat),
        )
        return {
            genotype: Scored(variant, repeat, genotype, score, failed, json.loads(terms), seconds, shared)
            for genotype, score, failed, terms, seconds, shared in rows
        }

    def genotypes_of(self, variant: str, repeat: int) -> set[str]:
        """The architectures that a variant has scored or failed on."""
        rows = self._db.execute("SELECT genotype FROM scores WHERE variant = ? AND repeat = ?", (variant, repeat))
        return {row[0] for row in rows}


def _differences(before: dict[str, Any], variant: Variant) -> list[str]:
    now = variant.describe()
    del now["code"]  # compared apart
    if before["settings"] is not None and now["settings"] is not None:
        # a setting that was not known then had what is its default now; what the proxy does not read has no say
        then = ProxySettings.model_validate(before["settings"])
        read = sections_read(then) | sections_read(variant.proxy_settings)
        before = before | {"settings": then.model_dump(mode="json", include=read)}
        now = now | {"settings": variant.proxy_settings.model_dump(mode="json", include=read)}
    first, second = flatten(before), flatten(now)
    keys = sorted(first.keys() | second.keys())
    return [
        f"{key} was {first.get(key)!r}, is {second.get(key)!r}" for key in keys if first.get(key) != second.get(key)
    ]
