import json

import genas
from genas.strategies import History

SETTINGS = {
    "data": {"limit": 96},
    "supernet": {"epochs": 2},
    "search": {"generations": 1, "population": 4},
    "retrain": {"epochs": 1},
    "baseline": {"choice": "none"},
}


def test_profile_writes_a_trace_of_each_phase_and_changes_no_result(tmp_path):
    for name, profile in (("watched", True), ("alone", False)):
        genas.search(space="nasbench201", run=tmp_path / name, settings=SETTINGS, quiet=True, profile=profile)
    phases = json.loads((tmp_path / "watched" / "profile" / "summary.json").read_text())["phases"]
    assert [row["phase"] for row in phases] == ["supernet", "search", "retrain"]
    assert phases[1]["steps"] == 4
    for row in phases:
        trace = json.loads((tmp_path / "watched" / "profile" / f"{row['phase']}.json").read_text())
        assert any("convolution" in event.get("name", "") for event in trace["traceEvents"])
        assert 0 < sum(one["share"] for one in row["operators"]) <= 1.001
    assert not (tmp_path / "alone" / "profile").exists()
    scores = []
    for name in ("watched", "alone"):
        with History(tmp_path / name / "history.sqlite", readonly=True) as history:
            scores.append([(record.genotype, record.score) for record in history])
    assert scores[0] == scores[1]
