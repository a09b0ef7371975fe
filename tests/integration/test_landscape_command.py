"""`genas landscape` and `genas sweep` on the run folder of a small search."""

import csv
import json
import math
import shutil

import pytest
import torch
from commands import FAST, genas, refused

import genas as genas_package
from genas.core.interrupt import StopRequest
from genas.core.run_folder import read_config
from genas.core.seeding import derive
from genas.data.base import Normalisation
from genas.proxies import Proxy
from genas.spaces import open_space
from genas.strategies import History

SETTINGS = {**FAST, "retrain.batch_size": 128, "data.limit": 256}
SMALL = ["--images", 64, "--directions", 2, "--points", 3, "--contour", 3, "--draws", 2, "--sigmas", "0.01,0.05"]
FEWER = [*SMALL, "--contour", 0, "--noise", "none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    assert genas("search", "--space", "nasbench201", "--proxy", "angle", "--run", folder, "--quiet", *settings) == 0
    return folder


def answer(capsys, *arguments):
    capsys.readouterr()
    assert genas(*arguments, "--json", "--quiet") == 0
    return json.loads(capsys.readouterr().out)


def test_landscape_begins_at_the_score_and_leaves_files(run, capsys):
    found = answer(capsys, "landscape", run, "flat=333333", "030303", "--split", "both", *SMALL)
    rows = {(row["network"], row["data"]): row for row in found["results"]}
    assert len(rows) == 4
    assert [row["label"] for row in found["networks"]] == ["flat", "B"]
    for network in found["networks"]:
        score = answer_of_score(capsys, run, network["genotype"])
        assert rows[network["name"], "validation"]["loss"] == -score["score"]
        assert rows[network["name"], "test"]["loss"] != -score["score"]
    folder = run / "landscape" / "default"
    assert json.loads((folder / "landscape.json").read_text()) == found
    page = (folder / "landscape.html").read_text()
    assert "flat" in page
    assert "data:image/svg" in page
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        f"{kind}-{data}.{suffix}"
        for kind in ("lines", "noise", "contours", "surfaces")
        for data in ("validation", "test")
        for suffix in ("png", "svg")
    }
    assert (folder / "figures" / "lines-test.png").read_bytes().startswith(b"\x89PNG")
    points = list(csv.DictReader((folder / "points.csv").open()))
    assert len(points) == 4 * (1 + 2 * 2 + 2 * 2 + 8)
    kept = (folder / "points.csv").read_bytes()
    assert genas("landscape", run, "flat=333333", "030303", *FEWER, "--quiet") == 0
    assert "Rise at 0.5" in " ".join(capsys.readouterr().out.split())
    assert (folder / "points.csv").read_bytes() == kept
    more = answer(capsys, "landscape", run, "flat=333333", *FEWER, "--directions", 3)  # more, later
    assert len((folder / "points.csv").read_bytes().splitlines()) == len(kept.splitlines()) + 2
    assert more["results"][0]["line"]["directions"] == 3


def answer_of_score(capsys, run, genotype):
    capsys.readouterr()
    assert genas("score", run, genotype, "--proxy", "loss", "--json") == 0
    return json.loads(capsys.readouterr().out)[0]


def test_an_interrupted_landscape_continues_to_the_same_file(run, capsys, monkeypatch):
    small = [*FEWER, "--points", 5]
    assert genas("landscape", run, "333333", *small, "--name", "whole", "--quiet") == 0
    count, check = 0, StopRequest.check

    def stop(self):
        nonlocal count
        count += 1
        self.requested = count == 4
        check(self)

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "check", stop)
        assert "Interrupted" in refused(
            capsys, "landscape", run, "333333", *small, "--name", "cut", "--quiet", code=130
        )
    assert not (run / "landscape" / "cut" / "landscape.html").exists()
    assert genas("landscape", run, "333333", *small, "--name", "cut", "--quiet") == 0
    first, second = ((run / "landscape" / name / "points.csv").read_bytes() for name in ("whole", "cut"))
    assert first == second


def test_landscape_of_a_trained_network(run, capsys):
    small = [*SMALL, "--contour", 0, "--noise", "relative", "--name", "trained"]
    found = answer(capsys, "landscape", run, f"again={run}", "333333", "--retrained", *small)
    assert [row["name"].partition(":")[0] for row in found["networks"]][1:] == ["trained"]
    network = found["networks"][1]
    assert network["trained_on_validation"]
    assert network["label"] == "retrained"
    evaluated = found["results"][1]
    assert evaluated["accuracy"] > 0.15
    assert found["networks"][0]["genotype"] != network["genotype"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["333"], "expected 6 operations, got 3."),
        (["333333", "--points", 4], "points is 4: expected an odd number"),
        (["333333", "--range", 0], "range is 0.0: input should be greater than 0"),
        (["333333", "--split", "train"], "Invalid --split 'train': expected validation, test or both."),
        (["333333", "--images", "none"], "Invalid --images 'none': expected a whole number above 0, or all."),
        (["333333", "--sigmas", "a"], "Invalid --sigmas 'a': expected numbers with commas"),
        (["333333", "--name", "../x"], "Invalid --name '../x'"),
        (["a=333333", "a=303030"], "two networks are labelled 'a'; give one of them another label"),
    ],
)
def test_bad_input_to_landscape(run, capsys, arguments, message):
    before = sorted((run / "landscape").rglob("*")) if (run / "landscape").exists() else []
    assert message in refused(capsys, "landscape", run, *arguments)
    assert (sorted((run / "landscape").rglob("*")) if (run / "landscape").exists() else []) == before


def test_points_of_other_settings_are_not_mixed(run, capsys):
    small = [*FEWER, "--name", "mixed", "--quiet"]
    assert genas("landscape", run, "333333", *small) == 0
    sentence = refused(capsys, "landscape", run, "333333", *small, "--normalise", "none")
    assert "were computed with normalise 'filter', and 'none' is asked for now; choose another --name" in sentence


def test_no_supernet_is_told(tmp_path, capsys):
    assert "is not a run folder" in refused(capsys, "landscape", tmp_path, "333333")
    assert "is not a run folder" in refused(capsys, "sweep", tmp_path)


def test_sweep_at_0_is_the_search_by_the_angle_and_shares_come_out(run, capsys):
    found = answer(capsys, "sweep", run, "--weights", "0,0.5,4", "--retrain")
    first, second, third = found["weights"]
    best = json.loads((run / "best.json").read_text())
    assert first["genotype"] == best["genotype"]
    assert first["angle"] == best["score"]
    assert first["share"] == {"winner": 0.0, "kept": 0.0, "all": 0.0}
    assert 0 < second["share"]["all"] < third["share"]["all"] < 1
    folder = run / "sweep" / "angle-w-flatness"
    with History(run / "history.sqlite", readonly=True) as alone, History(folder / "w-0" / "history.sqlite") as swept:
        assert [record.genotype for record in alone] == [record.genotype for record in swept]
        everyone = {record.genotype for record in swept}
    for weight in ("0.5", "4"):
        with History(folder / f"w-{weight}" / "history.sqlite", readonly=True) as history:
            everyone |= {record.genotype for record in history}
    assert found["scores_computed"]["angle"] == len(everyone)
    assert found["architectures"] == 24
    for row in found["weights"]:
        assert 0 < row["test"]["top1"] <= 1
        score = answer_of_score(capsys, run, row["genotype"])
        assert row["loss"] == pytest.approx(-score["score"])
    assert len(list((folder / "retrained").iterdir())) == len({row["genotype"] for row in found["weights"]})
    rows = list(csv.DictReader((folder / "sweep.csv").open()))
    assert [row["weight"] for row in rows] == ["0.0", "0.5", "4.0"]
    assert "test_top1" in rows[0]
    assert (folder / "figures" / "share-accuracy.png").exists()
    assert "The winners" in (folder / "sweep.html").read_text()
    capsys.readouterr()
    assert genas("sweep", run, "--weights", "0.25,4", "--quiet") == 0  # further weights; what is trained stays
    assert "w = 0.25" in capsys.readouterr().out
    rows = list(csv.DictReader((folder / "sweep.csv").open()))
    assert float(rows[1]["test_top1"]) == third["test"]["top1"]


def test_an_interrupted_sweep_by_shares_continues_to_the_same_result(run, capsys, monkeypatch):
    arguments = ["sweep", run, "--shares", "30"]
    whole = answer(capsys, *arguments, "--name", "whole")
    assert [row["wanted_share"] for row in whole["weights"]] == [0.3]
    sample = json.loads((run / "sweep" / "whole" / "shares.json").read_text())
    assert [row["in_sample"] for row in sample] == pytest.approx([0.3], abs=1e-3)
    count, check = 0, StopRequest.check

    def stop(self):
        nonlocal count
        count += 1
        self.requested = count == 6
        check(self)

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "check", stop)
        assert "Interrupted" in refused(capsys, *arguments, "--name", "cut", "--quiet", code=130)
    again = answer(capsys, *arguments, "--name", "cut")
    for key in ("weights", "scores_computed", "architectures"):
        assert again[key] == whole[key]


class Length(Proxy):
    """A user's own, with a name of its own."""

    name = "length"

    def score(self, architecture):
        return float(len(architecture.genotype))


def test_a_proxy_of_ones_own_is_swept_beside_counts(run, capsys):
    own = f"{__name__}:Length"
    weights = (0.1234567, 0.1234568)  # alike in six digits
    found = answer(
        capsys, "sweep", run, "--proxy", f"macs + w*{own}", "--weights", ",".join(map(str, weights)), "--name", "own"
    )
    folder = run / "sweep" / "own"
    assert {path.name for path in folder.glob("w-*")} == {f"w-{weight}" for weight in weights}
    for row in found["weights"]:
        value = weights[0] * len(row["genotype"])
        assert row["share"]["winner"] == pytest.approx(value / (value + math.log1p(row["macs"])), rel=1e-5)
        assert row[own] == len(row["genotype"])
        assert isinstance(row["macs"], int)
    assert own in (folder / "sweep.html").read_text()


def test_bad_input_to_sweep(run, capsys):
    assert "both weights and shares came" in refused(capsys, "sweep", run, "--weights", "1", "--shares", "20")
    assert "Invalid --weights 'x': expected numbers with commas" in refused(capsys, "sweep", run, "--weights", "x")
    assert "Invalid weight -1" in refused(capsys, "sweep", run, "--weights", "-1")
    assert "one part has to have the weight w" in refused(capsys, "sweep", run, "--proxy", "angle")
    wanted = "the sum of a sweep comes with --proxy; leave proxy.expression out"
    assert wanted in refused(capsys, "sweep", run, "--set", "proxy.expression=loss")
    assert "supernet is fixed by the run" in refused(capsys, "sweep", run, "--set", "supernet.epochs=9")
    assert genas("sweep", run, "--weights", "1", "--name", "one", "--quiet") == 0
    sentence = refused(capsys, "sweep", run, "--weights", "1", "--name", "one", "--set", "search.parents=3")
    assert "was begun with other settings: strategy.parents (was 2, now 3); choose another --name" in sentence
    assert "genas sweep RUN --proxy 'angle + w*flatness'" in refused(capsys, "search", "--proxy", "angle + w*flatness")


def test_the_run_itself_is_left_alone(run):
    assert read_config(run)["proxy"]["expression"] == "angle"


def test_a_folder_of_a_trained_network(run, trained_folder, digits, make_trained, make_splits, tmp_path, capsys):
    """It is fed as it was trained, must fit the run's data, and its points are not mixed with those of other weights."""
    folder = tmp_path / "odd"
    shutil.copytree(trained_folder, folder)
    facts = json.loads((folder / "model.json").read_text())
    facts["mean"] = [0.3]
    (folder / "model.json").write_text(json.dumps(facts))
    arguments = ["landscape", run, folder, *FEWER, "--images", "all"]
    found = answer(capsys, *arguments, "--name", "odd")
    own = Normalisation((0.3,), digits.normalisation.std, "made")
    part = digits.validation.subset(range(256)).with_normalisation(own)
    network = genas_package.load(folder)
    with torch.no_grad():
        images, labels = next(part.batches(64, torch.device("cpu"), seed=derive(0, "proxy.validation"), shuffle=True))
        wanted = float(torch.nn.functional.cross_entropy(network(images).double(), labels))
    assert found["results"][0]["loss"] == pytest.approx(wanted, rel=1e-5)

    shutil.copy(
        make_trained(tmp_path / "other", digits, small_space(), "333103", seed=1, steps=1) / "model.safetensors", folder
    )
    sentence = refused(capsys, *arguments, "--name", "odd", "--quiet")
    assert "have changed since its points" in sentence
    misfit = make_trained(tmp_path / "misfit", make_splits(), small_space(), "333103", steps=1)
    sentence = refused(capsys, "landscape", run, misfit)
    side = " x ".join(map(str, digits.image_shape))
    assert f"was trained on 4 classes of images 3 x 8 x 8; the run has 10 classes of images {side}" in sentence


def small_space():
    return open_space("nasbench201", cells_per_stage=1, channels=4).final()
