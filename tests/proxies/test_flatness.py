import copy
import math
import random

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from genas.proxies import Flatness, FlatnessSettings, Scoring, flatness_terms
from genas.proxies.perturbation import unit_noise

SIGMAS = (0.01, 0.03, 0.06)


def test_formula_matches_the_poster_by_hand():
    value, slopes, depth = flatness_terms((0.1, 0.3, 0.4), (2.0, 2.5, 2.4), alpha=2.0)
    assert slopes == pytest.approx([2.5, 1.0])
    assert depth == pytest.approx(40.0)
    assert value == pytest.approx(1 / (40.0 + 3.5 + 1e-5))


def test_naive_form_is_alpha_zero_and_ignores_depth():
    low, _, _ = flatness_terms(SIGMAS, (1.0, 1.1, 1.3), alpha=0.0)
    high, _, depth = flatness_terms(SIGMAS, (5.0, 5.1, 5.3), alpha=0.0)
    assert depth == 0
    assert low == pytest.approx(high)


def slow_flatness(scoring: Scoring, genotype: str, sigmas: tuple[float, ...], alpha: float, noise: str) -> float:
    """The measure in float64, written independently: on a copy of the supernet's path, by plain loops."""
    architecture = scoring.space.parse(genotype)
    network = scoring.extract(architecture).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    with torch.no_grad():
        for images in scoring.recalibration_batches(architecture):
            network(images.double())
    network.eval()
    losses = []
    before = 0.0
    running = copy.deepcopy(network)
    for position, sigma in enumerate(sigmas):
        moved = copy.deepcopy(network) if noise == "direct" else running
        for name, parameter in moved.named_parameters():
            unit = unit_noise(parameter.detach().float(), scoring.seed, "flatness", 0, position, name).double()
            step = {
                "direct": sigma,
                "accumulated": math.sqrt(sigma**2 - before**2),
                "nominal-increments": sigma - before,
            }[noise]
            parameter.data += step * unit
        before = sigma
        total, count = 0.0, 0
        with torch.no_grad():
            for images, labels in scoring.validation_batches():
                for image, label in zip(images, labels, strict=True):
                    logits = moved(image[None].double())
                    total += float(functional.cross_entropy(logits, label[None]))
                    count += 1
        losses.append(total / count)
    slopes = sum(abs(losses[i + 1] - losses[i]) / (sigmas[i + 1] - sigmas[i]) for i in range(len(sigmas) - 1))
    return 1 / (alpha * losses[0] / sigmas[0] + slopes + 1e-5)


@pytest.mark.parametrize("noise", ["direct", "accumulated", "nominal-increments"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_equals_an_independent_slow_computation_in_float64(scoring, noise, alpha):
    architecture = scoring.space.sample(random.Random(5))
    proxy = Flatness(scoring, FlatnessSettings(sigmas=SIGMAS, alpha=alpha, noise=noise))
    fast = proxy.score(architecture).value
    slow = slow_flatness(scoring, architecture.genotype, SIGMAS, alpha, noise)
    assert fast == pytest.approx(slow, rel=2e-3)


def test_terms_reproduce_the_score(scoring):
    score = Flatness(scoring, FlatnessSettings(sigmas=SIGMAS, draws=2)).score(scoring.space.sample(random.Random(1)))
    terms = score.terms
    assert score.value == pytest.approx(1 / (terms["depth_term"] + sum(terms["slopes"]) + 1e-5))
    assert len(terms["losses_by_draw"]) == 2
    means = [sum(column) / 2 for column in zip(*terms["losses_by_draw"], strict=True)]
    assert terms["losses"] == pytest.approx(means)


def test_common_noise_repeats_and_own_noise_differs_between_architectures(scoring):
    rng = random.Random(2)
    first = scoring.space.sample(rng)
    common = Flatness(scoring, FlatnessSettings(sigmas=SIGMAS))
    once = common.score(first).terms["losses"]
    common.score(scoring.space.sample(rng))
    assert common.score(first).terms["losses"] == once
    own = Flatness(scoring, FlatnessSettings(sigmas=SIGMAS, common_noise=False))
    assert own.score(first).terms["losses"] != once


def test_shared_operations_get_the_same_noise():
    shape = torch.zeros(3, 2)
    assert torch.equal(
        unit_noise(shape, 1, "flatness", 0, 0, "a.weight"), unit_noise(shape, 1, "flatness", 0, 0, "a.weight")
    )
    assert not torch.equal(
        unit_noise(shape, 1, "flatness", 0, 0, "a.weight"), unit_noise(shape, 1, "flatness", 0, 0, "b.weight")
    )


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        ("direct", (0.001, 0.003, 0.006)),
        ("accumulated", (0.001, 0.003, 0.006)),
        ("nominal-increments", (0.001, 0.00224, 0.00374)),  # methods.md G4, section 18
    ],
)
def test_standard_deviation_of_the_noise_in_the_weights(noise, expected, scoring, monkeypatch):
    architecture = scoring.space.sample(random.Random(0))
    network = scoring.prepared(architecture)
    original = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    seen: list[float] = []

    def look(moved: nn.Module, part: slice | None = None):
        difference = torch.cat([(p.detach() - original[n]).flatten() for n, p in moved.named_parameters()])
        seen.append(float(difference.double().std()))
        return torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.bool)

    monkeypatch.setattr(scoring, "image_losses", look)
    Flatness(scoring, FlatnessSettings(noise=noise, draws=8)).score(architecture)
    count = sum(p.numel() for p in network.parameters()) * 8
    for position, sigma in enumerate(expected):
        rms = math.sqrt(sum(value**2 for value in seen[position::3]) / 8)
        assert rms == pytest.approx(sigma, rel=5 / math.sqrt(2 * count) + 2e-3)


@pytest.mark.parametrize("sigmas", [(0.1,), (0.0, 0.1), (-0.1, 0.1), (0.2, 0.1), (0.1, 0.1), (0.1, float("nan"))])
def test_refuses_sigmas_that_are_not_positive_and_increasing(sigmas):
    with pytest.raises(ValidationError):
        FlatnessSettings(sigmas=sigmas)
