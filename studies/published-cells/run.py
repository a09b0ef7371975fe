"""Trains the cells of the poster's table alike, at equal MACs, and measures each trained network.

    GENAS_DATA=... python studies/published-cells/run.py photos
    GENAS_DATA=... python studies/published-cells/run.py cifar10

Every (cell, seed) is one `genas retrain` and one `genas evaluate`; what is finished is not done again. After each
network the results are written to `results-photos.json` or `results-cifar10.json` beside this file; `table.py` makes
the page's tables and figures of them.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet
import torch

from genas.core.device import describe_machine
from genas.spaces import open_space
from genas.spaces.cost import architecture_cost
from genas.spaces.zoo import load

HERE = Path(__file__).parent
CELLS = {
    "PC-DARTS": "pc_darts_c10",
    "RLNAS": "rlnas_c10",
    "DropNAS": "dropnas_c100",
    "P-DARTS": "p_darts_c10",
    "SPOS stand-in": "genas_angle_c100",
    "GeNAS": "genas_fbs_c100",
    "random cell": None,
}
DATA = {  # image side, stem, cells, MACs to come near, images for corruptions and flatness
    "photos": {"side": 96, "stem": "imagenet", "cells": 5, "macs": 6.3e6, "measured_on": 500},
    "cifar10": {"side": 16, "stem": "cifar", "cells": 5, "macs": 2.8e6, "measured_on": 400},
}
CIFAR_IMAGES = 10_000


def genotype(name: str | None) -> str:
    """Of the zoo, or the first that seed 0 draws uniformly from the space."""
    space = open_space("darts")
    return (load(name).architecture if name else space.sample(random.Random(0))).genotype


def nearest_width(text: str, data: str) -> tuple[int, int]:
    """Width (even where the stem halves it) and MACs nearest to the data set's budget."""
    setting, space = DATA[data], open_space("darts")
    widths = range(4, 33, 2 if setting["stem"] == "imagenet" else 1)
    shape = (3, setting["side"], setting["side"])

    def macs(width: int) -> int:
        final = space.final(cells=setting["cells"], channels=width, stem=setting["stem"])
        return architecture_cost(final, space.parse(text), 10, shape).macs

    width = min(widths, key=lambda one: abs(macs(one) - setting["macs"]))
    return width, macs(width)


def data_name(data: str, folder: Path) -> str:
    """The data set as genas names it; of CIFAR-10 the first 10,000 training images, which are in random order."""
    source = Path(os.environ["GENAS_DATA"])
    if data == "photos":
        return f"folder:{source / 'photos'}"
    part = folder / "cifar10-part"
    if not (part / "test.parquet").exists():
        part.mkdir(parents=True, exist_ok=True)
        for split, count in (("train", CIFAR_IMAGES), ("test", None)):
            table = parquet.read_table(source / "cifar10" / f"{split}.parquet")
            parquet.write_table(table.slice(0, count), part / f"{split}.parquet")
    return f"parquet:{part}"


def genas(*arguments: str) -> dict:
    command = [sys.executable, "-m", "genas", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def one(label: str, data: str, seed: int, folder: Path) -> dict:
    """Trains and measures one network."""
    setting, text = DATA[data], genotype(CELLS[label])
    width, macs = nearest_width(text, data)
    run = folder / data / f"{label.replace(' ', '-')}-{seed}"
    name = data_name(data, folder)
    size = ["--image-size", str(setting["side"])]
    begun = time.perf_counter()
    genas(
        *("retrain", text, "--space", "darts", "--data", name, *size, "--recipe", str(HERE / f"recipe-{data}.yaml")),
        *("--channels", str(width), "--seeds", str(seed), "--run", str(run)),
    )
    trained = time.perf_counter()
    count = setting["measured_on"]
    content = genas(
        *("evaluate", str(run), "--shift", "corruptions", "--no-latency"),
        *("--set", f"corruption_images={count}", "--set", f"flatness.images={count}", "--set", "flatness.draws=3"),
        *("--set", "flatness.sigmas=[0.005,0.01,0.02]", "--set", "flatness.relative_sigmas=[0.1,0.2,0.4]"),
    )
    (model,) = content["models"]
    clean, corrupted = model["clean"], model["corruptions"]
    clean = {key: value for key, value in clean.items() if isinstance(value, int | float)}
    return {
        "cell": label,
        "zoo": CELLS[label],
        "genotype": text,
        "seed": seed,
        "channels": width,
        "macs": macs,
        "params": model["model"]["params"],
        "clean": clean,
        "corruption_accuracy": corrupted["mean_corruption_accuracy"],
        "clean_top1_of_these": corrupted["clean_top1"],
        "corruptions": corrupted["mean"],
        "flatness": model["flatness"],
        "seconds": {"retrain": round(trained - begun), "evaluate": round(time.perf_counter() - trained)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=list(DATA))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--folder", type=Path, default=Path("runs/published-cells"))
    given = parser.parse_args()
    out = HERE / f"results-{given.data}.json"
    known = json.loads(out.read_text())["networks"] if out.exists() else []
    wanted = [(label, seed) for seed in map(int, given.seeds.split(",")) for label in CELLS]
    wanted.sort(key=lambda pair: CELLS[pair[0]] is None)  # the published cells first
    for label, seed in wanted:
        if any((row["cell"], row["seed"]) == (label, seed) for row in known):
            continue
        known.append(one(label, given.data, seed, given.folder))
        content = {"data": given.data, "setting": DATA[given.data], "networks": known}
        content["machine"] = describe_machine(torch.device("cpu"))
        out.write_text(json.dumps(content, indent=1) + "\n")
        row = known[-1]
        print(label, seed, row["clean"]["top1"], row["corruption_accuracy"], row["seconds"], flush=True)


if __name__ == "__main__":
    main()
