"""SQLite files that survive a kill: how they are opened, and what a failed write says."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genas.errors import RunError
from genas.runs import explain


def open_database(path: Path | str) -> sqlite3.Connection:
    """A connection that writes ahead and commits every statement by itself.

    Args:
        path: the file, or ``:memory:``.

    Raises:
        sqlite3.Error: it is no database, or cannot be opened.
    """
    connection = sqlite3.connect(str(path), isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says in one sentence why a statement could not write.

    Raises:
        RunError: the disk is full, or the file cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise explain(OSError(28, "no space"), path) from error
        raise RunError(f"{path} could not be written ({error}).") from error
