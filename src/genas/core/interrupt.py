"""Ctrl-C and SIGTERM as a polite request: work stops between two steps, never inside one."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from genas.core.errors import Interrupted
from genas.core.progress import duration


class StopRequest:
    """While open, the first Ctrl-C (or SIGTERM) sets `requested` and says so; a second one interrupts at once.

    Outside the main thread, where Python allows no signal handlers, it does nothing.

    Args:
        patience: seconds within which further signals count as the first: ``torchrun`` passes Ctrl-C on several times.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self.requested = False
        self.patience = patience
        self._first = 0.0
        self._before: dict[int, Any] = {}
        self._step_seconds: float | None = None  # of the last step
        self._step_began = 0.0
        self._shielded = self._again = False

    def __enter__(self) -> Self:
        self._step_began = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() - self._first >= self.patience:
            self._again = True
            if not self._shielded:
                raise KeyboardInterrupt
        if not self.requested:
            self._first = time.monotonic()
            self._acknowledge()
        self.requested = True

    def _acknowledge(self) -> None:
        left = (self._step_seconds or 0.0) - (time.monotonic() - self._step_began)
        about = f" (about {duration(left)})" if left >= 1 else ""
        if os.environ.get("RANK", "0") == "0":
            with suppress(RuntimeError, OSError):  # a signal may come in the middle of another write
                sys.stderr.write(f"\nStopping after this step{about}; press again to stop now.\n")
                sys.stderr.flush()

    def stepped(self) -> None:
        """Says that a step is over: how long the next one takes is then known."""
        now = time.monotonic()
        self._step_seconds, self._step_began = now - self._step_began, now

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Around what must be done wholly or not at all: a second signal waits for its end."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self._again:
            raise KeyboardInterrupt

    def request(self) -> None:
        """Asks for a stop, as a signal does; for one that came to another process."""
        self.requested = True

    def check(self) -> None:
        """Raises `Interrupted` if a stop was requested; call it where the state is saved."""
        if self.requested:
            raise Interrupted("Interrupted; the state is saved. Give the same command to continue.")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
