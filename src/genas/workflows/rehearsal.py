"""A rehearsal on two images before a run folder is made: what would fail after hours fails at once.

Training step of the supernet, first scores of every proxy, first proposals of a custom strategy, training step of the
final network: each is done once, on two images, with the weights before training. Nothing is written, and no random
number of the run is used up: every stream is either named (`genas.core.seeding`) or put back (`random_state_kept`).
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genas.core.device import Fabric
from genas.core.errors import ConfigError, DataError, GenasError, Interrupted, RunError
from genas.core.registry import blame
from genas.core.seeding import derive, python_rng
from genas.data.augment import Augmentation
from genas.data.base import LabelledImages, Splits
from genas.proxies import ProxySettings, Scoring, checked_score, open_proxy
from genas.proxies.expression import leaf_names
from genas.proxies.named import PROXIES
from genas.spaces.base import Architecture, Network, Space
from genas.spaces.cost import architecture_cost
from genas.spaces.named import check_recorded
from genas.strategies import History, Proposal, Strategy
from genas.training.standalone.data import Parts
from genas.training.standalone.recipe import RetrainSettings
from genas.training.supernet import SupernetSettings, initialise
from genas.training.supernet.train import training_images

T = TypeVar("T")
IMAGES = 2
TRIES = 4  # architectures that a proxy may fail on before it is taken for unfit: some have no path for the signal
_PASSED_ON = (MemoryError, Interrupted, DataError, RunError, torch.OutOfMemoryError)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Puts the global random states back that code of others may draw from."""
    states = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def rehearse_space(space: Space, splits: Splits, seed: int) -> Architecture:
    """Draws an architecture, reads its text back, varies it and counts it; gives it.

    Raises:
        ConfigError: one of them does not work.
    """
    rng = python_rng(seed, "rehearsal")

    def varied() -> Architecture:
        one, other = space.sample(rng), space.sample(rng)
        for made, how in (
            (one, "sample"),
            (space.parse(one.genotype), "parse"),
            (space.mutate(one, rng), "mutate"),
            (space.crossover(one, other, rng), "crossover"),
        ):
            if not isinstance(made, Architecture):
                raise ConfigError(f"its {how} gave a {type(made).__name__}; expected an Architecture")
        if space.parse(one.genotype) != one:
            raise ConfigError(
                f"parse({one.genotype!r}) gives an architecture that is not equal to the one it came from"
            )
        architecture_cost(space, one, splits.num_classes, splits.image_shape)
        return one

    return _worded(varied, f"the space {space.describe()['name']!r} cannot be used")


def rehearse_supernet(
    space: Space, splits: Splits, settings: SupernetSettings | None, fabric: Fabric, seed: int
) -> tuple[Network, dict[str, Tensor]]:
    """One training step of the supernet; gives the network before it, and its weights by name.

    Args:
        space: the search space.
        splits: the data.
        settings: how it is trained; None where it is not.
        fabric: device and precision.
        seed: the run's seed.

    Raises:
        ConfigError: the network cannot be built or trained.
    """
    what = f"the supernet of the space {space.describe()['name']!r} cannot be trained on these data"

    def step() -> tuple[Network, dict[str, Tensor]]:
        network = initialise(space, splits.num_classes, splits.image_shape[0], seed)
        initial = {name: value.clone() for name, value in network.state_dict().items()}
        network = network.to(fabric.device)
        if settings is None:
            return network, initial
        images = training_images(splits, settings)
        fabric.precision.convert_module(network)
        batch, labels = _batch(images, splits.augmentation, fabric, derive(seed, "supernet.batches", 0))
        path = space.sample_training_path(python_rng(seed, "supernet.paths", 0, 0), network.num_cells)
        with fabric.autocast():
            logits = network(batch.to(next(network.parameters()).dtype), path)
            _backward(logits, labels, splits)
        network.zero_grad(set_to_none=True)
        network.load_state_dict(initial)  # batch norm took statistics
        return network, initial

    return _worded(step, what)


def rehearse_scores(scoring_of: Callable[[Splits], Scoring], splits: Splits, settings: ProxySettings) -> None:
    """Builds the proxy and lets each part of it score, on two images.

    A part that fails on them is tried on all images, in case two are too few for it.

    Args:
        scoring_of: the supernet ready to score with these data.
        splits: all data.
        settings: which proxies.

    Raises:
        ConfigError: a proxy cannot be built, or fails on every one of a few architectures.
    """
    with random_state_kept():
        if settings.options and not any(map(PROXIES.is_custom, leaf_names(settings))):
            raise ConfigError(
                f"proxy.options are for custom classes; {settings.expression!r} has no {', '.join(settings.options)}."
            )
        whole = scoring_of(splits)
        open_proxy(whole, settings)
        few = scoring_of(_few(splits))
        for name in leaf_names(settings):
            options = settings.options if PROXIES.is_custom(name) else {}
            own = settings.model_copy(update={"expression": name, "options": options})
            if _fault(few, own) is not None and (fault := _fault(whole, own)) is not None:
                space = whole.space.describe()["name"]
                raise ConfigError(
                    f"the proxy {name!r} cannot score architectures of the space {space!r}: "
                    f"{str(fault).rstrip('.') if isinstance(fault, GenasError) else blame(fault)}."
                ) from fault


def rehearse_proxy(scoring: Scoring, settings: ProxySettings) -> None:
    """`rehearse_scores` with a trained supernet that is ready to score.

    Raises:
        ConfigError: a proxy cannot be built, or fails on every one of a few architectures.
    """

    def scoring_of(splits: Splits) -> Scoring:
        return Scoring(
            scoring.space,
            scoring.supernet,
            scoring.initial,
            splits,
            scoring.fabric,
            scoring.seed,
            settings.batchnorm,
            settings.evaluation,
        )

    rehearse_scores(scoring_of, scoring.splits, settings)


def _fault(scoring: Scoring, settings: ProxySettings) -> Exception | None:
    """Why no architecture of a few can be scored; None where one can."""
    rng = python_rng(scoring.seed, "rehearsal")
    fault: Exception | None = None
    for _ in range(TRIES):
        try:
            checked_score(open_proxy(scoring, settings), scoring.space.sample(rng))
        except _PASSED_ON:
            raise
        except Exception as error:
            fault = fault or error
        else:
            return None
    return fault


def rehearse_strategy(search: Strategy, seed: int) -> None:
    """Asks a custom strategy for its first architectures.

    Raises:
        ConfigError: it fails, or gives something else than proposals.
    """

    def asked() -> None:
        with History(":memory:") as empty:
            proposals = search.ask(empty, python_rng(seed, "search", 0), 0)
        if not isinstance(proposals, list) or not all(isinstance(one, Proposal) for one in proposals):
            raise ConfigError("its ask gave something else than a list of genas.Proposal")
        if not proposals:
            raise ConfigError("its ask proposes no architecture for the first generation")

    _worded(asked, f"the search {search.settings.algorithm!r} cannot be used")


def rehearse_retraining(
    space: Space, architecture: Architecture, splits: Splits, parts: Parts, settings: RetrainSettings, fabric: Fabric
) -> None:
    """One training step of the network that is retrained.

    Args:
        space: at the network's size.
        architecture: one of it.
        splits: the data.
        parts: what the recipe takes of them.
        settings: the recipe.
        fabric: device and precision.

    Raises:
        ConfigError: the network cannot be built or trained.
    """

    def step() -> None:
        check_recorded(space)
        network = space.network(splits.num_classes, architecture, splits.image_shape[0])
        fabric.precision.convert_module(network.to(fabric.device))
        seed = derive(0, "rehearsal.retrain")
        images, labels = _batch(parts.train, parts.augmentation, fabric, seed)
        with fabric.autocast():
            logits, auxiliary = network.forward_with_auxiliary(images.to(next(network.parameters()).dtype))
            _backward(logits if auxiliary is None else logits + auxiliary, labels, splits)

    _worded(step, f"the network of the space {space.describe()['name']!r} cannot be retrained with this recipe")


def _few(splits: Splits) -> Splits:
    first = range(IMAGES)
    return replace(splits, weights=splits.weights.subset(first), validation=splits.validation.subset(first))


def _batch(
    images: LabelledImages, augmentation: Augmentation | None, fabric: Fabric, seed: int
) -> tuple[Tensor, Tensor]:
    walk = images.batches(IMAGES, fabric.device, seed=seed, shuffle=True, augmentation=augmentation, limit=IMAGES)
    return next(iter(walk))


def _backward(logits: Tensor, labels: Tensor, splits: Splits) -> None:
    if logits.shape != (len(labels), splits.num_classes):
        raise ConfigError(
            f"it gives logits of shape {list(logits.shape)}; expected {[len(labels), splits.num_classes]} (images, "
            "classes)"
        )
    torch.autograd.backward(functional.cross_entropy(logits.float(), labels))


def _worded(work: Callable[[], T], what: str) -> T:
    """What `work` gives, its faults turned into one sentence that begins with `what`."""
    try:
        with random_state_kept():
            return work()
    except _PASSED_ON:
        raise
    except GenasError as error:
        raise ConfigError(f"{what}: {str(error).rstrip('.')}.") from error
    except Exception as error:  # classes of users and sizes that do not go together may raise anything
        raise ConfigError(f"{what}: {blame(error)}.") from error
