import errno
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

import genas.core.run_folder
from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.errors import CheckpointError, RunError
from genas.core.run_folder import (
    RunFolder,
    changes,
    check_writable,
    environment_changes,
    read_config,
    write_atomically,
    write_json,
)
from genas.reporting.status import holder


def test_checkpoint_round_trip_is_exact(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.tensor(1.5, dtype=torch.float64)}
    facts = {"epoch": 3, "rows": [{"loss": 0.1 + 0.2}]}
    save_checkpoint(tmp_path / "x.safetensors", tensors, facts)
    loaded, found = load_checkpoint(tmp_path / "x.safetensors")
    assert all(torch.equal(tensors[key], loaded[key]) for key in tensors)
    assert found == facts


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_checkpoints_are_refused(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"a": torch.randn(100)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


def test_foreign_and_missing_checkpoints_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="did not write"):
        load_checkpoint(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "No permission"), (errno.EROFS, "No permission")],
)
def test_a_failed_write_leaves_the_old_file_and_says_why(tmp_path, monkeypatch, number, message):
    path = tmp_path / "best.json"
    write_json(path, {"score": 1})

    def fail(handle):
        raise OSError(number, "no")

    monkeypatch.setattr(genas.core.run_folder.os, "fsync", fail)
    with pytest.raises(RunError, match=message):
        write_json(path, {"score": 2})
    assert json.loads(path.read_text()) == {"score": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.json"]


def test_a_second_process_is_refused_with_the_first_ones_id(tmp_path):
    import os

    with RunFolder(tmp_path / "run"):
        code = (
            "from pathlib import Path\nfrom genas.core.run_folder import RunFolder\n"
            f"RunFolder(Path({str(tmp_path / 'run')!r})).__enter__()"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert f"in use by process {os.getpid()} on" in answer.stderr
    with RunFolder(tmp_path / "run"):
        pass  # free again


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_and_can_be_used(tmp_path, monkeypatch, number):
    def fail(file, operation):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(genas.core.run_folder.fcntl, "flock", fail)
    with pytest.raises(RunError, match=r"has no locks \(No locks available\).*GENAS_LOCK=off"):
        RunFolder(tmp_path / "run").__enter__()
    assert holder(tmp_path / "run") is None
    monkeypatch.setenv("GENAS_LOCK", "off")
    with RunFolder(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_written_to_is_named_with_the_option(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "deep", "--out")
    assert list(tmp_path.iterdir()) == []

    def fail(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(genas.core.run_folder.tempfile, "mkstemp", fail)
    with pytest.raises(RunError, match=r"cannot be written to \(Read-only file system\).*--out"):
        check_writable(tmp_path, "--out")


def test_what_differs_in_the_environment_is_named():
    before = {"packages": {"torch": "2.5.0", "numpy": "2.0"}, "machine": "x86_64", "threads": 2}
    assert environment_changes(before, before) == []
    now = {"packages": {"torch": "2.6.0", "numpy": "2.0"}, "machine": "aarch64", "threads": 4, "processes": 1}
    assert environment_changes(before, now) == [
        ("torch", "2.5.0", "2.6.0"),
        ("machine", "x86_64", "aarch64"),
        ("threads", 2, 4),
    ]


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with RunFolder(tmp_path) as folder, pytest.raises(RunError, match=r"not a run folder.*thesis\.tex"):
        folder.freeze({"seed": 1})


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(RunError, match="file stands in its way"):
        RunFolder(tmp_path / "run").__enter__()


def test_leftovers_of_a_killed_process_are_cleared(tmp_path):
    run = tmp_path / "run"
    (run / "supernet").mkdir(parents=True)
    (run / "supernet" / ".checkpoint.safetensors.abc.part").write_bytes(b"half")
    with RunFolder(run):
        assert not list(run.rglob("*.part"))


def test_damaged_config_is_one_sentence(tmp_path):
    write_atomically(tmp_path / "config.yaml", b"a: [1, 2")
    with pytest.raises(RunError, match="damaged"):
        read_config(tmp_path)
    with pytest.raises(RunError, match="expected the folder of a run"):
        read_config(tmp_path / "nowhere")


def test_a_folder_whose_name_is_no_utf8_is_refused_before_it_is_made(tmp_path):
    path = tmp_path / os.fsdecode(b"run\xff")
    with pytest.raises(RunError, match=r"run\\udcff is not valid UTF-8"), RunFolder(path):
        pass
    assert not path.exists()


def test_a_setting_that_was_not_given_is_said_so():
    assert changes({"data": {}}, {"data": {"step": 3}}) == ["data.step (was not set, now 3)"]
