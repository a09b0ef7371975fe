"""``genas rank`` from a run and a table to figures, page and errors."""

import base64
import csv
import json
import multiprocessing
import random
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from commands import genas
from scipy import stats

from genas.analysis.ranking.plan import RankPlan
from genas.core import executors
from genas.proxies import Proxy
from genas.spaces import open_space
from genas.workflows.rank import weights_file

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
SMALL = ["--set", "proxy.batchnorm.images=32", "--set", "proxy.evaluation.images=32"]
FAST = [*SMALL, "--set", "analysis.replicates=100", "--quiet"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = ("data.limit=64", "supernet.epochs=2", "supernet.keep_every=1")
    options = [part for text in settings for part in ("--set", text)]
    assert genas("supernet", "--space", "nasbench201", "--run", folder, "--quiet", *options) == 0
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Thirty architectures whose made-up accuracy grows with their convolutions."""
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    rows = {}
    while len(rows) < 30:
        architecture = SPACE.sample(rng)
        rows[architecture.genotype] = (
            50 + 5 * sum(number in (2, 3) for number in architecture.operations) + rng.random()
        )
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "test", "other"])
        writer.writerows([genotype, value, 100 - value] for genotype, value in rows.items())
    return path


def scores_of(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_from_run_and_table_to_figures_and_page(run, table, tmp_path, capsys, monkeypatch):
    variants = tmp_path / "variants.yaml"
    variants.write_text("slopes:\n  expression: flatness\n  flatness: {alpha: 0}\n")
    command = ["rank", run, "--table", table, "--proxies", "angle,flatness,ranks(loss,macs)", "--variants", variants]
    command += ["--name", "study", "--json", "--columns", "test", *FAST]
    assert genas(*command, "--architectures", "12", "--repeats", "2", "--repeat-architectures", "10") == 0
    content = json.loads(capsys.readouterr().out)
    folder = run / "rank" / "study"
    assert content == json.loads((folder / "rank.json").read_text())
    assert content["n"] == content["scored"] == 12
    assert content["weights"]["epoch"] == 2
    names = ["loss", "macs", "angle", "flatness", "ranks(loss,macs)", "slopes"]
    assert list(content["proxies"]) == names
    assert content["proxies"]["flatness"]["retest"]["n"] == 10
    assert content["proxies"]["angle"]["retest"]["random"] is False

    rows = scores_of(folder)
    for name in names:
        figure = content["proxies"][name]["columns"]["test"]["tau"]["value"]
        scores, truth = ([float(row[key]) for row in rows] for key in (name, "true:test"))
        assert figure == pytest.approx(stats.kendalltau(scores, truth).statistic, abs=1e-9)
    assert [row["flatness#1"] != "" for row in rows] == [True] * 10 + [False] * 2

    page = (folder / "rank.html").read_text()
    assert not re.search(r"<(script|link|iframe)", page)
    for reference in re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']*)", page):
        svg = base64.b64decode(reference.removeprefix("data:image/svg+xml;base64,"))
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert (folder / "figures" / "mutual-tau.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figures" / "tau-test.svg").exists()

    # larger, by two processes: what is known is kept, and scores do not depend on who computes them
    # processes of their own would take seconds to import torch; what they are given is pickled all the same
    monkeypatch.setattr(executors, "get_context", lambda kind: multiprocessing.get_context("fork"))
    assert genas(*command, "--architectures", "15", "--workers", "2") == 0
    assert json.loads(capsys.readouterr().out)["n"] == 15
    grown = scores_of(folder)
    assert [{name: row[name] for name in names[:4]} for row in grown[:12]] == [
        {name: row[name] for name in names[:4]} for row in rows
    ]
    new = [row["genotype"] for row in grown[12:]]
    assert genas("score", run, *new, "--proxy", "flatness", "--json", *SMALL) == 0
    alone = [row["score"] for row in json.loads(capsys.readouterr().out)]
    assert [float(row["flatness"]) for row in grown[12:]] == pytest.approx(alone, rel=1e-5)


def test_the_terminal_shows_one_table_per_column_in_80_columns(run, table, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert (
        genas("rank", run, "--table", table, "--columns", "test", "--architectures", "12", "--proxies", "angle", *FAST)
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines)
    assert re.search(r"^macs +\.\d\d\d +", text, re.MULTILINE)
    assert "12, drawn uniformly, seed 0" in text
    assert lines[-1].endswith("rank/final/rank.html")
    assert (
        max(len(line) for line in lines if not line.startswith(("Run", "Weights", "Table", "Intervals", "Written")))
        <= 80
    )


class Picky(Proxy):
    """Fails on every fifth architecture."""

    asked = 0

    def score(self, architecture):
        Picky.asked += 1
        if Picky.asked % 5 == 0:
            raise ValueError("no")
        return float(len(architecture.genotype))


def test_a_failure_in_an_aggregation_is_an_empty_cell_and_a_gap_in_the_page(run, table, capsys):
    own = f"{__name__}:Picky"
    options = ["--columns", "test", "--architectures", "15", "--proxies", f"ranks({own},macs)", *FAST, "--json"]
    assert genas("rank", run, "--table", table, *options, "--name", "picky") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["n"], content["scored"]) == (12, 15)
    rows = scores_of(run / "rank" / "picky")
    assert [row[own] == "" for row in rows] == [row[f"ranks({own},macs)"] == "" for row in rows]
    assert sum(row[own] == "" for row in rows) == 3
    assert all("ValueError: no" in row["failures"] for row in rows if row[own] == "")


def test_weights_of_other_epochs(run, table, capsys):
    options = ["--table", table, "--columns", "test", "--architectures", "10", "--proxies", "angle", *FAST, "--json"]
    assert genas("rank", run, "--epoch", "0", *options) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["weights"]["epoch"] == 0
    assert {float(row["angle"]) for row in scores_of(run / "rank" / "initial")} == {0.0}  # nothing has moved yet
    assert content["proxies"]["angle"]["columns"]["test"]["tau"]["value"] is None
    file = run / "supernet" / "epoch-1.safetensors"
    assert weights_file(run, 1, None) == file
    assert genas("rank", run, "--checkpoint", file, *options, "--name", "first") == 0
    assert json.loads(capsys.readouterr().out)["weights"]["epoch"] == 1
    assert all(float(row["angle"]) > 0 for row in scores_of(run / "rank" / "first"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--architectures", "31"], "31 architectures were asked for, the table has 30"),
        (["--architectures", "some"], "Invalid --architectures 'some': expected a whole number above 0, or all"),
        (["--architectures", "9"], "Invalid --architectures '9': expected a whole number of at least 10"),
        (["--columns", "valid"], "has no column valid; it has test, other"),
        (["--columns", "test,"], "Invalid --columns 'test,': expected names with commas"),
        (["--proxies", "flat"], "unknown proxy 'flat'"),
        (["--epoch", "7"], "has kept no weights of epoch 7: expected one of 1, 2."),
        (["--epoch", "1", "--checkpoint", "x"], "--epoch and --checkpoint both name the weights"),
        (["--checkpoint", "nothing.safetensors"], "There is no checkpoint at nothing.safetensors"),
        (["--architectures", "10", "--name", "a/b"], "Invalid --name 'a/b': expected the name of a folder"),
        (["--architectures", "10", "--name", ""], "Invalid --name '': expected the name of a folder"),
        (["--set", "analysis.tries=[0]"], "analysis.tries.0 is 0"),
        (["--set", "supernet.epochs=3"], "the settings of the study are wrong: unknown key 'supernet'"),
        (["--set", "analysis.replicates=5"], "analysis.replicates is 5"),
        (["--set", "proxy.flatness.drawz=5"], "proxy.flatness.drawz"),
        (["--variants", "missing.yaml"], "missing.yaml does not exist"),
        (["--genotype-column", "name"], "has no column 'name' for genotypes"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(run, table, capsys, options, message):
    before = sorted(path.name for path in (run / "rank").glob("*")) if (run / "rank").exists() else []
    assert genas("rank", run, "--table", table, *options) == 2
    found = capsys.readouterr()
    assert message in found.err
    assert "Traceback" not in found.err
    assert found.out == ""
    assert before == (sorted(path.name for path in (run / "rank").glob("*")) if (run / "rank").exists() else [])


def test_runs_that_cannot_be_ranked(run, table, tmp_path, capsys):
    assert genas("rank", tmp_path / "nothing", "--table", table) == 2
    assert "expected the folder of a run" in capsys.readouterr().err
    other = tmp_path / "other"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("rank"))
    (other / "supernet" / "checkpoint.safetensors").unlink()
    assert genas("rank", other, "--table", table, "--architectures", "10", *FAST) == 2
    assert "has no supernet yet; train it with" in capsys.readouterr().err
    text = (other / "config.yaml").read_text()
    macro = "space:\n  name: nasbench-macro\n  channels: 4\n  tail_channels: 16\n"
    (other / "config.yaml").write_text(re.sub(r"space:\n(?:  .*\n)+", macro, text))
    assert genas("rank", other, "--table", table) == 2
    assert "is a table of the space 'nasbench201', the run's space is 'nasbench-macro'" in capsys.readouterr().err


def test_a_study_of_one_name_keeps_its_settings(run, table, capsys):
    command = ["rank", run, "--table", table, "--architectures", "10", "--columns", "test", "--name", "kept", *FAST]
    command += ["--proxies", ""]
    assert genas(*command) == 0
    assert genas(*command, "--set", "proxy.evaluation.images=31") == 2
    error = capsys.readouterr().err
    assert "loss had other settings (settings.evaluation.images was 32, is 31)" in " ".join(error.split())
    assert genas(*command, "--epoch", "1") == 2
    assert "they differ in weights" in " ".join(capsys.readouterr().err.split())


def test_the_help_needs_no_torch():
    code = "import sys; from genas.cli import app; sys.argv = ['genas', 'rank', '--help']\ntry: app.main()\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--architectures" in found.stdout


def test_the_plan_times_the_first_architecture_and_proposes_fewer_images(run, table, capsys, monkeypatch):
    capsys.readouterr()
    before = sorted(path for path in run.rglob("*"))
    assert genas("rank", run, "--table", table, "--architectures", "12", "--repeats", "3", "--plan", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["architectures"] == 36
    assert plan["seconds"] == pytest.approx(36 * (plan["fixed"] + plan["images"] * plan["each"]))
    assert sorted(path for path in run.rglob("*")) == before
    long = RankPlan(100, 25_000, fixed=0.0, each=0.01, workers=2)
    assert long.seconds() == 12_500
    assert "--set proxy.evaluation.images=1000" in long.sentence()
    assert "8 min 20 s" in long.sentence()
    assert RankPlan(100, 25_000, fixed=0.0, each=1e-4, workers=2).advice == ""
    monkeypatch.setattr("genas.workflows.rank.FEW_IMAGES", 10)
    monkeypatch.setattr("genas.analysis.ranking.plan.FEW_IMAGES", 10)
    monkeypatch.setattr("genas.analysis.ranking.plan.LONG", 0.0)
    assert genas("rank", run, "--table", table, "--architectures", "10", "--name", "told") == 0
    assert "Scoring 10 architectures on " in capsys.readouterr().err
