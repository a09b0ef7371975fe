"""SQLite files that survive a kill: how they are opened, and what a failed write says."""

import errno
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

from genas.core.closing import Closable
from genas.core.errors import RunError
from genas.core.run_folder import explain


class Database(Closable):
    """An open file of one kind; use it as a context manager.

    Args:
        path: the file, or ``:memory:``.
        readonly: only look; the file must exist.

    Raises:
        RunError: it cannot be opened.
    """

    what: ClassVar[str]
    """What such a file is, as "a history"."""
    schema: ClassVar[str]
    """Statements that make its tables where they are missing."""

    def __init__(self, path: Path | str, readonly: bool = False) -> None:
        self.path = Path(path)
        try:
            self._db = open_readonly(self.path) if readonly else open_database(path)
            self._prepare(readonly=readonly)
        except sqlite3.Error as error:
            raise RunError(f"{self.path} cannot be opened as {self.what} ({error}).") from error

    def _prepare(self, *, readonly: bool) -> None:
        """Makes the tables."""
        if not readonly:
            self._db.executescript(self.schema)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


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


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that only looks, also in a folder that nobody may write to.

    Reading a file that is written ahead needs a second file beside it. Where that cannot be made, the file is read as
    it is, together with a copy of what was written ahead.

    Raises:
        RunError: there is no such file.
        sqlite3.Error: it is no database, or cannot be opened.
    """
    if not path.is_file():
        raise RunError(f"There is no {path}: nothing was recorded there yet.")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError:
        connection.close()
    ahead = path.with_name(f"{path.name}-wal")
    if not ahead.is_file() or not ahead.stat().st_size:
        return sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)
    with tempfile.TemporaryDirectory() as folder:
        for file in (path, ahead):
            shutil.copyfile(file, Path(folder) / file.name)
        memory = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(memory)
    return memory


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says in one sentence why a statement could not write.

    Raises:
        RunError: the disk is full, or the file cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise explain(OSError(errno.ENOSPC, "no space"), path) from error
        raise RunError(f"{path} could not be written ({error}).") from error
