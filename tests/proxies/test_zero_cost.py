"""Training-free proxies against plain loops, and what must not change them."""

import copy
import csv
import gzip
import math
import random

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn
from torch.nn import functional

from genas.core.errors import ConfigError
from genas.proxies import (
    EvaluationSettings,
    Proxy,
    ProxySettings,
    Scoring,
    ZeroCostSettings,
    needs_training,
    open_proxy,
)
from genas.proxies.zero_cost import K, code_kernel, correlation_score, weight_gradients, without_batch_norm
from genas.spaces import architecture_cost, open_space
from genas.training.supernet import initialise

NAMES = ["params", "macs", "synflow", "naswot", "jacob-cov", "grad-norm", "snip"]
SETTINGS = ProxySettings(zero_cost={"images": 6, "naswot_images": 7})
NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
RICH = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"


def proxy(scoring: Scoring, name: str, **changes: object):
    return open_proxy(scoring, SETTINGS.model_copy(update={"expression": name, **changes}))


def anew(scoring: Scoring, initial=None, splits=None) -> Scoring:
    return Scoring(
        scoring.space,
        scoring.supernet,
        scoring.initial if initial is None else initial,
        scoring.splits if splits is None else splits,
        scoring.fabric,
        scoring.seed,
        scoring.batchnorm,
        scoring.evaluation,
    )


def slow_values(scoring: Scoring, architecture) -> dict[str, float]:
    """The measures from `.grad` and loops, on one mini-batch."""
    seed = proxy(scoring, "snip")
    images, labels = seed.batch(6)
    network = scoring.untrained(architecture)
    functional.cross_entropy(network(images), labels).backward()
    norms, products = 0.0, 0.0
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.grad is not None:
            norms += math.sqrt(float((module.weight.grad.double() ** 2).sum()))
            products += float((module.weight.grad * module.weight).detach().double().abs().sum())
    inputs = images.clone().requires_grad_()
    scoring.untrained(architecture)(inputs).sum().backward()
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(inputs.grad.flatten(1).double().numpy()))
    jacobian = -sum(math.log(value + 1e-5) + 1 / (value + 1e-5) for value in eigenvalues)
    cost = architecture_cost(scoring.space, architecture, scoring.splits.num_classes, scoring.splits.image_shape)
    return {
        "grad-norm": norms,
        "snip": products,
        "jacob-cov": jacobian,
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "macs": cost.macs,
    }


class OfShapes(Proxy):
    needs_training = False

    def score(self, architecture):
        return len(architecture.genotype)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        *((name, False) for name in [*NAMES, "benchmark-macs", "naswot - 0.1*jacob-cov"]),
        *((name, True) for name in ("flatness", "angle", "gradient-norm", "sharpness", "macs + 0.1*loss")),
        (f"{__name__}:OfShapes + macs", False),
        ("consensus", True),
    ],
)
def test_which_expressions_need_a_trained_supernet(expression, expected):
    assert needs_training(ProxySettings(expression=expression)) == expected


def test_what_needs_no_training_scores_alike_before_and_after(nas_scoring):
    """The claim behind the table: other supernet weights change nothing."""
    other = copy.deepcopy(nas_scoring.supernet)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    fresh = Scoring(
        nas_scoring.space, other, nas_scoring.initial, nas_scoring.splits, nas_scoring.fabric, nas_scoring.seed
    )
    architecture = nas_scoring.space.parse(RICH)
    for name in [*NAMES, "benchmark-macs", "benchmark-params"]:
        assert not needs_training(ProxySettings(expression=name))
        scores = [proxy(scoring, name).score(architecture).value for scoring in (nas_scoring, fresh)]
        assert scores[0] == scores[1]


def test_equal_a_slow_computation_in_every_space(scoring):
    architecture = scoring.space.sample(random.Random(4))
    for name, value in slow_values(scoring, architecture).items():
        assert proxy(scoring, name).score(architecture).value == pytest.approx(value, rel=1e-3), name


def test_synflow_of_a_linear_chain_is_known_by_hand():
    chain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2, bias=False)).double()
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.abs_()
    first, second = chain[0].weight.detach().clone(), chain[2].weight.detach().clone()
    bias = chain[0].bias.detach().clone()
    value = sum(
        float((w * g).abs().sum())
        for w, g in weight_gradients(chain, chain(torch.ones(1, 2, dtype=torch.float64)).sum())
    )
    # each unit: what flows in by weights, times what goes out; and all that goes through the second layer
    by_hand = 0.0
    for unit in range(3):
        out = float(second[0, unit] + second[1, unit])
        weights_in = float(first[unit, 0] + first[unit, 1])
        by_hand += weights_in * out + (weights_in + float(bias[unit])) * out
    assert value == pytest.approx(by_hand)


def test_synflow_equals_sums_over_weights_by_finite_differences(nas_scoring):
    """|w dR/dw|: R is linear in each weight, so a relative change of a weight by h changes R by h w dR/dw exactly."""
    architecture = nas_scoring.space.parse(RICH)
    network = without_batch_norm(nas_scoring.untrained(architecture)).double()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    ones = torch.ones(1, *nas_scoring.splits.image_shape, dtype=torch.float64)
    total = 0.0
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
        flow = float(network(ones).sum())
        for layer in layers:  # a layer's weights together: all its |w dR/dw| are of one sign
            layer.weight.mul_(1.5)
            total += (float(network(ones).sum()) - flow) / 0.5
            layer.weight.div_(1.5)
    score = proxy(nas_scoring, "synflow").score(architecture)
    assert score.value == pytest.approx(total, rel=1e-9)
    assert score.terms["log"] == pytest.approx(math.log1p(total))


def test_synflow_sees_no_image(nas_scoring, make_splits):
    other = anew(nas_scoring, splits=make_splits(count=60))
    architecture = nas_scoring.space.parse(RICH)
    assert proxy(other, "synflow").score(architecture) == proxy(nas_scoring, "synflow").score(architecture)
    assert proxy(other, "snip").score(architecture) != proxy(nas_scoring, "snip").score(architecture)


class Coded(nn.Module):
    """ReLUs in all the ways that code writes them; the last one has no influence."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.first(x)
        self.seen = [a.detach().clone()]
        b = self.second(self.relu(a))
        self.seen.append(b.detach().clone())
        c = torch.relu(b)
        torch.relu(b + 1)
        return (torch.relu_(c - 0.1) + functional.relu(c - 0.2)).mean((2, 3))


def test_kernel_of_codes_equals_loops_over_units():
    network = Coded()
    images = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    kernel, units = code_kernel(network, images)
    a, b = network.seen
    c = b.clamp_min(0)
    codes = torch.cat([(value > 0).flatten(1) for value in (a, b, c - 0.1, c - 0.2)], 1).tolist()
    assert units == len(codes[0])
    for one in range(5):
        for two in range(5):
            agree = sum(x == y for x, y in zip(codes[one], codes[two], strict=True))
            assert kernel[one, two] == agree


def test_naswot_is_the_log_determinant_of_that_kernel(scoring):
    architecture = scoring.space.sample(random.Random(4))
    measure = proxy(scoring, "naswot")
    kernel, units = code_kernel(scoring.untrained(architecture), measure.batch(7)[0])
    score = measure.score(architecture)
    assert score.terms == {"units": units, "singular": False}
    assert score.value == pytest.approx(np.linalg.slogdet(kernel.numpy())[1])


def test_naswot_does_not_change_where_weights_are_scaled_by_positive_factors(nas_scoring):
    """Of convolutions before a batch norm, and large enough for its epsilon to have no say."""
    architecture = nas_scoring.space.parse(RICH)
    scores = {}
    for factor in (2.0**10, 2.0**12):
        weights = {
            name: value * factor if value.dim() == 4 and "shortcut" not in name else value
            for name, value in nas_scoring.initial.items()
        }
        scaled = anew(nas_scoring, weights)
        scores[factor] = {name: proxy(scaled, name).score(architecture).value for name in ("naswot", "synflow")}
    first, second = scores.values()
    assert second["naswot"] == pytest.approx(first["naswot"], abs=1e-3)
    assert second["synflow"] > 4 * first["synflow"]


def test_without_a_way_for_the_signal_the_score_is_the_lowest_and_defined(nas_scoring):
    space = nas_scoring.space
    rng = random.Random(0)
    others = [space.parse(RICH), *(space.sample(rng) for _ in range(6))]
    for name in ("synflow", "naswot", "jacob-cov", "grad-norm", "snip"):
        measure = proxy(nas_scoring, name)
        dead = measure.score(space.parse(NONE)).value
        assert math.isfinite(dead)
        assert all(measure.score(other).value >= dead for other in others), name
        assert measure.score(space.parse(RICH)).value > dead
    assert proxy(nas_scoring, "naswot").score(space.parse(NONE)).terms["singular"]
    assert proxy(nas_scoring, "jacob-cov").score(space.parse(NONE)).terms["degenerate"]


@pytest.mark.parametrize("name", ["synflow", "naswot", "jacob-cov", "grad-norm", "snip"])
def test_another_size_is_that_of_a_space_of_this_size(nas_scoring, name):
    architecture = nas_scoring.space.parse(RICH)
    sized = proxy(nas_scoring, name, zero_cost=SETTINGS.zero_cost.model_copy(update={"cells": 2, "channels": 6}))
    larger = nas_scoring.space.final(2, 6)
    splits = nas_scoring.splits
    initial = initialise(larger, splits.num_classes, splits.image_shape[0], nas_scoring.seed).state_dict()
    own = Scoring(larger, nas_scoring.supernet, initial, splits, nas_scoring.fabric, nas_scoring.seed)
    assert sized.score(architecture) == proxy(own, name).score(architecture)
    assert sized.score(architecture).value != proxy(nas_scoring, name).score(architecture).value


def test_a_size_that_the_space_cannot_have_shows_when_the_proxy_is_opened(nas_scoring):
    space = open_space("nasbench-macro")
    parts = (nas_scoring.supernet, nas_scoring.initial, nas_scoring.splits, nas_scoring.fabric, 0)
    with pytest.raises(ConfigError, match="cells is 20; a network of the space 'nasbench-macro' has 8 layers"):
        proxy(Scoring(space, *parts), "naswot", zero_cost=ZeroCostSettings(cells=20))


def test_jacob_cov_enters_sums_as_a_logarithm(nas_scoring):
    measure = proxy(nas_scoring, "jacob-cov")
    values = [measure.score(nas_scoring.space.parse(text)) for text in (NONE, RICH)]
    assert all(score.value <= -SETTINGS.zero_cost.images for score in values)
    assert [measure.normalised(score) for score in values] == [-math.log(-score.value) for score in values]


def test_correlation_score_has_its_bounds():
    independent = torch.eye(4, 9, dtype=torch.float64) - torch.eye(4, 9, dtype=torch.float64).roll(4, 1)
    best, _ = correlation_score(independent)
    assert best == pytest.approx(-4 * (math.log(1 + K) + 1 / (1 + K)))
    alike, _ = correlation_score(independent[:1].repeat(4, 1) * torch.tensor([[1.0], [2], [3], [4]]).double())
    dead, degenerate = correlation_score(torch.zeros(4, 9, dtype=torch.float64))
    assert degenerate
    assert dead == pytest.approx(alike, rel=1e-6)
    assert dead == pytest.approx(-3 * (math.log(K) + 1 / K) - math.log(4 + K) - 1 / (4 + K), rel=1e-6)


def test_scores_come_from_the_initial_weights_and_the_mini_batch_alone(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    moved = anew(nas_scoring, {name: value + 0.1 for name, value in nas_scoring.initial.items()})
    other = ProxySettings(zero_cost={"images": 6, "naswot_images": 7, "subset": 1}).zero_cost
    for name in ("synflow", "naswot", "jacob-cov", "grad-norm", "snip"):
        score = proxy(nas_scoring, name).score(architecture)
        assert proxy(moved, name).score(architecture).value != score.value
        again = proxy(nas_scoring, name, zero_cost=other).score(architecture).value
        assert (again == score.value) == (name == "synflow")
        assert proxy(anew(nas_scoring), name).score(architecture) == score


def test_in_a_sum_with_the_loss_they_race(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    combined = proxy(nas_scoring, "loss + 0.1*jacob-cov-0.5*macs + synflow")
    assert combined.raceable
    assert combined.columns == 2
    score = combined.score(architecture)
    assert score.terms["macs"]["contribution"] == pytest.approx(
        -0.5 * math.log1p(proxy(nas_scoring, "macs").score(architecture).value)
    )
    means = combined.statistics(architecture, slice(0, 3)).mean(0)
    assert combined.score_of_means(architecture, means) == score
    assert float(combined.values_of_means(architecture, means[None])[0]) == pytest.approx(score.value)
    assert not proxy(nas_scoring, "jacob-cov").raceable


def test_more_images_than_there_are_take_all(nas_scoring):
    settings = ProxySettings().zero_cost
    assert (settings.images, settings.naswot_images) == (64, 128)
    images, labels = proxy(nas_scoring, "snip", zero_cost=settings).batch(64)
    assert len(images) == len(labels) == len(nas_scoring.splits.weights) == 20
    assert EvaluationSettings().subset == 0


@pytest.mark.parametrize("name", ["synflow", "naswot"])
def test_ranks_real_architectures_about_as_published(shared_data, digits, fabric, name):
    """Kendall's tau with NAS-Bench-201's CIFAR-10 accuracies is 0.561 and 0.571 over the whole space.

    Here: a sample, small networks, other images.
    """
    with gzip.open(shared_data / "nasbench201.csv.gz", "rt") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), 50)
    space = open_space("nasbench201", cells_per_stage=1, channels=8)
    network = initialise(space, digits.num_classes, digits.image_shape[0], 0)
    scoring = Scoring(space, network, network.state_dict(), digits, fabric, 0)
    measure = open_proxy(scoring, ProxySettings(expression=name, zero_cost={"naswot_images": 32}))
    scores = [measure.score(space.parse(row["arch"])).value for row in rows]
    assert kendalltau(scores, [float(row["cifar10_test"]) for row in rows]).statistic > 0.4


def test_both_counts_of_nasbench201_have_a_name(nas_scoring):
    """A convolution that nothing reaches is in the benchmark's figures, and in neither of ours."""
    space = nas_scoring.space
    unreached = space.parse("|none~0|+|avg_pool_3x3~0|none~1|+|avg_pool_3x3~0|nor_conv_3x3~1|none~2|")
    bare = space.parse("|none~0|+|avg_pool_3x3~0|none~1|+|avg_pool_3x3~0|none~1|none~2|")
    reached = space.parse("|skip_connect~0|+|avg_pool_3x3~0|none~1|+|avg_pool_3x3~0|nor_conv_3x3~1|none~2|")
    for name in ("params", "macs"):
        ours, benchmark = proxy(nas_scoring, name), proxy(nas_scoring, f"benchmark-{name}")
        assert ours.score(unreached) == ours.score(bare) == benchmark.score(bare)
        assert benchmark.score(unreached) == benchmark.score(reached) == ours.score(reached)
        assert benchmark.score(unreached).value > ours.score(unreached).value
        assert benchmark.normalised(benchmark.score(bare)) == ours.normalised(ours.score(bare))
