"""Two processes train the network that one process trains."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from genas.core.checkpoint import load_checkpoint
from genas.core.device import open_fabric
from genas.core.errors import GenasError, Interrupted
from genas.training.loop import Trainer
from genas.workflows.retrain import retrain_run
from genas.workflows.retraining_settings import configure

# Everything that a division over processes could upset: batches of an odd size in two pieces, batch norm, drop-path,
# cutout, clipping, a moving average, the auxiliary loss, and a held-out part that does not divide evenly.
SETTINGS = {
    "epochs": 2,
    "batch_size": 33,
    "cells": 3,
    "channels": 4,
    "limit_batches": 3,
    "accumulate": 2,
    "ema_decay": 0.9,
    "cutout": 4,
    "drop_path": 0.3,
}
# few convolutions, which are slow in 64 bits
GENOTYPE = "3,4,1,0,3,0,2,0,3,0,0,6,3,0,1,3,0,2,3,3,0,0,1,0,0,3,0,1"


def configured(**changes):
    named = {"data": {"name": "digits"}, "precision": "64", "device": "cpu"}
    return configure(GENOTYPE, overrides=[{**named, **SETTINGS, **changes}])


def torchrun(run, *more):
    """The command as users type it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "genas"]
    command += ["retrain", GENOTYPE, "--data", "digits", "--precision", "64", "--device", "cpu"]
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += [*more, "--run-folder", str(run)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)


def test_a_signal_to_one_stops_all_and_torchrun_continues_to_the_result_of_one_process(
    tmp_path, in_processes, monkeypatch
):
    alone = retrain_run(configured(), tmp_path / "alone", quiet=True)
    run = tmp_path / "two"
    original, steps = Trainer._one, 0

    def one(self, *rest):
        nonlocal steps
        original(self, *rest)
        steps += 1
        if steps == 2 and self.share.process == 1:
            os.kill(os.getpid(), signal.SIGTERM)  # comes again, as torchrun's signals do
            os.kill(os.getpid(), signal.SIGTERM)

    def stopped(rank):
        with pytest.raises(Interrupted, match="the state is saved"):
            retrain_run(configured(), run, quiet=True)
        return steps

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_one", one)
        taken = in_processes(2, stopped)
    assert taken[0] == taken[1]  # both stopped at the same step
    facts = load_checkpoint(run / "checkpoint.safetensors")[1]
    assert 3 * facts["epoch"] + facts["step"] == taken[0] < 6
    assert not (run / "result.json").exists()

    finished = torchrun(run, "--json")
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)  # printed once
    assert "over 2 processes" in finished.stderr
    for kind, figures in alone.summary.items():
        assert found["summary"][kind]["top1"]["mean"] == pytest.approx(figures["top1"]["mean"])
    for name in ("checkpoint", "model", "best"):
        wanted, facts = load_checkpoint(alone.run / f"{name}.safetensors")
        tensors, others = load_checkpoint(run / f"{name}.safetensors")
        assert wanted.keys() == tensors.keys()
        for key, value in wanted.items():
            torch.testing.assert_close(tensors[key], value, rtol=1e-8, atol=1e-11, msg=f"{name}: {key}")
        for row, other in zip(facts.get("rows", []), others.get("rows", []), strict=True):
            assert {**other, "seconds": 0} == pytest.approx({**row, "seconds": 0}, rel=1e-9)


def test_an_error_in_one_ends_all_and_the_first_speaks(tmp_path, in_processes):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").touch()
    unfit = (
        (configured(accumulate=20), "fresh", "2 process.es. cannot divide a batch of 33 images in 20 piece"),
        (configured(batch_size=5000), "fresh", "fewer than one batch of 5000"),
        (configured(), "taken", "is not empty and not a run folder"),  # known to the first process only
    )

    def refused(rank):
        kinds = []
        for config, folder, message in unfit:
            with pytest.raises(GenasError, match=message) as caught:
                retrain_run(config, tmp_path / folder, quiet=True)
            kinds.append(type(caught.value).__name__)
        return kinds

    first, second = in_processes(2, refused)
    assert first == ["ConfigError", "DataError", "RunError"]
    assert second == ["GenasError"] * 3  # silent: see genas.cli.app
    assert not (tmp_path / "fresh").exists()


def test_other_commands_are_not_divided(tmp_path, in_processes):
    def refused(rank):
        with pytest.raises(GenasError, match="torchrun started 2 processes, but this command works in one"):
            open_fabric("cpu")

    in_processes(2, refused)
