"""Compares the scores of a NAS-Bench-201 search with the benchmark's accuracies.

    python studies/compare_nasbench201.py runs/cifar10-nasbench201 nasbench201.csv.gz --column cifar10_test

The benchmark trains every architecture at 16 channels and five cells per stage for 200 epochs; the supernet of the
run may be smaller. Prints JSON.
"""

import argparse
import csv
import gzip
import json
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, spearmanr

from genas.strategies import History


def accuracies(path: Path, column: str) -> dict[str, float]:
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    key = next(name for name in rows[0] if rows[0][name].startswith("|"))
    return {row[key]: float(row[column]) for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--column", default="cifar10_test", help="the accuracies to compare with")
    arguments = parser.parse_args()
    truth = accuracies(arguments.table, arguments.column)
    with History(arguments.run / "history.sqlite", readonly=True) as history:
        records = [record for record in history if record.failed is None]
    ranked = sorted(records, key=lambda record: record.score or 0.0, reverse=True)
    best = ranked[0]
    values = np.array([truth[record.genotype] for record in records])
    everything = np.array(sorted(truth.values()))
    measures = {
        "score (alpha = 1)": [record.score for record in records],
        "slopes only (alpha = 0)": [1 / (sum(abs(s) for s in record.parts["slopes"]) + 1e-5) for record in records],
        "depth term only (inverse loss at sigma_1)": [1 / record.parts["depth_term"] for record in records],
        "parameters": [record.params for record in records],
    }

    def agreement(chosen: list[int]) -> dict[str, dict[str, float]]:
        return {
            name: {
                "kendall_tau_b": round(float(kendalltau(np.array(scores)[chosen], values[chosen]).statistic), 3),
                "spearman": round(float(spearmanr(np.array(scores)[chosen], values[chosen]).statistic), 3),
            }
            for name, scores in measures.items()
        }

    uniform = [place for place, record in enumerate(records) if record.origin == "random"]
    found = truth[best.genotype]
    print(
        json.dumps(
            {
                "architectures": len(records),
                "winner": best.genotype,
                "winner_accuracy": found,
                "winner_better_than_percent_of_space": round(100 * float((everything < found).mean()), 2),
                "best_accuracy_in_space": float(everything[-1]),
                "median_accuracy_in_space": float(np.median(everything)),
                "best_accuracy_among_scored": float(values.max()),
                "agreement_over_all_scored": agreement(list(range(len(records)))),
                "ten_best": [
                    {"genotype": record.genotype, "score": record.score, "params": record.params, "macs": record.macs}
                    | {"benchmark_accuracy": truth[record.genotype]}
                    for record in ranked[:10]
                ],
                "randomly_drawn": len(uniform),
                "agreement_over_randomly_drawn": agreement(uniform),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
