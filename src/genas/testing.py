"""Checks of custom classes, to be called from a test of one's own; those of genas pass them too.

    from genas.testing import check_space
    def test_my_space():
        check_space(Chain(width=4))

A check raises AssertionError with a sentence that says what does not hold.
"""

import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from genas.core.device import Fabric
from genas.core.errors import GenasError, GenotypeError
from genas.core.registry import make
from genas.data import Dataset, Splits, open_dataset
from genas.data.base import LabelledImages
from genas.data.named import describe_given as describe_data
from genas.data.named import open_dataset as open_described
from genas.proxies import Proxy, Score, Scoring
from genas.proxies.expression import checked_score
from genas.spaces import Architecture, Network, Space, copy_path, open_space
from genas.spaces.edges import NONE, EdgeSpace, MixedNetwork
from genas.spaces.named import check_recorded
from genas.strategies import History, Proposal, Record, Strategy
from genas.training.supernet import initialise

CLASSES = 4
BATCH = 2
DRAWS = 8


def _holds(condition: object, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)


def check_space(space: Space, image_shape: tuple[int, int, int] = (3, 16, 16)) -> None:
    """Checks that a space can be recorded, that its texts and variations are legal, that its networks share weights.

    Args:
        space: at a small size.
        image_shape: channels, height, width of images that its networks take.

    Raises:
        AssertionError: what does not hold.
        GenasError: the space cannot be recorded.
    """
    check_recorded(space)
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(DRAWS)]
    again = random.Random(0)
    _holds(drawn == [space.sample(again) for _ in range(DRAWS)], "sample draws from something else than its generator")
    _holds(space.size() >= len(set(drawn)), "size is smaller than the number of architectures that sample gave")
    for one, other in pairwise(drawn):
        for child in (one, space.mutate(one, rng), space.crossover(one, other, rng)):
            _check_architecture(space, child)
    mutated = [space.mutate(one, rng) != one for one in drawn]
    _holds(any(mutated) or space.size() == 1, "mutate gives its parent back")
    try:
        space.parse("no genotype of any space")
    except GenotypeError:
        pass
    else:
        raise AssertionError("parse takes a text that is no genotype")
    _check_networks(space, drawn[0], image_shape)
    if isinstance(space, EdgeSpace):
        for one in drawn[:2]:
            _check_edges(space, one, image_shape)


def _check_edges(space: EdgeSpace, one: Architecture, image_shape: tuple[int, int, int]) -> None:
    """What gradient methods ask for; a space whose network cannot mix operations has no part in them."""
    names, edges = space.operations_of(one), space.edges()
    weights = [[float(name == own) for name in edge.operations] for edge, own in zip(edges, names, strict=True)]
    _holds(space.derive(weights) == one, "derive gives another architecture than the one with all the weight")
    if not isinstance(space.network(CLASSES, image_channels=image_shape[0]), MixedNetwork):
        return
    network, met = space.mixed_network(CLASSES, image_shape[0]).eval(), set[int]()

    def only(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
        met.add(edge)
        held, named = set(operations), set(edges[edge].operations) - {NONE}
        _holds(held == named, f"edge {edge} of the mixed network has {sorted(held)}; expected {sorted(named)}")
        out: Tensor = operations[next(iter(named)) if names[edge] == NONE else names[edge]](x)
        return torch.zeros_like(out) if names[edge] == NONE else out

    images = torch.randn((BATCH, *image_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mixed, path = network.forward_mixed(images, only), network(images, one)
    _holds(met == set(range(len(edges))), f"forward_mixed calls edges {sorted(met)}; expected all {len(edges)}")
    _holds(torch.allclose(mixed, path, atol=1e-5), "forward_mixed with one operation per edge differs from that path")


def _check_architecture(space: Space, one: Architecture) -> None:
    _holds(isinstance(one, Architecture), f"{one!r} is no genas.Architecture")
    _holds(space.parse(one.genotype) == one, f"parse({one.genotype!r}) is not equal to the architecture with that text")
    _holds(space.parse(one.short) == one, f"parse({one.short!r}) is not equal to the architecture with that short text")
    _holds(hash(space.parse(one.genotype)) == hash(one), f"equal architectures {one.genotype!r} have different hashes")
    _holds(isinstance(space.function_key(one), str), "function_key gives something else than text")


def _check_networks(space: Space, one: Architecture, image_shape: tuple[int, int, int]) -> None:
    supernet = initialise(space, CLASSES, image_shape[0], 0).eval()
    _holds(isinstance(supernet, Network), "network gives something else than a genas.Network")
    alone = space.network(CLASSES, one, image_shape[0]).eval()
    _holds(alone.architecture == one, "a stand-alone network does not know its architecture")
    _holds(supernet.num_cells >= 1, "num_cells is below 1")
    theirs = {name: value.shape for name, value in supernet.state_dict().items()}
    extra = tuple(f"{name}." for name in alone.training_only)
    for name, value in alone.state_dict().items():
        if not (extra and name.startswith(extra)):
            _holds(theirs.get(name) == value.shape, f"the supernet has no {name} of shape {list(value.shape)}")
    copy_path(supernet, alone)
    images = torch.randn((BATCH, *image_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, path = alone(images), supernet(images, one)
    _holds(logits.shape == (BATCH, CLASSES), f"logits are {list(logits.shape)}; expected {[BATCH, CLASSES]}")
    _holds(torch.allclose(logits, path, atol=1e-5), "a path of the supernet and its stand-alone network differ")
    trained = space.sample_training_path(random.Random(0), supernet.num_cells)
    supernet.train()
    supernet(images, trained).sum().backward()
    _holds(any(p.grad is not None for p in supernet.parameters()), "a training path gives no gradient")


def check_dataset(dataset: Dataset, seed: int = 0) -> None:
    """Checks that a data set can be recorded, and that its images come reproducibly and in the shape that it tells.

    Args:
        dataset: small, or a small part of it.
        seed: of the halves.

    Raises:
        AssertionError: what does not hold.
        GenasError: the data set cannot be recorded or loaded.
    """
    settings = describe_data(dataset)
    splits = dataset.splits(seed)
    same = open_described(settings.pop("name"), **settings).splits(seed)
    for name in ("weights", "validation", "train", "test"):
        images, others = getattr(splits, name), getattr(same, name)
        if images is None:
            continue
        _holds(torch.equal(images.labels, others.labels), f"{name}: loaded again, the labels are others")
        _check_images(name, images, splits)


def _check_images(name: str, images: LabelledImages, splits: Splits) -> None:
    device, size = torch.device("cpu"), min(4, len(images))

    def walk(**options: Any) -> list[tuple[Tensor, Tensor]]:
        return list(images.batches(size, device, limit=3 * size, **options))

    batches = walk()
    shape = (size, *splits.image_shape)
    _holds(batches[0][0].shape == shape, f"{name}: a batch is {list(batches[0][0].shape)}; expected {list(shape)}")
    _holds(batches[0][0].dtype == torch.float32, f"{name}: images are {batches[0][0].dtype}; expected float32")
    _holds(
        torch.equal(batches[0][1], images.labels[:size]), f"{name}: the labels of a batch are not those of its images"
    )
    random_walk = {"seed": 5, "shuffle": True, "augmentation": splits.augmentation}
    first, second = walk(**random_walk), walk(**random_walk)
    _holds(_equal(first, second), f"{name}: the same seed gives other batches")
    if len(first) > 1:
        _holds(
            _equal(first[1:], walk(start=1, **random_walk)), f"{name}: a walk from batch 1 is not the rest of a walk"
        )
    part = images.subset([size - 1, 0])
    _holds(
        part.labels.tolist() == [int(images.labels[size - 1]), int(images.labels[0])], f"{name}: subset is unordered"
    )


def _equal(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True)
    )


def small_scoring(space: Space | None = None) -> Scoring:
    """An untrained supernet on 64 images of digits, ready to score.

    Args:
        space: None for a small one of NAS-Bench-201.
    """
    space = space or open_space("nasbench201", channels=4, cells_per_stage=1)
    splits = open_dataset("digits").splits(0)
    few = Splits(
        splits.weights.subset(range(64)),
        splits.validation.subset(range(64)),
        splits.train.subset(range(128)),
        None,
        splits.normalisation,
        splits.class_names,
        splits.augmentation,
    )
    supernet = initialise(space, few.num_classes, few.image_shape[0], 0)
    initial = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():  # as if it had been trained: the angle of equal weights is no number to compare
        for parameter in supernet.parameters():
            parameter.mul_(0.9).add_(0.01)
    return Scoring(space, supernet.eval(), initial, few, Fabric(), 0)


def check_proxy(
    proxy: type[Proxy] | Callable[[Scoring], Proxy],
    space: Space | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Checks that a proxy's scores are finite, repeatable, and leave the supernet as it was.

    Args:
        proxy: its class, or what makes it from a scoring.
        space: that it is for; None for a small NAS-Bench-201.
        options: of its constructor, as under ``proxy.options``.

    Raises:
        AssertionError: what does not hold.
        GenasError: the proxy cannot be made, or a score is not finite.
    """
    scoring = small_scoring(space)
    before = {name: value.clone() for name, value in scoring.supernet.state_dict().items()}
    rng = random.Random(1)
    drawn = [scoring.space.sample(rng) for _ in range(3)]

    def scores(order: list[Architecture]) -> dict[Architecture, Score]:
        name = getattr(proxy, "__name__", "proxy")
        own = make(name, proxy, scoring, options=options or {}) if isinstance(proxy, type) else proxy(scoring)
        scoring.forget()
        return {one: _score(own, one) for one in order}

    forth, back = scores(drawn), scores(drawn[::-1])
    for one in drawn:
        _holds(forth[one].value == back[one].value, f"the score of {one.genotype} depends on what was scored before it")
    now = scoring.supernet.state_dict()
    _holds(all(torch.equal(before[name], now[name]) for name in before), "scoring changes the supernet")


def _score(proxy: Proxy, one: Architecture) -> Score:
    try:
        return checked_score(proxy, one)
    except GenasError as error:
        raise AssertionError(f"{one.genotype} cannot be scored: {error}") from error


def check_strategy(
    strategy: type[Strategy], space: Space | None = None, options: Mapping[str, Any] | None = None
) -> None:
    """Checks that a strategy proposes new architectures within the limits, as a function of history and generator.

    Args:
        strategy: its class.
        space: to search in; None for NAS-Bench-201.
        options: of its constructor, as under ``strategy.options``.

    Raises:
        AssertionError: what does not hold.
        GenasError: it cannot be made.
    """
    space = space or open_space("nasbench201", channels=4, cells_per_stage=1)
    settings = strategy.Settings(generations=3, population=6, parents=2, mutations=2, crossovers=2)

    def allowed(architecture: Architecture) -> bool:
        return sum(architecture.genotype.encode()) % 3 > 0

    def opened() -> Strategy:
        made: Strategy = make(strategy.__name__, strategy, space, settings, allowed, options=options or {})
        return made

    search = opened()
    with History(":memory:") as history:
        for generation in range(settings.generations):
            proposals = search.ask(history, random.Random(generation), generation)
            _holds(all(isinstance(one, Proposal) for one in proposals), "ask gives something else than proposals")
            texts = [one.architecture.genotype for one in proposals]
            _holds(generation or texts, "ask proposes nothing for the first generation")
            _holds(len(set(texts)) == len(texts), "ask proposes an architecture twice")
            _holds(not any(text in history for text in texts), "ask proposes an architecture of the history again")
            _holds(all(allowed(one.architecture) for one in proposals), "ask proposes what the limits do not allow")
            for number, text in enumerate(texts):
                if number == len(texts) // 2:  # a killed process asks again in the middle of a generation
                    resumed = opened().ask(history, random.Random(generation), generation)
                    _holds([one.architecture.genotype for one in resumed] == texts, "asked again, it proposes others")
                score = float(sum(text.encode()) % 101)
                history.add(Record(0, text, generation, "random", (), None, score, {}, 1, 1, 0.0))
