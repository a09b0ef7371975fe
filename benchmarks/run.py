"""Measures genas against the plain reference, interleaved, and prints a table; run it with ``make bench``.

Reference and genas run in processes of their own (`worker.py`) and are asked in turn, on the same architecture and
images, after one unmeasured round; the figures are medians over the rounds with the range, and the median of the
ratios. Rows marked "derived" multiply a measured one. The roofline column is the share of
the machine's own peak, measured by a large matrix product in the same process.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from made import SIGMAS, random_splits, scoring_of
from rich.console import Console
from rich.table import Table

from genas.core.allocator import keep_freed_memory
from genas.core.device import open_fabric
from genas.spaces import architecture_cost, open_space
from genas.strategies import History, Record, SearchSettings, open_search

HERE = Path(__file__).resolve().parent


def timed(work: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def peak(device: torch.device) -> float:
    """FLOP/s of a 2048 x 2048 matrix product in float32, the best of ten."""
    left = torch.randn(2048, 2048, device=device)
    timed(lambda: left @ left, device)
    return 2 * 2048**3 / min(timed(lambda: left @ left, device) for _ in range(10))


class Side:
    """A worker process, see `worker.py`."""

    def __init__(self, side: str, space: str, count: int, device: str) -> None:
        environment = dict(os.environ)
        if side == "reference":
            environment["GENAS_ALLOCATOR"] = "system"  # as a plain script would run
        command = [sys.executable, "-W", "ignore", str(HERE / "worker.py"), side, space, str(count), device]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout.readline().strip() == "ready"

    def seconds(self, work: str, number: int) -> float:
        self.process.stdin.write(f"{work} {number}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> float:
        """Ends it; gives its peak memory in GB."""
        self.process.stdin.close()
        return float(self.process.stdout.readline())


def main_rows(name: str, rounds: int, count: int, device: str, top: float) -> list[dict]:
    space = open_space(name)
    costs = [architecture_cost(space, space.sample(random.Random(n)), 10, (3, 32, 32)).macs for n in range(rounds)]
    macs = statistics.mean(costs)
    sides = [Side(side, name, count, device) for side in ("reference", "genas")]
    rows = []
    kinds = (
        ("pass", "picture pass", "s/picture", count, rounds, 2 * macs),
        (
            "score",
            f"architecture score on {count} images ({min(896, count)} for batch norm)",
            "s/architecture",
            1,
            max(rounds // 2, 3),
            None,
        ),
        ("step", "supernet step (batch 64)", "s/step", 1, rounds, 2 * 3 * macs * 64),
    )
    for work, title, unit, per, times, flop in kinds:
        for side in sides:
            side.seconds(work, 0)
        pairs = [[side.seconds(work, number) / per for side in sides] for number in range(times)]
        first, second = zip(*pairs, strict=True)
        rows.append(
            {
                "name": title,
                "unit": unit,
                "reference": statistics.median(first),
                "reference_range": [min(first), max(first)],
                "genas": statistics.median(second),
                "genas_range": [min(second), max(second)],
                "ratio": statistics.median(a / b for a, b in pairs),
                "share_of_peak": flop / statistics.median(second) / top if flop else None,
            }
        )
    passes, score = rows[0], rows[1]
    for title, factor, of in (
        ("architecture score at published fidelity, 75,896 picture passes (derived)", 75896, passes),
        (f"search of 100 architectures on {count} images each, exact budget (derived)", 100, score),
    ):
        derived = {"name": title, "unit": "s", "ratio": of["ratio"]}
        rows.append({**derived, "reference": of["reference"] * factor, "genas": of["genas"] * factor})
    memory = [side.close() for side in sides]
    rows.append(
        {
            "name": "peak memory",
            "unit": "GB",
            "reference": memory[0],
            "genas": memory[1],
            "ratio": memory[0] / memory[1],
        }
    )
    return rows


def growth(fabric) -> list[dict]:
    """Exponents of the time of one evaluation, by a fit of log time over log size."""
    found = []

    def fit(name, sizes, make) -> None:
        works = [make(size) for size in sizes]
        for work in works:
            work()
        seconds = [statistics.median(timed(work, fabric.device) for _ in range(3)) for work in works]
        xs, ys = torch.tensor(sizes).double().log(), torch.tensor(seconds).double().log()
        exponent = float(((xs - xs.mean()) * (ys - ys.mean())).sum() / ((xs - xs.mean()) ** 2).sum())
        found.append({"with": name, "sizes": sizes, "seconds": seconds, "exponent": exponent})

    def evaluation(cells=5, channels=16, count=128, classes=10):
        space = open_space("darts", cells=cells, channels=channels)
        scoring = scoring_of(space, random_splits(count, classes), fabric)
        network = scoring.extract(space.sample(random.Random(1)))
        return lambda: scoring.evaluate(network)

    fit("channels", [8, 16, 32, 64], lambda size: evaluation(channels=size))
    fit("cells", [3, 6, 12], lambda size: evaluation(cells=size))
    fit("pictures", [64, 128, 256, 512], lambda size: evaluation(count=size))
    fit("classes", [10, 100, 1000], lambda size: evaluation(classes=size))
    return found


def history_times(count: int) -> dict:
    """Milliseconds of ask, tell and what status reads, on a history of `count` architectures."""
    space = open_space("darts")
    rng = random.Random(0)
    parts = json.dumps({"losses": [2.0, 2.1, 2.2], "sigmas": list(SIGMAS)})
    with tempfile.TemporaryDirectory() as folder, History(Path(folder) / "history.sqlite") as history:
        rows = (
            (space.sample(rng).genotype, number // 50, "random", "[]", None, rng.random(), parts, 1, 1, 0.1)
            for number in range(count)
        )
        history._db.execute("BEGIN")
        history._db.executemany(
            "INSERT OR IGNORE INTO architectures (genotype, generation, origin, parents, failed, score, parts, params, "
            "macs, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        history._db.execute("COMMIT")
        search = open_search(space, SearchSettings(), lambda one: True)
        cpu = torch.device("cpu")

        def tell() -> None:
            history.add(Record(0, space.sample(rng).genotype, 10**6, "random", (), None, 0.5, {}, 1, 1, 0.1))

        def status() -> None:
            with History(Path(folder) / "history.sqlite", readonly=True) as reader:
                reader.best(10), len(reader), reader.failure_count()

        works = {"ask": lambda: search.ask(history, rng, 10**6 + 1), "tell": tell, "status": status}
        return {name: 1e3 * statistics.median(timed(work, cpu) for _ in range(9)) for name, work in works.items()}


def start_up(rounds: int) -> float:
    command = [sys.executable, "-m", "genas", "--help"]
    run = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
    run()
    return statistics.median(timed(run, torch.device("cpu")) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pictures", type=int, default=896)
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    keep_freed_memory()  # as the command line does
    fabric = open_fabric(given.device)
    top = peak(fabric.device)
    name = torch.cuda.get_device_name() if fabric.device.type == "cuda" else platform.processor() or platform.machine()
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{fabric.device.type} {name}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "peak_gflops": top / 1e9,
        "spaces": {},
    }
    for label, space in (
        ("DARTS, 8 cells x 16 channels", "darts"),
        ("NAS-Bench-201, 5 cells per stage x 16 channels", "nasbench201"),
    ):
        result["spaces"][label] = main_rows(space, given.rounds, given.pictures, given.device, top)
    result["growth"] = growth(fabric)
    result["start_up_s"] = start_up(5)
    result["history"] = {"architectures": given.history, "median_ms": history_times(given.history)}
    result["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    show(result)
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


def show(result: dict) -> None:
    console = Console(width=120, highlight=False)
    console.print(f"{result['machine']}, torch {result['torch']}, matrix product {result['peak_gflops']:.0f} GFLOP/s")
    for label, rows in result["spaces"].items():
        table = Table("", "reference", "genas", "ratio", "of peak", title=label, title_justify="left", box=None)
        for row in rows:
            share = row.get("share_of_peak")
            table.add_row(
                f"{row['name']}, {row['unit']}",
                f"{row['reference']:.4g}",
                f"{row['genas']:.4g}",
                f"{row['ratio']:.2f}",
                f"{100 * share:.1f} %" if share else "",
            )
        console.print(table)
    for row in result["growth"]:
        console.print(f"time grows with {row['with']}^{row['exponent']:.2f} (sizes {row['sizes']})")
    console.print(f"genas --help: {result['start_up_s']:.2f} s; peak memory {result['peak_memory_gb']:.2f} GB")
    console.print(f"history of {result['history']['architectures']:,}: {result['history']['median_ms']} ms")


if __name__ == "__main__":
    main()
