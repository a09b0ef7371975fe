"""Sharpness, trace, gradient norm and neighbours, each against a slow computation."""

import copy
import math
import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from genas.core.errors import ConfigError, GenasError
from genas.proxies import EvaluationSettings, Flatness, FlatnessSettings, ProxySettings, Scoring, open_proxy
from genas.proxies.curvature import CurvatureSettings, Sharpness, gradient_batches, trace_samples
from genas.proxies.perturbation import ascent

RICH = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def proxy(scoring: Scoring, name: str, flatness=None, **curvature: object):
    settings = ProxySettings(expression=name, curvature=curvature, flatness=flatness or {"sigmas": (0.01, 0.03)})
    return open_proxy(scoring, settings)


def anew(scoring: Scoring, **changes: object) -> Scoring:
    evaluation = EvaluationSettings.model_validate({**scoring.evaluation.model_dump(), **changes})
    parts = (scoring.space, scoring.supernet, scoring.initial, scoring.splits, scoring.fabric, scoring.seed)
    return Scoring(*parts, scoring.batchnorm, evaluation)


def slow_gradient(scoring: Scoring, architecture, settings: CurvatureSettings):
    """A float64 copy of the path, and `.grad` of the mean loss over the gradient's images one by one."""
    network = copy.deepcopy(scoring.prepared(architecture)).double()
    images = [
        (image, label) for batch in gradient_batches(scoring, settings) for image, label in zip(*batch, strict=True)
    ]
    for image, label in images:
        (functional.cross_entropy(network(image[None].double()), label[None]) / len(images)).backward()
    return network, {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


def loss_of(network: nn.Module, scoring: Scoring) -> float:
    with torch.no_grad():
        losses = [
            functional.cross_entropy(network(images.double()), labels, reduction="none")
            for images, labels in scoring.validation_batches()
        ]
    return float(torch.cat(losses).mean())


@pytest.mark.parametrize("form", ["plain", "scaled"])
def test_sharpness_and_gradient_norm_equal_a_slow_computation_in_every_space(scoring, form):
    architecture = scoring.space.sample(random.Random(4))
    options = {"form": form, "images": 12, "radius": 0.2}
    network, gradient = slow_gradient(scoring, architecture, CurvatureSettings(**options))
    weights = {name: value.detach().clone() for name, value in network.named_parameters()}
    size = {name: weights[name].abs() if form == "scaled" else torch.ones_like(weights[name]) for name in gradient}
    norm = math.sqrt(sum(float(((size[name] * value) ** 2).sum()) for name, value in gradient.items()))
    assert proxy(scoring, "gradient-norm", **options).score(architecture).value == pytest.approx(-norm, rel=1e-3)
    before = loss_of(network, scoring)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name in gradient:
                value += 0.2 * size[name] ** 2 * gradient[name] / norm
    after = loss_of(network, scoring)
    score = proxy(scoring, "sharpness", **options).score(architecture)
    assert score.terms["loss"] == pytest.approx(before, rel=1e-4)
    assert score.terms["rise"] == pytest.approx(after - before, rel=5e-3, abs=1e-5)
    assert score.value == -score.terms["rise"]


@pytest.mark.parametrize("which", ["convolutions", "cells"])
def test_only_the_chosen_parameters_are_moved(nas_scoring, which):
    architecture = nas_scoring.space.parse(RICH)
    options = {"images": 12, "parameters": which}
    network, gradient = slow_gradient(nas_scoring, architecture, CurvatureSettings(**options))
    inside = {
        "convolutions": lambda name: dict(network.named_parameters())[name].dim() == 4,
        "cells": lambda name: ".edges." in name,
    }[which]
    norm = math.sqrt(sum(float((value**2).sum()) for name, value in gradient.items() if inside(name)))
    assert 0 < norm < math.sqrt(sum(float((value**2).sum()) for value in gradient.values()))
    assert proxy(nas_scoring, "gradient-norm", **options).score(architecture).value == pytest.approx(-norm, rel=1e-3)
    sharpness = proxy(nas_scoring, "sharpness", **options)
    assert sharpness.score(architecture) != proxy(nas_scoring, "sharpness", images=12).score(architecture)


class Small(nn.Module):
    """A smooth network, small enough for its whole Hessian, with a layer that does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.unused = nn.Conv2d(1, 2, 3), nn.Linear(2, 3), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.conv(x)).mean((2, 3)))


def exact_hessian(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    names = list(dict(network.named_parameters()))
    shapes = [value.shape for value in network.parameters()]
    flat = torch.cat([value.detach().flatten() for value in network.parameters()])

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = torch.split(vector, [shape.numel() for shape in shapes])
        values = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(network, values, (images,)), labels)

    return torch.autograd.functional.hessian(loss, flat)


def test_samples_are_quadratic_forms_of_the_exact_hessian_and_their_mean_its_trace():
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the trace of just any network may be near 0, and the error is compared with it
        network = Small().double()
    images = torch.randn(7, 1, 6, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (7,), generator=generator)
    hessian = exact_hessian(network, images, labels)
    parameters = dict(network.named_parameters())
    probes = [
        {name: 2.0 * torch.randint(0, 2, value.shape, generator=generator) - 1 for name, value in parameters.items()}
        for _ in range(400)
    ]
    batches = iter([(images[:4], labels[:4]), (images[4:], labels[4:])])
    samples = trace_samples(network, batches, parameters, probes)
    vectors = torch.stack([torch.cat([part.flatten() for part in probe.values()]) for probe in probes]).double()
    torch.testing.assert_close(samples, ((vectors @ hessian) * vectors).sum(1))
    error = float(samples.std()) / math.sqrt(len(samples))
    assert float(samples.mean()) == pytest.approx(float(hessian.trace()), abs=4 * error)
    assert error < 0.2 * float(hessian.trace())
    basis = [  # with unit vectors for probes the sum is the trace itself
        {
            name: one[start : start + value.numel()].view(value.shape)
            for (name, value), start in zip(parameters.items(), starts, strict=True)
        }
        for starts in [[sum(v.numel() for v in list(parameters.values())[:i]) for i in range(len(parameters))]]
        for one in torch.eye(len(hessian), dtype=torch.float64)
    ]
    whole = trace_samples(network, iter([(images, labels)]), parameters, basis)
    assert float(whole.sum()) == pytest.approx(float(hessian.trace()))


@pytest.mark.parametrize("form", ["plain", "scaled"])
def test_hessian_trace_equals_differences_of_gradients(nas_scoring, form):
    """v'Hv from two gradients in float64, with the proxy's own probes."""
    architecture = nas_scoring.space.parse(RICH)
    options = {"images": 9, "probes": 2, "form": form}
    measure = proxy(nas_scoring, "hessian-trace", **options)
    score = measure.score(architecture)
    base = copy.deepcopy(nas_scoring.prepared(architecture)).double()
    samples = []
    for probe in range(2):
        direction = {name: measure._signs(value, name, probe).double() for name, value in base.named_parameters()}
        assert all(set(value.unique().tolist()) <= {-1.0, 1.0} for value in direction.values())
        if form == "scaled":
            direction = {name: value * base.get_parameter(name).detach().abs() for name, value in direction.items()}
        gradients = []
        for step in (1e-6, -1e-6):
            moved = copy.deepcopy(base)
            with torch.no_grad():
                for name, value in moved.named_parameters():
                    value += step * direction[name]
            count = 0
            for images, labels in gradient_batches(nas_scoring, measure.settings):
                functional.cross_entropy(moved(images.double()), labels, reduction="sum").backward()
                count += len(labels)
            gradients.append({name: value.grad / count for name, value in moved.named_parameters()})
        samples.append(
            sum(
                float(((gradients[0][name] - gradients[1][name]) * value).sum()) / 2e-6
                for name, value in direction.items()
            )
        )
    assert score.value == pytest.approx(-sum(samples) / 2, rel=2e-3)
    assert score.terms["error"] == pytest.approx(abs(samples[0] - samples[1]) / 2, rel=2e-2)


def rescaled(scoring: Scoring, factor: float) -> Scoring:
    """A supernet of the same function: its batch norms undo what its convolutions are multiplied by."""
    other = copy.deepcopy(scoring.supernet)
    with torch.no_grad():
        for name, value in other.named_parameters():
            if value.dim() == 4 and "shortcut" not in name:
                value.mul_(factor)
    parts = (scoring.initial, scoring.splits, scoring.fabric, scoring.seed, scoring.batchnorm, scoring.evaluation)
    return Scoring(scoring.space, other, *parts)


@pytest.mark.parametrize("name", ["sharpness", "gradient-norm", "hessian-trace"])
def test_the_scaled_form_does_not_change_with_the_scale_that_batch_norm_undoes(nas_scoring, name):
    architecture = nas_scoring.space.parse(RICH)
    big, bigger = rescaled(nas_scoring, 64.0), rescaled(nas_scoring, 256.0)  # large: batch norm's epsilon has no say
    options = {"images": 12, "probes": 2, "parameters": "cells"}
    for form, same in (("scaled", True), ("plain", False)):
        first, second = (proxy(one, name, form=form, **options).score(architecture).value for one in (big, bigger))
        assert (first == pytest.approx(second, rel=1e-2)) == same, form


def test_a_step_has_its_length_and_a_stationary_point_none():
    weights = {"a": torch.tensor([3.0, -4.0]), "b": torch.tensor([[0.5]])}
    gradient = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[-2.0]])}
    plain = ascent(weights, gradient, 0.3, False)
    assert math.sqrt(sum(float(step.square().sum()) for step in plain.values())) == pytest.approx(0.3)
    scaled = ascent(weights, gradient, 0.3, True)
    relative = {name: step / weights[name].abs() for name, step in scaled.items()}
    assert math.sqrt(sum(float(step.square().sum()) for step in relative.values())) == pytest.approx(0.3)
    still = ascent(weights, {name: torch.zeros_like(value) for name, value in gradient.items()}, 0.3, False)
    assert all(not step.any() for step in still.values())


def test_published_radii_are_the_defaults_of_the_forms(nas_scoring):
    assert Sharpness(nas_scoring).radius == 0.05
    assert Sharpness(nas_scoring, CurvatureSettings(form="scaled")).radius == 0.5
    assert Sharpness(nas_scoring, CurvatureSettings(form="scaled", radius=0.1)).radius == 0.1


def test_held_images_are_others_than_those_that_scores_are_computed_on(nas_scoring):
    few = anew(nas_scoring, images=7, batch_size=4)  # the last batch is not filled up
    seen = {tuple(image.flatten().tolist()) for images, _ in few.validation_batches() for image in images}
    found = []
    for subset in (0, 1):
        settings = CurvatureSettings(source="validation", images=4, subset=subset)
        found.append({tuple(i.flatten().tolist()) for images, _ in gradient_batches(few, settings) for i in images})
        assert len(found[-1]) == 4
        assert not found[-1] & seen
    assert not found[0] & found[1]
    scores = [
        proxy(few, "sharpness", images=4, source=source).score(nas_scoring.space.parse(RICH)).value
        for source in ("validation", "weights")
    ]
    assert scores[0] != scores[1]


def test_too_few_held_images_are_refused(nas_scoring):
    with pytest.raises(
        ConfigError, match="wants 6 held images.*these are 20 of 20; set proxy.evaluation.images to at most 8"
    ):
        proxy(nas_scoring, "sharpness", source="validation", images=6)
    with pytest.raises(ConfigError, match="set proxy.curvature.images lower"):
        proxy(nas_scoring, "loss + hessian-trace", source="validation", images=100)


def test_subsets_take_other_images_and_other_probes(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    for name in ("sharpness", "gradient-norm", "hessian-trace"):
        scores = [proxy(nas_scoring, name, images=8, subset=subset).score(architecture) for subset in (0, 1, 0)]
        assert scores[0] == scores[2] != scores[1]
    alike = {"images": 64, "probes": 1}  # all images, so that only the probes differ
    first, second = (proxy(nas_scoring, "hessian-trace", subset=n, **alike).score(architecture) for n in (0, 1))
    assert first.value != pytest.approx(second.value, rel=1e-3)
    assert first.terms["error"] is None


def test_parts_of_the_walk_give_the_rows_of_the_whole(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    for name in ("sharpness", "neighbour-flatness", "loss - 0.5*sharpness+hessian-trace"):
        measure = proxy(nas_scoring, name, images=8, neighbours=2)
        assert measure.raceable
        whole = measure.statistics(architecture, slice(0, 3))
        parts = [measure.statistics(architecture, part) for part in (slice(0, 1), slice(1, 3))]
        assert torch.equal(whole, torch.cat(parts))
        assert whole.shape == (20, measure.columns)
        score = measure.score(architecture)
        assert measure.score_of_means(architecture, whole.mean(0)) == score
        assert float(measure.values_of_means(architecture, whole.mean(0)[None])[0]) == pytest.approx(score.value)


def test_averages_of_batches_are_possible_too(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    batches = anew(nas_scoring, weighting="batches", batch_size=16)
    for name in ("sharpness", "neighbour-flatness"):
        measure = proxy(batches, name, images=8, neighbours=1)
        assert not measure.raceable
        value = measure.score(architecture).value
        assert value != proxy(anew(nas_scoring, batch_size=16), name, images=8, neighbours=1).score(architecture).value


def test_neighbour_flatness_is_the_mean_over_mutated_children(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    measure = proxy(nas_scoring, "neighbour-flatness", neighbours=3)
    children = measure.neighbours(architecture)
    assert children == measure.neighbours(architecture)
    assert len({architecture, *children}) == 4
    flatness = Flatness(nas_scoring, FlatnessSettings(sigmas=(0.01, 0.03)))
    values = [flatness.score(one).value for one in (architecture, *children)]
    score = measure.score(architecture)
    assert score.value == pytest.approx(sum(values) / 4)
    assert score.terms["own"] == pytest.approx(values[0])
    assert score.terms["neighbours"] == pytest.approx(
        {one.genotype: value for one, value in zip(children, values[1:], strict=True)}
    )
    assert measure.normalised(score) == pytest.approx(score.value / 0.01)
    assert not measure.by_function


def test_without_a_way_for_the_signal_all_is_flat_in_the_cells(nas_scoring):
    architecture = nas_scoring.space.parse(NONE)
    for name in ("sharpness", "gradient-norm", "hessian-trace"):
        assert proxy(nas_scoring, name, images=8, probes=2, parameters="cells").score(architecture).value == 0
        assert math.isfinite(proxy(nas_scoring, name, images=8, probes=2).score(architecture).value)


def test_a_loss_that_is_not_finite_is_said_and_leaves_the_weights_alone(nas_scoring):
    architecture = nas_scoring.space.parse(RICH)
    measure = proxy(nas_scoring, "sharpness", images=8, radius=1e38)
    before = {name: value.clone() for name, value in nas_scoring.prepared(architecture).state_dict().items()}
    with pytest.raises(GenasError, match="the loss around the ascent step is not finite"):
        measure.score(architecture)
    after = nas_scoring.prepared(architecture).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
