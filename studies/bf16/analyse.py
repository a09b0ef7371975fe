"""Compares rankings in bfloat16 with those in single precision: ``python studies/bf16/analyse.py *.jsonl.gz``.

Kendall's tau-b with 95 % intervals of a bootstrap over architectures, the number of the ten best that both name, and
the place in single precision of the best of the other. Writes ``results.json`` beside this file and prints the tables.
"""

import gzip
import json
import math
import sys
from pathlib import Path

import numpy as np

SIGMAS = (0.001, 0.003, 0.006)
WEIGHT = 16  # of the flatness in angle + 16*flatness
MEASURES = {
    "loss": lambda row, form: -row[form]["loss"],
    "accuracy": lambda row, form: row[form]["accuracy"],
    "flatness": lambda row, form: row[form]["flatness"]["value"],
    "slopes of flatness": lambda row, form: -slopes(row[form]["flatness"]["losses"]),
    "angle + 16*flatness": lambda row, form: (
        row["angle"] / math.pi + WEIGHT * row[form]["flatness"]["value"] / SIGMAS[0]
    ),
    "relative-flatness": lambda row, form: row[form]["relative-flatness"]["value"],
}
BEST, RESAMPLES = 10, 1000


def slopes(losses: list[float]) -> float:
    """What flatness adds to the depth of the loss; of no use alone, but the part that rounding could spoil."""
    return sum(abs((losses[k + 1] - losses[k]) / (SIGMAS[k + 1] - SIGMAS[k])) for k in range(2))


def tau(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b."""
    signs = [np.sign(values[:, None] - values[None, :]) for values in (first, second)]
    whole = math.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum())
    return float((signs[0] * signs[1]).sum() / whole) if whole else float("nan")


def compare(first: np.ndarray, second: np.ndarray) -> dict:
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(first), len(first)) for _ in range(RESAMPLES)]
    low, high = np.quantile([tau(first[one], second[one]) for one in drawn], (0.025, 0.975))
    order = np.argsort(-first, kind="stable")
    best = [set(np.argsort(-values, kind="stable")[:BEST].tolist()) for values in (first, second)]
    return {
        "architectures": len(first),
        "tau": tau(first, second),
        "interval": [float(low), float(high)],
        "best_ten": len(best[0] & best[1]),
        "place_of_its_best": int(np.flatnonzero(order == int(np.argmax(second)))[0]) + 1,
        "largest_relative_difference": float(np.max(np.abs(second / first - 1))),
        "spread": float(np.std(first) / abs(np.mean(first))),
    }


def study(path: Path) -> dict:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = [json.loads(line) for line in file]
    found: dict = {"architectures": len(rows), "rounding": {}, "measures": {}, "speed": {}}
    for key in rows[0]["rounding"]:
        found["rounding"][key] = float(np.median([row["rounding"][key] for row in rows]))
    for name, value in MEASURES.items():
        for form in ("bf16", "other"):
            both = [row for row in rows if form in row]
            first, second = (np.array([value(row, one) for row in both]) for one in ("f32", form))
            found["measures"].setdefault(name, {})[form] = compare(first, second)
    for name in rows[0]["f32"]["seconds"]:
        ratios = [row["f32"]["seconds"][name] / row["bf16"]["seconds"][name] for row in rows]
        found["speed"][name] = float(np.median(ratios))
    return found


def show(results: dict) -> None:
    print("| supernet | measure | tau bf16 | ten best | place of bf16's best | tau other noise | its ten best |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for space, found in results.items():
        for name, forms in found["measures"].items():
            ours, other = forms["bf16"], forms["other"]
            low, high = ours["interval"]
            print(
                f"| {space} | {name} | {ours['tau']:.3f} ({low:.3f} to {high:.3f}) | {ours['best_ten']} | "
                f"{ours['place_of_its_best']} | {other['tau']:.3f} | {other['best_ten']} |"
            )
    print("\n| supernet | error of the noise | weights it moves | step / sigma | times as fast: flatness | relative |")
    print("| --- | --- | --- | --- | --- | --- |")
    for space, found in results.items():
        rounding, speed = found["rounding"], found["speed"]
        print(
            f"| {space} | {100 * rounding['error']:.0f} % | {100 * rounding['kept']:.0f} % | {rounding['step']:.2f} | "
            f"{speed['flatness']:.2f} | {speed['relative-flatness']:.2f} |"
        )


def main() -> None:
    paths = [Path(one) for one in sys.argv[1:]] or sorted(Path(__file__).parent.glob("*.jsonl.gz"))
    results = {path.name.partition(".")[0]: study(path) for path in paths}
    (Path(__file__).parent / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    show(results)


if __name__ == "__main__":
    main()
