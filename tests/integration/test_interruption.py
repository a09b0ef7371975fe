"""A run that is killed in every phase ends bit-identical to one that is left alone."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
import torch

from genas.core.checkpoint import load_checkpoint

SETTINGS = {
    "space.cells_per_stage": 1,
    "space.channels": 4,
    "supernet.epochs": 4,
    "supernet.checkpoint_seconds": 0.001,
    "search.generations": 2,
    "search.population": 8,
    "search.parents": 2,
    "search.mutations": 3,
    "search.crossovers": 2,
    "proxy.batchnorm.images": 64,
    "retrain.epochs": 4,
    "retrain.checkpoint_seconds": 0.001,
    "baseline.choice": "none",
}


def start(run):
    command = [sys.executable, "-m", "genas", "search", "--space", "nasbench201", "--run", str(run)]
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(run):
    process = start(run)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def checkpoint_reached(path):
    def reached():
        if not path.exists():
            return False
        facts = load_checkpoint(path)[1]
        return facts["epoch"] >= 1 and facts["step"] >= 2

    return reached


def scored(path, least):
    def reached():
        if not path.exists():
            return False
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                return connection.execute("SELECT COUNT(*) FROM architectures").fetchone()[0] >= least
        except sqlite3.Error:
            return False

    return reached


def stop_when(run, reached, how):
    """Stops the run with a signal as soon as `reached`; returns the exit code and the error stream."""
    process = start(run)
    deadline = time.monotonic() + 240
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def history(run):
    with closing(sqlite3.connect(run / "history.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM architectures ORDER BY rowid")]
    assert rows
    for row in rows:
        del row["seconds"]
    return rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(run)
    return run


def test_killed_in_every_phase(tmp_path, whole):
    run = tmp_path / "run"
    for phase, reached in (
        ("supernet", checkpoint_reached(run / "supernet" / "checkpoint.safetensors")),
        ("search", scored(run / "history.sqlite", 3)),
        ("search", scored(run / "history.sqlite", 10)),
        ("retrain", checkpoint_reached(run / "retrain" / "checkpoint.safetensors")),
    ):
        code, _ = stop_when(run, reached, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (run / "report.html").exists(), phase
    finish(run)
    for name in ("supernet/checkpoint", "supernet/initial", "retrain/checkpoint", "retrain/model"):
        expected, facts = load_checkpoint(whole / f"{name}.safetensors")
        found, others = load_checkpoint(run / f"{name}.safetensors")
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
        for row, other in zip(facts.get("rows", []), others.get("rows", []), strict=True):
            assert {**row, "seconds": 0} == {**other, "seconds": 0}
    assert history(run) == history(whole)
    for name in ("best.json", "retrain/result.json", "noise_curves.json"):
        assert json.loads((run / name).read_text()) == json.loads((whole / name).read_text())


def test_ctrl_c_saves_the_state_and_exits_130(tmp_path, whole):
    run = tmp_path / "run"
    for reached in (
        checkpoint_reached(run / "supernet" / "checkpoint.safetensors"),
        scored(run / "history.sqlite", 4),
        checkpoint_reached(run / "retrain" / "checkpoint.safetensors"),
    ):
        code, err = stop_when(run, reached, signal.SIGINT)
        assert code == 130, err
        assert "Traceback" not in err
        assert "continue" in err
        assert not list(run.rglob("*.part"))
    finish(run)
    assert history(run) == history(whole)
    assert json.loads((run / "best.json").read_text()) == json.loads((whole / "best.json").read_text())


def test_a_second_process_on_the_same_folder_is_refused(tmp_path):
    run = tmp_path / "run"
    first = start(run)
    try:
        while not (run / "config.yaml").exists():
            assert first.poll() is None
            time.sleep(0.01)
        second = start(run)
        _, err = second.communicate(timeout=120)
        assert second.returncode == 2
        assert f"in use by process {first.pid}" in err
    finally:
        first.kill()
        first.communicate()
