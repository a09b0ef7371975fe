"""What every executor promises: order, one error, a prompt stop that loses nothing, and few items taken ahead.

Most tests fork their processes, because a fresh one takes seconds to import torch; one test starts fresh ones.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from genas.core import executors
from genas.core.errors import DataError, GenasError, Interrupted, RunError
from genas.core.executors import AHEAD, Processes, Serial, Threads, open_executor
from genas.core.interrupt import StopRequest

KINDS = [Serial, partial(Threads, 2), partial(Processes, 2)]
NAMES = ["serial", "threads", "processes"]


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(executors, "get_context", lambda kind: context)


@pytest.fixture(params=KINDS, ids=NAMES)
def executor(request):
    with request.param() as opened:
        yield opened


def slow_if_even(item):
    time.sleep(0.02 * (item % 2 == 0))
    return item * item


def fail_at_five(item):
    time.sleep(0.05 * (item == 4))  # the error is known before the result that comes first
    if item == 5:
        raise DataError("five is broken")
    return item


def test_results_come_in_the_order_of_the_items(executor):
    assert list(executor.map(slow_if_even, range(11))) == [item * item for item in range(11)]
    assert list(executor.map(slow_if_even, ())) == []
    assert list(executor.map(slow_if_even, iter([3]))) == [9]


def test_an_error_comes_once_in_its_place_and_ends_the_work(executor):
    taken = []
    items = (taken.append(item) or item for item in range(1000))
    results = executor.map(fail_at_five, items)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(DataError, match=r"^five is broken"):
        next(results)
    assert list(results) == []
    assert len(taken) <= 5 + 2 * AHEAD + 1
    assert list(executor.map(slow_if_even, range(3))) == [0, 1, 4]  # and others may follow


def test_items_are_taken_a_few_ahead_only(executor):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = executor.map(slow_if_even, endless())
    for told in range(1, 10):
        assert next(results) == told * told
        assert taken <= told + 2 * AHEAD
    results.close()


def test_an_error_of_the_items_themselves_is_raised(executor):
    def broken():
        yield 1
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        list(executor.map(slow_if_even, broken()))


def test_after_a_stop_request_nothing_begins_and_nothing_finished_is_lost(executor, tmp_path):
    (tmp_path / "begun").mkdir()
    work = partial(leave_a_trace, tmp_path / "begun")
    got = []

    def collect(stop):
        for result in executor.map(work, range(100), stop):
            got.append(result)
            stop.requested = len(got) == 3 or stop.requested

    with StopRequest() as stop:
        with pytest.raises(Interrupted):
            collect(stop)
        assert got == list(range(len(got)))
        assert sorted(int(path.name) for path in (tmp_path / "begun").iterdir()) == got
        assert 3 <= len(got) <= 3 + 2 * AHEAD
        with pytest.raises(Interrupted):
            next(executor.map(work, [100], stop))
        assert len(list((tmp_path / "begun").iterdir())) == len(got)


def leave_a_trace(folder, item):
    (folder / str(item)).touch()
    time.sleep(0.03)
    return item


def test_a_stop_request_that_comes_with_the_last_result_is_not_forgotten(executor):
    with StopRequest() as stop:
        results = executor.map(slow_if_even, range(2), stop)
        assert [next(results), next(results)] == [0, 1]
        stop.requested = True
        with pytest.raises(Interrupted):
            next(results)


def test_an_abandoned_map_leaves_nothing_at_work():
    with Processes(2) as executor:
        results = executor.map(sleep_if_large, [0, 60, 60])
        assert next(results) == 0
        begun = time.monotonic()
        results.close()  # as a second Ctrl-C does, by an exception
        assert time.monotonic() - begun < 20
        assert multiprocessing.active_children() == []
        assert list(executor.map(sleep_if_large, [0, 0])) == [0, 0]
    assert multiprocessing.active_children() == []


def sleep_if_large(seconds):
    time.sleep(seconds)
    return seconds


def test_a_process_that_dies_is_one_sentence_after_the_results_before_it():
    with Processes(2) as executor:
        results = executor.map(die_at_three, range(50))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(
            RunError, match=r"One of 2 worker processes died \(exit code -9\), perhaps for lack of memory"
        ):
            next(results)
        assert list(executor.map(die_at_three, range(3))) == [0, 1, 2]


def die_at_three(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_processes_survive_the_signals_that_the_first_process_answers():
    """Ctrl-C in a terminal and SIGTERM from a scheduler reach every process of the group."""
    with Processes(2) as executor:
        assert list(executor.map(signal_itself, range(4))) == list(range(4))


def signal_itself(item):
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return item


def test_errors_and_their_places_come_back_from_processes():
    with Processes(1) as executor:
        with pytest.raises(DataError) as caught:
            list(executor.map(fail_at_five, range(9)))
        assert "fail_at_five" in caught.value.__notes__[0]
        with pytest.raises(GenasError, match=r"^Odd: 7"):
            list(executor.map(raise_odd, [7]))


class Odd(Exception):
    """Cannot be pickled and read again."""

    def __init__(self, number, other):
        super().__init__(number)


def test_a_function_that_cannot_be_sent_is_one_sentence():
    with Processes(2) as executor:
        with pytest.raises(GenasError, match="Other processes cannot be given the work .*lambda.*use one process"):
            list(executor.map(lambda item: item, [1]))
        assert multiprocessing.active_children() == []
        assert list(executor.map(double, [1])) == [2]


def raise_odd(item):
    raise Odd(item, None)


class Opened:
    """Counts how often it is opened."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return reopen, (self.folder,)

    def process(self, item):
        return os.getpid(), torch.get_num_threads()


def reopen(folder):
    (folder / str(os.getpid())).touch(exist_ok=False)
    return Opened(folder)


def refuse(folder):
    raise DataError(f"{folder} is gone")


def test_a_function_is_opened_once_in_each_process_and_stays_there(tmp_path):
    opened = Opened(tmp_path)
    with Processes(2) as executor:
        first = set(executor.map(opened.process, range(20)))
        second = set(executor.map(opened.process, range(20)))
    assert second <= first
    assert {str(number) for number, _ in first} == {path.name for path in tmp_path.iterdir()}
    assert {threads for _, threads in first} == {1}
    assert os.getpid() not in {number for number, _ in first}
    with Processes(2) as executor:  # an error in opening is that error, not a dead process
        opened.__class__ = type("Gone", (Opened,), {"__reduce__": lambda self: (refuse, ("data",))})
        with pytest.raises(DataError, match="data is gone"):
            list(executor.map(opened.process, range(3)))


def test_tensors_come_by_value():
    with Processes(2) as executor:
        found = list(executor.map(double, (torch.full((3,), float(item)) for item in range(4))))
    assert [one.tolist() for one in found] == [[2.0 * item] * 3 for item in range(4)]


def double(tensor):
    return 2 * tensor


def test_one_worker_is_this_process():
    assert isinstance(open_executor(1), Serial)
    assert isinstance(open_executor(3), Processes)


WORK = """
import os, time

def report(item):
    time.sleep(0.05)
    return item, os.getpid()
"""

SCRIPT = """
from work import report

from genas.core.executors import Processes
from genas.core.interrupt import StopRequest

if __name__ == "__main__":
    with StopRequest() as stop, Processes(2) as executor:
        for result in executor.map(report, range(1000), stop):
            print(*result, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_fresh_processes_end_with_the_first_one(tmp_path, number):
    """Ctrl-C to the whole group loses no result; where the first process is killed, its workers end too."""
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as first:
        rows = [first.stdout.readline().split() for _ in range(4)]
        (os.killpg if number == signal.SIGINT else os.kill)(first.pid, number)
        rows += [line.split() for line in first.stdout]  # ends when the last process has ended
    assert [int(row[0]) for row in rows] == list(range(len(rows)))
    assert 4 <= len(rows) < 100
    assert str(first.pid) not in {row[1] for row in rows}
