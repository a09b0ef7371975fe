"""Scores of single proxies, kept on disk and used by all weights of a sweep.

A weight changes how parts are added up, not the parts. So each part of each architecture is computed once, whole,
whatever the number of weights. Races are off in a sweep: a race stops an architecture because it loses under one
weight, and what it leaves is an estimate that the next weight could not use.
"""

import json
from collections import Counter
from pathlib import Path

from genas.core.database import Database, writing
from genas.core.errors import GenasError
from genas.proxies.base import Proxy
from genas.proxies.expression import checked_score
from genas.proxies.scoring import Score
from genas.spaces.base import Architecture
from genas.strategies.measure import attempt

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
  proxy TEXT NOT NULL,
  key TEXT NOT NULL,
  value REAL,
  terms TEXT NOT NULL,
  failed TEXT,
  PRIMARY KEY (proxy, key)
);
"""


class Scores(Database):
    """The open file of scores; use it as a context manager.

    Args:
        path: ``scores.sqlite``, or ``:memory:``.

    Raises:
        RunError: it cannot be opened.
    """

    what, schema = "a file of scores", _SCHEMA

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.computed: Counter[str] = Counter()
        """Scores that this process computed, by proxy."""

    def find(self, proxy: str, key: str) -> Score | str | None:
        """A score, the reason of a failure, or None where nothing is known."""
        row = self._db.execute(
            "SELECT value, terms, failed FROM scores WHERE proxy = ? AND key = ?", (proxy, key)
        ).fetchone()
        if row is None:
            return None
        return str(row[2]) if row[2] is not None else Score(row[0], json.loads(row[1]))

    def add(self, proxy: str, key: str, found: Score | str) -> None:
        """Adds a score or the reason of a failure.

        Raises:
            RunError: the file cannot be written.
        """
        value, terms, failed = (None, {}, found) if isinstance(found, str) else (found.value, found.terms, None)
        with writing(self.path):
            self._db.execute(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?)", (proxy, key, value, json.dumps(terms), failed)
            )
        self.computed[proxy] += 1

    def counts(self) -> dict[str, int]:
        """How many scores are known, by proxy."""
        return dict(self._db.execute("SELECT proxy, COUNT(*) FROM scores GROUP BY proxy ORDER BY proxy"))


class Remembered(Proxy):
    """A proxy that computes no score twice.

    Args:
        proxy: what computes.
        scores: what is known.
        share_functions: architectures that are one function share a score, where the proxy allows it.
        name: what the sum calls it, where a custom one calls itself otherwise.
    """

    def __init__(self, proxy: Proxy, scores: Scores, share_functions: bool = True, name: str = "") -> None:
        super().__init__(proxy.scoring)
        self.proxy, self.scores = proxy, scores
        self.name, self.by_function = name or proxy.name, proxy.by_function and share_functions

    def score(self, architecture: Architecture) -> Score:
        """As the proxy's own; a failure is remembered too.

        Raises:
            GenasError: the proxy failed, now or earlier.
        """
        key = self.scoring.space.function_key(architecture) if self.by_function else architecture.genotype
        known = self.scores.find(self.name, key)
        if known is None:
            known = attempt(lambda: checked_score(self.proxy, architecture))
            self.scores.add(self.name, key, known)
        if isinstance(known, str):
            raise GenasError(known)
        return known

    def normalised(self, score: Score) -> float:
        """As the proxy's own."""
        return self.proxy.normalised(score)

    def natural(self, score: Score) -> float:
        """As the proxy's own."""
        return self.proxy.natural(score)
