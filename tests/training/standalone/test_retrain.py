"""Training the winner: what it learns, what it keeps, what it measures."""

import json
import random

import pytest
import torch
from torch.nn import functional

from genas.core.checkpoint import load_checkpoint
from genas.core.errors import DataError
from genas.spaces import open_space
from genas.training.standalone import RetrainSettings, retrain
from genas.training.standalone.train import measure

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
CONVOLUTIONS = SPACE.parse("333333")
QUICK = RetrainSettings(epochs=1, batch_size=8)


def test_it_learns_and_stores_what_it_measured(tmp_path, fabric, make_splits):
    splits = make_splits(48)
    settings = RetrainSettings(epochs=12, batch_size=8, learning_rate=0.05)
    result = retrain(tmp_path, SPACE, CONVOLUTIONS, splits, settings, fabric, seed=1, quiet=True)
    assert result["top1"] > 0.7  # chance is 0.25
    assert json.loads((tmp_path / "result.json").read_text())["test"] == result
    network = SPACE.network(4, CONVOLUTIONS, 3)
    network.load_state_dict(load_checkpoint(tmp_path / "model.safetensors")[0])
    assert measure(network, splits.test, fabric) == result


def test_a_finished_training_is_not_repeated_and_seeds_differ(tmp_path, fabric, make_splits):
    splits = make_splits(48)
    first = retrain(tmp_path / "a", SPACE, CONVOLUTIONS, splits, QUICK, fabric, seed=1, quiet=True)
    weights = (tmp_path / "a" / "model.safetensors").read_bytes()
    again = retrain(tmp_path / "a", SPACE, CONVOLUTIONS, splits, QUICK, fabric, seed=1, quiet=True)
    assert again == first
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == weights
    retrain(tmp_path / "b", SPACE, CONVOLUTIONS, splits, QUICK, fabric, seed=1, quiet=True)
    same, other = (load_checkpoint(tmp_path / name / "model.safetensors")[0] for name in "ab")
    assert all(torch.equal(same[key], other[key]) for key in same)
    retrain(tmp_path / "c", SPACE, CONVOLUTIONS, splits, QUICK, fabric, seed=2, quiet=True)
    other = load_checkpoint(tmp_path / "c" / "model.safetensors")[0]
    assert any(not torch.equal(same[key], other[key]) for key in same)


def test_global_random_state_is_left_alone(tmp_path, fabric, make_splits):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    retrain(tmp_path, SPACE, CONVOLUTIONS, make_splits(48), QUICK, fabric, seed=1, quiet=True)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("classes", [4, 8])
def test_measuring_in_batches_equals_measuring_at_once(fabric, make_splits, classes):
    splits = make_splits(48, classes)
    network = SPACE.network(classes, SPACE.sample(random.Random(3)), 3)
    found = measure(network, splits.test, fabric, batch_size=5)  # 16 images: a short last batch
    images, labels = next(splits.test.batches(1000, torch.device("cpu")))
    logits = network.eval()(images).double()
    assert found["loss"] == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found["top1"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert ("top5" in found) == (classes > 5)
    if classes > 5:
        place = (logits > logits.gather(1, labels[:, None])).sum(1)
        assert found["top5"] == pytest.approx((place < 5).double().mean().item())


def test_too_few_images_for_a_batch(tmp_path, fabric, make_splits):
    with pytest.raises(DataError, match="fewer than one batch of 96"):
        retrain(tmp_path, SPACE, CONVOLUTIONS, make_splits(48), RetrainSettings(), fabric, seed=1, quiet=True)
