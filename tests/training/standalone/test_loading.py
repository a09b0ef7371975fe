"""Trained networks are found where they may lie, and whatever does not fit is refused in one sentence."""

import json
import random
import shutil

import pytest
import torch

import genas
from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.errors import CheckpointError
from genas.spaces import open_space
from genas.training.standalone.loading import find_models, load_model


@pytest.fixture
def copied(trained_folder, tmp_path):
    return shutil.copytree(trained_folder, tmp_path / "copy")


def edited(folder, **changes):
    file = folder / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_folder_a_run_and_a_file_give_the_same_network(copied, tmp_path):
    images = torch.rand(2, 1, 16, 16)
    wanted = genas.load(copied)(images)
    shutil.copytree(copied, tmp_path / "run" / "retrain")
    assert torch.equal(genas.load(tmp_path / "run")(images), wanted)
    (copied / "best.safetensors").write_bytes((copied / "model.safetensors").read_bytes())
    assert torch.equal(genas.load(copied / "best.safetensors")(images), wanted)
    assert not genas.load(copied).training


def test_the_state_of_a_training_loads_as_well(copied):
    tensors, facts = load_checkpoint(copied / "model.safetensors")
    state = {f"model.{name}": value for name, value in tensors.items()} | {"sums": torch.zeros(3)}
    save_checkpoint(copied / "checkpoint.safetensors", state, facts)
    assert torch.equal(
        genas.load(copied / "checkpoint.safetensors")(torch.ones(1, 1, 16, 16)),
        genas.load(copied)(torch.ones(1, 1, 16, 16)),
    )


def test_an_auxiliary_head_of_a_training_is_left_aside(tmp_path):
    space = open_space("darts", cells=3, channels=4).final(auxiliary=True)
    architecture = space.sample(random.Random(1))
    identity = {"space": space.final(auxiliary=False).describe(), "classes": 3, "genotype": architecture.genotype}
    network = space.network(3, architecture, 1).eval()
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "checkpoint.safetensors", state, {"identity": identity})
    more = {"image_shape": [1, 16, 16], "class_names": list("abc"), "mean": [0.5], "std": [0.5]}
    (tmp_path / "model.json").write_text(json.dumps({**identity, **more}))
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(genas.load(tmp_path / "checkpoint.safetensors")(images), network(images))


def test_seeds_are_found_in_their_order_and_one_must_be_named(copied, tmp_path):
    for seed in (10, 2, 0):
        shutil.copytree(copied, tmp_path / "run" / "retrain" / f"seed-{seed}")
    found = find_models(tmp_path / "run")
    assert [weights.parent.name for weights in found] == ["seed-0", "seed-2", "seed-10"]
    assert find_models(tmp_path / "run" / "retrain") == found
    with pytest.raises(CheckpointError, match="holds 3 trained networks; name one of .*seed-0"):
        genas.load(tmp_path / "run")
    genas.load(tmp_path / "run" / "retrain" / "seed-2")


def test_what_is_no_trained_network(tmp_path):
    with pytest.raises(CheckpointError, match="There is no .*missing"):
        genas.load(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="holds no trained network"):
        genas.load(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "another"}')
    with pytest.raises(CheckpointError, match="holds no trained network"):
        genas.load(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(CheckpointError, match="has no retrained network; run genas search --run"):
        genas.load(tmp_path)
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "w.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="has no model.json"):
        genas.load(tmp_path / "lone" / "w.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genotype": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}, "is of another network: its genotype is"),
        ({"classes": 4, "class_names": list("abcd")}, "its classes is 10, the description says 4"),
        ({"classes": 4}, "10 class names came for 4 classes"),
        ({"mean": [0.1, 0.2]}, "one value for each of 1 channels"),
        ({"genotype": "nonsense"}, "cannot be built"),
        ({"space": {"name": "dart"}}, "cannot be built: unknown space 'dart'"),
        ({"image_shape": [1, 16]}, "is damaged: image_shape"),
        (
            {"space": {"name": "nasbench201", "cells_per_stage": 1, "channels": 8, "cell_bn_affine": True}},
            r"stem\.0\.weight is \[4, 1, 3, 3\] in the file and \[8, 1, 3, 3\] in the network",
        ),
        (
            {"space": {"name": "nasbench201", "cells_per_stage": 2, "channels": 4, "cell_bn_affine": True}},
            "of another architecture|differs",
        ),
    ],
)
def test_a_description_that_does_not_fit_the_weights(copied, changes, message):
    edited(copied, **changes)
    with pytest.raises(CheckpointError, match=message):
        genas.load(copied)


def test_weights_of_another_architecture_or_class_count_are_refused(copied):
    tensors, _ = load_checkpoint(copied / "model.safetensors")
    without = {name: value for name, value in tensors.items() if not name.endswith("conv.weight")}
    save_checkpoint(copied / "model.safetensors", without, {})
    with pytest.raises(CheckpointError, match=r"holds no .*conv\.weight; it is of another architecture"):
        genas.load(copied)
    save_checkpoint(copied / "model.safetensors", tensors | {"further": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="also holds further; it is of another architecture"):
        genas.load(copied)
    save_checkpoint(copied / "model.safetensors", tensors | {"classifier.weight": torch.ones(3, 16)}, {})
    with pytest.raises(CheckpointError, match=r"classifier\.weight is \[3, 16\].*the number of classes differs"):
        genas.load(copied)


def test_damaged_files(copied):
    weights = copied / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        load_model(weights)
    weights.unlink()
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        load_model(weights)
    (copied / "model.json").write_text("{")
    with pytest.raises(CheckpointError, match="it is not JSON"):
        genas.load(copied)
