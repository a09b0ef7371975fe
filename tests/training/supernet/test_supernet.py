import random

import pytest
import torch
from torch import nn

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.errors import CheckpointError, DataError, Interrupted
from genas.core.interrupt import StopRequest
from genas.core.seeding import derive, python_rng
from genas.training.loop import Trainer, cosine
from genas.training.supernet import (
    SupernetSettings,
    initial_weights,
    initialise,
    random_labels,
    recalibrate,
    train_supernet,
)

SETTINGS = SupernetSettings(epochs=3, batch_size=8)


def train(folder, space, splits, fabric, **changes):
    settings = SETTINGS.model_copy(update=changes)
    return train_supernet(folder, space, splits, settings, fabric, seed=1, quiet=True)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_schedule_is_the_cosine_of_the_epoch_and_the_shift_is_one_epoch():
    """methods.md T1."""
    rates = [cosine(epoch, 250, 0.025, 0.001) for epoch in range(250)]
    assert rates[0] == 0.025
    assert rates[125] == pytest.approx(0.013)
    assert rates[-1] > 0.001
    shifted = [cosine(epoch, 250, 0.025, 0.0, shifted=True) for epoch in range(250)]
    assert shifted[:-1] == pytest.approx([cosine(epoch, 250, 0.025, 0.0) for epoch in range(1, 250)])
    assert shifted[-1] == pytest.approx(0)


def test_training_lowers_the_loss_and_keeps_the_initial_weights(tmp_path, space, tiny, fabric):
    network = train(tmp_path, space, tiny, fabric, epochs=12)
    _, facts = load_checkpoint(tmp_path / "checkpoint.safetensors")
    losses = [row["loss"] for row in facts["rows"]]
    assert len(losses) == 12
    assert sum(losses[-3:]) < sum(losses[:3])
    initial = initial_weights(tmp_path)
    assert initial.keys() == network.state_dict().keys()
    assert not same(initial, network.state_dict())


@pytest.mark.parametrize(
    ("stop_at", "changes"),
    [
        (1, {}),
        (2, {}),
        (4, {}),
        (5, {}),
        (4, {"labels": "random"}),
        (2, {"unused_gradients": "zero"}),
        (2, {"gradients": "fast"}),
        (2, {"unused_gradients": "zero", "momentum": 0.0}),  # no momentum tells what has been reached
    ],
)
def test_an_interrupted_training_continues_bit_identically(
    tmp_path, space, tiny, fabric, monkeypatch, stop_at, changes
):
    expected = train(tmp_path / "whole", space, tiny, fabric, **changes).state_dict()
    steps = 0
    original = Trainer._one

    def count(self, *arguments):
        nonlocal steps
        steps += 1
        original(self, *arguments)

    check = StopRequest.check

    def stop(self):
        self.requested = self.requested or steps >= stop_at
        check(self)

    monkeypatch.setattr(Trainer, "_one", count)
    monkeypatch.setattr(StopRequest, "check", stop)
    # a checkpoint after every step, so that the stop falls inside an epoch
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", space, tiny, fabric, checkpoint_seconds=1e-9, **changes)
    monkeypatch.setattr(StopRequest, "check", check)
    again = train(tmp_path / "parts", space, tiny, fabric, checkpoint_seconds=1e-9, **changes).state_dict()
    assert same(expected, again)
    first, second = (load_checkpoint(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    assert same(first[0], second[0])  # momentum too
    for row, other in zip(first[1]["rows"], second[1]["rows"], strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def published_training(space, splits, settings, seed, mode):
    """The published training loop, slowly: every gradient, decay, momentum and step by hand, in float64.

    ``zero``: ``zero_grad`` of PyTorch < 2 leaves a gradient of zeros wherever there has been one, and None before.
    """
    network = initialise(space, splits.num_classes, splits.image_shape[0], seed).double().train()
    momentum = {}
    for epoch in range(settings.epochs):
        rate = cosine(epoch, settings.epochs, settings.learning_rate, settings.final_learning_rate)
        batches = splits.weights.batches(
            settings.batch_size,
            torch.device("cpu"),
            seed=derive(seed, "supernet.batches", epoch),
            shuffle=True,
            augmentation=splits.augmentation,
        )
        for step, (images, labels) in enumerate(batches):
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.grad = torch.zeros_like(parameter) if mode == "zero" else None
            path = space.sample_training_path(python_rng(seed, "supernet.paths", epoch, step), network.num_cells)
            logits = network(images.double(), path)
            (-logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()).backward()
            reached = [(name, one) for name, one in network.named_parameters() if one.grad is not None]
            norm = sum(float(one.grad.square().sum()) for _, one in reached) ** 0.5
            factor = min(1.0, settings.clip / (norm + 1e-6))
            with torch.no_grad():
                for name, one in reached:
                    change = one.grad * factor + settings.weight_decay * one
                    before = momentum.get(name)
                    momentum[name] = change if before is None else settings.momentum * before + change
                    one -= rate * momentum[name]
    return network, set(momentum)


@pytest.mark.parametrize("mode", ["skip", "zero"])
def test_unused_gradients_are_those_of_the_published_loop(tmp_path, space, tiny, mode):
    """methods.md T6: six steps agree to rounding, whatever becomes of operations off the path."""
    settings = SETTINGS.model_copy(update={"epochs": 2, "layout": "contiguous", "unused_gradients": mode})
    double = Fabric(precision="64-true")
    found = train_supernet(tmp_path, space, tiny, settings, double, seed=1, quiet=True)
    wanted, reached = published_training(space, tiny, settings, 1, mode)
    initial = initial_weights(tmp_path)
    other, _ = published_training(space, tiny, settings, 1, "skip" if mode == "zero" else "zero")

    def apart(one, two):
        pairs = zip(one.parameters(), two.parameters(), strict=True)
        return max(float((first.detach() - second.detach()).abs().max()) for first, second in pairs)

    assert apart(found, wanted) < (1e-12 if space.name == "nasbench-macro" else 2e-15)
    assert apart(wanted, other) > 1e-4  # the two are told apart by far
    for name, value in found.named_parameters():
        assert name in reached or torch.equal(value, initial[name].double())


def test_an_operation_that_no_step_has_reached_keeps_its_weights(tmp_path, space, tiny, fabric, monkeypatch):
    """methods.md T6: under ``zero`` too, because PyTorch < 2 has no gradient to decay by before the first use."""
    path = space.sample(random.Random(0))
    monkeypatch.setattr(type(space), "sample_training_path", lambda self, rng, cells: path)
    chosen = {name for name, _ in space.network(4, path).named_parameters()}
    for mode in ("skip", "zero"):
        network = train(tmp_path / mode, space, tiny, fabric, unused_gradients=mode)
        initial = initial_weights(tmp_path / mode)
        off = [torch.equal(value, initial[name]) for name, value in network.named_parameters() if name not in chosen]
        assert off
        assert all(off)


def test_random_labels_are_uniform_and_fixed():
    labels = random_labels(20000, 10, seed=4)
    assert torch.equal(labels, random_labels(20000, 10, seed=4))
    assert not torch.equal(labels, random_labels(20000, 10, seed=5))
    counts = torch.bincount(labels, minlength=10)
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 33.7  # chi-square, 9 degrees of freedom, p = 1e-4


def test_random_labels_are_really_used(tmp_path, space, tiny, fabric):
    """methods.md R1: the published ImageNet code trains on the true labels by accident."""
    true = train(tmp_path / "true", space, tiny, fabric).state_dict()
    wrong = train(tmp_path / "random", space, tiny, fabric, labels="random").state_dict()
    assert not same(true, wrong)


def test_fewer_images_than_a_batch(tmp_path, space, tiny, fabric):
    with pytest.raises(DataError, match="20 images, fewer than one batch of 64"):
        train(tmp_path, space, tiny, fabric, batch_size=64)


def test_a_truncated_checkpoint_is_refused(tmp_path, space, tiny, fabric):
    train(tmp_path, space, tiny, fabric, epochs=1)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        train(tmp_path, space, tiny, fabric)


def test_a_checkpoint_of_another_network_is_refused(tmp_path, space, tiny, fabric):
    train(tmp_path, space, tiny, fabric, epochs=1)
    from genas.spaces import open_space

    options = dict(space.describe())
    options["channels"] = 8
    with pytest.raises(CheckpointError, match="another network"):
        train(tmp_path, open_space(options.pop("name"), **options), tiny, fabric)


def test_recalibration_is_the_plain_average_of_batch_statistics():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    batches = [torch.randn(6, 3, 4, 4) * 2 + 1 for _ in range(5)]
    recalibrate(norm, batches)
    assert torch.allclose(norm.running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0), atol=1e-6)
    variance = torch.stack([b.transpose(0, 1).flatten(1).var(1) for b in batches]).mean(0)
    assert torch.allclose(norm.running_var, variance, atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


def test_published_recalibration_keeps_a_residue_of_the_reset():
    """methods.md G3: after 14 batches 0.9^14 = 22.9 % of the statistics is still mean 0, variance 1."""
    norm = nn.BatchNorm2d(1)
    norm.running_var.fill_(77.0)
    batches = [torch.tensor([[[[9.0, 11.0]]]])] * 14
    recalibrate(norm, batches, "momentum")
    assert float(norm.running_mean) == pytest.approx(10 * (1 - 0.9**14), rel=1e-5)
    assert pytest.approx(0.229, abs=5e-4) == 0.9**14
    assert float(norm.running_var) == pytest.approx(0.9**14 + 2 * (1 - 0.9**14), rel=1e-5)
    recalibrate(norm, batches, "cumulative")
    assert float(norm.running_mean) == pytest.approx(10)


def test_an_infinite_loss_ends_training_with_one_sentence(tmp_path, space, tiny, fabric):
    from genas.core.errors import GenasError

    with pytest.raises(GenasError, match="no longer finite"):
        train(tmp_path, space, tiny, fabric, learning_rate=1e30, clip=None, epochs=2)


def test_cumulative_statistics_are_torch_s_own_also_where_a_batch_norm_is_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, images):
            return self.norm(2 * self.norm(images) + 1)

    images = [torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    ours, theirs = Twice(), Twice()
    recalibrate(ours, images)
    theirs.norm.momentum = None
    with torch.no_grad():
        for one in images:
            theirs(one)
    assert same(ours.state_dict(), theirs.state_dict())
    assert ours.norm.momentum == 0.1
    assert not ours.norm._forward_pre_hooks
