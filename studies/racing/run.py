"""Does a race keep what full evaluation keeps, and at what share of the images?

    GENAS_DATA=... python studies/racing/run.py --seed 0 --out studies/racing/seed-0.json

Trains a NAS-Bench-201 supernet on CIFAR-10 at 16x16 pixels, then searches twice with the same seed: racing, and every
architecture on all images. What an image gave for a function is computed once and serves both, so that the two
differ in the decisions alone; each search's images are counted as if it had run alone.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch

from genas.core.device import open_fabric
from genas.data import open_dataset
from genas.proxies import BatchNormSettings, EvaluationSettings, Proxy, ProxySettings, Scoring, open_proxy
from genas.spaces import Cost, open_space
from genas.strategies import History, SearchSettings, open_search, run_search
from genas.strategies.racing import rounds
from genas.training.supernet import SupernetSettings, initial_weights, train_supernet

BATCH = 250


class Known(Proxy):
    """A proxy that computes what an image gives for a function once, and keeps it in a file.

    Parts of the walk are asked for in order, so what is known of a function is its first images.
    """

    by_function = True

    def __init__(self, inner: Proxy, parts: list[slice], path: Path) -> None:
        super().__init__(inner.scoring)
        self.inner, self.parts, self.path = inner, parts, path
        self.seen = self.work = 0
        self.known: dict[str, torch.Tensor] = torch.load(path) if path.exists() else {}

    @property
    def raceable(self) -> bool:
        return True

    def statistics(self, architecture, part):
        key = self.scoring.space.function_key(architecture)
        size = self.scoring.evaluation.batch_size
        first, last = part.start * size, min(part.stop * size, self.scoring.validation_count)
        have = self.known.get(key)
        missing = slice(0 if have is None else len(have) // size, part.stop)
        if have is None or len(have) < last:
            rows = self.inner.statistics(architecture, missing)
            self.known[key] = rows if have is None else torch.cat([have, rows])
            self.work += len(rows)
            if self.work // 200_000 > (self.work - len(rows)) // 200_000:
                self.save()
        self.seen += last - first
        return self.known[key][first:last]

    def save(self) -> None:
        torch.save(self.known, self.path)
        print(f"{self.work:,} images, {len(self.known):,} functions", file=sys.stderr, flush=True)

    def score_of_means(self, architecture, means):
        return self.inner.score_of_means(architecture, means)

    def values_of_means(self, architecture, means):
        return self.inner.values_of_means(architecture, means)

    def score(self, architecture):
        rows = torch.cat([self.statistics(architecture, part) for part in self.parts])
        self.scoring.forget()
        return self.score_of_means(architecture, rows.mean(0))


def kept(history: History, full, generation: int, count: int) -> tuple[set[str], set[str]]:
    """Genotypes kept after a generation: by the search, and by the whole scores of all that it proposed."""
    mine = {record.genotype for record in history.best(count, before_generation=generation + 1)}
    everyone = [record for record in history if record.generation <= generation and record.failed is None]
    everyone.sort(key=lambda record: (-full(record.genotype), record.number))
    return mine, {record.genotype for record in everyone[:count]}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--proxy", default="flatness")
    parser.add_argument(
        "--race-only", action="store_true", help="no full evaluation; for comparison with an earlier one"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/racing"))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def opened(given: argparse.Namespace) -> Known:
    """The proxy on a supernet trained for this seed."""
    fabric = open_fabric("cpu")
    data = Path(os.environ["GENAS_DATA"]) / "cifar10"
    splits = open_dataset(f"parquet:{data}", image_size=given.image_size).splits(given.seed)
    space = open_space("nasbench201", cells_per_stage=1, channels=given.channels)
    folder = given.folder / f"seed-{given.seed}"
    settings = SupernetSettings(epochs=given.epochs, nesterov=True, weight_decay=5e-4, clip=None, learning_rate=0.1)
    supernet = train_supernet(folder, space, splits, settings, fabric, given.seed, quiet=True)
    scoring = Scoring(
        space,
        supernet,
        initial_weights(folder),
        splits,
        fabric,
        given.seed,
        BatchNormSettings(),
        EvaluationSettings(images=given.pictures, batch_size=BATCH),
    )
    inner = open_proxy(scoring, ProxySettings(expression=given.proxy))
    return Known(inner, rounds(given.pictures, BATCH, 256), given.folder / f"known-{given.seed}.pt")


def main() -> None:
    given = options()
    begun = time.perf_counter()
    proxy = opened(given)
    space = proxy.scoring.space
    settings = {key: value for key, value in vars(given).items() if key not in ("folder", "out", "race_only")}
    result: dict = {**settings, "population": 50, "torch": torch.__version__}

    def whole(genotype: str) -> float:
        return proxy.score(space.parse(genotype)).value

    for budget in ("racing", "exact"):
        proxy.seen = 0
        search = SearchSettings(generations=given.generations, budget=budget)
        with History(":memory:") as history:
            best = run_search(open_search(space, search), proxy, history, lambda _: Cost(1, 1), given.seed, quiet=True)
            row = {"winner": best.genotype, "winner_score": best.score, "architectures": len(history)}
            row["pictures_evaluated"] = proxy.seen
            row["stopped"] = sum(record.images is not None for record in history)
            result[budget] = row
            given.out.write_text(json.dumps(result, indent=1) + "\n")
            row["functions"] = len({space.function_key(space.parse(record.genotype)) for record in history})
            if budget == "racing" and given.race_only:
                break
            if budget == "racing":
                pairs = [kept(history, whole, number, search.parents) for number in range(given.generations)]
                row["kept_alike"] = [len(mine & wanted) for mine, wanted in pairs]
                row["kept"] = [len(wanted) for _, wanted in pairs]
                row["winner_full_score"] = whole(best.genotype)
    proxy.save()
    if given.race_only:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result["racing"]))
        return
    racing, exact = result["racing"], result["exact"]
    result["share_of_all"] = racing["pictures_evaluated"] / (given.pictures * exact["architectures"])
    result["share_of_pictures"] = racing["pictures_evaluated"] / exact["pictures_evaluated"]
    result["agreement"] = sum(racing["kept_alike"]) / sum(racing["kept"])
    result["winner_relative"] = racing["winner_full_score"] / exact["winner_score"]
    result["seconds"] = round(time.perf_counter() - begun)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    proxy.save()
    print(
        json.dumps(
            {key: result[key] for key in ("seed", "share_of_pictures", "share_of_all", "agreement", "winner_relative")}
        )
    )


if __name__ == "__main__":
    main()
