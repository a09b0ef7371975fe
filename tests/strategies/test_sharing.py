import random
import sqlite3

import pytest
import torch

from genas.proxies import Angle, Flatness, FlatnessSettings
from genas.spaces import Cost, open_space
from genas.strategies import History, Record, SearchSettings, open_search, run_search


def test_architectures_of_one_function_key_give_the_same_logits():
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    torch.manual_seed(0)
    supernet = space.network(3).eval().double()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    by_key: dict[str, torch.Tensor] = {}
    rng = random.Random(0)
    shared = 0
    with torch.no_grad():
        for _ in range(400):
            architecture = space.sample(rng)
            logits = supernet(images, architecture)
            key = space.function_key(architecture)
            if key in by_key:
                shared += 1
                torch.testing.assert_close(logits, by_key[key], rtol=1e-9, atol=1e-9)
            by_key.setdefault(key, logits)
    assert shared > 20
    distinct = torch.stack(list(by_key.values())).flatten(1)
    apart = (distinct[:, None] - distinct).abs().amax(2) + torch.eye(len(distinct))
    assert apart.min() > 1e-9  # and no function has two keys


def test_dead_edges_and_chains_of_skips_do_not_matter():
    space = open_space("nasbench201")

    def key(text: str) -> str:
        return space.function_key(space.parse(text))

    assert key("300000") == key("000000") == "0"  # node 1 leads nowhere
    assert key("100100") == key("000100") == "x"  # a dead skip beside a live one
    assert key("100010") == key("000100")  # two skips in a row are one
    assert key("100020") != key("000200")  # a convolution on another edge has other weights
    assert key("000300") != key("000030") == "0"


def test_search_scores_each_function_once_and_records_all(nas_scoring):
    proxy = Flatness(nas_scoring, FlatnessSettings(sigmas=(0.01, 0.03)))
    calls: list[str] = []
    score = proxy.score

    def counted(architecture):
        calls.append(nas_scoring.space.function_key(architecture))
        return score(architecture)

    proxy.score = counted  # type: ignore[method-assign]
    for share in (True, False):
        calls.clear()
        settings = SearchSettings(
            algorithm="random", generations=2, population=40, share_functions=share, budget="exact"
        )
        search = open_search(nas_scoring.space, settings, lambda architecture: True)
        with History(":memory:") as history:
            run_search(search, proxy, history, lambda architecture: Cost(1, 1), 0, quiet=True)
            records = list(history)
        assert len(records) == 80
        if share:
            assert len(calls) == len(set(calls)) < 80
            named = [record for record in records if "shared_with" in record.parts]
            assert len(named) == 80 - len(calls)
            together = {record.genotype: record.score for record in records}
            assert all(together[record.parts["shared_with"]] == record.score for record in named)
        else:
            assert len(calls) == 80
            assert together == pytest.approx({record.genotype: record.score for record in records}, rel=1e-3)


def test_what_depends_on_more_than_the_function_is_not_shared(nas_scoring):
    assert not Angle(nas_scoring).by_function
    assert not Flatness(nas_scoring, FlatnessSettings(common_noise=False)).by_function


def test_no_question_to_the_history_reads_the_whole_table(tmp_path):
    path = tmp_path / "history.sqlite"
    with History(path) as history:
        for number in range(5):
            failed = "broken" if number == 3 else None
            history.add(Record(0, f"a{number}", 0, "random", (), failed, None if failed else 1.0, {}, 1, 1, 0.0))
        assert len(history) == 5
        assert history.failure_count() == len(history.failures()) == 1
    seen: list[str] = []
    with History(path) as history:
        history._db.set_trace_callback(seen.append)
        len(history), history.failure_count(), history.best(3), history.best(3, 1), history.find("a1"), "a2" in history
    plain = sqlite3.connect(path)
    for question in seen:
        plan = " ".join(row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {question}"))
        assert "SEARCH" in plan or "INDEX" in plan, (question, plan)
