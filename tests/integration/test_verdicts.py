"""A search that means nothing says so in the terminal, in JSON and on the page, and before it begins."""

import json
import sqlite3

import pytest
from commands import FAST, genas

from genas.proxies import Proxy


class Constant(Proxy):
    """The same for every architecture."""

    def score(self, architecture):
        return 0.25


HERE = f"{__name__}:Constant"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "constant"


def test_an_arbitrary_choice_from_an_untrained_supernet_is_told_everywhere(run, capsys):
    settings = FAST | {
        "supernet.learning_rate": 1e-7,
        "supernet.final_learning_rate": 1e-7,
        "retrain.learning_rate": 1e-7,
    }
    options = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    command = ("search", "--space", "nasbench201", "--proxy", HERE, "--run", run, *options)
    assert genas(*command, "--json") == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    found = {one["code"]: one["sentence"] for one in result["warnings"]}
    assert {"supernet-not-trained", "all-scores-equal", "retrained-at-chance"} <= found.keys()
    assert found["supernet-not-trained"].split(":")[0] in shown.err  # said before the search begins
    assert genas("search", "--run", run, "--quiet") == 0
    shown = capsys.readouterr()
    text = " ".join(shown.out.split())
    page = (run / "report.html").read_text()
    for sentence in found.values():
        assert f"Warning {sentence}" in text
        assert sentence.replace("'", "&#39;") in page
    assert shown.err == ""


def test_training_the_supernet_alone_tells_that_it_learnt_nothing(run, capsys):
    capsys.readouterr()
    assert genas("supernet", "--run", run, "--json") == 0
    shown = capsys.readouterr()
    assert "supernet-not-trained" in {one["code"] for one in json.loads(shown.out)["warnings"]}
    assert "after 1 epoch:" in shown.err


def test_a_part_without_a_say_is_told(run, tmp_path, capsys):
    capsys.readouterr()
    sizes = ("--set", "search.generations=1", "--set", "search.population=10")
    command = ("--proxy", "macs + 1e-6*loss", "--no-retrain", "--run", tmp_path / "sum", *sizes, "--json", "--quiet")
    assert genas("search", "--supernet", run, *command) == 0
    found = {one["code"]: one["sentence"] for one in json.loads(capsys.readouterr().out)["warnings"]}
    assert "loss has" in found["part-without-say"]
    page = (tmp_path / "sum" / "report.html").read_text()
    assert "share of the spread" in page
    assert "What the score and its terms mean" in page


def test_a_run_without_the_measurements_of_verdicts_has_a_report(run):
    for name in ("supernet/check.json", "score_noise.json"):
        (run / name).unlink(missing_ok=True)
    (run / "score_noise.json").write_text("[]")
    (run / "supernet" / "check.json").write_text("{")
    assert genas("report", run) == 0
    page = (run / "report.html").read_text()
    assert "have the same score (0.25)" in page
    assert "The supernet" not in page
    with sqlite3.connect(run / "history.sqlite") as database:
        assert database.execute("SELECT COUNT(*) FROM architectures").fetchone()[0] > 0
