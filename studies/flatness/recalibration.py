"""How much of a score's noise comes from the images that batch norm is recalibrated from?

    python studies/flatness/recalibration.py RUN --table TABLE --out studies/flatness/recalibration.json

Measures the loss of every architecture on the same validation images with batch norm recalibrated from several
independent drawings of training images, for several numbers of images. What differs between drawings is the noise
that recalibration alone puts on every score; the tau between drawings is the most that a score can agree with itself.
Losses are kept in the file as they come; the same command continues, and prints the summary when all are there.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from genas.analysis.ranking.measures import kendall, once
from genas.analysis.ranking.study import draw
from genas.analysis.ranking.table import open_table
from genas.core.seeding import derive
from genas.proxies import ProxySettings
from genas.workflows.rank import open_scorer, weights_file
from genas.workflows.session import load_config

SETTINGS = {
    "896, momentum (published)": {"pictures": 896, "averaging": "momentum"},
    "896": {"pictures": 896},
    "1,792": {"pictures": 1792},
    "3,584": {"pictures": 3584},
    "8,960": {"pictures": 8960},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--architectures", type=int, default=40)
    parser.add_argument("--pictures", type=int, default=1500, help="validation images, the same for all")
    parser.add_argument("--drawings", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    config = load_config(given.run)
    scorer = open_scorer(given.run, config, weights_file(given.run, None, None))
    table = open_table(given.table, scorer.space, None, None)
    genotypes = draw(table.genotypes, given.architectures, 0)
    truth = table.values(genotypes)
    evaluation = {"pictures": given.pictures}
    common = scorer.open_scoring(ProxySettings.model_validate({"evaluation": evaluation}), config.seed)
    losses: dict[str, list[list[float]]] = json.loads(given.out.read_text())["losses"] if given.out.exists() else {}
    for name, batchnorm in SETTINGS.items():
        asked = ProxySettings.model_validate({"evaluation": evaluation, "batchnorm": batchnorm})
        rows = losses.setdefault(name, [])
        for number in range(len(rows), given.drawings):
            scoring = scorer.open_scoring(asked, derive(config.seed, "study.recalibration", number))
            row = []
            for genotype in genotypes:
                network = scoring.prepared(scorer.space.parse(genotype))
                row.append(common.evaluate(network).loss)
                scoring.forget()
                common.forget()
            rows.append(row)
            given.out.write_text(json.dumps({"genotypes": genotypes, "losses": losses}, indent=1) + "\n")
        summarise(name, np.array(rows), list(truth.values()))


def summarise(name: str, losses: np.ndarray, truth: list[np.ndarray]) -> None:
    """One line. Losses are [drawings, architectures]."""
    alone = once(losses.shape[1])
    taus = [kendall(first, second, alone)[0] for first, second in combinations(losses, 2)]
    within = losses.std(0, ddof=1)
    true = [np.mean([kendall(-row, column, alone)[0] for row in losses]) for column in truth]
    print(
        f"{name:26s} tau between drawings {np.mean(taus):.3f} ({min(taus):.3f} to {max(taus):.3f}); standard "
        f"deviation of a loss: median {np.median(within):.4f}, largest {within.max():.4f}; between architectures "
        f"{losses.mean(0).std(ddof=1):.3f}; tau with true accuracies {' '.join(f'{tau:.3f}' for tau in true)}",
        flush=True,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
