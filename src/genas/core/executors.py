"""One function applied to many items: in this process, on threads, or in processes of their own.

Whatever does the work, `Executor.map` keeps four promises:

- Results come in the order of the items, each as soon as those before it are there, so that it can be written to disk.
- Items are taken a few ahead of the results, never all at once.
- An error of an item is raised once, in the place of its result; no item after it is begun once it is known.
- After a `StopRequest` no item is taken; what is at work is finished and handed on, then `Interrupted` is raised.
"""

import pickle
import signal
import traceback
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from genas.core.allocator import keep_freed_memory
from genas.core.closing import Closable
from genas.core.errors import GenasError, RunError
from genas.core.interrupt import StopRequest

Item = TypeVar("Item")
Out = TypeVar("Out")

AHEAD = 2  # items per worker that are at work, wait, or are finished before their turn
PATIENCE = 10.0  # seconds for an idle process to end


class Executor(Closable):
    """Applies functions to items; use it as a context manager."""

    @abstractmethod
    def map(
        self, function: Callable[[Item], Out], items: Iterable[Item], stop: StopRequest | None = None
    ) -> Iterator[Out]:
        """The results of `function`, in the order of `items`.

        Args:
            function: of one item.
            items: taken as needed.
            stop: asked before an item is taken.

        Raises:
            Interrupted: a stop was requested; all results that were computed have been handed on.
        """

    def close(self) -> None:
        """Ends what was started for the work."""


class Serial(Executor):
    """One item after the other, here."""

    def map(
        self, function: Callable[[Item], Out], items: Iterable[Item], stop: StopRequest | None = None
    ) -> Iterator[Out]:
        """See `Executor.map`."""
        for item in items:
            if stop is not None:
                stop.check()
            yield function(item)
        if stop is not None:
            stop.check()


class Threads(Executor):
    """Threads of this process, for functions that wait for files or release the interpreter's lock.

    Args:
        count: number of threads.
        prepare: called once in each thread.
    """

    def __init__(self, count: int, prepare: Callable[[], object] | None = None) -> None:
        self.count, self._prepare = count, prepare

    def map(
        self, function: Callable[[Item], Out], items: Iterable[Item], stop: StopRequest | None = None
    ) -> Iterator[Out]:
        """See `Executor.map`."""
        left, waiting = iter(items), deque[Future[Out]]()
        with ThreadPoolExecutor(self.count, initializer=self._prepare) as pool:
            try:
                while True:
                    if stop is not None and stop.requested:
                        while waiting and waiting[-1].cancel():
                            waiting.pop()
                    else:
                        more = islice(left, AHEAD * self.count - len(waiting))
                        waiting.extend(pool.submit(function, item) for item in more)
                    if not waiting:
                        break
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
        if stop is not None:
            stop.check()


@dataclass(frozen=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection

    def end(self, patience: float = 0.0) -> None:
        """Waits for the process to end, and kills it where it does not."""
        self.pipe.close()
        self.process.join(patience)
        self.process.kill()
        self.process.join()


class Processes(Executor):
    """Processes with one thread of torch each, started as work comes and kept for the next `map` of the same function.

    The function is pickled and goes to each process once. One that stands on much data is the method of an object
    that says by ``__reduce__`` how a process opens it for itself. Items and results are pickled, tensors by value.

    Args:
        count: most processes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._context = get_context("spawn")
        self._function: Callable[[Any], Any] | None = None
        self._pickled = b""
        self._idle: list[_Worker] = []

    def map(
        self, function: Callable[[Item], Out], items: Iterable[Item], stop: StopRequest | None = None
    ) -> Iterator[Out]:
        """See `Executor.map`.

        Raises:
            GenasError: the function cannot be pickled.
            RunError: a process died.
        """
        if function != self._function:
            self.close()
            self._pickled = _pickled_function(function)
            self._function = function
        left = enumerate(items)
        busy: dict[Connection, tuple[_Worker, int]] = {}
        done: dict[int, tuple[bool, Any]] = {}  # finished before their turn: whether it went well, result or error
        told = begun = 0
        failed = False
        try:
            while True:
                while not (failed or (stop is not None and stop.requested)):
                    if len(busy) == self.count or begun - told == AHEAD * self.count:
                        break
                    number, item = next(left, (-1, None))
                    if number < 0:
                        break
                    worker = self._idle.pop() if self._idle else self._start()
                    busy[worker.pipe] = worker, number
                    begun += 1
                    with suppress(OSError):  # a dead process is noticed below
                        worker.pipe.send_bytes(pickle.dumps(item))
                if told in done:
                    well, value = done.pop(told)
                    if not well:
                        raise value
                    told += 1
                    yield value
                elif not busy:
                    break
                ready = wait(list(busy), 0 if told in done else None) if busy else ()
                for pipe in [one for one in busy if one in ready]:
                    worker, number = busy.pop(pipe)
                    done[number] = self._answer(worker)
                    failed = failed or not done[number][0]
        finally:
            for worker, _ in busy.values():  # only where the caller or an error ended this early
                worker.end()
        if stop is not None:
            stop.check()

    def _start(self) -> _Worker:
        pipe, other = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(other, self._pickled))
        with _signals_held_back():
            process.start()
        other.close()
        return _Worker(process, pipe)

    def _answer(self, worker: _Worker) -> tuple[bool, Any]:
        try:
            well, value = pickle.loads(worker.pipe.recv_bytes())
        except (EOFError, OSError):
            worker.end(PATIENCE)
            return False, RunError(
                f"One of {self.count} worker processes died (exit code {worker.process.exitcode}), perhaps for lack of "
                "memory; give the same command with fewer."
            )
        self._idle.append(worker)
        return well, value

    def close(self) -> None:
        """See `Executor.close`."""
        while self._idle:
            worker = self._idle.pop()
            with suppress(OSError):
                worker.pipe.send_bytes(b"")
            worker.end(PATIENCE)


def open_executor(workers: int) -> Executor:
    """This process where one worker is asked for, as many processes otherwise."""
    return Serial() if workers == 1 else Processes(workers)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """A process started meanwhile sees no Ctrl-C and no SIGTERM: the first process decides when to stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, pickled: bytes) -> None:
    """What a process does: answers items until there are no more, or nobody who asks."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(1)
    function: Callable[[Any], Any] | None = None
    with suppress(EOFError, OSError):
        while message := pipe.recv_bytes():
            try:
                function = function or pickle.loads(pickled)
                assert function is not None
                answer = pickle.dumps((True, function(pickle.loads(message))))
            except Exception as error:
                answer = _pickled_error(error)
            pipe.send_bytes(answer)


def _pickled_function(function: Callable[[Any], Any]) -> bytes:
    try:
        return pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise GenasError(
            f"Other processes cannot be given the work ({error}): expected custom classes that pickle takes, defined "
            "in a module and not inside a function; use one process, or move the class."
        ) from error


def _pickled_error(error: Exception) -> bytes:
    """The error with its traceback as a note; as a sentence where it cannot be pickled."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(answer := pickle.dumps((False, error)))
    except Exception:
        answer = pickle.dumps((False, GenasError(f"{type(error).__name__}: {error}")))
    return answer
