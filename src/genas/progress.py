"""Progress for people: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL = 10.0  # seconds between two plain lines
listeners: list[Callable[[], None]] = []  # called after every step of any bar, shown or not


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
        self.title, self.total, self.done, self.unit, self.quiet = title, total, done, unit, quiet
        self._begun = done
        self._start = self._spoken = time.monotonic()
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._start = self._spoken = time.monotonic()
        if not self.quiet and self._console.is_terminal:
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task(self.title, total=self.total, completed=self.done, rate="", note="")
        return self

    def step(self, count: int = 1, note: str = "") -> None:
        """Reports `count` more steps done; `note` stands at the end of the line."""
        self.done += count
        for _ in range(count):
            for listener in list(listeners):
                listener()
        if self.quiet:
            return
        now = time.monotonic()
        rate = (self.done - self._begun) / max(now - self._start, 1e-9)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, rate=f"{rate:.3g} {self.unit}/s", note=note)
        elif now - self._spoken >= PLAIN_INTERVAL or self.done == self.total:
            self._spoken = now
            left = f", {duration((self.total - self.done) / rate)} left" if rate > 0 else ""
            sys.stderr.write(
                f"{self.title}: {self.done}/{self.total} {self.unit}s, {rate:.3g}/s{left}"
                f"{'; ' + note if note else ''}\n"
            )
            sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def duration(seconds: float) -> str:
    """Seconds in words: ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
