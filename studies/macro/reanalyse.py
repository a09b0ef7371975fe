"""Noise per path on NAS-Bench-201, from the losses that studies/flatness kept: three supernets, no new measurement.

    python studies/macro/reanalyse.py

`noise_per=path` gives each of L layers sigma sqrt(10 / L). Losses at such sizes are interpolated, linearly in sigma^2,
between those measured at 0, 0.05, 0.1, 0.2 and 0.4 (four draws and their opposites, two halves of 256 images).
"""

import gzip
import json
import math
from pathlib import Path

import numpy as np

from genas.analysis.ranking.measures import bootstrap_weights, interval, kendall, kendall_matrix, once, partial_kendall
from genas.proxies.flatness import PATH_LAYERS, flatness_terms
from genas.spaces import architecture_cost, open_space
from genas.spaces.names import NASBENCH201_OPERATIONS

FLATNESS = Path(__file__).parents[1] / "flatness"
SIZES = np.array([0, 0.05, 0.1, 0.2, 0.4])
PRESET = (0.1, 0.2, 0.4)
FRAME = 8  # stem, two residual blocks of three convolutions, classifier


def read(seed: int) -> tuple[list[str], np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Genotypes, losses [n, 5] at `SIZES`, losses with other images [n] (the covariate is the mean), truth."""
    text = gzip.decompress((FLATNESS / f"seed-{seed}.jsonl.gz").read_bytes()).decode()
    rows = [json.loads(line) for line in text.splitlines()]
    clean = np.array([np.mean([half["loss"] for half in row["halves"]]) for row in rows])
    noisy = np.array([np.mean([np.mean(half["filter, all"], 0) for half in row["halves"]], 0) for row in rows])
    truth = {name: np.array([row["true"][name] for row in rows]) for name in rows[0]["true"]}
    return [row["genotype"] for row in rows], np.c_[clean, noisy], clean, truth


def main() -> None:
    space = open_space("nasbench201", cells_per_stage=1, channels=16)
    print("| supernet | n | measure | tau with layers | given loss and MACs | given layers too | tau, CIFAR-10 |")
    for seed in (0, 1, 2):
        genotypes, curves, loss, truth = read(seed)
        cells = [space.parse(genotype) for genotype in genotypes]
        names = [[NASBENCH201_OPERATIONS[number] for number in cell.operations] for cell in cells]
        layers = np.array([FRAME + 3 * sum(name.startswith("nor_conv") for name in one) for one in names], dtype=float)
        macs = np.array([float(architecture_cost(space, cell, 10, (3, 16, 16)).macs) for cell in cells])
        count = len(genotypes)
        weights = np.concatenate([once(count), bootstrap_weights(count, 1000, 0)], axis=1)

        def score(curve: np.ndarray, scale: float) -> float:
            at = [float(np.interp((sigma * scale) ** 2, SIZES**2, curve)) for sigma in PRESET]
            return flatness_terms(PRESET, tuple(at), 1.0)[0]

        measures = {
            "noise per layer": np.array([score(curve, 1.0) for curve in curves]),
            "noise per path": np.array(
                [score(curve, math.sqrt(PATH_LAYERS / one)) for curve, one in zip(curves, layers, strict=True)]
            ),
            "layers": layers,
        }
        for name, values in measures.items():
            said = []
            for column in truth.values():
                matrix = kendall_matrix([values, column, -loss, macs, layers], weights)
                for given in ((2, 3), (2, 3, 4)):
                    found = partial_kendall(matrix, 0, 1, given)
                    low, high = interval(found[1:], 0.95)
                    said.append(f"{found[0]:+.2f} ({low:+.2f} to {high:+.2f})")
            tau = kendall(values, truth["cifar10_test"], weights)
            low, high = interval(tau[1:], 0.95)
            shared = kendall(values, layers, once(count))[0]
            print(
                f"| {seed} | {count} | {name} | {shared:+.2f} | {' / '.join(said[::2])} | {' / '.join(said[1::2])} "
                f"| {tau[0]:+.2f} ({low:+.2f} to {high:+.2f}) |"
            )


if __name__ == "__main__":
    main()
