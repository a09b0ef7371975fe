"""Third phase of `gpu.py`: other ways to compute the same, each compared with the plain way before its time is told.

Evaluations are whole flatness scores of the library (`Flatness.score`) on a prepared network, with another engine under
them: memory layouts, precisions, CUDA graphs of the path, all perturbations as one batch (``torch.func``), several
architectures on streams. Training steps: layouts, precisions, fused SGD, and a CUDA graph of one path, which a search
cannot use (every step has another path) but which bounds what launches cost.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any
from unittest import mock

import torch
from gpu_phase import Notes, Sizes, computing, medians, precisions, timed
from gpu_speed import BATCH, Bench, each
from made import SIGMAS
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from genas.core.device import Fabric, open_fabric, wait
from genas.proxies import EvaluationSettings, Flatness, FlatnessSettings, Scoring
from genas.proxies.folding import Folded
from genas.proxies.scoring import LossAndAccuracy
from genas.spaces import operations
from genas.training.supernet import initialise

TOLERANCE = {"32": 1e-5, "tf32": 3e-3, "bf16": 3e-2}
"""Relative difference of a mean loss from the plain way in single precision."""
STEP_TOLERANCE = {"32": 1e-4, "tf32": 5e-3, "bf16": 3e-2}
"""The same of the loss of a training step."""
LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}
STREAMS = 4
STEP_WAYS = (
    ("", False, False, False),
    (", fused SGD", True, False, False),
    (", graph", False, True, False),
    (", cuDNN free", False, False, True),
)
"""Title; SGD in one kernel; from a graph; cuDNN's algorithms as it likes."""


class Captured:
    """A function of the host's launches only: replayed from a CUDA graph; called again where there is no CUDA.

    Args:
        work: writes into tensors that stay where they are.
        device: where it runs.
    """

    def __init__(self, work: Callable[[], Any], device: torch.device) -> None:
        self.graph: torch.cuda.CUDAGraph | None = None
        self.work, self.seconds = work, 0.0
        if device.type == "cuda":
            self.seconds = timed(self._capture, device)

    def _capture(self) -> None:
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # a graph must not read copies of weights that autocast frees
        try:
            self._capture_work()
        finally:
            torch.set_autocast_cache_enabled(cached)

    def _capture_work(self) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.work()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.held = self.work()

    def __call__(self) -> Any:
        """What the work gives, in the same tensors as before."""
        if self.graph is None:
            return self.work()
        self.graph.replay()
        return self.held


def losses_of(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every image ([B] float64), as `Scoring.image_losses` computes it."""
    return functional.cross_entropy(network(images).double(), labels, reduction="none")


class Arranged(Scoring):
    """Scoring whose evaluations run a folded network in a memory layout, from a CUDA graph where asked for.

    The graph reads the folded weights where they are, so that one capture serves all perturbations of an architecture.
    """

    layout: torch.memory_format = torch.channels_last
    graphs = False
    capture_seconds = 0.0
    captures = 0
    _own: Folded | None = None
    _replay: Captured | None = None

    def laid_out(self, images: Tensor) -> Tensor:
        """See `Scoring.laid_out`."""
        return images.contiguous(memory_format=self.layout)

    @torch.no_grad()
    def image_losses(self, network: nn.Module, part: slice | None = None) -> tuple[Tensor, Tensor]:
        """See `Scoring.image_losses`; accuracies are not measured here."""
        if self._own is None or self._own.source is not network:
            self._own, self._replay = Folded(network, self.layout), None
        folded, found = self._own.refresh(), []
        for images, labels in self.validation_batches(part):
            with self.fabric.autocast():
                found.append(self._one(folded, self.laid_out(images), labels))
        losses = torch.cat(found).cpu()
        return losses, torch.zeros(len(losses), dtype=torch.bool)

    def _one(self, folded: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        if not self.graphs or len(images) < self.evaluation.batch_size:
            return losses_of(folded, images, labels)
        if self._replay is None:
            self._images, self._labels = torch.empty_like(images).copy_(images), labels.clone()
            self._replay = Captured(lambda: losses_of(folded, self._images, self._labels), self.fabric.device)
            self.capture_seconds += self._replay.seconds
            self.captures += 1
        self._images.copy_(images)
        self._labels.copy_(labels)
        found: Tensor = self._replay().clone()
        return found


@contextlib.contextmanager
def free_choice(free: bool) -> Iterator[None]:
    """Lets cuDNN try its algorithms and take the fastest, repeatable or not; genas takes repeatable ones."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    if free:
        cudnn.benchmark, cudnn.deterministic = True, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def scoring(bench: Bench, fabric: Fabric, batch: int, kind: type[Scoring] = Scoring, **settings: Any) -> Any:
    """A scoring of a kind on the bench's supernet and images."""
    own, chosen = bench.scoring, EvaluationSettings(batch_size=min(batch, bench.sizes.images), **settings)
    return kind(own.space, own.supernet, {}, own.splits, fabric, own.seed, own.batchnorm, chosen)


def arranged(bench: Bench, fabric: Fabric, batch: int, layout: str, graphs: bool) -> Arranged:
    """An `Arranged` scoring."""
    found: Arranged = scoring(bench, fabric, batch, Arranged)
    found.layout, found.graphs = LAYOUTS[layout], graphs
    return found


class Collecting(Scoring):
    """Takes the folded weights of every perturbation down instead of evaluating them."""

    def begin(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.folded: Folded | None = None

    def evaluate(self, network: nn.Module, part: slice | None = None) -> LossAndAccuracy:
        """See `Scoring.evaluate`; the numbers mean nothing."""
        if self.folded is None:
            self.folded = Folded(network, torch.contiguous_format)
        moved = self.folded.refresh()
        own = {**dict(moved.named_parameters()), **dict(moved.named_buffers())}
        self.weights.append({name: value.detach().clone() for name, value in own.items()})
        return LossAndAccuracy(0.0, 0.0)


class AtOnce(Flatness):
    """Flatness whose perturbations are evaluated as one batch: convolutions become grouped ones."""

    @torch.no_grad()
    def losses(self, architecture: Any, sigmas: tuple[float, ...]) -> list[list[float]]:
        """See `Flatness.losses`."""
        collecting = self.scoring
        assert isinstance(collecting, Collecting)
        collecting.begin()
        rows = super().losses(architecture, sigmas)
        assert collecting.folded is not None
        network = collecting.folded.network
        names = collecting.weights[0]
        stacked = {name: torch.stack([one[name] for one in collecting.weights]) for name in names}
        many = torch.vmap(lambda weights, images: functional_call(network, weights, (images,)), in_dims=(0, None))
        sums: Tensor | float = 0.0
        count = 0
        for images, labels in collecting.validation_batches():
            with collecting.fabric.autocast(), plain_operators():
                logits = many(stacked, images.contiguous())
            each_one = logits.double().flatten(0, 1)
            loss = functional.cross_entropy(each_one, labels.repeat(len(logits)), reduction="none")
            sums = sums + loss.view(len(logits), -1).sum(1)
            count += len(labels)
        assert isinstance(sums, Tensor)
        means = (sums / count).tolist()
        return [means[place * len(sigmas) : (place + 1) * len(sigmas)] for place in range(len(rows))]

    def score(self, architecture: Any) -> Any:
        """See `Flatness.score`."""
        rows = self.losses(architecture, self.settings.sigmas)
        return self.score_of_means(architecture, torch.tensor(rows, dtype=torch.float64).flatten())


def plain_operators() -> Any:
    """On a CPU, operations ask for the memory layout, which ``torch.vmap`` has no answer to; on a GPU they do not."""
    return mock.patch.object(operations, "suits", return_value=False)


def difference(found: list[float], expected: list[float]) -> float:
    """Greatest relative difference; infinite where one is not finite."""
    worst = max(abs(one - other) / max(abs(other), 1e-6) for one, other in zip(found, expected, strict=True))
    return worst if worst == worst else float("inf")


def evaluation_variants(
    bench: Bench, best: int, settings: FlatnessSettings
) -> dict[str, tuple[str, Callable[[Fabric], Flatness]]]:
    """By name the precision and what makes the flatness; all measure the same."""
    small = min(BATCH, bench.sizes.images)
    found: dict[str, tuple[str, Callable[[Fabric], Flatness]]] = {}

    def plainly(fabric: Fabric, batch: int, engine: str) -> Flatness:
        return Flatness(scoring(bench, fabric, batch, engine=engine), settings)

    def arrangedly(fabric: Fabric, batch: int, layout: str, graphs: bool) -> Flatness:
        return Flatness(arranged(bench, fabric, batch, layout, graphs), settings)

    def at_once(fabric: Fabric, batch: int) -> Flatness:
        return AtOnce(scoring(bench, fabric, batch, Collecting), settings)

    for precision in precisions(bench.fabric.device.type):
        for batch in dict.fromkeys((small, best) if precision == "32" else (best,)):
            title = f"{precision}, batch {batch}"
            for engine in ("plain", "fast"):
                found[f"{engine}, {title}"] = precision, partial(plainly, batch=batch, engine=engine)
            for layout in LAYOUTS:
                found[f"folded {layout}, graph, {title}"] = (
                    precision,
                    partial(arrangedly, batch=batch, layout=layout, graphs=True),
                )
            found[f"all perturbations at once, {title}"] = precision, partial(at_once, batch=batch)
        found[f"folded contiguous, {precision}, batch {best}"] = (
            precision,
            partial(arrangedly, batch=best, layout="contiguous", graphs=False),
        )
    return found


def one_variant(
    bench: Bench,
    expected: list[list[float]],
    precision: str,
    make: Callable[[Fabric], Flatness],
    limit: float,
    free: bool = False,
) -> dict[str, Any]:
    """Seconds of a score on prepared networks, if its losses equal `expected` to the tolerance of the precision."""
    with computing(bench.fabric.device.type, precision) as fabric, free_choice(free):
        flatness = make(fabric)
        worst = 0.0
        for path, losses in zip(bench.paths, expected, strict=True):
            worst = max(worst, difference(flatness.score(path).terms["losses"], losses))
        row: dict[str, Any] = {"difference": worst, "tolerance": TOLERANCE[precision]}
        if not worst <= TOLERANCE[precision]:
            return {**row, "error": "not equal to the plain way: no time is told"}
        path = bench.paths[-1]  # prepared already
        spent = medians({"score": lambda: flatness.score(path)}, bench.sizes.rounds, fabric.device, limit)
        images = len(flatness.settings.sigmas) * len(bench.images)
        row |= {"images": images, **each(spent, images)}
        if isinstance(flatness.scoring, Arranged) and flatness.scoring.graphs:
            row["capture_seconds"] = flatness.scoring.capture_seconds / max(flatness.scoring.captures, 1)
        return row


@torch.no_grad()
def on_streams(bench: Bench, best: int, graphs: bool, limit: float) -> dict[str, Any]:
    """Several architectures evaluated in turn, on one stream and on one each; losses must be the same."""
    device = bench.fabric.device
    one = arranged(bench, bench.fabric, best, "channels-last", False)
    paths = [bench.space.sample(Random(number)) for number in range(STREAMS)]
    networks = [Folded(one.extract(path)).refresh() for path in paths]
    batches = [(one.laid_out(images), labels) for images, labels in one.validation_batches()]
    images, labels = batches[0]
    calls = [partial(losses_of, network, images, labels) for network in networks]
    if graphs:
        calls = [Captured(call, device) for call in calls]
    streams = [torch.cuda.Stream() for _ in paths] if device.type == "cuda" else [None for _ in paths]

    def alone() -> list[Tensor]:
        return [call() for _ in batches for call in calls][-len(calls) :]

    def aside() -> list[Tensor]:
        out: list[Tensor] = []
        for stream in streams:
            if stream is not None:
                stream.wait_stream(torch.cuda.current_stream())
        for _ in batches:
            out = []
            for call, stream in zip(calls, streams, strict=True):
                with torch.cuda.stream(stream) if stream is not None else contextlib.nullcontext():
                    out.append(call())
        for stream in streams:
            if stream is not None:
                torch.cuda.current_stream().wait_stream(stream)
        return out

    expected, found = ([float(one.mean()) for one in work()] for work in (alone, aside))
    worst = difference(found, expected)
    row: dict[str, Any] = {"difference": worst, "tolerance": TOLERANCE["32"], "architectures": len(paths)}
    if not worst <= TOLERANCE["32"]:
        return {**row, "error": "not equal to one stream: no time is told"}
    spent = medians({"one stream": alone, "streams": aside}, bench.sizes.rounds, device, limit)
    return {**row, **each(spent, len(paths) * len(batches) * len(images))}


class Step:
    """A training step of one path of a supernet of its own, with everything that follows the loss.

    Args:
        bench: space and images.
        fabric: device and precision.
        batch: images.
        layout: of weights and images.
        fused: SGD in one kernel.
    """

    def __init__(self, bench: Bench, fabric: Fabric, batch: int, layout: str, fused: bool = False) -> None:
        self.fabric, memory = fabric, LAYOUTS[layout]
        self.net = initialise(bench.space, 10, 3, 0).to(fabric.device).to(memory_format=memory).train()
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.0, momentum=0.9, weight_decay=3e-4, fused=fused)
        self.images = bench.images[:batch].contiguous(memory_format=memory)
        self.labels = bench.labels[:batch]

    def __call__(self, path: Any) -> Tensor:
        """The loss; the learning rate is 0, so that every call computes the same."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.fabric.autocast():
            loss = functional.cross_entropy(self.net(self.images, path), self.labels)
        self.fabric.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        return loss.detach()


def step_variants(bench: Bench, batch: int, limit: float, notes: Notes) -> None:
    """Seconds of a step, layout by precision by optimizer, and replayed from the graph of one path."""
    device = bench.fabric.device
    plain = Step(bench, bench.fabric, batch, "contiguous")
    expected = [float(plain(path)) for path in bench.paths]

    def one(precision: str, layout: str, fused: bool, graph: bool, free: bool) -> dict[str, Any]:
        with computing(device.type, precision) as fabric, free_choice(free):
            step = Step(bench, fabric, batch, layout, fused)
            works = [partial(step, path) for path in bench.paths]
            if graph:  # a graph of its own for each path, all over the same weights
                for work in works:
                    work()  # momentum is made before the capture
                works = [Captured(work, device) for work in works]
            worst = difference([float(work()) for work in works], expected)
            row: dict[str, Any] = {"difference": worst, "tolerance": STEP_TOLERANCE[precision], "batch": batch}
            if not worst <= STEP_TOLERANCE[precision]:
                return {**row, "error": "not equal to the plain way: no time is told"}
            spent = medians({"step": lambda: [work() for work in works]}, 2 * bench.sizes.rounds, device, limit)
            if graph:
                row["capture_seconds"] = sum(work.seconds for work in works) / len(works)
            return {**row, **each(spent, len(works))}

    for precision in precisions(device.type):
        for layout in LAYOUTS:
            for title, *ways in STEP_WAYS:
                name = f"{bench.name}: step, {layout}{title}, {precision}, batch {batch}"
                notes.attempt(name, partial(one, precision, layout, *ways))


def run(notes: Notes, device: str, sizes: Sizes, best: dict[str, int]) -> None:
    """All measurements of the phase.

    Args:
        notes: of the phase.
        device: ``cpu`` or ``cuda``.
        sizes: how much.
        best: by space the batch that the second phase found best.
    """
    fabric = open_fabric(device)
    settings = FlatnessSettings(sigmas=SIGMAS)
    for name in reversed(sizes.spaces):
        bench = Bench(name, sizes, fabric)
        largest = best.get(name, sizes.batches[-1])
        plain = Flatness(scoring(bench, fabric, BATCH, engine="plain"), settings)
        expected = [plain.score(path).terms["losses"] for path in bench.paths]
        variants = evaluation_variants(bench, largest, settings)
        share = notes.left / (len(sizes.spaces) * (len(variants) + 18)) / 2
        for title, (precision, make) in variants.items():
            notes.attempt(f"{name}: {title}", partial(one_variant, bench, expected, precision, make, share))
        precision, make = variants[f"fast, 32, batch {largest}"]
        title = f"{name}: fast, cuDNN free, 32, batch {largest}"
        notes.attempt(title, partial(one_variant, bench, expected, precision, make, share, free=True))
        for graphs in (False, True):
            title = f"{name}: {STREAMS} architectures on streams{', graphs' if graphs else ''}, batch {largest}"
            notes.attempt(title, partial(on_streams, bench, largest, graphs, share))
        notes.attempt(f"{name}: steps", partial(step_variants, bench, min(BATCH, sizes.images), share, notes))
        wait(fabric.device)
