"""What the phases of `gpu.py` share: notes on disk after each measurement, a limit, times, peaks, traffic."""

import json
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genas.core.device import Fabric, open_fabric, wait
from genas.core.run_folder import write_json
from genas.spaces import open_space
from genas.spaces.base import Space


class Notes:
    """What a phase has found, in a file that is written anew after each measurement.

    Args:
        file: JSON with ``results``, ``errors`` (by name), ``left_out`` (names) and ``seconds``.
        limit: seconds that the phase has.
    """

    def __init__(self, file: Path, limit: float) -> None:
        self.file, self.limit, self._begun = file, limit, time.monotonic()
        self.results: dict[str, Any] = {}
        self.errors: dict[str, str] = {}
        self.left_out: list[str] = []
        self.write()

    @property
    def seconds(self) -> float:
        """Since the phase began."""
        return time.monotonic() - self._begun

    @property
    def left(self) -> float:
        """Seconds until its limit."""
        return self.limit - self.seconds

    def write(self) -> None:
        """Writes the file, by a new one that takes its place."""
        write_json(
            self.file,
            {
                "results": self.results,
                "errors": self.errors,
                "left_out": self.left_out,
                "seconds": round(self.seconds, 1),
                "limit": self.limit,
            },
        )

    def add(self, name: str, value: Any) -> None:
        """Adds a result; NaN and infinities become null."""
        self.results[name] = json_able(value)
        self.write()

    def attempt(self, name: str, work: Callable[[], Any], needs: float = 1.0) -> Any:
        """What `work` gave, noted under `name`; None where it failed, which is noted too, or no time is left.

        Args:
            name: of the result.
            work: measures; what it gives is JSON-able, or None if it notes its results itself.
            needs: seconds below which it is not begun.
        """
        if self.left < needs:
            self.left_out.append(name)
            self.write()
            return None
        try:
            value = work()
        except Exception as error:
            trace = traceback.extract_tb(error.__traceback__)[-1]
            self.errors[name] = f"{type(error).__name__}: {error} ({Path(trace.filename).name}:{trace.lineno})"
            self.write()
            return None
        if value is not None:
            self.add(name, value)
        self.write()
        return value


def json_able(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): json_able(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_able(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Sizes:
    """How much is measured: as published on a GPU, as little as possible to try the script on a CPU."""

    spaces: dict[str, dict[str, int]]
    images: int
    batches: tuple[int, ...]
    rounds: int
    paths: int
    product: int
    copied: int
    steps: int

    def open(self, name: str) -> Space:
        """A space at the size of the measurements."""
        return open_space(name, **self.spaces[name])


PUBLISHED = Sizes(
    {"darts": {"cells": 8, "channels": 16}, "nasbench201": {"cells_per_stage": 5, "channels": 16}},
    images=2048,
    batches=(64, 128, 256, 512, 1024, 2048),
    rounds=5,
    paths=2,
    product=8192,
    copied=1 << 30,
    steps=60,
)
TINY = Sizes(
    {"nasbench201": {"cells_per_stage": 1, "channels": 4}},
    images=12,
    batches=(4, 8),
    rounds=1,
    paths=1,
    product=64,
    copied=1 << 16,
    steps=2,
)


def precisions(device: str) -> tuple[str, ...]:
    """Those that the device has, single precision first."""
    return ("32", "tf32", "bf16") if device == "cuda" else ("32", "bf16")


@contextmanager
def computing(device: str, precision: str) -> Iterator[Fabric]:
    """A fabric of a precision; afterwards torch computes in single precision again."""
    try:
        yield open_fabric(device, precision)
    finally:
        open_fabric(device, "32")


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call, the device's work included."""
    wait(device)
    begun = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - begun


def medians(works: dict[str, Callable[[], Any]], rounds: int, device: torch.device, limit: float) -> dict[str, Any]:
    """Seconds of each of `works`, called in turn after a call that does not count.

    Args:
        works: by name.
        rounds: at most; one at least.
        device: whose work is waited for.
        limit: seconds after which no further round begins.

    Returns:
        By name ``median`` and ``range``; ``rounds``; ``ratio``: the median of first by last where there are several.
    """
    begun = time.monotonic()
    for work in works.values():
        timed(work, device)
    rows: list[list[float]] = []
    while len(rows) < rounds and (not rows or time.monotonic() - begun < limit):
        rows.append([timed(work, device) for work in works.values()])
    found: dict[str, Any] = {}
    for name, column in zip(works, zip(*rows, strict=True), strict=True):
        found[name] = {"median": statistics.median(column), "range": [min(column), max(column)]}
    found["rounds"] = len(rows)
    if len(works) > 1:
        found["ratio"] = statistics.median(row[0] / row[-1] for row in rows)
    return found


def peaks(sizes: Sizes, device: str) -> dict[str, float]:
    """FLOP/s of a large matrix product by precision, and bytes/s (read and written) of a large copy: bests of five."""
    found = {}
    for precision in precisions(device):
        with computing(device, precision) as fabric:
            side = sizes.product
            left = torch.randn(side, side, device=fabric.device)
            right = torch.randn(side, side, device=fabric.device)
            if precision == "bf16":
                left, right = left.bfloat16(), right.bfloat16()
            best = min(timed(lambda a=left, b=right: a @ b, fabric.device) for _ in range(6))
            found[f"flops_{precision}"] = 2 * side**3 / best
    source = torch.empty(sizes.copied, dtype=torch.uint8, device=fabric.device).fill_(1)
    target = torch.empty_like(source)
    best = min(timed(lambda: target.copy_(source), fabric.device) for _ in range(6))
    return {**found, "bytes": 2 * sizes.copied / best}


class Traffic(TorchDispatchMode):
    """Adds up the bytes that operators read and write, each by itself: views cost nothing, caches do not help."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        out = function(*arguments, **(named or {}))
        schema = function._schema
        view = not schema.is_mutable and any(one.alias_info is not None for one in schema.returns)
        if not view and not function.overloadpacket.__name__.startswith(("empty", "new_empty")):
            flat = torch.utils._pytree.tree_leaves((arguments, named, out))
            self.bytes += sum(one.numel() * one.element_size() for one in flat if isinstance(one, Tensor))
        return out


def traffic_of(work: Callable[[], Any]) -> int:
    """Bytes that the operators of one call read and write."""
    with Traffic() as traffic:
        work()
    return traffic.bytes


def roofline(seconds: float, flop: float, traffic: float, peak: dict[str, float], precision: str = "32") -> dict:
    """Attained FLOP/s and bytes/s, and the share of the time that the card's peaks would need at least."""
    top = peak[f"flops_{precision}"]
    floor = max(flop / top, traffic / peak["bytes"])
    return {
        "flops": flop / seconds,
        "bytes": traffic / seconds,
        "share_of_flops": flop / seconds / top,
        "share_of_bytes": traffic / seconds / peak["bytes"],
        "share_of_roofline": floor / seconds,
        "bound": "arithmetic" if flop / top > traffic / peak["bytes"] else "memory",
    }


def busy(work: Callable[[], Any], device: torch.device) -> dict[str, float]:
    """Kernels of one call and the share of its time in which they run; the rest, the GPU waits for the host."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    seconds = timed(work, device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as watched:
        timed(work, device)
    kernels = [event for event in watched.events() if event.device_type == DeviceType.CUDA]
    running = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
    return {"kernels": len(kernels), "busy": running / seconds, "seconds": seconds}


def read(file: Path) -> dict[str, Any]:
    """The notes of a phase; empty where it left none."""
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
