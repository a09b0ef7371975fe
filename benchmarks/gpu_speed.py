"""Second phase of `gpu.py`: genas beside the reference, in turn, on the same card; roofline; best batches."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import reference
import torch
from gpu_phase import Notes, Sizes, busy, medians, peaks, roofline, timed, traffic_of
from made import SIGMAS, random_splits, scoring_of
from torch import Tensor

from genas.core.device import Fabric, open_fabric
from genas.core.run_folder import read_rows
from genas.proxies import EvaluationSettings, Flatness, FlatnessSettings, Scoring
from genas.spaces import architecture_cost
from genas.training.supernet import SupernetSettings, initialise, train_supernet

BATCH = 64  # published


class Bench:
    """A space with an untrained supernet and random images, as both sides are given them.

    Args:
        name: of the space.
        sizes: how much is measured.
        fabric: device and precision.
    """

    def __init__(self, name: str, sizes: Sizes, fabric: Fabric) -> None:
        self.name, self.sizes, self.fabric = name, sizes, fabric
        self.space, self.splits = sizes.open(name), random_splits(sizes.images)
        self.scoring = scoring_of(self.space, self.splits, fabric)
        self.images, self.labels = next(iter(self.splits.validation.batches(sizes.images, fabric.device)))
        self.paths = [self.space.sample(Random(number)) for number in range(sizes.paths)]
        costs = [architecture_cost(self.space, path, 10, (3, 32, 32)).macs for path in self.paths]
        self.flop = 2 * sum(costs) / len(costs)  # of one image, forward

    def at(self, batch: int) -> Scoring:
        """The same scoring with another batch of the evaluation."""
        return self.scoring.reseeded(0, EvaluationSettings(batch_size=min(batch, self.sizes.images)))

    def over_paths(self, work: Callable[[Any], Any]) -> Callable[[], None]:
        """`work` on every path in turn."""

        def all_of_them() -> None:
            for path in self.paths:
                work(path)

        return all_of_them

    def recalibration(self) -> Tensor:
        """The images that batch norm's statistics are taken from."""
        return self.images[: min(896, len(self.images))]

    def stepper(self, layout: torch.memory_format, batch: int) -> Callable[[Any], None]:
        """A training step of a path, on a supernet of its own in a memory layout."""
        net = initialise(self.space, 10, 3, 0).to(self.fabric.device).to(memory_format=layout).train()
        optimizer = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
        images = self.images[:batch].contiguous(memory_format=layout)
        return lambda path: reference.step(net, optimizer, path, images, self.labels[:batch])


def each(found: dict[str, Any], count: int) -> dict[str, Any]:
    """Seconds of one of `count` things that were timed together."""
    scaled: dict[str, Any] = {}
    for name, value in found.items():
        scaled[name] = value
        if isinstance(value, dict):
            scaled[name] = {"median": value["median"] / count, "range": [one / count for one in value["range"]]}
    return scaled


def image_pass(bench: Bench, peak: dict[str, float], batch: int, limit: float) -> dict[str, Any]:
    """Seconds per image of an evaluation with prepared networks, reference at batch 64 and at `batch`."""
    scoring = bench.at(batch)
    networks = {path: scoring.extract(path) for path in bench.paths}
    supernet = bench.scoring.supernet
    works = {
        "reference": bench.over_paths(partial(reference.evaluate, supernet, images=bench.images, labels=bench.labels)),
        f"reference, batch {batch}": bench.over_paths(
            partial(reference.evaluate, supernet, images=bench.images, labels=bench.labels, batch_size=batch)
        ),
        "genas": bench.over_paths(lambda path: scoring.evaluate(networks[path])),
    }
    count = len(bench.paths) * len(bench.images)
    found = each(medians(works, bench.sizes.rounds, bench.fabric.device, limit), count)
    traffic = traffic_of(works["genas"]) / count
    return {"unit": "s/image", "batch": batch, **found, **roofline(found["genas"]["median"], bench.flop, traffic, peak)}


def best_batch(bench: Bench, limit: float) -> dict[str, Any]:
    """Images per second of an evaluation by batch, and the best of them."""
    found: dict[str, float] = {}
    for batch in bench.sizes.batches:
        scoring = bench.at(batch)
        networks = {path: scoring.extract(path) for path in bench.paths}
        work = bench.over_paths(lambda path, s=scoring, n=networks: s.evaluate(n[path]))
        spent = medians({"genas": work}, bench.sizes.rounds, bench.fabric.device, limit / len(bench.sizes.batches))
        found[str(batch)] = len(bench.paths) * len(bench.images) / spent["genas"]["median"]
    return {"images_per_second": found, "best": int(max(found, key=found.__getitem__))}


def score(bench: Bench, batch: int, limit: float) -> dict[str, Any]:
    """Seconds of a published flatness score: recalibration of batch norm and three evaluations."""
    flatness = Flatness(bench.at(batch), FlatnessSettings(sigmas=SIGMAS))

    def ours(path: Any) -> None:
        flatness.scoring.forget()
        flatness.score(path)

    given = (bench.images, bench.labels, bench.recalibration(), SIGMAS)
    works = {
        "reference": bench.over_paths(lambda path: reference.losses(bench.scoring.supernet, path, *given)),
        "genas": bench.over_paths(ours),
    }
    found = each(medians(works, bench.sizes.rounds, bench.fabric.device, limit), len(bench.paths))
    return {"unit": "s/architecture", "batch": batch, "images": len(bench.images), **found}


def supernet_step(bench: Bench, peak: dict[str, float], batch: int, limit: float) -> dict[str, Any]:
    """Seconds of a training step of one path, both sides at `batch`, genas in the channels-last layout."""
    works = {
        "reference": bench.over_paths(bench.stepper(torch.contiguous_format, batch)),
        "genas": bench.over_paths(bench.stepper(torch.channels_last, batch)),
    }
    found = each(medians(works, 4 * bench.sizes.rounds, bench.fabric.device, limit), len(bench.paths))
    traffic = traffic_of(works["genas"]) / len(bench.paths)
    flop = 3 * bench.flop * batch  # the backward pass counts as two forward passes
    return {"unit": "s/step", "batch": batch, **found, **roofline(found["genas"]["median"], flop, traffic, peak)}


def training(bench: Bench, batch: int) -> dict[str, Any]:
    """Seconds of a step of `train_supernet`: with loading, augmentation, clipping and everything else of an epoch."""
    splits = random_splits(bench.sizes.steps * batch)
    settings = SupernetSettings(epochs=2, batch_size=batch)
    with tempfile.TemporaryDirectory() as folder:
        train_supernet(Path(folder), bench.space, splits, settings, bench.fabric, seed=0, quiet=True)
        rows = read_rows(Path(folder) / "metrics.csv")
    return {"unit": "s/step", "batch": batch, "genas": float(rows[-1]["seconds"]) / bench.sizes.steps}


def where_time_goes(bench: Bench, batch: int) -> dict[str, Any]:
    """Kernels, and how much of the time they run, of an evaluation and of a training step."""
    scoring, device = bench.at(batch), bench.fabric.device
    network, step = scoring.extract(bench.paths[0]), bench.stepper(torch.channels_last, BATCH)
    timed(lambda: step(bench.paths[0]), device)
    return {
        f"evaluation, batch {batch}": busy(lambda: scoring.evaluate(network), device),
        f"step, batch {BATCH}": busy(lambda: step(bench.paths[0]), device),
    }


def run(notes: Notes, device: str, sizes: Sizes) -> None:
    """All measurements of the phase."""
    fabric = open_fabric(device)
    peak = notes.attempt("peaks", lambda: peaks(sizes, device))
    if peak is None:
        return
    for place, name in enumerate(sizes.spaces):
        share = notes.left / (len(sizes.spaces) - place) / 8

        def under(title: str, work: Callable[[], Any], name: str = name) -> Any:
            return notes.attempt(f"{name}: {title}", work)

        bench = Bench(name, sizes, fabric)
        small = min(BATCH, sizes.images)
        swept = under("batches", partial(best_batch, bench, share))
        best = swept["best"] if swept else small
        for batch in dict.fromkeys((small, best)):
            under(f"image pass, batch {batch}", partial(image_pass, bench, peak, batch, share))
            under(f"score, batch {batch}", partial(score, bench, batch, share))
            under(f"supernet step, batch {batch}", partial(supernet_step, bench, peak, batch, share / 2))
            under(f"training, batch {batch}", partial(training, bench, batch))
        under("where time goes", partial(where_time_goes, bench, best))
