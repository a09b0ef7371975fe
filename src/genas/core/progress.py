"""Progress for people: a bar with rate and time left on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from genas.core.terminal import literal, plain, say

PLAIN_INTERVAL = 10.0  # seconds between two plain lines
BAR_WIDTH = 20  # characters; a bar of the terminal's width shrinks to nothing where the texts need it
PATIENCE = 1.0  # seconds after which a plain line says what is being done

_listeners: list[Callable[[], None]] = []
_current: ContextVar["Bar | None"] = ContextVar("bar", default=None)


class _Shown(Progress):
    """The bar, and what is being done on a line of its own, cut at the terminal's width."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(f"  {plain(task.fields['note'])}", style="dim", no_wrap=True, overflow="ellipsis")


class Bar:
    """One task with a known number of steps; use it as a context manager.

    Args:
        title: what is being done.
        total: number of steps.
        done: steps already done (an earlier, interrupted process did them).
        unit: what a step is, for the rate.
        quiet: show nothing.
    """

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "step", quiet: bool = False) -> None:
        self.title, self.total, self.unit, self.quiet = title, total, unit, quiet
        self.done = self._begun = done
        self._partly = 0.0  # of the steps to come
        self._note = ""
        self._start = self._spoken = time.monotonic()
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._before: Bar | None = None

    def __enter__(self) -> Self:
        self._start = self._spoken = time.monotonic()
        self._before = _current.get()
        _current.set(self)
        if not self.quiet and self._console.is_terminal:
            self._progress = _Shown(
                TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
                BarColumn(bar_width=BAR_WIDTH),
                TextColumn("{task.fields[status]}", table_column=Column(no_wrap=True)),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task(
                literal(self.title), total=self.total, completed=self.done, status=self._status(), note=""
            )
        return self

    def step(self, count: int = 1, note: str = "") -> None:
        """Reports `count` more steps done; `note` says what is being done."""
        self.done += count
        self._partly = 0.0
        for _ in range(count):
            for listener in list(_listeners):
                listener()
        self._show(note, last=self.done == self.total)

    def within(self, parts: float, note: str = "") -> None:
        """Reports how much of the steps to come is over, in steps: a look inside long ones."""
        self._partly = max(self._partly, min(parts, self.total - self.done))
        self._show(note)

    @property
    def rate(self) -> float:
        """Steps per second of this process; 0 before the first."""
        return (self.done + self._partly - self._begun) / max(time.monotonic() - self._start, 1e-9)

    def _status(self) -> str:
        rate, left = self.rate, self.total - self.done - self._partly
        counted = f"{self.done:,}/{self.total:,}"
        if rate <= 0:
            return counted
        speed = f"{rate:.3g} {self.unit}/s" if rate >= 1 else f"{1 / rate:.3g} s/{self.unit}"
        return f"{counted}  {speed}" + (f"  {duration(left / rate)} left" if left > 0 else "")

    def _show(self, note: str, last: bool = False) -> None:
        self._note = note or self._note
        if self.quiet:
            return
        now = time.monotonic()
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=self.done + self._partly, status=self._status(), note=self._note
            )
        elif now - self._spoken >= PLAIN_INTERVAL or last:
            self._spoken = now
            rate = self.rate
            left = f", {duration((self.total - self.done - self._partly) / rate)} left" if rate > 0 else ""
            say(
                f"{self.title}: {self.done}/{self.total} {self.unit}s, {rate:.3g}/s{left}"
                f"{'; ' + self._note if self._note else ''}"
            )

    def inside(self, what: str) -> None:
        """Says what a long step is at; the number of steps stays."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, note=f"{self._note}{'; ' if self._note else ''}{what}")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.set(self._before)
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def listening(listener: Callable[[], None]) -> Iterator[None]:
    """Calls `listener` after every step of any bar, shown or not, for as long as the context lasts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def inside(what: str) -> None:
    """Says on the bar that is shown, if there is one, what the step at hand is doing (a long evaluation, say)."""
    bar = _current.get()
    if bar is not None and not bar.quiet:
        bar.inside(what)


@contextmanager
def doing(what: str, quiet: bool = False) -> Iterator[None]:
    """Says what is being done where there is nothing to count: at once on a terminal, after a second elsewhere."""
    console = Console(stderr=True)
    if quiet or _current.get() is not None:
        yield
    elif console.is_terminal:
        with console.status(f"{literal(what)} ..."):
            yield
    else:
        late = threading.Timer(PATIENCE, say, [f"{what} ..."])
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()


def duration(seconds: float) -> str:
    """Seconds in words: ``12 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 04 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def size(count: float) -> str:
    """Bytes in words: ``1.2 GB``, ``340 MB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.0f} kB"
