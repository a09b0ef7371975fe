import sqlite3

import pytest

from genas.core.database import Database, open_database, writing
from genas.core.errors import RunError


class Numbers(Database):
    what, schema = "a file of numbers", "CREATE TABLE IF NOT EXISTS numbers (value INTEGER)"


def test_a_full_disk_and_another_failure_are_told_apart(tmp_path):
    path = tmp_path / "a.sqlite"
    database = open_database(path)
    database.execute("CREATE TABLE texts (text)")
    database.execute("PRAGMA max_page_count = 3")  # sqlite says then what it says of a full disk
    with pytest.raises(RunError, match="disk is full"), writing(path):
        database.executemany("INSERT INTO texts VALUES (?)", [("x" * 3000,)] * 100)
    with pytest.raises(RunError, match="could not be written"), writing(path):
        database.execute("INSERT INTO nothing VALUES (1)")


def test_a_file_is_closed_at_the_end_and_found_again(tmp_path):
    path = tmp_path / "n.sqlite"
    with Numbers(path) as numbers:
        numbers._db.execute("INSERT INTO numbers VALUES (7)")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        numbers._db.execute("SELECT 1")
    with Numbers(path, readonly=True) as again:
        assert again._db.execute("SELECT value FROM numbers").fetchone() == (7,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            again._db.execute("INSERT INTO numbers VALUES (8)")


def test_what_is_no_database_is_one_sentence(tmp_path):
    path = tmp_path / "n.sqlite"
    path.write_text("no database at all, however long the text is" * 50)
    with pytest.raises(RunError, match="cannot be opened as a file of numbers"):
        Numbers(path)
