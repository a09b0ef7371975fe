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
DERIVED = ("slopes of flatness", "angle + 16*flatness")
FORMS = {"bf16": "autocast", "openvino": "OpenVINO", "other": "f32, other noise"}
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


def read(paths: list[Path]) -> list[dict]:
    """The rows of the files, those of one genotype joined."""
    rows: dict[str, dict] = {}
    for path in paths:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for line in file:
                row = json.loads(line)
                rows.setdefault(row["genotype"], {}).update(row)
    return list(rows.values())


def study(rows: list[dict]) -> dict:
    found: dict = {"architectures": len(rows), "rounding": {}, "measures": {}, "speed": {}}
    for key in rows[0]["rounding"]:
        found["rounding"][key] = float(np.median([row["rounding"][key] for row in rows]))
    for name, value in MEASURES.items():
        for form in FORMS:
            both = [row for row in rows if "f32" in row and form in row and (name in row[form] or name in DERIVED)]
            if len(both) > BEST:
                first, second = (np.array([value(row, one) for row in both]) for one in ("f32", form))
                found["measures"].setdefault(name, {})[form] = compare(first, second)
    for form in ("bf16", "openvino"):
        for name in ("flatness", "relative-flatness"):
            both = [row for row in rows if "f32" in row and name in row.get(form, {})]
            if both:
                ratios = [row["f32"]["seconds"][name] / row[form]["seconds"][name] for row in both]
                found["speed"][f"{name}, {form}"] = float(np.median(ratios))
    return found


def show(results: dict) -> None:
    print("| supernet | measure | compared with f32 | n | tau | ten best | place of its best |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for space, found in results.items():
        for name, forms in found["measures"].items():
            for form, one in forms.items():
                low, high = one["interval"]
                print(
                    f"| {space} | {name} | {FORMS[form]} | {one['architectures']} | {one['tau']:.3f} ({low:.3f} to "
                    f"{high:.3f}) | {one['best_ten']} | {one['place_of_its_best']} |"
                )
    print("\n| supernet | error of the noise | weights it moves | step / sigma | times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for space, found in results.items():
        rounding = found["rounding"]
        speed = "; ".join(f"{name} {ratio:.2f}" for name, ratio in found["speed"].items())
        print(
            f"| {space} | {100 * rounding['error']:.0f} % | {100 * rounding['kept']:.0f} % | {rounding['step']:.2f} | "
            f"{speed} |"
        )


def main() -> None:
    paths = [Path(one) for one in sys.argv[1:]] or sorted(Path(__file__).parent.glob("*.jsonl.gz"))
    spaces: dict[str, list[Path]] = {}
    for path in paths:
        spaces.setdefault(path.name.partition(".")[0].removesuffix("-openvino"), []).append(path)
    results = {space: study(read(files)) for space, files in spaces.items()}
    (Path(__file__).parent / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    show(results)


if __name__ == "__main__":
    main()
