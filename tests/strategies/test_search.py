import random

import pytest

from genas.core.errors import ConfigError, SearchError
from genas.core.seeding import python_rng
from genas.proxies import Proxy
from genas.spaces import Cost, open_space
from genas.strategies import Evolution, History, RandomSearch, Record, SearchSettings, open_search, run_search

SMALL = SearchSettings(generations=4, population=8, parents=3, mutations=4, crossovers=3)
SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)


class Ones(Proxy):
    """Counts 3x3 convolutions: a score whose optimum is known."""

    def __init__(self):
        self.calls: list[str] = []

    def score(self, architecture):
        self.calls.append(architecture.genotype)
        return float(architecture.genotype.count("nor_conv_3x3")) + 0.01 * architecture.genotype.count("skip")


class Faulty(Ones):
    """Fails on architectures with few convolutions."""

    def __init__(self, least: int):
        super().__init__()
        self.least = least

    def score(self, architecture):
        value = super().score(architecture)
        if value < self.least:
            raise ValueError("too few\nconvolutions")
        return value


def cost(architecture):
    return Cost(params=len(architecture.genotype), macs=architecture.genotype.count("conv"))


def whole(history):
    return [
        (r.number, r.genotype, r.generation, r.origin, r.parents, r.failed, r.score, r.params, r.macs) for r in history
    ]


@pytest.mark.parametrize("algorithm", ["evolution", "random"])
def test_no_architecture_is_scored_twice_and_generations_are_full(algorithm):
    proxy = Ones()
    search = open_search(SPACE, SMALL.model_copy(update={"algorithm": algorithm}))
    with History(":memory:") as history:
        best = run_search(search, proxy, history, cost, 0, quiet=True)
        assert len(proxy.calls) == len(set(proxy.calls)) == len(history) == 32
        assert best.score == max(record.score for record in history)
        assert [len(history.generation(number)) for number in range(4)] == [8, 8, 8, 8]


def test_evolution_breeds_from_the_best_of_all_generations():
    search = Evolution(SPACE, SMALL)
    with History(":memory:") as history:
        run_search(search, Ones(), history, cost, 1, quiet=True)
        for generation in range(1, 4):
            parents = {record.genotype for record in history.best(3, before_generation=generation)}
            records = history.generation(generation)
            for record in records:
                assert set(record.parents) <= parents
                assert len(record.parents) == {"mutation": 1, "crossover": 2, "random": 0}[record.origin]
            assert sum(record.origin == "mutation" for record in records) == 4


def test_evolution_beats_random_search_on_a_smooth_score():
    settings = SearchSettings(generations=10, population=10, parents=4, mutations=5, crossovers=4)
    wins = 0
    for seed in range(5):
        scores = []
        for kind in (Evolution, RandomSearch):
            with History(":memory:") as history:
                scores.append(run_search(kind(SPACE, settings), Ones(), history, cost, seed, quiet=True).score)
        wins += scores[0] >= scores[1]
    assert wins >= 4


@pytest.mark.parametrize("algorithm", ["evolution", "random"])
@pytest.mark.parametrize("stop_after", [1, 8, 13, 31])
def test_continues_bit_identically_after_a_stop(tmp_path, algorithm, stop_after):
    class Killed(BaseException):
        pass

    class Dying(Ones):
        def score(self, architecture):
            if len(self.calls) == stop_after:
                raise Killed
            return super().score(architecture)

    search = open_search(SPACE, SMALL.model_copy(update={"algorithm": algorithm}))
    with History(":memory:") as history:
        run_search(search, Ones(), history, cost, 5, quiet=True)
        expected = whole(history)
    path = tmp_path / "history.sqlite"
    with History(path) as history, pytest.raises(Killed):
        run_search(search, Dying(), history, cost, 5, quiet=True)
    with History(path) as history:
        proxy = Ones()
        run_search(search, proxy, history, cost, 5, quiet=True)
        assert whole(history) == expected
        assert len(proxy.calls) == len(expected) - stop_after


@pytest.mark.parametrize("more", [0, 2])
def test_a_continued_search_proposes_only_what_may_be_unfinished(more):
    class Counting(Evolution):
        def ask(self, history, rng, generation):
            asked.append(generation)
            return super().ask(history, rng, generation)

    settings = SMALL.model_copy(update={"generations": 4 + more})
    with History(":memory:") as history, History(":memory:") as whole_search:
        run_search(Evolution(SPACE, settings), Ones(), whole_search, cost, 0, quiet=True)
        run_search(Evolution(SPACE, SMALL), Ones(), history, cost, 0, quiet=True)
        asked: list[int] = []
        best = run_search(Counting(SPACE, settings), Ones(), history, cost, 0, quiet=True)
        assert asked == list(range(3, 4 + more))
        assert whole(history) == whole(whole_search)
        assert best == whole_search.best(1)[0]


def test_failures_are_recorded_and_not_tried_again(tmp_path):
    path = tmp_path / "history.sqlite"
    search = Evolution(SPACE, SMALL)
    with History(path) as history:
        best = run_search(search, Faulty(1), history, cost, 3, quiet=True)
        failures = history.failures()
        assert failures, "the seed must give some failures for the test to mean anything"
        assert best.failed is None
        assert all(record.score is None for record in failures)
        assert failures[0].failed == "ValueError: too few convolutions"
    with History(path) as history:
        proxy = Faulty(1)
        run_search(search, proxy, history, cost, 3, quiet=True)
        assert proxy.calls == []


def test_nan_and_infinity_count_as_failed():
    class Nan(Ones):
        def score(self, architecture):
            return super().score(architecture) if len(self.calls) % 3 else (self.calls.append("x") or float("inf"))

    with History(":memory:") as history:
        run_search(RandomSearch(SPACE, SMALL), Nan(), history, cost, 0, quiet=True)
        assert history.failures()
        assert all("inf" in record.failed for record in history.failures())


def test_ends_with_an_error_when_more_than_half_of_a_generation_fails():
    with History(":memory:") as history, pytest.raises(SearchError, match=r"8 of 8 .* generation 1 failed.*too few"):
        run_search(RandomSearch(SPACE, SMALL), Faulty(99), history, cost, 0, quiet=True)


def test_limits_are_hard():
    def allowed(architecture):
        return cost(architecture).macs <= 2

    for kind in (Evolution, RandomSearch):
        with History(":memory:") as history:
            run_search(kind(SPACE, SMALL, allowed), Ones(), history, cost, 0, quiet=True)
            assert max(record.macs for record in history) <= 2


def test_impossible_limits_say_so():
    search = RandomSearch(SPACE, SMALL.model_copy(update={"max_macs": 1}), lambda architecture: False)
    with History(":memory:") as history, pytest.raises(SearchError, match="max_macs"):
        run_search(search, Ones(), history, cost, 0, quiet=True)


def test_an_exhausted_space_ends_the_search():
    few = [SPACE.sample(random.Random(seed)) for seed in range(5)]
    names = {architecture.genotype for architecture in few}
    search = Evolution(SPACE, SMALL, lambda architecture: architecture.genotype in names)
    search.space = type("Few", (), {
        "sample": lambda self, rng: rng.choice(few),
        "mutate": lambda self, a, rng, p: rng.choice(few),
        "crossover": lambda self, a, b, rng: rng.choice(few),
        "parse": lambda self, text: SPACE.parse(text),
    })()  # fmt: skip
    with History(":memory:") as history:
        run_search(search, Ones(), history, cost, 0, quiet=True)
        assert {record.genotype for record in history} == names


def test_asking_again_gives_the_same_generation():
    search = Evolution(SPACE, SMALL)
    with History(":memory:") as history:
        run_search(search, Ones(), history, cost, 2, quiet=True)
        for generation in range(4):
            asked = search.ask(history, python_rng(2, "search", generation), generation)
            assert [p.architecture.genotype for p in asked] == [r.genotype for r in history.generation(generation)]


def test_unknown_algorithm_lists_the_known():
    with pytest.raises(ConfigError, match="evolution, random.*Did you mean 'evolution'"):
        open_search(SPACE, SearchSettings(algorithm="evolutoin"))


def test_history_round_trip_and_order(tmp_path):
    record = Record(0, "a", 0, "random", ("p", "q"), None, 1.5, {"losses": [1.0, 2.0]}, 10, 20, 0.5)
    with History(tmp_path / "h.sqlite") as history:
        history.add(record)
        history.add(Record(0, "b", 0, "random", (), None, 1.5, {}, 1, 1, 0.1))
        history.add(Record(0, "c", 1, "mutation", ("a",), "broke", None, {}, 1, 1, 0.1))
        assert [r.genotype for r in history.best()] == ["a", "b"]  # a tie keeps the order of evaluation
        assert "c" in history
        found = history.find("a")
        assert found is not None
        assert (found.parents, found.parts, found.number) == (("p", "q"), {"losses": [1.0, 2.0]}, 1)
    with History(tmp_path / "h.sqlite", readonly=True) as history:
        assert len(history) == 3
