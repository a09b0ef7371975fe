"""``--baseline``: random architectures beside the best one, resumable, told everywhere."""

import json
import shutil

import pytest
import torch
from commands import FAST, genas

from genas.core.checkpoint import load_checkpoint
from genas.training.standalone.baseline import draw

OPTIONS = [text for key, value in FAST.items() if "baseline" not in key for text in ("--set", f"{key}={value}")]
COMMAND = ("search", "--space", "nasbench201", *OPTIONS, "--baseline", "random:2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert genas(*COMMAND, "--run", folder, "--quiet") == 0
    return folder


def tensors(folder):
    return {path.relative_to(folder): load_checkpoint(path)[0] for path in sorted(folder.rglob("model.safetensors"))}


def test_the_comparison_is_told_in_terminal_json_status_and_report(run, capsys):
    capsys.readouterr()
    assert genas(*COMMAND, "--run", run, "--json", "--quiet") == 0
    result = json.loads(capsys.readouterr().out)
    baseline = result["baseline"]
    assert len(baseline["architectures"]) == 2
    assert result["genotype"] not in [one["genotype"] for one in baseline["architectures"]]
    for one in baseline["architectures"]:  # paired answers are those of the recorded accuracy
        recorded = json.loads((run / one["folder"] / "result.json").read_text())
        assert recorded["test"]["top1"] == pytest.approx(one["top1"])
        assert recorded["genotype"] == one["genotype"]
    assert baseline["comparison"]["accuracy"] == pytest.approx(result["test"]["top1"])
    assert baseline["exceeds_error"] == (baseline["comparison"]["low"] > 0)
    assert genas(*COMMAND, "--run", run, "--quiet") == 0
    assert " ".join(baseline["sentence"].split()) in " ".join(capsys.readouterr().out.split())
    page = (run / "report.html").read_text()
    assert "Against random architectures" in page
    assert baseline["sentence"].split(":")[0] in page
    assert genas("status", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["baselines"] == [2, 2]
    codes = {one["code"] for one in result["warnings"]}
    assert baseline["exceeds_error"] or codes & {"no-better-than-random", "worse-than-random"}


def test_an_interrupted_comparison_ends_bit_identically(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    folders = sorted((other / "baseline").glob("random-*"))
    shutil.rmtree(folders[0])  # killed before this one, and while the other wrote its results
    (folders[1] / "result.json").unlink()
    (folders[1] / "model.safetensors").unlink()
    (other / "baseline.json").unlink()
    assert genas(*COMMAND, "--run", other, "--quiet") == 0
    assert json.loads((other / "baseline.json").read_text()) == json.loads((run / "baseline.json").read_text())
    first, second = tensors(run), tensors(other)
    assert first.keys() == second.keys()
    assert len(first) == 3
    assert all(torch.equal(first[path][name], second[path][name]) for path in first for name in first[path])


def test_retraining_a_run_compares_with_random_ones_too(run, tmp_path, capsys):
    target = tmp_path / "again"
    capsys.readouterr()
    command = ("retrain", run, "--run", target, "--seeds", "0,1", "--baseline", "random:1", "--baseline-macs", "60%")
    assert genas(*command, "--json", "--quiet") == 0
    result = json.loads(capsys.readouterr().out)
    one = result["baseline"]["architectures"][0]
    assert result["baseline"]["equal_macs"] == 0.6
    assert abs(one["macs"] - result["macs"]) <= 0.6 * result["macs"] or result["baseline"]["equal_macs_missed"]
    accuracies = [seed["test"]["top1"] for seed in result["seeds"]]
    assert result["baseline"]["comparison"]["accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert json.loads((target / "result.json").read_text())["baseline"] == result["baseline"]


def test_what_is_not_cheap_is_left_out_with_a_word(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("genas.training.standalone.baseline.CHEAP_SECONDS", 0.0)
    monkeypatch.setattr("genas.training.standalone.baseline.CHEAP_SHARE", 0.0)
    other = tmp_path / "other"
    assert genas(*COMMAND[:-2], "--run", other, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["baseline"] is None
    assert "Add them with --baseline random:3" in shown.err
    assert "Add them with --baseline random:3" in (other / "report.html").read_text()
    monkeypatch.undo()
    assert genas(*COMMAND[:-2], "--run", other, "--quiet", "--json") == 0  # what was decided holds
    assert json.loads(capsys.readouterr().out)["baseline"] is None


def test_random_ones_can_be_added_to_a_finished_run(run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    capsys.readouterr()
    assert genas("search", "--run", other, "--baseline", "random:3", "--quiet", "--json") == 0
    result = json.loads(capsys.readouterr().out)["baseline"]
    assert len(result["architectures"]) == 3
    before = json.loads((run / "baseline.json").read_text())["architectures"]
    assert result["architectures"][:2] == before  # the first two are kept


@pytest.mark.parametrize("few", [1, 0])
def test_fewer_than_asked_for_are_told(few, run, tmp_path, capsys, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (other / "baseline.json").unlink()
    monkeypatch.setattr("genas.workflows.baselines.draw", lambda *given: draw(*given)[:few])
    for _ in range(2):  # a continued run tells it again
        capsys.readouterr()
        assert genas("search", "--run", other, "--baseline", "random:3", "--json") == 0
        shown = capsys.readouterr()
        assert "no more architectures of other functions were found" in " ".join(shown.err.split())
        found = json.loads(shown.out)["baseline"]
        assert (0 if found is None else len(found["architectures"])) == few
        assert genas("status", other, "--json") == 0
        assert json.loads(capsys.readouterr().out)["baselines"] == [few, few]
    assert ("Not known: the best architecture" in (other / "report.html").read_text()) == (few == 0)


def test_baselines_that_cannot_be_compared_are_refused_before_anything(run, tmp_path, capsys):
    target = tmp_path / "target"
    capsys.readouterr()
    assert genas(*COMMAND, "--no-retrain", "--run", target, "--quiet") == 2
    assert "Invalid --baseline random:2 beside --no-retrain" in " ".join(capsys.readouterr().err.split())
    assert genas(*COMMAND[:-1], "random:x", "--run", target, "--quiet") == 2
    assert "expected auto, none or random:N" in " ".join(capsys.readouterr().err.split())
    assert not target.exists()
