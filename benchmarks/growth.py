"""How time, memory and disk grow with each size, with fitted exponents.

    python benchmarks/growth.py --out benchmarks/growth-cpu.json

Networks: a DARTS supernet (5 cells x 16 channels, 32x32 images, 10 classes), one size changed at a time; the evaluation
of a path on 256 images, a training step of batch 32, peak memory and the size of the supernet's file. History: a real
run folder whose history is filled up, and what is done with it: ask, tell, ``genas status``, ``genas report``, and
``genas search`` where nothing is left to do. Every point is measured in a process of its own; commands by their CPU
seconds, which a busy machine changes least. An exponent is the slope of the logarithms between two sizes, and over
all: where it differs from one pair to the next, the curve bends.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

BASE = {"channels": 16, "cells": 5, "side": 32, "classes": 10, "images": 256}
SIZES = {
    "channels": [8, 16, 32, 64],
    "cells": [4, 8, 16, 32],
    "side": [16, 32, 64, 96],
    "classes": [10, 100, 1000],
    "images": [64, 256, 1024, 4096],
}
HISTORY = [100, 1_000, 10_000, 100_000, 1_000_000]
BATCH, ROUNDS, POPULATION = 32, 3, 50


def cpu_seconds(work) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def network_point(sizes: dict) -> dict:
    """Seconds of an evaluation and of a step, GB of memory after each, MB of the supernet's file."""
    import torch
    from made import random_splits, scoring_of
    from reference import step

    from genas.core.allocator import keep_freed_memory
    from genas.core.checkpoint import save_checkpoint
    from genas.core.device import open_fabric
    from genas.spaces import open_space

    def high() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    keep_freed_memory()  # as the command line does
    fabric = open_fabric("cpu")
    space = open_space("darts", cells=sizes["cells"], channels=sizes["channels"])
    splits = random_splits(max(sizes["images"], BATCH), sizes["classes"], sizes["side"])
    scoring = scoring_of(space, splits, fabric)
    start = high()
    networks = [scoring.extract(space.sample(random.Random(seed))) for seed in range(ROUNDS + 1)]
    evaluations = [cpu_seconds(lambda one=one: scoring.evaluate(one)) for one in networks]
    after_evaluation = high()
    net = scoring.supernet.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    images, labels = next(iter(splits.weights.batches(BATCH, fabric.device)))
    images = images.contiguous(memory_format=torch.channels_last)
    paths = [space.sample(random.Random(seed)) for seed in range(ROUNDS + 1)]
    steps = [cpu_seconds(lambda one=one: step(net, optimizer, one, images, labels)) for one in paths]
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "supernet", net.state_dict(), {})
        disk = (Path(folder) / "supernet").stat().st_size
    return {
        "evaluation_s": statistics.median(evaluations[1:]),
        "step_s": statistics.median(steps[1:]),
        "evaluation_gb": after_evaluation - start,
        "step_gb": high() - start,
        "supernet_mb": disk / 1e6,
    }


def fill(run: Path, count: int) -> None:
    """Goes on with the search of `run` up to `count` architectures, with random numbers for scores."""
    import yaml

    from genas.core.seeding import python_rng
    from genas.strategies import History
    from genas.workflows.session import Session, load_config

    config = yaml.safe_load((run / "config.yaml").read_text())
    config["strategy"]["generations"] = count // POPULATION
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    session = Session(load_config(run), run, quiet=True)
    search, seed, rng = session.open_search(), session.config.seed, random.Random(1)
    parts = json.dumps({"losses": [2.0, 2.1, 2.2], "sigmas": [0.001, 0.003, 0.006], "slopes": [50.0, 33.0]})
    with History(run / "history.sqlite") as history:
        history._db.execute("BEGIN")
        for generation in range(history.generations(), count // POPULATION):
            rows = [
                (one.architecture.genotype, generation, one.origin, json.dumps(one.parents), rng.random() / 1e3, parts)
                for one in search.ask(history, python_rng(seed, "search", generation), generation)
            ]
            history._db.executemany(
                "INSERT INTO architectures (genotype, generation, origin, parents, score, parts, params, macs, "
                "seconds) VALUES (?, ?, ?, ?, ?, ?, 1000000, 10000000, 0.1)",
                rows,
            )
        history._db.execute("COMMIT")
        history._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def history_point(run: Path) -> dict:
    """CPU milliseconds of ask and tell on a filled history."""
    from genas.spaces import open_space
    from genas.strategies import History, Record, SearchSettings, open_search

    space, rng = open_space("darts"), random.Random(2)
    with History(run / "history.sqlite") as history:
        following = history.generations()
        search = open_search(space, SearchSettings(), lambda one: True)

        def tell() -> None:
            history.add(Record(0, space.sample(rng).genotype, following, "random", (), None, 1e-5, {}, 1, 1, 0.1))

        works = {"ask_ms": lambda: search.ask(history, rng, following), "tell_ms": tell}
        return {name: 1e3 * statistics.median(cpu_seconds(work) for _ in range(9)) for name, work in works.items()}


def command(arguments: list[str], limit: float) -> dict:
    """CPU seconds and peak GB of a genas command; None where it takes longer than `limit` seconds by the clock."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "genas", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    begun = time.monotonic()
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            break
        if time.monotonic() - begun > limit:
            process.kill()
            os.wait4(process.pid, 0)
            return {"s": None, "gb": None}
        time.sleep(0.02)
    if status:
        raise SystemExit(f"genas {' '.join(arguments)} failed: {process.stderr.read().decode()}")
    return {"s": usage.ru_utime + usage.ru_stime, "gb": usage.ru_maxrss * 1024 / 1e9}


def child(what: str, argument: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--child", what, argument], check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def slopes(sizes: list, values: list) -> list:
    """The exponent from each size to the next, None where a value is missing, and over all of them."""
    known = [(math.log(size), math.log(one)) for size, one in zip(sizes, values, strict=True) if one]
    steps = [
        math.log(second / first) / math.log(wide / narrow) if first and second else None
        for (narrow, first), (wide, second) in zip(
            zip(sizes, values, strict=True), list(zip(sizes, values, strict=True))[1:], strict=False
        )
    ]
    x, y = (statistics.mean(axis) for axis in zip(*known, strict=True))
    whole = sum((one - x) * (two - y) for one, two in known) / sum((one - x) ** 2 for one, _ in known)
    return [*(None if one is None else round(one, 2) for one in steps), round(whole, 2)]


def table_of(name: str, sizes: list, points: list[dict]) -> dict:
    columns = {key: [point[key] for point in points] for key in points[0]}
    exponents = {key: slopes(sizes, [max(one, 1e-9) if one else None for one in row]) for key, row in columns.items()}
    return {"with": name, "sizes": sizes, "values": columns, "exponents": exponents}


def networks() -> list[dict]:
    tables = []
    for name, sizes in SIZES.items():
        points = [child("network", json.dumps(BASE | {name: size})) for size in sizes]
        tables.append(table_of(name, sizes, points))
        print(json.dumps(tables[-1]), flush=True)
    return tables


def history(sizes: list[int], limit: float) -> dict:
    points = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        small = ["search.generations=1", f"search.population={POPULATION}", "search.budget=exact"]
        small += [
            "report.noise_curves=false",
            "search.noise_of_best=0",
            "baseline.choice=none",
            "proxy.expression=macs",
        ]
        settings = [text for one in small for text in ("--set", one)]
        made = ["search", "--data", "digits", "--space", "darts", "--run", str(run), "--no-retrain", "--quiet"]
        command([*made, *settings], 600)
        for size in sizes:
            child("fill", json.dumps([str(run), size]))
            point = {"disk_mb": (run / "history.sqlite").stat().st_size / 1e6}
            copy = Path(folder) / "copy"
            shutil.copytree(run, copy)
            point |= child("history", str(copy))
            shutil.rmtree(copy)
            for name, arguments in (
                ("status", ["status", str(run)]),
                ("report", ["report", str(run)]),
                ("resume", ["search", "--run", str(run), "--no-retrain", "--quiet"]),
            ):
                found = command(arguments, limit)
                point |= {f"{name}_s": found["s"], f"{name}_gb": found["gb"]}
            points.append(point)
            print(size, json.dumps(point), flush=True)
    return table_of("architectures", sizes, points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", default=["networks", "history"], choices=["networks", "history"])
    parser.add_argument("--history", nargs="*", type=int, default=HISTORY)
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a command is given up")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.child:
        what, argument = given.child
        if what == "fill":
            fill(Path(json.loads(argument)[0]), json.loads(argument)[1])
        found = {
            "network": lambda: network_point(json.loads(argument)),
            "history": lambda: history_point(Path(argument)),
        }
        print(json.dumps(found[what]() if what in found else {}))
        return
    result = json.loads(given.out.read_text()) if given.out and given.out.exists() else {}
    result |= {
        "date": time.strftime("%Y-%m-%d"),
        "torch": version("torch"),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    if "networks" in given.parts:
        result["networks"] = networks()
    if "history" in given.parts:
        result["history"] = history(given.history, given.limit)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
