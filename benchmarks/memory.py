"""Peak memory of a whole search: `genas search` on all of a data set, as a user would start it, but short.

    python benchmarks/memory.py parquet:DIR --space darts --out benchmarks/memory-cpu.json

One epoch, few architectures on a part of the validation images, and some steps of retraining: peak memory depends on
none of these numbers, time does. The figure is the largest resident set of the process, as the kernel counts it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from genas.core.device import describe_machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--space", default="darts")
    parser.add_argument("--pictures", type=int, default=1_000, help="validation images of each evaluation")
    parser.add_argument("--architectures", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = {
        "supernet.epochs": 1,
        "strategy.generations": 1,
        "strategy.population": given.architectures,
        "strategy.parents": min(10, given.architectures),
        "proxy.evaluation.images": given.pictures,
        "retrain.epochs": 1,
        "retrain.limit_batches": 30,
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "genas", "search", "--data", given.data, "--space", given.space]
        command += ["--run", f"{folder}/run", "--json", "--quiet"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        begun = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - begun
    result = {
        "data": Path(given.data).name,
        "space": given.space,
        "settings": settings,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9,
        "seconds": round(seconds),
        "machine": describe_machine(torch.device("cpu")),
        "torch": torch.__version__,
    }
    assert json.loads(done.stdout)
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
