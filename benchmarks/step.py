"""A training step of the supernet in several ways, beside the reference: ``python benchmarks/step.py [--out FILE]``.

The reference runs in a process of its own, and so does genas (`worker.py`); both are asked in turn for the same paths
at batch 64. The ways are settings: ``supernet.gradients=fast``, ``precision=bf16``, both.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from run import Side

WAYS = {
    "default": "step",
    "supernet.gradients=fast": "step-fast",
    "precision=bf16": "step-bf16",
    "precision=bf16, supernet.gradients=fast": "step-fast-bf16",
}


def measure(space: str, rounds: int) -> dict:
    """Median seconds of the reference and of each way, and medians of the ratios, over paths."""
    reference, ours = (Side(side, space, 64, "cpu") for side in ("reference", "genas"))
    rows = []
    for number in range(rounds + 1):
        row = [reference.seconds("step", number), *(ours.seconds(work, number) for work in WAYS.values())]
        if number:  # the first one warms up
            rows.append(row)
    for side in (reference, ours):
        side.close()
    columns = list(zip(*rows, strict=True))
    found = {"space": space, "reference_s": statistics.median(columns[0]), "ways": {}}
    for way, column in zip(WAYS, columns[1:], strict=True):
        ratios = [first / second for first, second in zip(columns[0], column, strict=True)]
        found["ways"][way] = {
            "s": statistics.median(column),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spaces", nargs="*", default=["darts", "nasbench201", "nasbench-macro"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"cpu {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "rounds": given.rounds,
        "spaces": [],
    }
    for space in given.spaces:
        found = measure(space, given.rounds)
        result["spaces"].append(found)
        print(f"{space}: reference {found['reference_s']:.3g} s", flush=True)
        for way, row in found["ways"].items():
            print(f"  {way}: {row['s']:.3g} s, {row['ratio']:.2f} times as fast", flush=True)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
