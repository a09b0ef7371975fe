"""From the raw losses of `measure.py` to measures of flatness, how repeatable they are and what they say.

    python studies/flatness/analyse.py A.jsonl B.jsonl --pictures 256 --out studies/flatness

Files are those of supernets that differ in their seed; architectures that all of them have are compared. Writes
`measures.csv` (every measure) and `figure.png`/`.svg`.
"""

import argparse
import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from genas.analysis.ranking.measures import bootstrap_weights, interval, kendall, kendall_matrix, once, partial_kendall
from genas.proxies.perturbation import choose_parameters
from genas.spaces import Cost, architecture_cost, open_space

COLUMNS = ("cifar10_test", "cifar100_test", "imagenet16_test")
REPLICATES = 500
SIZES = {
    "absolute, all": (0.001, 0.003, 0.006, 0.01, 0.02, 0.04),
    "absolute, convolutions": (0.01, 0.02, 0.04),
    "absolute, cells": (0.006, 0.01, 0.02, 0.04),
    "accumulated, all": (0.01, 0.02, 0.04),
    "filter, all": (0.05, 0.1, 0.2, 0.4),
    "filter, cells": (0.05, 0.1, 0.2, 0.4),
    "absolute, all, recomputed": (0.01, 0.02, 0.04),
    "filter, all, recomputed": (0.1, 0.2, 0.4),
}
TRIPLES = {
    "absolute, all": ((0.001, 0.003, 0.006), (0.01, 0.02, 0.04)),
    "filter, all": ((0.05, 0.1, 0.2), (0.1, 0.2, 0.4)),
    "filter, cells": ((0.1, 0.2, 0.4),),
    "absolute, cells": ((0.01, 0.02, 0.04),),
    "accumulated, all": ((0.01, 0.02, 0.04),),
    "absolute, convolutions": ((0.01, 0.02, 0.04),),
    "absolute, all, recomputed": ((0.01, 0.02, 0.04),),
    "filter, all, recomputed": ((0.1, 0.2, 0.4),),
}
Half = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """A number for one half of an architecture, higher is flatter; with `per_weight`, it is divided by the number of
    parameters that got noise."""

    kind: str
    form: str
    draws: int
    opposites: bool
    passes: int
    value: Callable[[Half], float]
    per_weight: bool = False


def flatness(losses: np.ndarray, sizes: tuple[float, ...], alpha: float) -> float:
    """As `genas.proxies.flatness_terms`, written down anew."""
    slopes = sum(abs((losses[i + 1] - losses[i]) / (sizes[i + 1] - sizes[i])) for i in range(len(sizes) - 1))
    return 1 / (alpha * abs(losses[0] / sizes[0]) + slopes + 1e-5)


def measures(example: Half, images: int) -> Iterator[Measure]:
    """Everything that can be made of one half."""
    for kind, sizes in SIZES.items():
        if kind not in example:
            continue
        pairs = len(example[kind]) // 2
        batchnorm = 896 if kind.endswith("recomputed") else 0
        for draws in [count for count in (1, 2, 4, 8, 16) if count <= pairs]:
            for opposites in (False, True):
                rows = slice(0, 2 * draws) if opposites else slice(0, 2 * draws, 2)
                count = draws * (2 if opposites else 1)

                def mean(half: Half, rows: slice = rows, kind: str = kind) -> np.ndarray:
                    return np.array(half[kind])[rows].mean(0)

                for place, size in enumerate(sizes):
                    passes = count * (images + batchnorm) + images
                    yield Measure(
                        *(kind, f"rise at {size:g}", draws, opposites, passes),
                        lambda half, mean=mean, place=place: half["loss"] - mean(half)[place],
                    )
                    yield Measure(
                        *(kind, f"rise per weight at {size:g}", draws, opposites, passes),
                        lambda half, mean=mean, place=place: half["loss"] - mean(half)[place],
                        per_weight=True,
                    )
                    yield Measure(
                        *(kind, f"relative rise at {size:g}", draws, opposites, passes),
                        lambda half, mean=mean, place=place: -np.log(mean(half)[place] / half["loss"]),
                    )
                for triple in TRIPLES[kind]:
                    places = [sizes.index(size) for size in triple]
                    for alpha in (0, 1, 4, 16):
                        yield Measure(
                            kind,
                            f"flatness {' '.join(f'{size:g}' for size in triple)}, alpha {alpha}",
                            draws,
                            opposites,
                            count * 3 * (images + batchnorm),
                            lambda half, mean=mean, places=places, triple=triple, alpha=alpha: flatness(
                                mean(half)[places], triple, alpha
                            ),
                        )
    for name in example:
        if name.partition(",")[0] in ("sharpness", "hessian-trace", "gradient-norm"):
            probes = {"sharpness": 2 * images + 768, "hessian-trace": 256 * 11, "gradient-norm": 768}
            passes = probes[name.partition(",")[0]]
            yield Measure(name, "curvature", 1, False, passes, lambda half, name=name: half[name])
    yield Measure("loss", "loss", 1, False, images, lambda half: -half["loss"])
    yield Measure("accuracy", "accuracy", 1, False, images, lambda half: half["accuracy"])


def read(path: Path) -> dict[str, dict]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return {row["genotype"]: row for row in map(json.loads, text.splitlines())}


def costs(genotypes: list[str]) -> list[Cost]:
    space = open_space("nasbench201")
    return [architecture_cost(space, space.parse(genotype), 10, (3, 32, 32)) for genotype in genotypes]


def moved(genotypes: list[str]) -> dict[str, np.ndarray]:
    """Number of parameters that get noise, by the last part of a kind's name: all, cells or convolutions."""
    space = open_space("nasbench201", cells_per_stage=1, channels=16)
    networks = [space.network(10, space.parse(genotype), 3) for genotype in genotypes]
    return {
        part: np.array(
            [sum(value.numel() for value in choose_parameters(network, part).values()) for network in networks]
        )
        for part in ("all", "cells", "convolutions")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    seeds = [read(path) for path in given.files]
    genotypes = [genotype for genotype in seeds[0] if all(genotype in seed for seed in seeds)]
    count = len(genotypes)
    print(count, "architectures,", len(seeds), "supernets")
    truth = [np.array([seeds[0][one]["true"][column] for one in genotypes]) for column in COLUMNS]
    macs = np.array([float(cost.macs) for cost in costs(genotypes)])
    weights_moved = moved(genotypes)
    alone, many = once(count), bootstrap_weights(count, REPLICATES, 0)
    baselines = []
    for seed in seeds:
        loss = np.array([-np.mean([half["loss"] for half in seed[one]["halves"]]) for one in genotypes])
        variables = [loss, macs, *truth]
        baselines.append(tuple((w, variables, kendall_matrix(variables, w)) for w in (alone, many)))
    rows = []
    for measure in measures(seeds[0][genotypes[0]]["halves"][0], given.pictures):
        row: dict[str, Any] = {"kind": measure.kind, "form": measure.form, "draws": measure.draws}
        row |= {"opposites": measure.opposites, "passes": measure.passes}
        halves = [
            np.array([[measure.value(half) for half in seed[one]["halves"]] for one in genotypes]).T for seed in seeds
        ]
        if measure.per_weight:
            part = measure.kind.split(", ")[1]
            halves = [pair / np.maximum(weights_moved[part], 1) for pair in halves]
        row["retest"] = float(np.mean([kendall(*pair, alone)[0] for pair in halves]))
        whole = [pair.mean(0) for pair in halves]
        row["tau loss"] = float(
            np.mean([kendall(x, b[0][1][0], alone)[0] for x, b in zip(whole, baselines, strict=True)])
        )
        row["tau macs"] = float(np.mean([kendall(x, macs, alone)[0] for x in whole]))
        found: dict[str, list[np.ndarray]] = {}
        for x, both in zip(whole, baselines, strict=True):
            for weights, variables, known in both:
                size = len(variables)
                matrix = np.full((size + 1, size + 1, weights.shape[1]), np.nan)
                matrix[:size, :size] = known
                matrix[size, size] = 1
                for place, other in enumerate(variables):
                    matrix[size, place] = matrix[place, size] = kendall(x, other, weights)
                label = "value" if weights is alone else "many"
                for place, column in enumerate(COLUMNS):
                    found.setdefault(f"{column} tau {label}", []).append(matrix[size, 2 + place])
                    for given_, name in (((0, 1), "partial"), ((1,), "given macs")):
                        partial = partial_kendall(matrix, size, 2 + place, given_)
                        found.setdefault(f"{column} {name} {label}", []).append(partial)
        for column in COLUMNS:
            for what in ("tau", "partial", "given macs"):
                row[f"{column} {what}"] = float(np.mean(found[f"{column} {what} value"]))
                low, high = interval(np.mean(found[f"{column} {what} many"], axis=0), 0.95)
                row[f"{column} {what} low"], row[f"{column} {what} high"] = low, high
                row[f"{column} {what} by seed"] = " ".join(f"{v[0]:.3f}" for v in found[f"{column} {what} value"])
        rows.append(row)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "measures.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()} for row in rows
        )
    plot(rows, given.out)


def plot(rows: list[dict], out: Path) -> None:
    """Repeatability against passes, and partial tau of the best form of each kind."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    shapes = {
        "absolute, all": "rise at 0.04",
        "absolute, cells": "rise at 0.04",
        "filter, all": "rise at 0.4",
        "filter, cells": "rise at 0.4",
    }
    for kind, form in shapes.items():
        for opposites, style in ((True, "-o"), (False, "--s")):
            line = sorted(
                (row["passes"], row["retest"])
                for row in rows
                if (row["kind"], row["form"], row["opposites"]) == (kind, form, opposites)
            )
            if line:
                left.plot(*zip(*line, strict=True), style, label=f"{kind}, {'pairs' if opposites else 'single'}")
    left.set(xscale="log", xlabel="images through the network", ylabel="test-retest tau", ylim=(-0.1, 1))
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    most = max(row["draws"] for row in rows)
    shown = [row for row in rows if (row["opposites"] and row["draws"] == most) or row["form"] == "curvature"]
    shown = [row for row in shown if not row["form"].startswith("relative")]
    by_kind: dict[str, dict] = {}
    for row in shown:
        best = by_kind.get(row["kind"])
        if best is None or row["cifar10_test partial"] > best["cifar10_test partial"]:
            by_kind[row["kind"]] = row
    names = list(by_kind)
    for shift, column in enumerate(COLUMNS):
        values = [by_kind[name][f"{column} partial"] for name in names]
        low = [value - by_kind[name][f"{column} partial low"] for name, value in zip(names, values, strict=True)]
        high = [by_kind[name][f"{column} partial high"] - value for name, value in zip(names, values, strict=True)]
        places = np.arange(len(names)) + 0.25 * (shift - 1)
        right.errorbar(values, places, xerr=np.abs([low, high]), fmt="o", label=column, markersize=4, elinewidth=1)
    labels = [f"{name}\n{by_kind[name]['form']}" if "," in name else name for name in names]
    right.set_yticks(range(len(names)), labels, fontsize=7)
    right.axvline(0, color="grey", linewidth=0.8)
    right.set_xlabel("partial tau given loss and MACs")
    right.invert_yaxis()
    right.legend(fontsize=8)
    right.grid(alpha=0.3, axis="x")
    for suffix in ("png", "svg"):
        figure.savefig(out / f"figure.{suffix}", dpi=150)


if __name__ == "__main__":
    main()
