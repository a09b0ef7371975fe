"""DARTS and PC-DARTS against a slow implementation in float64, and the second order against differences."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from genas.core.checkpoint import load_checkpoint, part_of
from genas.core.device import Fabric
from genas.core.seeding import derive, python_rng
from genas.data import Splits
from genas.spaces import EdgeSpace, open_space
from genas.training.differentiable import (
    Darts,
    DartsSettings,
    DropNas,
    DropNasSettings,
    GradientMethod,
    GradientSettings,
    PcDarts,
    PcDartsSettings,
    PDartsSettings,
    PDartsStage,
    train_architecture,
)
from genas.training.differentiable.base import Batch, Step
from genas.training.differentiable.darts import second_order
from genas.training.differentiable.train import untrained_network

SEED = 3
Tensors = dict[str, Tensor]


def space_of_cells() -> EdgeSpace:
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    assert isinstance(space, EdgeSpace)
    return space


# The slow implementation: NAS-Bench-201's network written out from methods.md 13, with nothing of genas.


def normalise(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    mean = x.mean((0, 2, 3), keepdim=True)
    out = (x - mean) / ((x - mean).square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    if f"{name}.weight" not in weights:
        return out
    return out * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]


def softmax(x: Tensor) -> Tensor:
    return x.exp() / x.exp().sum()


def edge(w: Mapping[str, Tensor], name: str, x: Tensor, alpha: Tensor, kept: list[int] | None = None) -> Tensor:
    kept = kept or [0, 1, 2, 3, 4]
    among = softmax(alpha[kept])
    shares = [among[kept.index(number)] if number in kept else 0.0 for number in range(5)]
    total = torch.zeros_like(x) + shares[1] * x
    for number, kernel in ((2, 1), (3, 3)):
        if number not in kept:
            continue
        out = functional.conv2d(
            x.clamp(min=0), w[f"{name}.nor_conv_{kernel}x{kernel}.conv.weight"], padding=kernel // 2
        )
        total = total + shares[number] * normalise(out, w, "no scale or shift")
    ones = functional.pad(torch.ones_like(x), [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1).sum((4, 5))
    pooled = functional.pad(x, [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1).sum((4, 5)) / ones
    return total + shares[4] * pooled


def partial_edge(
    w: Mapping[str, Tensor], name: str, x: Tensor, alpha: Tensor, share: int, kept: list[int] | None
) -> Tensor:
    if share == 1:
        return edge(w, name, x, alpha, kept)
    width = x.shape[1] // share
    joined = torch.cat([edge(w, name, x[:, :width], alpha), x[:, width:]], 1)
    return torch.stack([joined[:, group * width + c] for c in range(width) for group in range(share)], 1)


Kept = list[list[int]]


def plain_network(w: Mapping[str, Tensor], a: Tensors, images: Tensor, share: int, kept: Kept | None = None) -> Tensor:
    x = normalise(functional.conv2d(images, w["stem.0.weight"], padding=1), w, "stem.1")
    for position in range(5):
        name = f"cells.{position}"
        if position % 2:  # a residual block
            main = functional.conv2d(x.clamp(min=0), w[f"{name}.conv_a.conv.weight"], stride=2, padding=1)
            main = normalise(main, w, f"{name}.conv_a.bn").clamp(min=0)
            main = normalise(
                functional.conv2d(main, w[f"{name}.conv_b.conv.weight"], padding=1), w, f"{name}.conv_b.bn"
            )
            aside = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
            x = functional.conv2d(aside, w[f"{name}.shortcut.weight"]) + main
            continue
        nodes = [x]
        number = 0
        for node in (1, 2, 3):
            betas = softmax(a["beta"][number : number + node]) if "beta" in a else [1.0] * node
            outputs = []
            for source in range(node):
                out = partial_edge(
                    w, f"{name}.edges.{number}", nodes[source], a["alpha"][number], share, kept and kept[number]
                )
                outputs.append(betas[source] * out)
                number += 1
            nodes.append(torch.stack(outputs).sum(0))
        x = nodes[3]
    x = normalise(x, w, "tail").clamp(min=0).mean((2, 3))
    return x @ w["classifier.weight"].t() + w["classifier.bias"]


def plain_loss(w: Mapping[str, Tensor], a: Tensors, batch: Batch, share: int, kept: Kept | None = None) -> Tensor:
    images, labels = batch
    logits = plain_network(w, a, images.double(), share, kept)
    return (logits.exp().sum(1).log() - logits[range(len(labels)), labels]).mean()


def gradients(loss: Tensor, of: Tensors) -> Tensors:
    return dict(zip(of, torch.autograd.grad(loss, list(of.values()), materialize_grads=True), strict=True))


def leaves(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: value.detach().clone().requires_grad_() for name, value in tensors.items()}


class Plain:
    """SGD with momentum for the weights, Adam for the architecture parameters, both written out."""

    def __init__(
        self, weights: Tensors, parameters: Tensors, settings: GradientSettings, kept: Kept | None = None
    ) -> None:
        self.kept = kept
        self.w, self.a, self.settings = leaves(weights), leaves(parameters), settings
        self.velocity: Tensors = {}
        self.first = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.second = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.steps = 0
        self.share = getattr(settings, "channel_share", 1)

    def architecture_gradient(self, train: Batch, validation: Batch) -> Tensors:
        settings = self.settings
        if getattr(settings, "order", "first") == "first":
            return gradients(plain_loss(self.w, self.a, validation, self.share, self.kept), self.a)
        rate = settings.learning_rate
        slopes = gradients(plain_loss(self.w, self.a, train, self.share, self.kept), self.w)
        ahead = {}
        for name, value in self.w.items():
            buffer = self.velocity.get(name, torch.zeros_like(value))
            ahead[name] = value - rate * (settings.momentum * buffer + slopes[name] + settings.weight_decay * value)
        ahead = leaves(ahead)
        loss = plain_loss(ahead, self.a, validation, self.share)
        found = gradients(loss, {**self.a, **ahead})
        radius = 0.01 / sum(float((found[name] ** 2).sum()) for name in ahead) ** 0.5
        out = {}
        sides = []
        for sign in (1, -1):
            moved = {name: value.detach() + sign * radius * found[name] for name, value in self.w.items()}
            sides.append(gradients(plain_loss(moved, self.a, train, self.share), self.a))
        for name in self.a:
            out[name] = found[name] - rate * (sides[0][name] - sides[1][name]) / (2 * radius)
        return out

    def step(self, train: Batch, validation: Batch) -> None:
        settings, slopes = self.settings, self.architecture_gradient(train, validation)
        self.steps += 1
        if settings.architecture_clip is not None:
            norm = sum(float((slope**2).sum()) for slope in slopes.values()) ** 0.5
            slopes = {name: min(1.0, settings.architecture_clip / norm) * slope for name, slope in slopes.items()}
        moved = {}
        for name, value in self.a.items():
            slope = slopes[name] + settings.architecture_weight_decay * value.detach()
            self.first[name] = 0.5 * self.first[name] + 0.5 * slope
            self.second[name] = 0.999 * self.second[name] + 0.001 * slope**2
            mean, square = self.first[name] / (1 - 0.5**self.steps), self.second[name] / (1 - 0.999**self.steps)
            moved[name] = value - settings.architecture_learning_rate * mean / (square.sqrt() + 1e-8)
        self.a = leaves(moved)
        slopes = gradients(plain_loss(self.w, self.a, train, self.share, self.kept), self.w)
        norm = sum(float((slope**2).sum()) for slope in slopes.values()) ** 0.5
        assert settings.clip is not None
        scale = min(1.0, settings.clip / (norm + 1e-6))
        moved = {}
        for name, value in self.w.items():
            slope = scale * slopes[name] + settings.weight_decay * value.detach()
            self.velocity[name] = slope + settings.momentum * self.velocity.get(name, torch.zeros_like(slope))
            moved[name] = value - settings.learning_rate * self.velocity[name]
        self.w = leaves(moved)


def left_of_cells() -> Tensor:
    """Three operations left on every edge."""
    kept = torch.ones(6, 5, dtype=torch.bool)
    for row in range(6):
        kept[row, [row % 5, (row + 2) % 5]] = False
    return kept


SETTINGS: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 5,
    "architecture_learning_rate": 0.05,
    "architecture_from": 0,
    "clip": 0.5,
    "learning_rate": 0.1,
}


@pytest.mark.parametrize(
    "method",
    [
        Darts(space_of_cells(), DartsSettings(**SETTINGS)),
        Darts(space_of_cells(), DartsSettings(order="second", **SETTINGS)),
        PcDarts(space_of_cells(), PcDartsSettings(channel_share=2, **SETTINGS)),
        PcDarts(space_of_cells(), PcDartsSettings(channel_share=4, **{**SETTINGS, "layout": "contiguous"})),
        PDartsStage(space_of_cells(), PDartsSettings(**SETTINGS, architecture_clip=0.01), 0, left_of_cells()),
    ],
    ids=["first order", "second order", "K = 2", "K = 4", "a stage of P-DARTS"],
)
def test_two_alternating_steps_are_those_of_the_slow_implementation(
    method: GradientMethod, tmp_path: Path, tiny: Splits
) -> None:
    fabric = Fabric("cpu", "64-true")
    weights, validation = tiny.weights.subset(range(10)), tiny.validation.subset(range(10))
    splits = replace(tiny, weights=weights, validation=validation)
    network = untrained_network(method, splits, SEED).double()
    initial = {name: value.double() for name, value in method.initial(SEED).items()}
    kept = None
    if isinstance(method, PDartsStage):
        kept = [[number for number in range(5) if row[number]] for row in method.kept]
    plain = Plain(dict(network.named_parameters()), initial, method.settings, kept)

    def walk(images: object, name: str) -> list[Batch]:
        seed = derive(SEED, name, 0)
        return list(images.batches(5, "cpu", seed=seed, shuffle=True, augmentation=splits.augmentation, limit=10))  # type: ignore[attr-defined]

    pairs = zip(walk(weights, "differentiable.batches"), walk(validation, "architecture.batches"), strict=True)
    for train, other in pairs:
        plain.step(train, other)
    assert plain.steps == 2
    found = train_architecture(tmp_path, method, splits, fabric, SEED, quiet=True)
    for name, value in found.network.named_parameters():
        assert torch.allclose(value, plain.w[name], rtol=1e-6, atol=1e-9), name
    saved = part_of(load_checkpoint(tmp_path / "checkpoint.safetensors")[0], "companion.")
    for name, value in plain.a.items():
        assert (value - initial[name]).abs().max() > 0.02  # they moved
        assert torch.allclose(saved[name], value, rtol=1e-6, atol=1e-8), name


def test_two_steps_of_drop_nas_are_those_of_the_slow_implementation(tmp_path: Path, tiny: Splits) -> None:
    settings = DropNasSettings(
        **{**SETTINGS, "architecture_learning_rate": 0.2, "group_drop_rate": 0.1, "weight_decay": 0.01}
    )
    method = DropNas(space_of_cells(), settings)
    images = tiny.train.subset(range(10))
    splits = replace(tiny, train=images)
    w = leaves({name: value.double() for name, value in untrained_network(method, splits, SEED).named_parameters()})
    alpha = method.initial(SEED)["alpha"].double()
    before = alpha.clone()
    velocity: Tensors = {}
    first, second = torch.zeros_like(alpha), torch.zeros_like(alpha)
    seed = derive(SEED, "differentiable.batches", 0)
    batches = images.batches(5, torch.device("cpu"), seed=seed, shuffle=True, augmentation=splits.augmentation)
    lost = 0
    for number, batch in enumerate(batches):
        mask = method.draw(python_rng(SEED, "architecture.draw", 0, number), 0)["kept"]
        kept = [[place for place in range(5) if row[place]] for row in mask]
        lost += int((~mask).sum())
        a = leaves({"alpha": alpha})
        loss = plain_loss(w, a, batch, 1, kept)
        slopes = dict(
            zip(w, torch.autograd.grad(loss, [*w.values()], retain_graph=True, allow_unused=True), strict=True)
        )
        of_alpha = torch.autograd.grad(loss, a["alpha"])[0]
        used = {name: slope for name, slope in slopes.items() if slope is not None}
        scale = min(1.0, 0.5 / (sum(float((slope**2).sum()) for slope in used.values()) ** 0.5 + 1e-6))
        for name, slope in used.items():  # what was dropped has no gradient, and stays
            moved = scale * slope + 0.01 * w[name].detach()
            velocity[name] = moved + 0.9 * velocity.get(name, torch.zeros_like(moved))
            w[name] = (w[name].detach() - 0.1 * velocity[name]).requires_grad_()
        old = alpha.clone()
        for row, numbers in enumerate(kept):
            for column in numbers:
                slope = of_alpha[row, column] + 1e-3 * old[row, column]
                first[row, column] = 0.5 * first[row, column] + 0.5 * slope
                second[row, column] = 0.999 * second[row, column] + 0.001 * slope**2
                mean = first[row, column] / (1 - 0.5 ** (number + 1))
                square = second[row, column] / (1 - 0.999 ** (number + 1))
                alpha[row, column] = old[row, column] - 0.2 * mean / (square.sqrt() + 1e-8)
            others = [column for column in range(5) if column not in numbers]
            if others:
                rho = float(old[row][numbers].exp().sum() / old[row].exp().sum())
                sums = alpha[row][others].exp().sum() / alpha[row][numbers].exp().sum()
                alpha[row, numbers] += torch.log(rho / (1 - rho) * sums)
    assert lost > 10  # of 60
    trained = train_architecture(tmp_path, method, splits, Fabric("cpu", "64-true"), SEED, quiet=True)
    for name, value in trained.network.named_parameters():
        assert torch.allclose(value, w[name], rtol=1e-6, atol=1e-9), name
    saved = load_checkpoint(tmp_path / "checkpoint.safetensors")[0]["companion.alpha"]
    assert (alpha - before).abs().max() > 0.05
    assert torch.allclose(saved, alpha, rtol=1e-6, atol=1e-8)


class Smooth(nn.Module):
    """A smooth function of weights and architecture parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.hidden, self.out = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        shares = torch.softmax(alpha, 0)
        hidden = self.hidden(x)
        out: Tensor = self.out(shares[0] * torch.tanh(hidden) + shares[1] * torch.sin(hidden) + shares[2] * hidden)
        return out


@pytest.mark.parametrize("started", [False, True])
def test_the_second_order_is_the_slope_of_the_loss_one_step_ahead(started: bool) -> None:
    model, alpha = Smooth(), torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    images, labels = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 3
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=0.01)
    if started:  # with a momentum buffer
        functional.cross_entropy(model(images, alpha.detach()), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    def loss(batch: Batch, weights: Mapping[str, Tensor] | None = None, /, at: Tensor = alpha) -> Tensor:
        return functional.cross_entropy(functional_call(model, dict(weights or {}), (batch[0], at)), batch[1])

    training, validation = (images[:4], labels[:4]), (images[4:], labels[4:])
    step = Step(loss, (alpha,), model, optimizer, training, validation)  # type: ignore[arg-type]
    before = {name: value.detach().clone() for name, value in model.named_parameters()}

    def loss_ahead(at: Tensor) -> float:
        weights = dict(model.named_parameters())
        slopes = torch.autograd.grad(loss(training, at=at), list(weights.values()))
        ahead = {}
        for (name, value), slope in zip(weights.items(), slopes, strict=True):
            buffer = optimizer.state[value]["momentum_buffer"] if started else 0
            ahead[name] = value.detach() - 0.3 * (0.9 * buffer + slope + 0.01 * value.detach())
        return float(loss(validation, ahead, at=at))

    differences = []
    for place in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[place] = 1e-5
        differences.append((loss_ahead(alpha.detach() + shift) - loss_ahead(alpha.detach() - shift)) / 2e-5)
    expected = torch.tensor(differences, dtype=torch.float64)
    value, (found,) = second_order(step, 1e-4)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-9)
    assert float(value) == pytest.approx(loss_ahead(alpha.detach()))
    # the term of the second order is there to be seen
    first = torch.autograd.grad(loss(validation), alpha)[0]
    assert not torch.allclose(first, expected, rtol=1e-2)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
