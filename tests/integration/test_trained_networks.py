"""``genas evaluate`` and ``genas export`` through the command line."""

import json
import shutil

import pytest
from commands import genas, refused


@pytest.fixture
def run(trained_folder, tmp_path):
    """A run whose data set is the digits, with its network under ``retrain/``."""
    folder = tmp_path / "run"
    shutil.copytree(trained_folder, folder / "retrain")
    (folder / "config.yaml").write_text("seed: 0\ndata: {name: digits}\n")
    return folder


def test_evaluating_a_run_as_a_table_and_as_json(run, capsys):
    quick = ["--limit", "40", "--shift", "jpeg", "--shift", "tone", "--set", "flatness.draws=2", "--quiet"]
    quick += ["--set", "latency={batch_sizes: [1], repeats: 2}", "--set", "flatness.images=30"]
    assert genas("evaluate", run, *quick) == 0
    shown = capsys.readouterr().out
    for text in ("Top-1 accuracy", "jpeg", "contrast", "Sharpness", "Time of a forward pass", "evaluation.html"):
        assert text in shown
    assert genas("evaluate", run, "--no-latency", "--no-flatness", "--limit", "40", "--json") == 0
    out = capsys.readouterr()
    content = json.loads(out.out)
    assert content["models"][0].keys() == {"name", "model", "data", "clean"}
    assert content == json.loads((run / "evaluation.json").read_text())


def test_exporting_a_run(run, tmp_path, capsys):
    assert genas("export", run, "--out", tmp_path / "out") == 0
    assert "the same logits as the trained network on 32 test images of digits" in capsys.readouterr().out
    assert genas("export", run / "retrain" / "model.safetensors", "--out", tmp_path / "b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["files"][0] == "model.safetensors"


def test_bad_input_is_one_sentence(run, tmp_path, capsys):
    assert "There is no" in refused(capsys, "evaluate", tmp_path / "missing")
    assert "unknown shift 'fog'" in refused(capsys, "evaluate", run, "--shift", "fog")
    assert "There is no folder" in refused(capsys, "evaluate", run, "--shift", f"folder:{tmp_path / 'no'}")
    assert "must be one of auto" in refused(capsys, "evaluate", run, "--device", "tpu")
    assert "measured in 32, bf16 or 16" in refused(capsys, "evaluate", run, "--precision", "64")
    assert "unknown data set 'digit'" in refused(capsys, "evaluate", run, "--data", "digit")
    assert "unknown key 'draws'" in refused(capsys, "evaluate", run, "--set", "draws=3")
    assert "'--classes': 'any' is not one of 'name', 'order'" in refused(capsys, "evaluate", run, "--classes", "any")
    assert "flatness.sigmas" in refused(capsys, "evaluate", run, "--set", "flatness.sigmas=[0.2, 0.1]")
    assert not (run / "evaluation.json").exists()
    assert "is not empty" in refused(capsys, "export", run, "--out", run)
    assert "--private is for --push-to-hub" in refused(capsys, "export", run, "--out", tmp_path / "o", "--private")
    assert "onnx_input is 'raw'" in refused(capsys, "export", run, "--out", tmp_path / "o", "--onnx-input", "raw")
    assert not (tmp_path / "o").exists()
