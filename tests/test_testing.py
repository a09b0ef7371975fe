"""The conformance checks: the project's own classes pass, and classes with one fault each do not."""

import random
from dataclasses import replace

import chain
import pytest
import torch

from genas.core.errors import GenasError
from genas.data import open_dataset
from genas.proxies import ProxySettings
from genas.proxies.named import PROXIES
from genas.spaces import open_space
from genas.spaces.nasbench201.network import NasBench201Network
from genas.spaces.nasbench201.space import NasBench201Space
from genas.strategies.named import STRATEGIES
from genas.testing import check_dataset, check_proxy, check_space, check_strategy

SMALL = {
    "darts": {"cells": 3, "channels": 4},
    "nasbench201": {"cells_per_stage": 1, "channels": 4},
    "nasbench-macro": {"channels": 4, "tail_channels": 8},
}
SLOW = ("consensus", "neighbour-flatness", "relative-flatness", "hessian-trace")  # tests/proxy asks the same of them
QUICK = ProxySettings.model_validate({"batchnorm": {"images": 64}})


@pytest.mark.parametrize("name", SMALL)
def test_spaces(name):
    check_space(open_space(name, **SMALL[name]))


@pytest.mark.parametrize("name", [name for name in PROXIES.names if name not in SLOW])
def test_proxies(name):
    check_proxy(lambda scoring: QUICK.open(name, scoring))


@pytest.mark.parametrize("name", STRATEGIES.names)
def test_strategies(name):
    check_strategy(STRATEGIES.find(name))


def test_data_sets():
    check_dataset(open_dataset("digits"))


def test_a_users_classes():
    check_space(chain.Chain(width=4))
    check_proxy(chain.Small, chain.Chain(4), {"factor": 2})
    check_strategy(chain.Walk, chain.Chain(4), {"count": 3})
    check_dataset(chain.Half(3))


class Apart(chain.Chain):
    def network(self, num_classes, architecture=None, image_channels=3):
        network = super().network(num_classes, architecture, image_channels)
        network.scale = 1.0 if architecture is None else 2.0
        network.register_forward_hook(lambda module, _, out: out * module.scale)
        return network


class Wider(chain.Chain):
    def network(self, num_classes, architecture=None, image_channels=3):
        return chain.ChainNetwork(num_classes, architecture, image_channels, 4 if architecture is None else 6)


class Lucky(chain.Chain):
    def sample(self, rng):
        return super().sample(random)


class Generous(chain.Chain):
    def parse(self, text):
        return chain.ChainArchitecture((1, 1, 1)) if "-" not in text else super().parse(text)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Apart, "a path of the supernet and its stand-alone network differ"),
        (Wider, "the supernet has no stem.weight of shape"),
        (Lucky, "draws"),
        (Generous, "parse takes a text that is no genotype"),
    ],
)
def test_faults_of_spaces(kind, message):
    with pytest.raises((AssertionError, GenasError), match=message):
        check_space(kind(4))


class Changing(chain.Small):
    def score(self, architecture):
        with torch.no_grad():
            next(self.scoring.supernet.parameters()).add_(1)
        return 1.0


class Counting(chain.Small):
    count = 0

    def score(self, architecture):
        Counting.count += 1
        return Counting.count


class Infinite(chain.Small):
    def score(self, architecture):
        return float("inf")


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Changing, "changes the supernet"), (Counting, "depends on what was scored before"), (Infinite, "is inf")],
)
def test_faults_of_proxies(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_proxy(kind, chain.Chain(4))


class Repeating(chain.Walk):
    def ask(self, history, rng, generation):
        return super().ask(history, random.Random(0), 0)


class Unlimited(chain.Walk):
    def __init__(self, space, settings, allowed=None, count=8):
        super().__init__(space, settings, None, count)


class Forgetful(chain.Walk):
    def ask(self, history, rng, generation):
        return super().ask(history, random, generation)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Repeating, "of the history again|proposes others"),
        (Unlimited, "what the limits do not allow"),
        (Forgetful, "asked again, it proposes others"),
    ],
)
def test_faults_of_strategies(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_strategy(kind, open_space("nasbench201"), {"count": 8})


class Mixed(chain.Half):
    def splits(self, seed):
        splits = super().splits(seed)
        return replace(splits, weights=splits.weights.with_labels(torch.randint(10, (len(splits.weights),))))


def test_faults_of_data_sets():
    with pytest.raises(AssertionError, match="loaded again, the labels are others"):
        check_dataset(Mixed())


class Skipping(NasBench201Network):
    """Leaves an edge out of the mixture."""

    def forward_mixed(self, images, mix):
        def all_but_one(edge, operations, x):
            return x if edge == 3 else mix(edge, operations, x)

        return super().forward_mixed(images, all_but_one)


class LeavesOut(NasBench201Space):
    def _network(self, num_classes, architecture, image_channels, **others):
        return Skipping(num_classes, architecture, cells_per_stage=1, channels=4, image_channels=image_channels)


class FavoursFirst(NasBench201Space):
    def derive(self, weights):
        return self.architecture_class((0,) * 6)


@pytest.mark.parametrize(
    ("kind", "message"), [(LeavesOut, "expected all 6"), (FavoursFirst, "derive gives another architecture")]
)
def test_faults_of_edges(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_space(kind(cells_per_stage=1, channels=4))
