"""A run folder made by the version of November 2026 (commit bf5b937) still works with every command.

``tests/fixtures/run-folder`` is a finished run of two generations without its figures, page and TensorBoard files;
``run-folder-continued.json`` holds the records that the same version made of it with one generation more.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.integration.commands import genas

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(FIXTURES / "run-folder", tmp_path / "run"))


def records(run):
    """(genotype, generation, failed, score, images of a stopped evaluation) in the order of the search."""
    with sqlite3.connect(run / "history.sqlite") as database:
        return database.execute(
            "SELECT genotype, generation, failed, score, pictures FROM architectures ORDER BY id"
        ).fetchall()


def best(run):
    return json.loads((run / "best.json").read_text())


def test_a_finished_run_is_continued_with_the_scores_that_it_would_have_had(run):
    assert genas("search", "--run", run, "--set", "search.generations=3") == 0
    expected = json.loads((FIXTURES / "run-folder-continued.json").read_text())
    found = records(run)
    assert [row[:3] for row in found] == [(one["genotype"], one["generation"], one["failed"]) for one in expected]
    assert [row[4] for row in found] == [one["images"] for one in expected]
    assert [row[3] for row in found] == pytest.approx([one["score"] for one in expected], rel=1e-4)
    assert best(run)["generation"] == 2


def test_the_same_command_changes_nothing(run):
    before = records(run), best(run), (run / "retrain" / "result.json").read_bytes()
    assert genas("search", "--run", run) == 0
    assert (records(run), best(run), (run / "retrain" / "result.json").read_bytes()) == before


def test_its_status_and_report_are_read(run, capsys):
    assert genas("status", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["best"][0]["genotype"] == best(run)["genotype"]
    assert genas("report", run) == 0
    page = (run / "report.html").read_text()
    assert best(run)["genotype"] in page
    assert "1 epoch, true labels" in page


def test_scores_of_its_supernet_are_the_same(run, capsys):
    winner = best(run)
    assert genas("score", run, winner["genotype"], "--json") == 0
    printed = capsys.readouterr().out
    (score,) = json.loads(printed) if printed.lstrip().startswith("[") else [json.loads(printed)]
    assert score["score"] == pytest.approx(winner["score"], rel=1e-4)


def test_its_network_is_evaluated_exported_and_its_architecture_retrained(run, tmp_path, capsys):
    assert genas("evaluate", run, "--json") == 0
    result = json.loads((run / "retrain" / "result.json").read_text())
    (network,) = json.loads(capsys.readouterr().out)["models"]
    assert network["clean"]["top1"] == pytest.approx(result["test"]["top1"])
    assert genas("export", run, "--out", tmp_path / "export") == 0
    assert (tmp_path / "export" / "model.safetensors").exists()
    assert genas("retrain", run, "--run", tmp_path / "again", "--epochs", 1, "--set", "batch_size=64") == 0
    assert (tmp_path / "again").is_dir()
