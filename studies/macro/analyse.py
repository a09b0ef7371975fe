"""Tables from the losses of `measure.py`.

    python studies/macro/analyse.py studies/macro/seed-*.jsonl.gz --out studies/macro/tables.md

Kendall's tau-b with the true accuracy, and partial tau given the supernet's loss and the MACs, with percentile
intervals of 1,000 bootstrap samples of the architectures; and tau of each measure with what the path is made of: the
layers that get noise, the norm of the noise, and in NAS-Bench-Macro the blocks that are no identity, by where they are.
"""

import argparse
import gzip
import json
import math
from pathlib import Path

import numpy as np

from genas.analysis.ranking.measures import bootstrap_weights, interval, kendall, kendall_matrix, once, partial_kendall
from genas.proxies.flatness import flatness_terms
from genas.spaces.nasbench_macro.encoding import FIRST, LAYERS

SIZES = (0.1, 0.2, 0.4)
PARTS = ("loss", "layers with noise", "norm of the noise", "blocks without shortcut", "blocks with shortcut")


def flatness(losses: list[float], divide: float = 1.0) -> float:
    """F' at 0.1, 0.2, 0.4 with alpha 1; slopes divided by `divide`."""
    _, slopes, depth = flatness_terms(SIZES, tuple(losses), 1.0)
    return 1 / (depth + sum(slopes) / divide + 1e-5)


def measures(rows: list[dict]) -> dict[str, np.ndarray]:
    """By name: [n]; higher is flatter, or more."""
    found: dict[str, list[float]] = {}
    for row in rows:
        layers, all_noise = row["perturbed"]["all"]["layers"], row["all"]
        values = {
            "relative-flatness: noise per layer": flatness(all_noise),
            "noise per path": flatness(row["equal"]),
            "noise per layer, slopes / layers": flatness(all_noise, layers / 10),
            "noise per layer, stem and head alone": flatness(row["shared"]),
            "rise of the loss at 0.4, noise per layer": row["loss"] - all_noise[2],
            "rise at 0.4, noise per path": row["loss"] - row["equal"][2],
            "loss": -row["loss"],
            "accuracy": row["accuracy"],
            "MACs": row["macs"],
            "parameters": row["params"],
            **row["others"],
            "layers with noise": layers,
            "norm of the noise": row["perturbed"]["all"]["norm"],
        }
        if len(row["genotype"]) == LAYERS:
            used = [digit != "0" for digit in row["genotype"]]
            values["blocks without shortcut"] = sum(used[place] for place in FIRST)
            values["blocks with shortcut"] = sum(used) - values["blocks without shortcut"]
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values, dtype=float) for name, values in found.items()}


def said(values: np.ndarray) -> str:
    low, high = interval(values[1:], 0.95)
    return f"{values[0]:+.2f} ({low:+.2f} to {high:+.2f})" if math.isfinite(values[0]) else "-"


def table(name: str, rows: list[dict]) -> list[str]:
    found = measures(rows)
    count = len(rows)
    weights = np.concatenate([once(count), bootstrap_weights(count, 1000, 0)], axis=1)
    columns = list(rows[0]["true"])
    lines = [f"## {name}: {count} architectures", ""]
    heads = [f"tau, {one}" for one in columns] + [f"given loss and MACs, {one}" for one in columns]
    parts = [part for part in PARTS if part in found]
    heads += ["given loss, MACs and layers", *(f"tau with {part}" for part in parts)]
    lines += [f"| measure | {' | '.join(heads)} |", f"|{' --- |' * (len(heads) + 1)}"]
    for measure, values in found.items():
        cells = []
        for column in columns:
            truth = np.array([row["true"][column] for row in rows])
            cells.append(said(kendall(values, truth, weights)))
        matrices = []
        for column in columns:
            truth = np.array([row["true"][column] for row in rows])
            given = [values, truth, found["loss"], found["MACs"], found["layers with noise"]]
            matrices.append(kendall_matrix(given, weights))
            own = measure in ("loss", "MACs")
            cells.append("-" if own else said(partial_kendall(matrices[-1], 0, 1, (2, 3))))
        own = measure in ("loss", "MACs", "layers with noise")  # of themselves nothing is left
        cells.append("-" if own else said(partial_kendall(matrices[0], 0, 1, (2, 3, 4))))
        for other in parts:
            cells.append(f"{kendall(values, found[other], once(count))[0]:+.2f}")
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = []
    for file in given.files:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
        rows = {row["genotype"]: row for row in map(json.loads, text.splitlines())}
        lines += table(file.name.partition(".")[0], list(rows.values()))
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
