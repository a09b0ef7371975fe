"""`genas.evaluate`: several seeds, the files that it writes, the report's section."""

import csv
import json
import re
import shutil

import pytest

import genas
from genas.core.errors import ConfigError
from genas.evaluation.page import build_evaluation_page, collect_evaluation, describe
from genas.reporting.page import evaluation_charts
from genas.spaces import open_space
from genas.workflows.evaluate import read_settings, summarise

QUICK = {
    "limit": 40,
    "shifts": ("tone",),
    "latency": {"batch_sizes": [2], "repeats": 2, "warmup": 0},
    "flatness": {"draws": 2, "sigmas": [0.01, 0.02], "relative_sigmas": [0.1, 0.2], "pictures": 30},
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, digits, make_trained):
    """Two seeds of one retraining, in a folder with the configuration of its run."""
    run = tmp_path_factory.mktemp("runs") / "seeds"
    space = open_space("nasbench201", cells_per_stage=1, channels=4).final()
    for seed in (0, 1):
        (run / f"seed-{seed}").mkdir(parents=True)
        make_trained(run / f"seed-{seed}", digits, space, "333103", seed, 25)
    (run / "config.yaml").write_text("seed: 0\ndata: {name: digits, root: null, image_size: null}\n")
    return run


@pytest.fixture(scope="module")
def content(seeds):
    return genas.evaluate(seeds, settings=QUICK, quiet=True, device="cpu").to_dict()


def test_every_seed_is_measured_and_the_summary_is_over_them(content):
    assert [one["name"] for one in content["models"]] == ["seed-0", "seed-1"]
    first, second = (one["clean"]["top1"] for one in content["models"])
    found = content["summary"]["clean.top1"]
    assert found["mean"] == pytest.approx((first + second) / 2)
    assert found["std"] == pytest.approx(abs(first - second) / 2**0.5)
    assert "corruptions.mean.contrast" in content["summary"]
    assert content["models"][0]["model"]["seed"] == 0
    assert content["models"][0]["model"]["sha256"] != content["models"][1]["model"]["sha256"]


def test_the_files_hold_what_was_returned(content, seeds):
    assert json.loads((seeds / "evaluation.json").read_text()) == json.loads(json.dumps(content))
    with (seeds / "evaluation-corruptions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (1 + 2 * 5)
    (row,) = (r for r in rows if (r["model"], r["corruption"], r["severity"]) == ("seed-1", "contrast", "3"))
    assert float(row["top1"]) == content["models"][1]["corruptions"]["accuracy"]["contrast"][2]
    with (seeds / "evaluation-per-class.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 20
    assert not list(seeds.rglob("*.part"))
    again = genas.evaluate(seeds, settings={**QUICK, "shifts": (), "with_latency": False}, quiet=True)
    assert not (seeds / "evaluation-corruptions.csv").exists()  # of this evaluation there is none
    assert again.models[0]["clean"] == content["models"][0]["clean"]
    assert again.models[0]["flatness"] == content["models"][0]["flatness"]


def test_the_page_shows_everything_and_loads_nothing(content, seeds, tmp_path):
    genas.evaluate(seeds, settings=QUICK, quiet=True, out=tmp_path)
    page = (tmp_path / "evaluation.html").read_text()
    for text in (
        "Accuracy by corruption and severity",
        "Sharpness",
        "Time of a forward pass",
        "Accuracy by class",
        "±",
    ):
        assert text in page
    assert "ImageNet-C" in page  # what the severities are not
    assert not re.search(r"<(script|link|iframe)", page)
    sources = re.findall(r'src="([^"]*)"', page)
    assert all(source.startswith(("data:image/svg+xml;base64,", "data:image/jpeg;base64,")) for source in sources)
    mistakes = content["models"][0]["clean"]["mistakes"]
    assert sum("image/jpeg" in source for source in sources) == len(mistakes) > 0
    assert "Confusion matrix" in page
    assert "jpeg" not in (tmp_path / "evaluation.json").read_text()
    evaluation = collect_evaluation(tmp_path)
    assert evaluation_charts(evaluation).keys() == {
        "accuracy-under-corruption",
        "reliability",
        "trained-loss-under-absolute-noise",
        "trained-loss-under-relative-noise",
    }
    assert len(evaluation.noise["relative"]) == 2
    assert sum(one.count for one in evaluation.bins) == 2 * content["models"][0]["clean"]["pictures"]
    assert min(one.count for one in evaluation.bins) >= 50
    assert sum(map(sum, evaluation.confusion.counts)) == 2 * content["models"][0]["clean"]["pictures"]
    contrast = next(curve for curve in evaluation.corruptions if curve.name == "contrast")
    both = [one["corruptions"]["accuracy"]["contrast"][4] for one in content["models"]]
    assert contrast.accuracies[5] == pytest.approx(sum(both) / 2)


def test_a_plain_evaluation_has_a_page_without_the_rest(trained_folder, tmp_path):
    settings = {"limit": 30, "with_latency": False, "with_flatness": False}
    content = genas.evaluate(trained_folder, data="digits", settings=settings, quiet=True, out=tmp_path).to_dict()
    evaluation = describe(content)
    assert [table.title for table in evaluation.tables] == ["Most confused classes", "Accuracy by class"]
    assert evaluation_charts(evaluation).keys() == {"reliability"}
    for one in content["models"]:  # an evaluation from before there were confusions and mistakes
        for key in ("confusion", "mistakes", "calibration_curve"):
            del one["clean"][key]
    before = describe(content)
    assert [table.title for table in before.tables] == ["Accuracy by class"]
    assert before.confusion is None
    assert sum(one.count for one in before.bins) == 30
    assert collect_evaluation(tmp_path / "nothing") is None


def test_the_data_set_comes_from_the_run_or_must_be_named(trained_folder, tmp_path):
    lone = shutil.copytree(trained_folder, tmp_path / "lone")
    with pytest.raises(ConfigError, match="belongs to no run whose data set could be used; name one with --data"):
        genas.evaluate(lone, quiet=True)
    assert not (lone / "evaluation.json").exists()


def test_faulty_settings_are_named():
    with pytest.raises(ConfigError, match=r"unknown key 'flatnes' \(did you mean 'flatness'\?\)"):
        read_settings([{"flatnes": 1}])
    with pytest.raises(ConfigError, match="limit is 1: input should be greater than or equal to 2"):
        read_settings([{"limit": 5}, {"limit": 1}])
    assert read_settings([{"flatness": {"draws": 7}}, {"flatness": {"pictures": 9}}]).flatness.draws == 7


def test_a_summary_has_what_all_networks_have():
    one = {"clean": {"top1": 0.5, "per_class": []}, "corruptions": {"relative_drop": None}}
    two = {"clean": {"top1": 0.7, "top5": 0.9}}
    assert summarise([one, two]) == {"clean.top1": {"mean": pytest.approx(0.6), "std": pytest.approx(0.02**0.5)}}


def test_class_names_with_html_and_escape_codes_stay_names(trained_folder, tmp_path):
    settings = {"with_latency": False, "with_flatness": False}
    genas.evaluate(trained_folder, data="digits", settings=settings, quiet=True, out=tmp_path)
    text = (tmp_path / "evaluation.json").read_text()
    hostile = "<b onclick='x'>[/x]\\u001b[31m"
    (tmp_path / "evaluation.json").write_text(text.replace('"3"', f'"{hostile}"'))
    page = build_evaluation_page(tmp_path).read_text()
    assert "<b onclick" not in page
    assert "\x1b" not in page
    assert "&lt;b onclick=&#39;x&#39;&gt;[/x]\\x1b[31m" in page
