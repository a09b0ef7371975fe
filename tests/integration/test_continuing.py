"""What an existing run binds, what may change on it, and how it knows its data again; through the command line."""

import errno
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing

import numpy as np
import pytest
import torch
import yaml
from commands import FAST, genas, refused
from PIL import Image

import genas as package
from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.errors import GenasError

SMALL = {
    **FAST,
    "supernet.batch_size": 8,
    "search.generations": 1,
    "proxy.evaluation.images": 8,
    "proxy.batchnorm.images": 8,
    "proxy.flatness.sigmas": "[0.01, 0.02]",
    "retrain.batch_size": 8,
}
SETTINGS = [text for key, value in SMALL.items() for text in ("--set", f"{key}={value}")]


def write_set(folder):
    generator = np.random.default_rng(0)
    for name in "abc":
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with data and, beside them, a finished run that was given a relative path."""
    folder = tmp_path_factory.mktemp("home")
    write_set(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = ("search", "--data", "folder:photos", "--space", "nasbench201", "--run", "runs/one", "--quiet")
        assert genas(*command, *SETTINGS) == 0
    return folder.rename(folder.with_name("moved"))


@pytest.fixture
def copy(home, tmp_path, monkeypatch):
    """A copy of it, at another place; the working directory is neither."""
    shutil.copytree(home, tmp_path / "copy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "copy"


def sqlite_rows(run):
    with closing(sqlite3.connect(run / "history.sqlite")) as db:
        return db.execute("SELECT genotype, score FROM architectures ORDER BY id").fetchall()


def content_of(run):
    """Everything of a run that must not depend on how it came about: histories, weights, results."""
    with closing(sqlite3.connect(run / "history.sqlite")) as db:
        columns = "genotype, generation, origin, parents, failed, score, parts, params, macs, pictures"
        found = {"history": db.execute(f"SELECT {columns} FROM architectures ORDER BY id").fetchall()}
    for path in sorted([*run.glob("supernet/*.safetensors"), *run.glob("retrain/*.safetensors")]):
        tensors, facts = load_checkpoint(path)
        rows = [{key: row[key] for key in row if key != "seconds"} for row in facts.pop("rows", [])]
        values = {name: value.numpy().tobytes() for name, value in tensors.items()}
        found[path.relative_to(run).as_posix()] = (values, facts, rows)
    for name in ("best.json", "noise_curves.json", "retrain/result.json"):
        found[name] = json.loads((run / name).read_text())
    return found


def test_a_run_works_from_any_directory_and_after_it_was_moved(copy, capsys):
    run = copy / "runs" / "one"
    genotype = json.loads((run / "best.json").read_text())["genotype"]
    for command in (
        ("score", run, genotype),
        ("evaluate", run, "--no-latency", "--no-flatness"),
        ("export", run, "--out", "exported"),
        ("search", "--run", run, "--quiet"),
        ("retrain", run, "--run", "trained", "--quiet"),
        ("landscape", run, "--points", "3", "--directions", "1", "--contour", "0", "--noise", "none"),
    ):
        assert genas(*command) == 0, capsys.readouterr().err
    record = json.loads((run / "data.json").read_text())
    assert record["location"]["absolute"] == str(copy / "photos")  # found beside the run, and recorded by `search`
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["name"] == "folder:photos"


def test_moved_data_are_the_same_data_and_other_data_are_not(copy, capsys):
    run, moved = copy / "runs" / "one", copy / "elsewhere"
    (copy / "photos").rename(moved)
    (copy / "runs").rename(copy / "works")
    run = copy / "works" / "one"
    record = json.loads((run / "data.json").read_text())
    record["location"] = dict.fromkeys(record["location"], "/nowhere")
    (run / "data.json").write_text(json.dumps(record))
    for command in (("score", run, "333333"), ("evaluate", run), ("retrain", run, "--run", copy / "trained")):
        sentence = refused(capsys, *command)
        assert f"the data of {run} are not at" in sentence
        assert "name the place with --data folder:PATH" in sentence
    assert genas("score", run, "333333", "--data", f"folder:{moved}") == 0
    assert genas("search", "--run", run, "--data", f"folder:{moved}", "--quiet") == 0
    assert genas("score", run, "333333") == 0  # where they are is recorded
    write_set(copy / "others")
    Image.new("RGB", (16, 16)).save(copy / "others" / "a" / "0.png")
    sentence = refused(capsys, "score", run, "333333", "--data", f"folder:{copy / 'others'}")
    assert "are others than before" in sentence
    assert "was begun with the data set" in refused(capsys, "score", run, "333333", "--data", "digits")


def test_a_class_that_was_renamed_is_refused_everywhere_before_anything_is_computed(copy, capsys):
    run = copy / "runs" / "one"
    (copy / "photos" / "a").rename(copy / "photos" / "z")
    table = copy / "table.csv"
    table.write_text("genotype,accuracy\n" + "".join(f"3333{i // 5}{i % 5},{i}\n" for i in range(10)))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}
    for command in (
        ("score", run, "333333"),
        ("search", "--run", run, "--set", "search.generations=2"),
        ("supernet", "--run", run),
        ("search", "--supernet", run, "--run", copy / "again", "--proxy", "loss"),
        ("retrain", run, "--run", copy / "trained"),
        ("evaluate", run),
        ("export", run, "--out", copy / "exported"),
        ("landscape", run),
        ("sweep", run),
        ("rank", run, "--table", table, "--architectures", "all", "--proxies", "macs"),
    ):
        assert "the class 'a' is now named 'z'" in refused(capsys, *command), command
    assert {path: path.read_bytes() for path in before} == before
    assert not (copy / "again").exists()
    assert not (copy / "trained").exists()
    assert not (copy / "exported").exists()


def test_images_may_come_and_go_until_something_is_trained(tmp_path, capsys, monkeypatch):
    write_set(tmp_path / "photos")
    run = tmp_path / "run"
    command = ("search", "--data", f"folder:{tmp_path / 'photos'}", "--space", "nasbench201", "--run", run, "--quiet")

    def fail(*arguments):
        raise GenasError("the device's memory does not hold 12 images; set supernet.batch_size lower.")

    with monkeypatch.context() as patch:
        patch.setattr("genas.workflows.supernet.train_supernet", fail)
        assert "memory" in refused(capsys, *command, *SETTINGS, "--set", "supernet.batch_size=12", "--no-retrain")
    (tmp_path / "photos" / "a" / "0.png").unlink()
    (tmp_path / "photos" / "b").rename(tmp_path / "photos" / "y")
    assert (
        genas("search", "--run", run, "--quiet", "--set", "supernet.batch_size=8", "--seed", "3", "--no-retrain") == 0
    )
    record = json.loads((run / "data.json").read_text())
    assert record["classes"] == ["a", "c", "y"]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["supernet"]["batch_size"], config["seed"]) == (8, 3)


def test_more_generations_end_like_a_search_that_was_asked_for_them(home, copy):
    """Bit-identical: history, weights, the winner's retraining, noise curves."""
    run, whole = copy / "runs" / "one", copy / "runs" / "whole"
    assert genas("search", "--run", run, "--quiet", "--set", "search.generations=3") == 0
    command = ("search", "--data", f"folder:{copy / 'photos'}", "--space", "nasbench201", "--run", whole, "--quiet")
    assert genas(*command, *SETTINGS, "--set", "search.generations=3") == 0
    first, second = content_of(run), content_of(whole)
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first)
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run, whole)]
    assert [config.pop("data")["name"] for config in configs] == ["folder:photos", f"folder:{copy / 'photos'}"]
    assert configs[0] == configs[1]
    changed = (
        json.loads((home / "runs" / "one" / "best.json").read_text())["genotype"] != first["best.json"]["genotype"]
    )
    assert (run / "superseded").exists() == changed


def test_a_strategy_may_refuse_more_generations(copy, capsys, monkeypatch):
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(copy)
    (copy / "own_annealing.py").write_text(
        "from genas.strategies import RandomSearch\n\n\nclass Annealing(RandomSearch):\n    extendable = False\n"
    )
    again = ("--run", "again", "--quiet", "--no-retrain")
    assert genas("search", "--supernet", "runs/one", "--search", "own_annealing:Annealing", *again) == 0
    sentence = refused(capsys, "search", *again, "--set", "search.generations=2")
    assert "strategy.generations (was 1, now 2) cannot change" in sentence


def test_a_better_architecture_replaces_the_retraining_and_loses_nothing(copy):
    run = copy / "runs" / "one"
    result = json.loads((run / "retrain" / "result.json").read_text())
    (run / "retrain" / "result.json").write_text(json.dumps({**result, "genotype": "another"}))
    weights = (run / "retrain" / "model.safetensors").read_bytes()
    assert genas("search", "--run", run, "--quiet") == 0
    assert json.loads((run / "retrain" / "result.json").read_text())["genotype"] == result["genotype"]
    (kept,) = (run / "superseded").glob("*/retrain/model.safetensors")
    assert kept.read_bytes() == weights


def test_a_refusal_names_what_was_given_and_what_to_do(copy, capsys):
    run = copy / "runs" / "one"
    before = (run / "config.yaml").read_bytes()
    more = (
        "--set",
        "search.generations=4",
        "--set",
        "proxy.curvature.images=7",
    )  # the proxy does not read the latter
    sentence = refused(capsys, "search", "--run", run, "--proxy", "angle", *more)
    assert "proxy.expression (was 'flatness', now 'angle')" in sentence
    assert f"genas search --supernet {run}" in sentence
    assert sentence.count("(was ") == 1
    sentence = refused(capsys, "search", "--run", run, "--seed", "5", "--set", "supernet.epochs=2")
    assert "has trained its supernet, so seed (was 0, now 5), supernet.epochs (was 1, now 2) cannot change" in sentence
    sentence = refused(capsys, "search", "--run", run, "--set", "retrain.epochs=9")
    assert "has begun to retrain" in sentence
    assert f"genas retrain {run} ... --run OTHER" in sentence
    assert "was begun with the data set" in refused(capsys, "search", "--run", run, "--data", "digits")
    assert (run / "config.yaml").read_bytes() == before
    assert genas("search", "--run", run, "--quiet", "--set", "supernet.keep_every=1") == 0


def test_a_supernet_without_a_search_takes_any_proxy(tmp_path):
    write_set(tmp_path / "photos")
    run = tmp_path / "run"
    place = ("--data", f"folder:{tmp_path / 'photos'}")
    assert genas("supernet", *place, "--space", "nasbench201", "--run", run, "--quiet", *SETTINGS) == 0
    weights = (run / "supernet" / "checkpoint.safetensors").read_bytes()
    assert genas("search", "--run", run, "--quiet", "--no-retrain", "--proxy", "angle", "--search", "random") == 0
    assert (run / "supernet" / "checkpoint.safetensors").read_bytes() == weights
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["proxy"]["expression"], config["strategy"]["algorithm"]) == ("angle", "random")


def test_another_search_with_the_same_supernet(copy, capsys):
    run, again = copy / "runs" / "one", copy / "again"
    options = ("--proxy", "loss", "--set", "search.population=3", "--no-retrain", "--quiet")
    free = ("--set", "data.check=false", "--set", "supernet.keep_every=2")  # bound by nothing
    assert genas("search", "--supernet", run, "--run", again, *options, *free) == 0
    trained, taken = ((folder / "supernet" / "checkpoint.safetensors") for folder in (run, again))
    assert taken.read_bytes() == trained.read_bytes()
    origin = json.loads((again / "supernet" / "origin.json").read_text())
    assert origin["run"] == str(run)
    config = yaml.safe_load((again / "config.yaml").read_text())
    assert (config["proxy"]["expression"], config["supernet"]["epochs"], config["strategy"]["population"]) == (
        "loss",
        1,
        3,
    )
    best = json.loads((again / "best.json").read_text())
    weights = taken.read_bytes()
    for path in (taken, again / "history.sqlite"):
        path.unlink()  # as a kill leaves the folder
    assert genas("search", "--run", again, "--no-retrain", "--quiet") == 0
    assert taken.read_bytes() == weights
    assert json.loads((again / "best.json").read_text()) == best
    capsys.readouterr()
    assert genas("score", run, best["genotype"], "--proxy", "loss", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["score"] == pytest.approx(best["score"], rel=1e-12)
    shutil.rmtree(run)  # the search keeps a supernet of its own
    again.rename(copy / "moved")
    assert genas("search", "--run", copy / "moved", "--quiet", "--no-retrain", "--set", "search.generations=2") == 0
    assert genas("score", copy / "moved", "333333") == 0


@pytest.mark.parametrize("proxy", ["macs", "naswot - 0.1*params", "consensus"])
def test_training_free_proxies_train_no_supernet(tmp_path, capsys, proxy):
    write_set(tmp_path / "photos")
    run = tmp_path / "run"
    place = ("--data", f"folder:{tmp_path / 'photos'}", "--space", "nasbench201", "--run", run)
    options = ("--set", "proxy.consensus={members: [naswot, macs], reference: 8}", "--no-retrain")
    assert genas("search", *place, "--proxy", proxy, *SETTINGS, *options) == 0
    assert f"No supernet is trained: {proxy} needs none." in capsys.readouterr().err
    assert [path.name for path in (run / "supernet").iterdir()] == ["initial.safetensors"]
    assert not (run / "noise_curves.json").exists()
    best = json.loads((run / "best.json").read_text())
    assert genas("status", run) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "done" in said
    assert "needs a trained supernet" in said
    assert "not trained: no part of the proxy needs it" in (run / "report.html").read_text()
    assert genas("score", run, best["genotype"], "--json") == 0
    score = json.loads(capsys.readouterr().out)[0]["score"]
    assert score == best["score"]
    assert "has no supernet yet" in refused(capsys, "score", run, best["genotype"], "--proxy", "flatness")
    assert genas("search", "--run", run, "--quiet", "--set", "search.generations=2", *options) == 0
    assert genas("supernet", "--run", run, "--quiet") == 0  # it may be trained later
    capsys.readouterr()
    assert genas("score", run, best["genotype"], "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["score"] == score  # and changes no score
    assert genas("score", run, best["genotype"], "--proxy", "flatness") == 0


def test_python_goes_on_with_a_run_and_searches_again_with_its_supernet(copy):
    run, again = copy / "runs" / "one", copy / "again"
    more = {"search": {"generations": 2}}
    result = package.search(run=run, settings=more, with_retrain=False, quiet=True)
    assert len(sqlite_rows(run)) == 8
    assert result.genotype == json.loads((run / "best.json").read_text())["genotype"]
    package.search(proxy="macs", run=again, supernet=run, settings=more, with_retrain=False, quiet=True)
    assert len(sqlite_rows(again)) == 8
    config = yaml.safe_load((again / "config.yaml").read_text())
    assert config["supernet"] == yaml.safe_load((run / "config.yaml").read_text())["supernet"]
    assert f"trained by {run}" in (again / "report.html").read_text()
    with pytest.raises(GenasError, match="proxy.expression .was 'flatness', now 'loss'. cannot change"):
        package.search(proxy="loss", run=run, quiet=True)


def test_a_supernet_that_cannot_be_taken(copy, capsys):
    run = copy / "runs" / "one"
    other = ("--run", copy / "again")
    assert "expected the folder of a run" in refused(capsys, "search", "--supernet", copy / "none", *other)
    sentence = refused(capsys, "search", "--supernet", run, *other, "--set", "supernet.epochs=3", "--seed", "1")
    assert "supernet.epochs (was 1, now 3)" in sentence
    assert "seed (was 0, now 1)" in sentence
    assert "from itself" in refused(capsys, "search", "--supernet", run, "--run", run)
    assert not (copy / "again").exists()
    tensors, facts = load_checkpoint(run / "supernet" / "checkpoint.safetensors")
    save_checkpoint(run / "supernet" / "checkpoint.safetensors", tensors, {**facts, "epoch": 0})
    assert "has trained 0 of 1 epochs" in refused(capsys, "search", "--supernet", run, *other)


def test_a_supernet_of_another_shape_is_one_sentence(copy, capsys):
    run = copy / "runs" / "one"
    path = run / "supernet" / "checkpoint.safetensors"
    tensors, facts = load_checkpoint(path)
    save_checkpoint(path, {name: value[:1] if value.dim() else value for name, value in tensors.items()}, facts)
    for command in (("score", run, "333333"), ("sweep", run), ("landscape", run), ("search", "--run", run)):
        sentence = refused(capsys, *command)
        assert "does not fit the" in sentence
        assert "checkpoint.safetensors" in sentence


def test_a_folder_that_nobody_may_write_to(copy, capsys, monkeypatch):
    run = copy / "runs" / "one"
    make = tempfile.mkstemp

    def refuse(dir=None, **options):
        if str(dir).startswith(str(run)):
            raise OSError(errno.EROFS, "Read-only file system")
        return make(dir=dir, **options)

    monkeypatch.setattr("genas.core.run_folder.tempfile.mkstemp", refuse)
    monkeypatch.setattr("genas.workflows.evaluate.evaluate_model", None)  # nothing is measured first
    for command in (("evaluate", run), ("report", run)):
        assert "cannot be written to (Read-only file system); name another folder with --out" in refused(
            capsys, *command
        )
    assert genas("report", run, "--out", copy / "page") == 0
    assert (copy / "page" / "report.html").exists()
    assert genas("status", run) == 0
    assert genas("score", run, "333333") == 0


TRAIN = (
    "--cells",
    "1",
    "--channels",
    "4",
    "--batch-size",
    "64",
    "--set",
    "schedule=exponential",
    "--limit-batches",
    "4",
    "--quiet",
)


def test_more_seeds_and_epochs_of_a_retraining_end_like_one_that_was_asked_for_them(tmp_path, capsys):
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert genas("retrain", "333333", "--data", "digits", "--epochs", "1", "--run", run, *TRAIN) == 0
    assert genas("retrain", "--run", run, "--seeds", "0,4", "--epochs", "2", "--quiet") == 0
    assert (
        genas("retrain", "333333", "--data", "digits", "--epochs", "2", "--seeds", "0,4", "--run", whole, *TRAIN) == 0
    )
    for seed in (0, 4):
        for name in ("model", "best", "checkpoint"):
            first, second = (
                load_checkpoint(folder / f"seed-{seed}" / f"{name}.safetensors")[0] for folder in (run, whole)
            )
            assert all(torch.equal(first[key], second[key]) for key in second)
        results = [json.loads((folder / f"seed-{seed}" / "result.json").read_text()) for folder in (run, whole)]
        assert results[0] == results[1]
    assert not (run / "model.safetensors").exists()
    summaries = [json.loads((folder / "result.json").read_text())["summary"] for folder in (run, whole)]
    assert summaries[0] == summaries[1]
    sentence = refused(capsys, "retrain", "--run", run, "--seeds", "4")
    assert "seeds (was (0, 4), now (4,))" in sentence or "seeds (was [0, 4], now [4])" in sentence
    assert "trains" in refused(capsys, "retrain", "222222", "--run", run)
    assert genas("retrain", "333333", "--run", run, "--quiet") == 0  # what is not given is the run's own


def test_first_weights_may_lie_elsewhere_when_seeds_are_added(copy, tmp_path, capsys):
    run, trained = copy / "runs" / "one", tmp_path / "trained"
    place = ("--from-supernet", run, "--run", trained)
    more = ("--set", "epochs=1", "--set", "best=none", "--quiet")
    assert genas("retrain", run, *place, *more) == 0
    (copy / "runs").rename(copy / "works")
    moved = copy / "works" / "one"
    assert genas("retrain", "--run", trained, "--quiet") == 0  # the first weights are in use already
    assert "has no supernet" in refused(capsys, "retrain", "--run", trained, "--seeds", "0,1")
    assert genas("retrain", "--run", trained, "--seeds", "0,1", "--from-supernet", moved, "--quiet") == 0
    first, second = (json.loads((trained / f"seed-{seed}" / "initial_weights.json").read_text()) for seed in (0, 1))
    assert first["entries"] == second["entries"]
    tensors, facts = load_checkpoint(moved / "supernet" / "checkpoint.safetensors")
    save_checkpoint(moved / "supernet" / "checkpoint.safetensors", {**tensors, "sums": tensors["sums"] + 1}, facts)
    sentence = refused(capsys, "retrain", "--run", trained, "--seeds", "0,1,2", "--from-supernet", moved)
    assert f"holds other weights than {trained} was begun with" in sentence
    shutil.copytree(moved, copy / "other")
    before = (trained / "config.yaml").read_bytes()
    sentence = refused(capsys, "retrain", "--run", trained, "--from-supernet", copy / "other")
    assert f"from_supernet (was '{moved}', now '{copy / 'other'}') cannot change" in sentence  # though none is needed
    assert (trained / "config.yaml").read_bytes() == before


def test_a_file_of_halves_is_known_by_its_content(copy, capsys, monkeypatch):
    halves = copy / "halves.json"
    order = list(range(30))
    halves.write_text(json.dumps({"train": order[::2], "valid": order[1::2]}))
    run = copy / "runs" / "divided"
    monkeypatch.chdir(copy)
    place = ("--data", "folder:photos", "--space", "nasbench201", "--run", run, "--quiet", "--no-retrain")
    assert genas("search", *place, *SETTINGS, "--set", "data.split_file=halves.json") == 0
    monkeypatch.chdir("/")
    assert genas("score", run, "333333") == 0
    assert genas("retrain", run, "--run", copy / "trained", "--quiet") == 0
    halves.write_text(json.dumps({"train": order[1::2], "valid": order[::2]}))
    assert "data.split_file divides the training images otherwise" in refused(capsys, "score", run, "333333")


def test_an_old_run_without_identity_gets_one(copy, capsys):
    run = copy / "runs" / "one"
    record = json.loads((run / "data.json").read_text())
    identity = record.pop("identity")
    del record["location"]
    (run / "data.json").write_text(json.dumps(record))
    place = ("--data", f"folder:{copy / 'photos'}")
    assert genas("search", "--run", run, "--quiet", *place) == 0
    assert json.loads((run / "data.json").read_text())["identity"] == identity
    (run / "data.json").write_text(json.dumps(record))
    (copy / "photos" / "b").rename(copy / "photos" / "y")
    assert "the class 'b' is missing" in refused(capsys, "score", run, "333333", *place)


def test_another_environment_is_said(copy, capsys):
    run = copy / "runs" / "one"
    facts = json.loads((run / "environment.json").read_text())
    facts["packages"]["torch"] = "1.0.0"
    (run / "environment.json").write_text(json.dumps({**facts, "threads": 99}))
    capsys.readouterr()
    assert genas("search", "--run", run, "--quiet") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"{run} was begun with torch 1.0.0, threads 99; now it is torch {torch.__version__.partition('+')[0]}" in said
    )
