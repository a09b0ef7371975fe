"""Objectives beside the score: what a proxy gives, the history keeps and a strategy sees."""

import sqlite3
from contextlib import closing

import pytest

from genas.core.errors import RunError
from genas.proxies import Proxy, Score
from genas.spaces import Cost, open_space
from genas.strategies import Evolution, History, Proposal, Record, SearchSettings, Strategy, run_search

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
SETTINGS = SearchSettings(generations=4, population=8, parents=3, mutations=4, crossovers=3)


def record(genotype, objectives, generation=0, score=1.0, images=None):
    return Record(0, genotype, generation, "random", (), None, score, {}, 1, 1, 0.1, images, objectives)


class Both(Proxy):
    """Many convolutions and many skips: no architecture has both."""

    def __init__(self):
        self.calls = 0

    def score(self, architecture):
        self.calls += 1
        objectives = {name: float(architecture.genotype.count(name)) for name in ("conv", "skip")}
        return Score(sum(objectives.values()), {}, objectives)


class Alone(Both):
    """One score, as ever."""

    def score(self, architecture):
        return super().score(architecture).value


class FromTheFront(Strategy):
    """Mutates what nothing known dominates."""

    def ask(self, history, rng, generation):
        taken = set()
        fresh = self.fresh(history, taken, generation)
        front = history.front(before_generation=generation)
        self.seen = [dict(one.objectives) for one in front]
        children = (
            self.space.mutate(self.space.parse(rng.choice(front).genotype), rng, 0.3) for _ in range(50 * bool(front))
        )
        proposals = []
        for child in children:
            if len(proposals) < 5 and fresh(child):
                taken.add(child.genotype)
                proposals.append(Proposal(child, "mutation"))
        return [*proposals, *self.random_new(rng, fresh, taken, self.settings.population - len(proposals))]


def cost(architecture):
    return Cost(1, 1)


def rows(history):
    return [(r.number, r.genotype, r.generation, r.origin, r.parents, r.score, r.parts, r.objectives) for r in history]


def test_a_strategy_sees_the_objectives_that_the_proxy_gave(tmp_path):
    search = FromTheFront(SPACE, SETTINGS)
    with History(tmp_path / "history.sqlite") as history:
        run_search(search, Both(), history, cost, 0, quiet=True)
        assert len(search.seen) > 1
        assert len({tuple(sorted(one.items())) for one in search.seen}) > 1
        for one in history:
            assert one.objectives == {name: one.genotype.count(name) for name in ("conv", "skip")}
        expected = rows(history)
        front = history.front()
    best = [one.objectives for one in front]
    assert not any(a != b and all(a[name] >= b[name] for name in a) for a in best for b in best)
    with History(tmp_path / "history.sqlite", readonly=True) as history:
        assert (rows(history), history.front()) == (expected, front)


def test_the_front_is_of_fully_evaluated_architectures_of_the_generations_asked_for():
    with History(":memory:") as history:
        assert history.front() == []
        history.add(record("a", {"x": 1.0, "y": 2.0}))
        history.add(record("estimate", {"x": 9.0, "y": 9.0}, images=64))
        history.add(Record(0, "failed", 0, "random", (), "broken", None, {}, 1, 1, 0.1))
        history.add(record("worse", {"y": 1.0, "x": 1.0}))
        history.add(record("b", {"x": 2.0, "y": 1.0}))
        history.add(record("same", {"x": 2.0, "y": 1.0}))
        history.add(record("later", {"x": 3.0, "y": 3.0}, generation=1))
        assert [one.genotype for one in history.front(before_generation=1)] == ["a", "b", "same"]
        assert [one.genotype for one in history.front()] == ["later"]


def test_without_objectives_the_front_is_the_best_by_score():
    with History(":memory:") as history:
        for name, score in (("a", 1.0), ("b", 2.0), ("c", 2.0)):
            history.add(record(name, {}, score=score))
        assert [one.genotype for one in history.front()] == ["b", "c"]


def test_records_with_other_objectives_are_not_compared():
    with History(":memory:") as history:
        history.add(record("a", {"x": 1.0, "y": 2.0}))
        history.add(record("b", {"x": 1.0}))
        with pytest.raises(RunError, match="the objectives x, y and others with x: expected the same for all"):
            history.front()


def test_an_objective_that_is_not_finite_fails_the_architecture():
    class Odd(Both):
        def score(self, architecture):
            score = super().score(architecture)
            return Score(1.0, {}, {"x": float("nan") if self.calls % 3 == 0 else score.value})

    with History(":memory:") as history:
        run_search(Evolution(SPACE, SETTINGS), Odd(), history, cost, 0, quiet=True)
        assert history.failures()
        assert {one.failed for one in history.failures()} == {"GenasError: the objective x is nan"}


def test_a_history_from_before_objectives_continues_bit_identically(tmp_path):
    class Killed(BaseException):
        pass

    class Dying(Alone):
        def score(self, architecture):
            if self.calls == 13:
                raise Killed
            return super().score(architecture)

    with History(":memory:") as history:
        run_search(Evolution(SPACE, SETTINGS), Alone(), history, cost, 5, quiet=True)
        expected = rows(history)
        assert {str(one.objectives) for one in history} == {"{}"}
    path = tmp_path / "history.sqlite"
    with History(path) as history, pytest.raises(Killed):
        run_search(Evolution(SPACE, SETTINGS), Dying(), history, cost, 5, quiet=True)
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("ALTER TABLE architectures DROP COLUMN objectives")
        plain.commit()
    with History(path, readonly=True) as history:
        assert rows(history) == expected[:13]
        assert history.front()[0].score == max(one.score for one in history)
    with History(path) as history:
        run_search(Evolution(SPACE, SETTINGS), Alone(), history, cost, 5, quiet=True)
        assert rows(history) == expected


def test_architectures_of_one_function_share_their_objectives():
    class ByFunction(Both):
        by_function = True

        def score(self, architecture):
            return Score(1.0, {}, {"length": float(len(SPACE.function_key(architecture)))})

    settings = SETTINGS.model_copy(update={"algorithm": "random", "population": 40})
    with History(":memory:") as history:
        run_search(FromTheFront(SPACE, settings), ByFunction(), history, cost, 0, quiet=True)
        shared = [one for one in history if "shared_with" in one.parts]
        assert shared
        for one in shared:
            assert one.objectives == {"length": len(SPACE.function_key(SPACE.parse(one.genotype)))}
