"""The history as a file: folders that nobody may write to, files that are missing."""

import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from genas.core.errors import RunError
from genas.strategies import History, Record

NOBODY = 65534


def record(genotype):
    return Record(0, genotype, 0, "random", (), None, 1.0, {}, 1, 1, 0.1)


@pytest.fixture
def place():
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def names_seen_by_a_reader(path):
    """The genotypes that a process reads which may not write into the folder."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def read():
        if os.getuid() == 0:
            os.setuid(NOBODY)
        try:
            with History(path, readonly=True) as history:
                results.put([one.genotype for one in history])
        except BaseException as error:
            results.put(repr(error))

    process = context.Process(target=read)
    process.start()
    found = results.get()
    process.join()
    return found


def test_a_finished_history_is_read_in_a_folder_that_nobody_may_write_to(place):
    path = place / "history.sqlite"
    with History(path) as history:
        history.add(record("a"))
    path.chmod(0o444)
    place.chmod(0o555)
    assert names_seen_by_a_reader(path) == ["a"]


def test_what_a_killed_process_wrote_ahead_is_read_there_too(place):
    (place / "work").mkdir()
    history = History(place / "work" / "history.sqlite")
    history.add(record("a"))
    (place / "killed").mkdir()
    for file in (place / "work").iterdir():  # as a kill leaves them, without the shared memory
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, place / "killed" / file.name)
    history.close()
    assert (place / "killed" / "history.sqlite-wal").stat().st_size > 0
    (place / "killed").chmod(0o555)
    assert names_seen_by_a_reader(place / "killed" / "history.sqlite") == ["a"]


def test_a_history_that_is_missing_or_no_database_is_one_sentence(tmp_path):
    with pytest.raises(RunError, match="There is no .*history.sqlite: nothing was recorded"):
        History(tmp_path / "history.sqlite", readonly=True)
    (tmp_path / "history.sqlite").write_bytes(b"not a database" * 100)
    for readonly in (True, False):
        with pytest.raises(RunError, match="cannot be opened as a history"):
            History(tmp_path / "history.sqlite", readonly=readonly)
