"""Batch norm of each process for itself, as the published code has it on several GPUs."""

import json

import pytest
import torch

from genas.core.checkpoint import load_checkpoint
from genas.core.errors import ConfigError
from genas.data import open_dataset
from genas.training.standalone.data import least_rows, parts_of, steps_of
from genas.training.standalone.loading import load_model
from genas.training.standalone.recipe import RetrainSettings
from genas.training.standalone.train import measure
from genas.workflows.retrain import retrain_run
from genas.workflows.retraining_settings import configure

# few convolutions, which are slow in 64 bits
GENOTYPE = "3,4,1,0,3,0,2,0,3,0,0,6,3,0,1,3,0,2,3,3,0,0,1,0,0,3,0,1"
SETTINGS = {
    "epochs": 2,
    "batch_size": 33,
    "cells": 3,
    "channels": 4,
    "limit_batches": 2,
    "ema_decay": 0.9,
    "drop_path": 0.3,
    "auxiliary_weight": 0.4,
}


def configured(**changes):
    named = {"data": {"name": "digits"}, "precision": "64", "device": "cpu"}
    return configure(GENOTYPE, overrides=[{**named, **SETTINGS, **changes}])


def test_two_processes_train_the_weights_of_one_that_computes_each_batch_in_two_pieces(tmp_path, in_processes, fabric):
    alone = tmp_path / "alone"
    retrain_run(configured(accumulate=2), alone, quiet=True)

    def work(rank):
        for mode in ("per-process", "shared"):
            retrain_run(configured(batch_norm=mode), tmp_path / mode, quiet=True)

    in_processes(2, work)
    wanted, facts = load_checkpoint(alone / "checkpoint.safetensors")
    found, others = load_checkpoint(tmp_path / "per-process" / "checkpoint.safetensors")
    shared, _ = load_checkpoint(tmp_path / "shared" / "checkpoint.safetensors")
    assert wanted.keys() == found.keys() == shared.keys()
    statistics = {name for name in wanted if "running_" in name or "num_batches" in name}
    for name in wanted.keys() - statistics:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-8, atol=1e-11, msg=name)
    for row, other in zip(facts["rows"], others["rows"], strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-9)
    apart = max(float((found[n] - shared[n]).abs().max()) for n in wanted if n.endswith("conv.weight"))
    assert apart > 1e-4  # the whole batch's statistics train another network
    # one update per step, by the first process's rows: two pieces would have made two
    assert {int(found[name]) for name in statistics if name.startswith("model.") and "num_batches" in name} == {4}

    # every process evaluated with the statistics that are kept
    told = json.loads((tmp_path / "per-process" / "result.json").read_text())["test"]
    model = load_model(tmp_path / "per-process" / "model.safetensors")
    test = open_dataset("digits").splits(0).test
    again = measure(model.network.double(), test, fabric, limit_batches=2)
    assert again["loss"] == pytest.approx(told["loss"], rel=1e-9)
    assert again["top1"] == told["top1"]


def test_every_process_has_two_rows_of_every_piece(tiny):
    settings = RetrainSettings(batch_size=8, accumulate=2, batch_norm="per-process")
    assert (least_rows(settings, 1), least_rows(settings, 2)) == (4, 8)
    parts_of(tiny, settings, processes=2)
    with pytest.raises(ConfigError, match="needs two images in every piece, so 12 in a batch, not 8; set batch_size"):
        parts_of(tiny, settings, processes=3)
    assert least_rows(settings.model_copy(update={"batch_norm": "shared"}), 3) == 2


@pytest.mark.parametrize(("images", "steps"), [(40, 5), (43, 5), (44, 6), (47, 6)])
def test_a_short_last_batch_counts_where_batch_norm_has_rows_enough(images, steps):
    """In the plan as in the training: both ask `steps_of`."""
    settings = RetrainSettings(batch_size=8, accumulate=2, batch_norm="per-process")
    assert steps_of(images, settings, 1) == steps
    assert steps_of(images, settings.model_copy(update={"limit_batches": 2}), 1) == 2
