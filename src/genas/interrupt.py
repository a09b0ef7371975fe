"""Ctrl-C and SIGTERM as a polite request: work stops between two steps, never inside one."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from genas.errors import Interrupted


class StopRequest:
    """While open, the first Ctrl-C (or SIGTERM) sets `requested`; a second one interrupts at once.

    Outside the main thread, where Python allows no signal handlers, it does nothing.

    Args:
        patience: seconds within which further signals count as the first: ``torchrun`` passes Ctrl-C on several times.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self.requested = False
        self.patience = patience
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() - self._first >= self.patience:
            raise KeyboardInterrupt
        if not self.requested:
            self._first = time.monotonic()
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
