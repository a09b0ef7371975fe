"""Noise curve and sharpness of trained networks: definitions, invariance, and nothing left changed."""

import copy
import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from genas.core.errors import GenasError
from genas.evaluation.flatness import (
    FlatnessMeasureSettings,
    increases,
    loss_and_gradient,
    mean_loss,
    measure_flatness,
    noise_losses,
)
from genas.proxies.perturbation import unit_noise
from genas.training.standalone.loading import load_model


def batches_of(splits, size=40):
    return lambda: splits.test.batches(size, torch.device("cpu"), limit=120)


@pytest.fixture
def network(trained_folder):
    return load_model(trained_folder / "model.safetensors").network


def test_the_network_is_left_bit_identical(network, digits):
    network.train()
    before = copy.deepcopy(network.state_dict())
    settings = FlatnessMeasureSettings(draws=2)
    found = measure_flatness(network, batches_of(digits), settings, 0)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(value.grad is None for value in network.parameters())
    for scale, sigmas in (("absolute", settings.sigmas), ("relative", settings.relative_sigmas)):
        curve = found["noise"][scale]
        assert curve["sigmas"] == [0.0, *sigmas]
        assert curve["losses"][0] == found["loss"]
        assert scale == "absolute" or curve["losses"][-1] > curve["losses"][0]
        assert curve["spread"][-1] > curve["spread"][1] > 0
        assert curve["flatness"] > 0
    assert [(row["kind"], row["rho"]) for row in found["sharpness"]] == [("plain", 0.05), ("adaptive", 0.5)]
    assert all(row["increase"] > 0 for row in found["sharpness"])
    assert measure_flatness(network, batches_of(digits), settings, 0) == found
    assert measure_flatness(network, batches_of(digits), settings, 1) != found


def test_it_is_left_bit_identical_after_an_error_too(network, digits):
    before = copy.deepcopy(network.state_dict())
    settings = FlatnessMeasureSettings(sigmas=(1e30,), draws=2)
    with pytest.raises(GenasError, match=r"not finite; take smaller flatness\.sigmas"):
        measure_flatness(network.eval(), batches_of(digits), settings, 0)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_loss_and_gradient_over_batches_are_those_of_all_images_at_once(network, digits):
    images, labels = next(digits.test.batches(120, torch.device("cpu"), limit=120))
    whole = functional.cross_entropy(network(images).double(), labels)
    whole.backward()
    loss, gradient = loss_and_gradient(network, batches_of(digits, 50)())  # 50, 50, 20
    assert loss == pytest.approx(whole.item(), rel=1e-6)
    assert mean_loss(network, batches_of(digits, 7)()) == pytest.approx(whole.item(), rel=1e-6)
    for name, parameter in network.named_parameters():
        assert torch.allclose(gradient[name], parameter.grad, rtol=1e-3, atol=1e-6)


def test_relative_noise_has_the_stated_ratio_and_spares_scales_and_shifts(network, digits):
    losses = noise_losses(network, batches_of(digits), (0.3,), "relative", 4, 1)
    noisy = copy.deepcopy(network)
    with torch.no_grad():
        for name, value in noisy.named_parameters():
            if value.dim() > 1:
                norms = value.flatten(1).norm(dim=1).view(-1, *[1] * (value.dim() - 1))
                noise = unit_noise(value, 4, "retrain.flatness", 1, name)
                value.add_(0.3 * noise * norms / math.sqrt(value[0].numel()))
    assert losses[0] == pytest.approx(mean_loss(noisy, batches_of(digits)()), rel=1e-6)
    ratios = [
        float((a.detach() - b.detach()).norm() / b.detach().norm())
        for (a, b) in zip(noisy.parameters(), network.parameters(), strict=True)
        if b.numel() > 100
    ]
    assert sum(ratios) / len(ratios) == pytest.approx(0.3, rel=0.1)


def test_the_ascent_step_is_the_published_one(network, digits):
    images, labels = next(digits.test.batches(120, torch.device("cpu"), limit=120))
    functional.cross_entropy(network(images), labels).backward()
    for adaptive, rho in ((False, 0.05), (True, 0.5)):
        moved = copy.deepcopy(network)
        scales = [value.detach().abs() if adaptive else torch.ones_like(value) for value in network.parameters()]
        grads = [value.grad for value in network.parameters()]
        norm = torch.sqrt(sum((t * g).square().sum() for t, g in zip(scales, grads, strict=True)))
        with torch.no_grad():
            for value, t, g in zip(moved.parameters(), scales, grads, strict=True):
                value.add_(rho * t.square() * g / norm)
        wanted = mean_loss(moved, batches_of(digits)()) - mean_loss(network, batches_of(digits)())
        assert increases(network, batches_of(digits), (rho,), adaptive) == [pytest.approx(wanted, rel=1e-3)]


def test_adaptive_sharpness_and_relative_noise_ignore_rescaling_plain_sharpness_does_not():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3, bias=False))
    nn.init.zeros_(network[0].bias)
    network[0].bias.requires_grad_(False)
    images, labels = torch.randn(30, 6), torch.arange(30) % 3
    rescaled = copy.deepcopy(network)
    with torch.no_grad():  # the same function: ReLU is homogeneous
        rescaled[0].weight.mul_(4)
        rescaled[2].weight.div_(4)

    def walk():
        return iter([(images, labels)])

    assert torch.allclose(network(images), rescaled(images), atol=1e-6)
    plain = [increases(one, walk, (0.05,), False)[0] for one in (network, rescaled)]
    adaptive = [increases(one, walk, (0.5,), True)[0] for one in (network, rescaled)]
    relative = [noise_losses(one, walk, (0.2,), "relative", 0, 0)[0] for one in (network, rescaled)]
    absolute = [noise_losses(one, walk, (0.2,), "absolute", 0, 0)[0] for one in (network, rescaled)]
    assert adaptive[0] == pytest.approx(adaptive[1], rel=1e-4)
    assert relative[0] == pytest.approx(relative[1], rel=1e-4)
    assert plain[1] > 1.2 * plain[0]
    assert absolute[0] != pytest.approx(absolute[1], rel=1e-2)


def test_no_step_from_a_stationary_point():
    network = nn.Linear(2, 2)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert increases(network, lambda: iter([(images, torch.tensor([0, 1]))]), (0.1,), False) == [0.0]


@pytest.mark.parametrize("sigmas", [(0.0, 0.1), (0.2, 0.1), (0.1, 0.1)])
def test_strengths_must_be_positive_and_increase(sigmas):
    with pytest.raises(ValidationError, match="above 0 and increase"):
        FlatnessMeasureSettings(sigmas=sigmas)
