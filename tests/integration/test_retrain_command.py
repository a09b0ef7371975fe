"""``genas retrain`` through the command line, in this process."""

import json

import pytest
import torch
import yaml
from commands import genas, refused
from datasets import Dataset as Table

import genas as package
from genas.core.checkpoint import load_checkpoint
from genas.data import collection
from genas.training.standalone.results import Trained, summarise
from genas.workflows.retraining_settings import configure

SMALL = ("--cells", "1", "--channels", "4", "--epochs", "2", "--batch-size", "64")


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "two"
    assert genas("retrain", "333333", "--data", "digits", "--seeds", "0,7", "--run", run, *SMALL, "--quiet") == 0
    return run


def test_a_folder_per_seed_and_their_mean_and_spread(two_seeds, capsys):
    whole = json.loads((two_seeds / "result.json").read_text())
    tops = []
    for seed in (0, 7):
        folder = two_seeds / f"seed-{seed}"
        result = json.loads((folder / "result.json").read_text())
        assert result["seed"] == seed
        assert result["best"]["by"] == "held-out"
        tops.append(result["test"]["top1"])
        for name in ("model.safetensors", "best.safetensors", "model.json", "metrics.csv"):
            assert (folder / name).stat().st_size > 0
        assert list((folder / "tensorboard").iterdir())
    last = whole["summary"]["last"]["top1"]
    assert last["mean"] == pytest.approx(sum(tops) / 2)
    assert last["std"] == pytest.approx(abs(tops[0] - tops[1]) / 2**0.5)
    first, other = (load_checkpoint(two_seeds / f"seed-{seed}" / "model.safetensors")[0] for seed in (0, 7))
    assert any(not torch.equal(first[name], other[name]) for name in first)
    config = yaml.safe_load((two_seeds / "config.yaml").read_text())
    assert config["kind"] == "retrain"
    assert config["recipe"] == "nasbench201"  # the space's own
    assert (config["retrain"]["epochs"], config["retrain"]["nesterov"], config["retrain"]["held_out"]) == (
        2,
        True,
        0.05,
    )
    assert json.loads((two_seeds / "environment.json").read_text())["processes"] == 1
    plan = json.loads((two_seeds / "plan.json").read_text())
    assert plan["params"] == whole["params"]
    assert genas("status", two_seeds, "--json") == 0
    state = json.loads(capsys.readouterr().out)
    assert state["phase"] == "done"
    assert state["retrain_epochs"] == {"seed 0": [2, 2], "seed 7": [2, 2]}
    assert genas("status", two_seeds) == 0
    assert "seed 7 2 of 2 epochs" in " ".join(capsys.readouterr().out.split())


def test_the_same_command_again_and_the_folder_alone_change_nothing(two_seeds, capsys):
    kept = {path: path.read_bytes() for path in two_seeds.rglob("*.safetensors")}
    capsys.readouterr()
    again = ("retrain", "333333", "--data", "digits", "--seeds", "0,7", "--run", two_seeds, *SMALL)
    assert genas(*again, "--json", "--quiet") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((two_seeds / "result.json").read_text())
    assert genas("retrain", "--run", two_seeds) == 0
    out = capsys.readouterr()
    table = " ".join(out.out.split())
    assert "Last top-1 top-5 Best epoch top-1 top-5" in table
    assert "mean ± sd" in table
    assert "the test set chose nothing" in table
    said = " ".join(out.err.split())
    assert "MACs, first width 4" in said
    assert "1,368 to train on, 70 held out to choose the best epoch, 359 to test" in said
    assert "Memory at least" in said
    assert {path: path.read_bytes() for path in two_seeds.rglob("*.safetensors")} == kept


def test_other_settings_on_its_folder_are_refused(two_seeds, capsys):
    again = ("retrain", "333333", "--data", "digits", "--seeds", "0,7", "--run", two_seeds, *SMALL, "--quiet")
    sentence = refused(capsys, *again, "--set", "momentum=0.8")
    assert "retrain.momentum (was 0.9, now 0.8)" in sentence
    sentence = refused(capsys, "retrain", "--run", two_seeds, "--epochs", "3")
    assert "retrain.epochs (was 2, now 3) cannot change; every epoch of this schedule depends on how many" in sentence
    assert "is a run of genas retrain" in refused(capsys, "search", "--run", two_seeds)
    assert "is a run of genas retrain" in refused(capsys, "report", two_seeds)


def test_one_seed_can_be_loaded_and_taken_further(tmp_path, capsys):
    run = tmp_path / "one"
    settings = {"retrain": {"epochs": 1, "cells": 1, "channels": 4, "limit_batches": 3}}
    result = package.retrain("333333", data="digits", run=run, settings=settings, quiet=True)
    assert result.runs[0].folder == run
    assert result.summary["last"]["top1"]["std"] is None
    network = package.load(run if (run / "retrain").exists() else _as_search(run, tmp_path))
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    # a run folder of a retraining is an architecture with its data, and its network a beginning
    further = ("retrain", run, "--run", tmp_path / "further", "--from-checkpoint", run, "--limit-batches", "2")
    assert genas(*further) == 0
    out = capsys.readouterr()
    assert "entries" in " ".join(out.err.split())
    assert "Dry run" in out.out
    match = json.loads((tmp_path / "further" / "initial_weights.json").read_text())
    assert match["entries"] == match["of_entries"]
    config = yaml.safe_load((tmp_path / "further" / "config.yaml").read_text())
    assert config["data"]["name"] == "digits"
    assert config["recipe"] == "the run's own"
    assert config["retrain"]["limit_batches"] == 2


def _as_search(run, tmp_path):
    """The layout of a search's run folder around a retrained network."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "retrain").symlink_to(run)
    return tmp_path / "search"


def few_photos(shared_data, folder):
    """Six photographs of each of four classes, as class folders and as Parquet."""
    rows = {"image": [], "label": []}
    for label, source in enumerate(sorted((shared_data / "photos" / "train").iterdir())[:4]):
        for file in sorted(source.iterdir())[:6]:
            copy = folder / "folder" / source.name / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
            rows["image"].append({"bytes": file.read_bytes(), "path": None})
            rows["label"].append(label)
    (folder / "parquet").mkdir()
    Table.from_dict(rows).to_parquet(folder / "parquet" / "train.parquet")


def test_imagenet_recipe_on_streamed_folders_and_parquet(tmp_path, shared_data, capsys, monkeypatch):
    """The whole recipe on a small network: whatever a run over ImageNet does, for two batches."""
    few_photos(shared_data, tmp_path)
    monkeypatch.setattr(collection, "RESIDENT_BYTES", 0)  # stream, as ImageNet is
    dry = ("--recipe", "imagenet", "--limit-batches", "2", "--epochs", "1", "--set", "tail_epochs=0")
    dry = (*dry, "--batch-size", "6", "--cells", "3", "--max-macs", "3M", "--image-size", "64")
    for kind in ("folder", "parquet"):
        run = tmp_path / "runs" / kind
        assert genas("retrain", "genas_fbs_c10", "--data", f"{kind}:{tmp_path / kind}", *dry, "--run", run) == 0
        out = capsys.readouterr()
        assert "Dry run" in out.err
        assert "Dry run finished" in out.out
        assert "auxiliary head" in out.err
        plan = json.loads((run / "plan.json").read_text())
        assert plan["macs"] <= 3_000_000
        assert plan["channels"] % 2 == 0
        assert (plan["train"], plan["held_out"], plan["test"], plan["steps"]) == (16, 4, 4, 2)
        assert json.loads((run / "model.json").read_text())["mean"] == [0, 0, 0]


def test_published_widths_unless_a_width_is_given():
    data = {"data": {"name": "digits"}}
    assert configure("genas_fbs_c10", recipe="imagenet", overrides=[data]).retrain.channels == 52
    assert configure("genas_fbs_c10", recipe="imagenet", overrides=[data, {"channels": 8}]).retrain.channels == 8
    assert configure("genas_fbs_c10", overrides=[data]).retrain.channels == 36
    assert configure("genas_fbs_c10", overrides=[{"data": {"name": "imagenet"}}]).recipe == "imagenet"


def test_recipes_are_listed(capsys):
    assert genas("retrain", "--list-recipes") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "genas-imagenet = imagenet: RLNAS" in out
    assert genas("retrain", "--list-recipes", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["pc-darts-cifar"]["settings"]["drop_path"] == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to train"),
        (("333333",), "name the data to train on"),
        (
            ("333333", "--data", "digits", "--recipe", "cifar"),
            "asks for auxiliary, stem, which the space 'nasbench201'",
        ),
        (("333333", "--data", "digits", "--batch-size", "5000"), "fewer than one batch of 5000"),
        (("333333", "--data", "digits", "--seeds", "1;2"), "Invalid --seeds '1;2': expected whole numbers"),
        (("333333", "--data", "digits", "--seeds", "1,1"), "seeds must be different"),
        (
            ("333333", "--data", "digits", "--set", "epoch=1"),
            "unknown key 'retrain.epoch' (did you mean 'retrain.epochs'?)",
        ),
        (("333333", "--data", "digits", "--set", "data.limit=9"), "data.limit is for searches; use --limit-batches"),
        (("333333", "--data", "digits", "--max-macs", "1"), "the limit of 1e-06 M MACs is too small"),
        (("333333", "--data", "digits", "--max-macs", "1M", "--channels", "4"), "give one of them"),
        (("333333", "--data", "digits", "--from-checkpoint", "nowhere"), "nowhere."),
        (("333333", "--data", "digits", "--from-supernet", "nowhere"), "nowhere: expected the folder of a run"),
        (("genas_fbs_c1", "--data", "digits"), "Did you mean 'genas_fbs_c10'?"),
        (("genas_fbs_c10", "--space", "nasbench201", "--data", "digits"), "is no genotype of this space"),
        (("333333", "--data", "digits", "--recipe", "imagnet"), "Did you mean 'imagenet'?"),
        (("genas_fbs_c10", "--data", "digits", "--recipe", "imagenet", "--epochs", "4"), "set tail_epochs lower"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "retrain", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_leave_nothing_behind(two_seeds, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = two_seeds / "seed-0"
    wanted = ("retrain", "222222", "--data", "digits", *SMALL, "--from-checkpoint", checkpoint)
    assert "is of another architecture, |nor_conv_3x3~0|" in refused(capsys, *wanted)
    assert list(tmp_path.iterdir()) == []


def test_spread_of_one_seed_is_none_and_figures_missing_somewhere_are_left_out(tmp_path):
    one = Trained(0, tmp_path, {"loss": 1.0, "top1": 0.5}, {})
    two = Trained(1, tmp_path, {"loss": 1.0, "top1": 0.7, "top5": 0.9}, {"test": {"top1": 0.8}})
    assert summarise([one]) == {"last": {"top1": {"mean": 0.5, "std": None}}}
    both = summarise([one, two])
    assert both["last"]["top1"]["std"] == pytest.approx(0.2 / 2**0.5)
    assert "top5" not in both["last"]
    assert "best" not in both


def test_a_dry_run_in_a_named_folder_says_that_the_training_needs_another(tmp_path, capsys):
    small = ("--data", "digits", "--cells", "1", "--channels", "4", "--batch-size", "64", "--set", "tail_epochs=0")
    command = ("retrain", "333333", *small, "--run", tmp_path / "run", "--baseline", "none")
    for further in (("--limit-batches", "1"), ()):  # what is not given is as the folder was begun
        assert genas(*command, *further) == 0
        assert "without --limit-batches and with another --run." in " ".join(capsys.readouterr().out.split())
