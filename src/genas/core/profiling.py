"""Where the time of a run goes: ``genas search --profile``.

Each phase is timed whole; torch's profiler watches its first steps only (a trace of a whole run would be gigabytes).
The numbers a run computes are the same with and without. ``profile/PHASE.json`` in the run folder is a trace for
chrome://tracing or Perfetto, ``profile/summary.json`` what the terminal shows.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from genas.core.progress import listening
from genas.core.run_folder import write_json
from genas.core.run_paths import ProfilePaths

STEPS = 5  # steps (batches, architectures) of each phase that are traced


class Profile:
    """Times phases and traces their beginnings.

    Args:
        folder: where traces and summary go.
        device: the run's device.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One phase: traced for its first steps, timed to its end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        profiler = profile(activities=self._activities)
        steps, traced_seconds = 0, 0.0
        begun = time.perf_counter()

        def stop() -> None:
            nonlocal traced_seconds
            traced_seconds = time.perf_counter() - begun
            profiler.stop()

        def tick() -> None:
            nonlocal steps
            steps += 1
            if steps == STEPS:
                stop()

        profiler.start()
        try:
            with listening(tick):
                yield
        finally:
            if steps < STEPS:
                stop()
            profiler.export_chrome_trace(str(self.folder / f"{name}.json"))
            events = [event for event in profiler.key_averages() if event.key.startswith("aten::")]
            whole = sum(event.self_cpu_time_total for event in events) or 1
            events.sort(key=lambda event: -event.self_cpu_time_total)
            self.rows.append(
                {
                    "phase": name,
                    "seconds": round(time.perf_counter() - begun, 3),
                    "steps": steps,
                    "traced_steps": min(steps, STEPS),
                    "traced_seconds": round(traced_seconds, 3),
                    "operators": [
                        {
                            "name": event.key.removeprefix("aten::"),
                            "calls": event.count,
                            "share": round(event.self_cpu_time_total / whole, 4),
                        }
                        for event in events[:8]
                    ],
                }
            )
            write_json(ProfilePaths(self.folder).summary, {"phases": self.rows})
