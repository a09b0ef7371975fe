"""Measures genas against the plain reference, interleaved, and prints a table; run it with ``make bench``.

Every comparison alternates reference and genas on the same architecture and pictures, after one unmeasured round; the
figures are medians over the rounds with the range, and the median of the ratios. The roofline column is the share of
the machine's own peak, measured by a large matrix product in the same process.
"""

import argparse
import json
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

import reference
import torch
from rich.console import Console
from rich.table import Table

from genas.data import Splits
from genas.data.augment import Augmentation
from genas.data.base import Normalisation
from genas.data.loader import ResidentImages
from genas.device import open_fabric
from genas.proxy import BatchNormSettings, EvaluationSettings, Flatness, FlatnessSettings, Scoring
from genas.space import architecture_cost, open_space
from genas.strategy import History, Record, SearchSettings, open_search
from genas.supernet import initialise

SIGMAS = (0.001, 0.003, 0.006)


def timed(work: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def pictures(count: int, classes: int = 10) -> Splits:
    """Random pixels: the time does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    normalisation = Normalisation((0.5,) * 3, (0.25,) * 3, "made")
    whole = ResidentImages(pixels, labels, normalisation)
    names = tuple(str(number) for number in range(classes))
    return Splits(whole, whole, whole, None, normalisation, names, Augmentation(crop_padding=4, flip=True))


def peak(device: torch.device) -> float:
    """FLOP/s of a 2048 x 2048 matrix product in float32, the best of ten."""
    left = torch.randn(2048, 2048, device=device)
    timed(lambda: left @ left, device)
    return 2 * 2048**3 / min(timed(lambda: left @ left, device) for _ in range(10))


def compare(name, unit, count, slow, fast, rounds, device, flop=None, top=None) -> dict:
    slow(), fast()
    rows = [(timed(slow, device) / count, timed(fast, device) / count) for _ in range(rounds)]
    first, second = [row[0] for row in rows], [row[1] for row in rows]
    return {
        "name": name,
        "unit": unit,
        "reference": statistics.median(first),
        "reference_range": [min(first), max(first)],
        "genas": statistics.median(second),
        "genas_range": [min(second), max(second)],
        "ratio": statistics.median(a / b for a, b in rows),
        "share_of_peak": flop / statistics.median(second) / top if flop else None,
    }


def scoring_of(space, splits, fabric, engine="fast", count=None) -> Scoring:
    supernet = initialise(space, splits.num_classes, 3, 0).to(fabric.device).eval()
    return Scoring(
        space,
        supernet,
        {},
        splits,
        fabric,
        0,
        BatchNormSettings(),
        EvaluationSettings(engine=engine, pictures=count),
    )


def main_rows(space, rounds: int, count: int, fabric, top: float) -> list[dict]:
    device = fabric.device
    splits = pictures(count)
    scoring = scoring_of(space, splits, fabric)
    images, labels = next(iter(splits.validation.batches(count, device)))
    recalibration = images[:896]
    rng = random.Random(0)
    chosen = [space.sample(rng) for _ in range(rounds + 1)]
    macs = statistics.mean(architecture_cost(space, one, 10, (3, 32, 32)).macs for one in chosen[1:])
    rows = []

    networks = {one: scoring.extract(one) for one in chosen}
    at = iter([one for one in chosen for _ in (0, 1)])
    passes = compare(
        "picture pass",
        "s/picture",
        count,
        lambda: reference.evaluate(scoring.supernet, next(at), images, labels),
        lambda: scoring.evaluate(networks[next(at)]),
        rounds,
        device,
        2 * macs,
        top,
    )
    rows.append(passes)

    at_score = iter([one for one in chosen for _ in (0, 1)])

    def ours() -> None:
        scoring.forget()
        Flatness(scoring, FlatnessSettings(sigmas=SIGMAS)).score(next(at_score))

    rows.append(
        compare(
            f"architecture score on {count} pictures (896 for batch norm)",
            "s/architecture",
            1,
            lambda: reference.losses(scoring.supernet, next(at_score), images, labels, recalibration, SIGMAS),
            ours,
            max(rounds // 2, 3),
            device,
        )
    )
    rows.append(
        {
            "name": "architecture score at published fidelity (25,000 pictures), from the picture pass",
            "unit": "s/architecture",
            "reference": passes["reference"] * 75896,
            "genas": passes["genas"] * 75896,
            "ratio": passes["ratio"],
        }
    )

    nets, optimizers = [], []
    for layout in (torch.contiguous_format, torch.channels_last):
        net = initialise(space, 10, 3, 0).to(device).to(memory_format=layout).train()
        nets.append(net)
        optimizers.append(torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=3e-4))
    batch, targets = images[:64], labels[:64]
    wide = batch.contiguous(memory_format=torch.channels_last)
    at_step = iter([one for one in chosen for _ in (0, 1)])
    rows.append(
        compare(
            "supernet step (batch 64)",
            "s/step",
            1,
            lambda: reference.step(nets[0], optimizers[0], next(at_step), batch, targets),
            lambda: reference.step(nets[1], optimizers[1], next(at_step), wide, targets),
            rounds,
            device,
            2 * 3 * macs * 64,
            top,
        )
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
        scoring = scoring_of(space, pictures(count, classes), fabric)
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
        ("DARTS, 8 cells x 16 channels", open_space("darts", cells=8, channels=16)),
        ("NAS-Bench-201, 5 cells per stage x 16 channels", open_space("nasbench201")),
    ):
        result["spaces"][label] = main_rows(space, given.rounds, given.pictures, fabric, top)
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
