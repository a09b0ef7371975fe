"""The engine of an evaluation belongs to the run: recorded, and never another one when it goes on."""

import json
import sys

import pytest
import yaml
from commands import FAST, genas

from genas.strategies import History

pytest.importorskip("onnxruntime")

KEY = "proxy.evaluation.engine"


def arguments(run, *settings):
    given = [f"{key}={value}" for key, value in FAST.items()]
    several = [part for one in [*given, *settings] for part in ("--set", one)]
    return ("--data", "digits", "--space", "nasbench201", "--run", run, "--no-retrain", "--quiet", *several)


def recorded(run):
    return yaml.safe_load((run / "config.yaml").read_text())["proxy"]["evaluation"].get("engine")


def scores(run):
    with History(run / "history.sqlite", readonly=True) as history:
        return {one.genotype: one.score for one in history}


def test_auto_is_decided_once_and_recorded(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    monkeypatch.setattr("genas.workflows.session.choose_engine", lambda space, fabric, precision: "onnxruntime")
    assert genas("search", *arguments(run, f"{KEY}=auto")) == 0
    assert recorded(run) == "onnxruntime"
    assert "onnxruntime" in json.loads((run / "environment.json").read_text())["packages"]
    first = scores(run)
    monkeypatch.setattr("genas.workflows.session.choose_engine", lambda space, fabric, precision: "fast")
    assert genas("search", *arguments(run, f"{KEY}=auto", "search.generations=3")) == 0
    assert recorded(run) == "onnxruntime"
    assert first.items() <= scores(run).items()
    capsys.readouterr()
    assert genas("search", *arguments(run, f"{KEY}=fast", "search.generations=3")) == 2
    assert f"{KEY} (was 'onnxruntime', now 'fast')" in capsys.readouterr().err.replace("\n", " ")

    # the same search without an interruption gives the same numbers
    monkeypatch.setattr("genas.workflows.session.choose_engine", lambda space, fabric, precision: "onnxruntime")
    whole = tmp_path / "whole"
    assert genas("search", *arguments(whole, f"{KEY}=onnxruntime", "search.generations=3")) == 0
    assert scores(whole) == scores(run)


def test_a_run_from_before_the_choice_goes_on_with_what_it_used(tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert genas("search", *arguments(run)) == 0
    content = yaml.safe_load((run / "config.yaml").read_text())
    assert content["proxy"]["evaluation"].pop("engine") == "fast"
    (run / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.setattr("genas.workflows.session.choose_engine", lambda space, fabric, precision: "onnxruntime")
    assert genas("search", *arguments(run, f"{KEY}=auto", "search.generations=3")) == 0
    assert recorded(run) == "fast"


def test_a_supernet_without_scores_binds_no_engine(tmp_path, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other"
    given = [part for part in arguments(run) if part not in ("--no-retrain",)]
    assert genas("supernet", *given) == 0
    assert recorded(run) == "fast"
    monkeypatch.setattr("genas.workflows.session.choose_engine", lambda space, fabric, precision: "onnxruntime")
    assert genas("search", "--supernet", run, *arguments(other, f"{KEY}=auto")) == 0
    assert recorded(other) == "onnxruntime"
    assert genas("search", *arguments(run, f"{KEY}=auto")) == 0
    assert recorded(run) == "onnxruntime"
    assert scores(run) == scores(other)


def test_a_missing_package_is_said_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    run = tmp_path / "run"
    assert genas("search", *arguments(run, f"{KEY}=onnxruntime")) == 2
    assert "pip install 'genas[engine]'" in capsys.readouterr().err.replace("\n", " ")
    assert not run.exists()
