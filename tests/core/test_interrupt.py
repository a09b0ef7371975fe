"""Ctrl-C: acknowledged at once, obeyed after the step; the second time at once, with nothing lost."""

import os
import signal
import time

import pytest
import torch

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.errors import Interrupted
from genas.core.interrupt import StopRequest
from genas.spaces import open_space
from genas.training.supernet import SupernetSettings, train_supernet


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_is_acknowledged_with_the_time_that_the_step_takes(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with StopRequest() as stop:
        now[0] += 50
        stop.stepped()
        now[0] += 10
        press()
        assert capsys.readouterr().err == "\nStopping after this step (about 40 s); press again to stop now.\n"
        assert stop.requested
        with pytest.raises(Interrupted):
            stop.check()


def test_before_the_first_step_no_time_is_claimed(capsys):
    with StopRequest():
        press()
    assert capsys.readouterr().err == "\nStopping after this step; press again to stop now.\n"


def shielded(stop, done):
    with stop.shield():
        press()
        done.append("whole")


def test_the_second_interrupts_at_once_but_never_inside_a_shield():
    done = []
    with StopRequest() as stop:
        press()
        with pytest.raises(KeyboardInterrupt):
            shielded(stop, done)
        assert done == ["whole"]
    with StopRequest():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize("unused", ["skip", "zero"])
def test_pressed_twice_inside_a_step_nothing_is_lost(at, unused, tmp_path, make_splits, monkeypatch, capsys):
    """The weights of the last whole step are saved, though the last checkpoint is older; none before the first step."""
    space = open_space("nasbench201", channels=4, cells_per_stage=1)
    splits = make_splits(48)
    settings = SupernetSettings(epochs=2, batch_size=8, momentum=0.9, weight_decay=0.1, unused_gradients=unused)

    def train(folder):
        return train_supernet(folder, space, splits, settings, Fabric(), seed=1, quiet=True)

    whole = train(tmp_path / "whole").state_dict()
    backward, calls = Fabric.backward, 0

    def twice(self, loss):
        nonlocal calls
        calls += 1
        if calls == at:
            press()
            press()
        backward(self, loss)

    monkeypatch.setattr(Fabric, "backward", twice)
    with pytest.raises(Interrupted, match="inside a step"):
        train(tmp_path / "parts")
    checkpoint = tmp_path / "parts" / "checkpoint.safetensors"
    assert checkpoint.exists() == (at > 1)  # a run without a step of training may still change its settings
    if at > 1:
        facts = load_checkpoint(checkpoint)[1]
        assert 3 * facts["epoch"] + facts["step"] == at - 1
    resumed = train(tmp_path / "parts").state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
