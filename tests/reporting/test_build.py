"""The page of a run folder: bounded whatever the history holds, and one line for each function."""

import json
import re
import sqlite3
from dataclasses import replace

import pytest
import yaml

from genas.reporting.build import BEST, FAILURES, POINTS, build_report, collect
from genas.reporting.status import status
from genas.strategies import History, Record
from genas.workflows.search import write_best

CONV, SAME = (
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|",
)
OTHER = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"


def record(genotype, score, parts=None, failed=None, images=None):
    return Record(0, genotype, 0, "random", (), failed, score, parts or {}, 10, 20, 0.5, images)


@pytest.fixture
def run(tmp_path):
    """A folder that begins as a search's; the history is the test's."""
    folder = tmp_path / "[x]"
    folder.mkdir()
    config = {
        "seed": 0,
        "device": "cpu",
        "precision": "32",
        "data": {"name": "digits"},
        "space": {"name": "nasbench201"},
        "supernet": {"epochs": 1, "labels": "true"},
        "proxy": {"expression": "loss"},
        "search": {"algorithm": "random", "generations": 1, "population": 4},
        "retrain": {"epochs": 1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_genotypes_of_one_function_are_one_line_with_their_number(run):
    with History(run / "history.sqlite") as history:
        history.add(record(CONV, 0.9))
        history.add(record(SAME, 0.9, {"shared_with": CONV}))
        history.add(record(OTHER, 0.5))
        history.add(record("own:1", 0.4))
        history.add(record("own:2", 0.4, {"shared_with": "own:1"}))
    state = status(run).to_dict()
    wanted = [(CONV, 1), (OTHER, 0), ("own:1", 1)]
    assert [(row["genotype"], row["equal"]) for row in state["best"]] == wanted
    assert [(one.genotype, one.equal) for one in collect(run).best] == wanted
    assert "and 1 more of the same function" in build_report(run).read_text()


def test_objectives_are_shown_where_there_are_some(run):
    with History(run / "history.sqlite") as history:
        history.add(record(OTHER, 0.5))
        history.add(replace(record(CONV, 0.9), objectives={"macs": -20.0}))
        write_best(run, history.best(1)[0], len(history))
    assert [row.get("objectives") for row in status(run).to_dict()["best"]] == [{"macs": -20.0}, None]
    assert json.loads((run / "best.json").read_text())["objectives"] == {"macs": -20.0}


def test_the_page_of_a_long_search_is_bounded_and_says_so(run):
    with History(run / "history.sqlite") as history:
        history.add(record("first", 0.0))
    count = 30_000
    rows = [
        (f"own:{number}", number // 100, None if number % 3 else "nan", number % 1009 / 1009 if number % 3 else None)
        for number in range(1, count)
    ]
    with sqlite3.connect(run / "history.sqlite") as database:
        database.executemany(
            "INSERT INTO architectures (genotype, generation, origin, parents, failed, score, parts, params, macs, seconds) "
            "VALUES (?, ?, 'random', '[]', ?, ?, '{}', 10, 20, 0.5)",
            rows,
        )
    found = collect(run)
    assert found.scored == 1 + sum(score is not None for *_, score in rows)
    assert found.failed_count == count - found.scored
    assert len(found.best) == BEST
    assert len(found.failed) == FAILURES
    assert POINTS / 2 < len(found.history) <= 2 * POINTS + 2
    assert max(point.score for point in found.history) == found.best[0].score  # what was best so far is always drawn
    page = build_report(run)
    assert page.stat().st_size < 3_000_000
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text()).split())
    assert f"{len(found.history):,} of {found.scored:,} architectures are drawn" in text
    assert f"The first {FAILURES} are listed" in text
    json.dumps(status(run).to_dict())
