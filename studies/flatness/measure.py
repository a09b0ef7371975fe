"""Losses under weight noise, and curvature, of many architectures: what `analyse.py` builds measures of flatness from.

    python studies/flatness/measure.py RUN --table TABLE --architectures 100 --out RUN/flatness.jsonl

Every architecture is measured in two halves that share nothing but the supernet: other noise, other validation
images, other images for batch norm. A measure's test-retest tau is that between its two halves. Each half holds
`--draws` noises and their opposites at several sizes, for each kind of perturbation, so that one run serves every
number of draws, choice of sizes and alpha. A line of the file is one architecture; the same command continues.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from genas.analysis.ranking.study import draw
from genas.analysis.ranking.table import open_table
from genas.core.seeding import derive
from genas.proxies import ProxySettings, Scoring, open_proxy
from genas.proxies.flatness import Flatness, FlatnessSettings
from genas.workflows.rank import open_scorer, weights_file
from genas.workflows.session import load_config

ABSOLUTE = (0.001, 0.003, 0.006, 0.01, 0.02, 0.04)
RELATIVE = (0.05, 0.1, 0.2, 0.4)
KINDS: dict[str, tuple[dict, tuple[float, ...], int]] = {  # settings, sizes, share of the draws (1 / that)
    "absolute, all": ({}, ABSOLUTE, 1),
    "absolute, convolutions": ({"parameters": "convolutions"}, (0.01, 0.02, 0.04), 2),
    "absolute, cells": ({"parameters": "cells"}, ABSOLUTE[2:], 1),
    "accumulated, all": ({"noise": "accumulated"}, (0.01, 0.02, 0.04), 2),
    "filter, all": ({"scale": "filter"}, RELATIVE, 1),
    "filter, cells": ({"scale": "filter", "parameters": "cells"}, RELATIVE, 1),
    "absolute, all, recomputed": ({"batchnorm": "recomputed"}, (0.01, 0.02, 0.04), 4),
    "filter, all, recomputed": ({"scale": "filter", "batchnorm": "recomputed"}, (0.1, 0.2, 0.4), 4),
}
CURVATURE = {
    f"{name}, {form}, {parameters}": {
        "expression": name,
        "curvature": {"form": form, "parameters": parameters, "probes": 2},
    }
    for name in ("sharpness", "hessian-trace", "gradient-norm")
    for form in ("plain", "scaled")
    for parameters in ("all", "cells")
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of architectures, as in genas rank")
    parser.add_argument("--epoch", type=int, help="weights kept after that epoch; otherwise the finished supernet")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--no-curvature", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


class Half:
    """One of the two independent halves."""

    def __init__(self, given: argparse.Namespace, opener: Callable[[ProxySettings, int], Scoring], number: int) -> None:
        self.given = given
        seed = load_config(given.run).seed
        self.seed = seed if number == 0 else derive(seed, "rank.repeat", number)
        self.base = {"evaluation": {"pictures": given.pictures}}
        self.scoring = opener(ProxySettings.model_validate(self.base), self.seed)
        self.noises = {}
        for kind in given.kinds:
            settings, sizes, part = KINDS[kind]
            draws = max(1, given.draws // part)
            self.noises[kind] = (
                sizes,
                Flatness(self.scoring, FlatnessSettings(sigmas=sizes, draws=draws, antithetic=True, **settings)),
            )
        self.curvature = {}
        for name, settings in {} if given.no_curvature else CURVATURE.items():
            asked = ProxySettings.model_validate(self.base | settings)
            self.curvature[name] = open_proxy(self.scoring, asked)

    def measure(self, architecture) -> dict:
        begun = time.perf_counter()
        clean = self.scoring.evaluate(self.scoring.prepared(architecture))
        row: dict = {"loss": clean.loss, "accuracy": clean.accuracy, "seconds": {"loss": time.perf_counter() - begun}}
        for kind, (sizes, flatness) in self.noises.items():
            begun = time.perf_counter()
            row[kind] = [[round(loss, 7) for loss in losses] for losses in flatness.losses(architecture, sizes)]
            row["seconds"][kind] = time.perf_counter() - begun
        for name, proxy in self.curvature.items():
            begun = time.perf_counter()
            row[name] = proxy.score(architecture).value
            row["seconds"][name] = time.perf_counter() - begun
        row["seconds"] = {name: round(value, 3) for name, value in row["seconds"].items()}
        self.scoring.forget()
        return row


def main() -> None:
    given = options()
    config = load_config(given.run)
    scorer = open_scorer(given.run, config, weights_file(given.run, given.epoch, None))
    table = open_table(given.table, scorer.space, None, None)
    halves = [Half(given, scorer.open_scoring, number) for number in (0, 1)]
    done = set()
    if given.out.exists():
        done = {json.loads(line)["genotype"] for line in given.out.read_text().splitlines()}
    with given.out.open("a") as file:
        for number, genotype in enumerate(draw(table.genotypes, given.architectures, given.seed)):
            if genotype in done:
                continue
            architecture = scorer.space.parse(genotype)
            truth = {name: float(values[0]) for name, values in table.values([genotype]).items()}
            row = {"genotype": genotype, "true": truth, "halves": [half.measure(architecture) for half in halves]}
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(number + 1, time.strftime("%H:%M:%S"), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
