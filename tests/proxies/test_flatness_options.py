"""The many ways of measuring flatness, each against plain loops in float64."""

import copy
import math
import random

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from genas.core.errors import ConfigError
from genas.core.seeding import derive
from genas.proxies import EvaluationSettings, Flatness, FlatnessSettings, Scoring
from genas.proxies.perturbation import choose_parameters, filter_scale, unit_noise
from genas.spaces import Architecture

SIGMAS = (0.02, 0.05)
GENOTYPES = {
    "nasbench201": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
    "nasbench-macro": "01201201",
}


def anew(scoring: Scoring, **changes: object) -> Scoring:
    """The same supernet and data, other evaluation settings."""
    evaluation = EvaluationSettings.model_validate({**scoring.evaluation.model_dump(), **changes})
    parts = (scoring.space, scoring.supernet, scoring.initial, scoring.splits, scoring.fabric, scoring.seed)
    return Scoring(*parts, scoring.batchnorm, evaluation)


def wanted(scoring: Scoring):
    name = scoring.space.name
    return scoring.space.parse(GENOTYPES[name]) if name in GENOTYPES else scoring.space.sample(random.Random(4))


def recomputed(network: nn.Module, scoring: Scoring, architecture: Architecture) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    with torch.no_grad():
        for images in scoring.recalibration_batches(architecture):
            network(images.double())
    return network.eval()


def layers_of(network: nn.Module, names: tuple[str, ...]) -> int:
    """Convolutions and linear layers below modules of these names (one empty name: all)."""
    return sum(
        isinstance(module, (nn.Conv2d, nn.Linear)) and name.startswith(names)
        for name, module in network.named_modules()
    )


def slow_losses(scoring: Scoring, settings: FlatnessSettings) -> list[list[float]]:
    base = recomputed(scoring.extract(wanted(scoring)).double(), scoring, wanted(scoring))
    seed = scoring.seed
    if settings.noise_seed:
        seed = derive(seed, "flatness.noise", settings.noise_seed)
    convolutions = {f"{name}.weight" for name, module in base.named_modules() if isinstance(module, nn.Conv2d)}
    rows = []
    for draw in range(settings.draws):
        for sign in (1, -1) if settings.antithetic else (1,):
            row = []
            for position, sigma in enumerate(settings.sigmas):
                network = copy.deepcopy(base)
                for name, parameter in network.named_parameters():
                    inside = name.startswith(tuple(f"{cell}." for cell in base.cell_names))
                    if settings.parameters == "convolutions" and name not in convolutions:
                        continue
                    if (settings.parameters == "cells" and not inside) or (settings.parameters == "shared" and inside):
                        continue
                    noise = unit_noise(parameter.detach().float(), seed, "flatness", draw, position, name).double()
                    if settings.scale == "filter":
                        if parameter.dim() == 1:
                            continue
                        if settings.noise_per == "path":
                            inner = settings.parameters == "cells"
                            noise *= math.sqrt(10 / layers_of(base, base.cell_names if inner else ("",)))
                        for number, one in enumerate(parameter.detach()):
                            noise[number] *= math.sqrt(sum(value**2 for value in one.flatten().tolist()) / one.numel())
                    parameter.data += sign * sigma * noise
                if settings.batchnorm == "recomputed":
                    recomputed(network, scoring, wanted(scoring))
                with torch.no_grad():
                    batches = list(
                        scoring.validation_batches(slice(0, None) if settings.draw_images == "dealt" else None)
                    )
                    if settings.draw_images == "dealt":
                        bounds = [len(batches) * place // settings.draws for place in (draw, draw + 1)]
                        batches = batches[bounds[0] : max(bounds[1], bounds[0] + 1)]
                    losses = [
                        functional.cross_entropy(network(images.double()), labels, reduction="sum")
                        for images, labels in batches
                    ]
                row.append(float(torch.stack(losses).sum()) / sum(len(labels) for _, labels in batches))
            rows.append(row)
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "filter", "antithetic": True},
        {"parameters": "cells", "scale": "filter", "noise_seed": 2},
        {"parameters": "convolutions", "batchnorm": "recomputed", "draws": 2},
        {"scale": "filter", "draws": 3, "antithetic": True, "draw_images": "dealt"},
        {"scale": "filter", "parameters": "shared", "antithetic": True},
        {"scale": "filter", "noise_per": "path"},
        {"scale": "filter", "noise_per": "path", "parameters": "cells"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_option_equals_plain_loops_in_float64(scoring, options):
    settings = FlatnessSettings(sigmas=SIGMAS, **options)
    score = Flatness(scoring, settings).score(wanted(scoring))
    slow = slow_losses(scoring, settings)
    assert torch.tensor(score.terms["losses_by_draw"]).flatten().tolist() == pytest.approx(
        torch.tensor(slow).flatten().tolist(), rel=2e-4
    )
    means = [sum(column) / len(slow) for column in zip(*slow, strict=True)]
    depth, slope = means[0] / SIGMAS[0], abs(means[1] - means[0]) / (SIGMAS[1] - SIGMAS[0])
    assert score.value == pytest.approx(1 / (depth + slope + 1e-5), rel=2e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "filter"},
        {"antithetic": True},
        {"parameters": "convolutions"},
        {"parameters": "cells"},
        {"parameters": "shared"},
        {"batchnorm": "recomputed"},
        {"noise_seed": 1},
    ],
    ids=str,
)
def test_every_option_changes_the_measurement_and_keeps_what_it_must(nas_scoring, options):
    architecture = wanted(nas_scoring)
    network = nas_scoring.prepared(architecture)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = Flatness(nas_scoring, FlatnessSettings(sigmas=SIGMAS)).score(architecture)
    proxy = Flatness(nas_scoring, FlatnessSettings(sigmas=SIGMAS, **options))
    other = proxy.score(architecture)
    assert other.terms["losses"] != plain.terms["losses"]
    assert proxy.score(architecture) == other
    after = nas_scoring.prepared(architecture).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # batch norm's statistics too


@pytest.mark.parametrize("options", [{"antithetic": True}, {"batchnorm": "recomputed"}], ids=str)
def test_parts_of_the_walk_give_the_rows_of_the_whole(nas_scoring, options):
    """What a race relies on; recomputed statistics do not depend on the part that is looked at."""
    architecture = wanted(nas_scoring)
    proxy = Flatness(nas_scoring, FlatnessSettings(sigmas=SIGMAS, **options))
    whole = proxy.statistics(architecture, slice(0, 3))
    parts = torch.cat([proxy.statistics(architecture, part) for part in (slice(0, 1), slice(1, 3))])
    assert whole.shape == (20, proxy.columns)
    assert torch.equal(whole, parts)
    assert proxy.score_of_means(architecture, whole.mean(0)) == proxy.score(architecture)
    values = proxy.values_of_means(architecture, whole.mean(0, keepdim=True))
    assert float(values[0]) == pytest.approx(proxy.score(architecture).value)


def test_the_default_noise_is_that_of_noise_seed_zero_and_others_are_independent(nas_scoring):
    architecture = wanted(nas_scoring)
    shape = torch.zeros(4000)
    seeds = [nas_scoring.seed, *(derive(nas_scoring.seed, "flatness.noise", number) for number in (1, 2))]
    noises = torch.stack([unit_noise(shape, seed, "flatness", 0, 0, "stem.0.weight") for seed in seeds])
    correlation = torch.corrcoef(noises) - torch.eye(3)
    assert float(correlation.abs().max()) < 0.1
    plain = Flatness(nas_scoring, FlatnessSettings(sigmas=SIGMAS)).score(architecture)
    assert Flatness(nas_scoring, FlatnessSettings(sigmas=SIGMAS, noise_seed=0)).score(architecture) == plain


def test_opposite_noises_cancel_what_is_odd_in_the_noise(nas_scoring):
    """For small noise the rise of the loss is odd in the noise but for a small rest: pairs spread far less."""
    architecture = wanted(nas_scoring)
    flat = nas_scoring.evaluate(nas_scoring.prepared(architecture)).loss
    spread = {}
    for antithetic in (False, True):
        rises = []
        for noise_seed in range(6):
            settings = FlatnessSettings(sigmas=(0.0005, 0.001), antithetic=antithetic, noise_seed=noise_seed)
            rises.append(Flatness(nas_scoring, settings).score(architecture).terms["losses"][0] - flat)
        spread[antithetic] = math.sqrt(sum(rise**2 for rise in rises))
    assert spread[True] < 0.2 * spread[False]


def test_filters_keep_their_ratio_to_the_noise_whatever_their_scale():
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[1] *= 100
    noise = unit_noise(weight, 0, "x") * filter_scale(weight)
    ratios = noise.flatten(1).norm(dim=1) / weight.flatten(1).norm(dim=1)
    assert float((ratios - 1).abs().max()) < 0.4
    assert torch.equal(filter_scale(1000 * weight), 1000 * filter_scale(weight)) or torch.allclose(
        filter_scale(1000 * weight), 1000 * filter_scale(weight)
    )
    assert filter_scale(torch.ones(5)) is None


def test_cells_are_what_is_left_without_stem_blocks_and_head(scoring):
    network = scoring.prepared(wanted(scoring))
    inside = set(choose_parameters(network, "cells"))
    assert inside
    assert inside < set(choose_parameters(network, "all"))
    assert not any(name.startswith(("stem", "tail", "classifier")) for name in inside)
    assert len(network.cell_names) == network.num_cells
    convolutions = choose_parameters(network, "convolutions")
    assert all(value.dim() == 4 for value in convolutions.values())


def test_a_network_that_does_not_name_its_cells_says_so(nas_scoring, monkeypatch):
    from genas.spaces.base import Network

    network = nas_scoring.prepared(wanted(nas_scoring))
    monkeypatch.setattr(type(network), "cell_names", Network.cell_names)
    with pytest.raises(ConfigError, match="does not say which of its modules are cells; perturb all parameters"):
        choose_parameters(network, "cells")


def test_subsets_are_different_images_and_the_first_is_the_usual_one(nas_scoring):
    def walk(**changes):
        return torch.cat([images for images, _ in anew(nas_scoring, **changes).validation_batches()])

    usual = walk(images=6)
    assert torch.equal(walk(images=6, subset=0), usual)
    other = walk(images=6, subset=1)
    assert not torch.equal(other, usual)
    assert torch.equal(other, walk(images=6, subset=1))
    raced = torch.cat([images for images, _ in anew(nas_scoring, images=6, subset=1).validation_batches(slice(0, 1))])
    assert torch.equal(raced, other)  # races walk through the same subset


def test_a_subset_without_a_size_is_refused():
    with pytest.raises(ValidationError, match="give images, the size of the part, too"):
        EvaluationSettings(subset=1)


def walked(scoring: Scoring, monkeypatch, **options: object) -> list[slice | None]:
    """The parts of the validation images that one score walks through, in order."""
    parts: list[slice | None] = []
    original = Scoring.image_losses

    def noted(self, network, part=None):
        parts.append(part)
        return original(self, network, part)

    monkeypatch.setattr(Scoring, "image_losses", noted)
    Flatness(scoring, FlatnessSettings(sigmas=SIGMAS, draw_images="dealt", **options)).score(wanted(scoring))
    return parts


@pytest.mark.parametrize("antithetic", [False, True])
def test_dealt_draws_see_every_image_once_for_each_sigma_and_sign(nas_scoring, monkeypatch, antithetic):
    scoring = anew(nas_scoring, batch_size=2)
    batches = -(-scoring.validation_count // 2)
    assert batches > 5
    parts = walked(scoring, monkeypatch, draws=5, antithetic=antithetic)
    seen = [batch for part in parts for batch in range(part.start, part.stop)]
    times = len(SIGMAS) * (2 if antithetic else 1)
    assert sorted(seen) == sorted(times * list(range(batches)))
    sizes = {part.stop - part.start for part in parts}
    assert max(sizes) - min(sizes) <= 1


def test_more_draws_than_batches_take_a_batch_each(nas_scoring, monkeypatch):
    scoring = anew(nas_scoring, batch_size=max(nas_scoring.validation_count // 2, 1))
    parts = walked(scoring, monkeypatch, draws=9)
    assert len(parts) == 9 * len(SIGMAS)
    batches = -(-scoring.validation_count // scoring.evaluation.batch_size)
    assert all(part.stop - part.start == 1 and part.stop <= batches for part in parts)
    assert {part.start for part in parts} == set(range(batches))


def test_dealt_images_are_not_raced(nas_scoring):
    assert Flatness(nas_scoring, FlatnessSettings()).raceable
    assert not Flatness(nas_scoring, FlatnessSettings(draw_images="dealt")).raceable


@pytest.mark.parametrize("genotypes", [("00000000", "22222222"), ("10000000", "12111222")])
def test_noise_per_path_is_as_much_for_paths_of_few_and_many_layers(macro_scoring, genotypes):
    """Squared relative noises add up to 10 sigma^2 whatever the number of layers; per layer they grow with it."""
    totals = {"layer": [], "path": []}
    for noise_per, found in totals.items():
        proxy = Flatness(macro_scoring, FlatnessSettings(sigmas=SIGMAS, scale="filter", noise_per=noise_per))
        for genotype in genotypes:
            network = macro_scoring.extract(macro_scoring.space.parse(genotype))
            weights = {name: value.detach() for name, value in network.named_parameters()}
            moved = list(proxy._moved(network, weights))
            assert len(moved) == layers_of(network, ("",))
            expected = [(factor.square() * weights[name][0].numel()).sum() for name, _, factor in moved]
            squares = [value / weights[name].square().sum() for value, (name, *_) in zip(expected, moved, strict=True)]
            found.append(float(sum(squares)))
    assert totals["path"] == pytest.approx([10, 10], rel=1e-5)
    assert totals["layer"][1] > 1.5 * totals["layer"][0]


def test_noise_on_what_is_shared_is_the_same_for_every_architecture(macro_scoring):
    proxy = Flatness(macro_scoring, FlatnessSettings(sigmas=SIGMAS, scale="filter", parameters="shared"))
    found = []
    for genotype in ("00000000", "22222222", "01210201"):
        network = macro_scoring.extract(macro_scoring.space.parse(genotype))
        found.append({name: factor for name, _, factor in proxy._moved(network, dict(network.named_parameters()))})
    assert (
        found[0].keys() == found[1].keys() == found[2].keys() == {"stem.0.weight", "tail.0.weight", "classifier.weight"}
    )
    assert all(torch.equal(factor, one[name]) for one in found for name, factor in found[0].items())


def test_noise_per_path_is_not_shared_by_functions_of_other_numbers_of_layers(nas_scoring):
    """A convolution that leads nowhere takes a part of the noise: same function, other noise, other score."""
    dead = nas_scoring.space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    bare = nas_scoring.space.parse("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    for noise_per, shared in (("layer", True), ("path", False)):
        proxy = Flatness(nas_scoring, FlatnessSettings(sigmas=SIGMAS, scale="filter", noise_per=noise_per))
        assert proxy.by_function is shared
        first, second = (proxy.score(one).value for one in (dead, bare))
        assert (first == pytest.approx(second, rel=1e-6)) is shared


def test_noise_per_path_is_refused_for_absolute_noise():
    with pytest.raises(ValidationError, match="needs scale=filter"):
        FlatnessSettings(noise_per="path")
