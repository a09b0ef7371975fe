"""Losses under relative noise, by what gets the noise: why `relative-flatness` ranked NAS-Bench-Macro backwards.

    python studies/macro/measure.py RUN --table studies/macro/accuracies.csv --columns mean_acc --out seed-0.jsonl

A line of the file is one architecture: its losses at several sizes for each kind of noise, mean of the draws, how many
weights and layers were perturbed, and other proxies. The same command continues.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import nn

from genas.analysis.ranking.study import draw
from genas.analysis.ranking.table import open_table
from genas.proxies import ProxySettings, open_proxy
from genas.proxies.flatness import Flatness, FlatnessSettings
from genas.proxies.perturbation import filter_scale
from genas.spaces import architecture_cost
from genas.workflows.rank import open_scorer, weights_file
from genas.workflows.session import load_config

SIZES = (0.1, 0.2, 0.4)
OTHERS = ("flatness", "angle", "naswot")


class Noise(Flatness):
    """Relative noise on all layers, those of the cells or the others; each layer's over the root of their number."""

    def __init__(self, scoring, settings, where, equal) -> None:
        super().__init__(scoring, settings)
        self.where, self.equal = where, equal

    def layers(self, network, original):
        inside = tuple(f"{name}." for name in network.cell_names)
        for name, parameter in network.named_parameters():
            factor = filter_scale(original[name])
            if factor is None or (self.where != "all" and name.startswith(inside) != (self.where == "cells")):
                continue
            yield name, parameter, factor

    def _moved(self, network, original):
        found = list(self.layers(network, original))
        scale = math.sqrt(10 / len(found)) if self.equal and found else 1.0
        return [(name, parameter, factor * scale) for name, parameter, factor in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--columns", nargs="*")
    parser.add_argument("--architectures", type=int, default=1000)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    config = load_config(given.run)
    scorer = open_scorer(given.run, config, weights_file(given.run, None, None))
    space = scorer.space
    table = open_table(given.table, space, given.columns, None)
    base = {"evaluation": {"pictures": given.images}}
    scoring = scorer.open_scoring(ProxySettings.model_validate(base), config.seed)
    settings = FlatnessSettings(sigmas=SIZES, draws=given.draws, draw_images="dealt", scale="filter")
    kinds = {
        "all": Noise(scoring, settings, "all", False),
        "shared": Noise(scoring, settings, "shared", False),
        "equal": Noise(scoring, settings, "all", True),
    }
    others = {name: open_proxy(scoring, ProxySettings.model_validate(base | {"expression": name})) for name in OTHERS}
    done = set()
    if given.out.exists():
        done = {json.loads(line)["genotype"] for line in given.out.read_text().splitlines()}
    with given.out.open("a") as file:
        for number, genotype in enumerate(draw(table.genotypes, min(given.architectures, len(table)), 0)):
            if genotype in done:
                continue
            begun = time.perf_counter()
            architecture = space.parse(genotype)
            network = scoring.prepared(architecture)
            weights = dict(network.named_parameters())
            clean = scoring.evaluate(network)
            cost = architecture_cost(space, architecture, scoring.splits.num_classes, scoring.splits.image_shape)
            row = {"genotype": genotype, "true": {key: float(v[0]) for key, v in table.values([genotype]).items()}}
            row |= {"loss": clean.loss, "accuracy": clean.accuracy, "macs": cost.macs, "params": cost.params}
            row["perturbed"] = {}
            for kind in ("all", "shared"):
                layers = [parameter for _, parameter, _ in kinds[kind].layers(network, weights)]
                row["perturbed"][kind] = {
                    "layers": len(layers),
                    "weights": sum(layer.numel() for layer in layers),
                    "norm": math.sqrt(sum(float(layer.detach().square().sum()) for layer in layers)),
                }
            row["batchnorms"] = sum(isinstance(one, nn.BatchNorm2d) for one in network.modules())
            for kind, flatness in kinds.items():
                rows = torch.tensor(flatness.losses(architecture, SIZES), dtype=torch.float64)
                row[kind] = [round(loss, 7) for loss in rows.mean(0).tolist()]
            row["others"] = {}
            for name, proxy in others.items():
                score = proxy.score(architecture)
                row["others"][name] = float(getattr(score, "value", score))
            scoring.forget()
            row["seconds"] = round(time.perf_counter() - begun, 2)
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(number + 1, row["seconds"], time.strftime("%H:%M:%S"), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
