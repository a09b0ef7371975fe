"""Races keep what full evaluation keeps, and can be turned off, killed and continued."""

import math
import multiprocessing
import random
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from genas.core import executors
from genas.core.checkpoint import load_checkpoint
from genas.core.errors import Interrupted
from genas.core.executors import Processes, Serial
from genas.core.interrupt import StopRequest
from genas.proxies import Accuracy, Angle, EvaluationSettings, Flatness, FlatnessSettings, ProxySettings, open_proxy
from genas.proxies.base import Proxy
from genas.proxies.scoring import Score
from genas.spaces import Cost, open_space
from genas.strategies import History, Record, SearchSettings, open_search, run_search
from genas.strategies.racing import Race, rounds

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
KEEP = 4


class Images(Proxy):
    """Means of made losses: `total` images of common difficulty, plus each architecture's own level and noise."""

    raceable = True  # type: ignore[assignment]

    def __init__(self, total: int = 2000, noise: float = 0.3, levels: float = 1.0) -> None:
        scoring = SimpleNamespace(validation_count=total, evaluation=EvaluationSettings(batch_size=50))
        super().__init__(scoring)  # type: ignore[arg-type]
        self.total, self.noise, self.levels, self.calls = total, noise, levels, 0
        self.common = torch.randn(total, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.broken: set[str] = set()

    def rows(self, architecture):
        rng = torch.Generator().manual_seed(random.Random(architecture.genotype).randrange(2**31))
        level = self.levels * torch.rand(1, generator=rng, dtype=torch.float64)
        own = torch.randn(self.total, generator=rng, dtype=torch.float64)
        return (2 + level + self.common + self.noise * own)[:, None]

    def statistics(self, architecture, part):
        if architecture.genotype in self.broken:
            raise ValueError("broken")
        self.calls += 1
        return self.rows(architecture)[part.start * 50 : min(part.stop * 50, self.total)]

    def score_of_means(self, architecture, means):
        return Score(-float(means[0]), {})

    def values_of_means(self, architecture, means):
        return -means[:, 0]

    def score(self, architecture):
        return self.score_of_means(architecture, self.rows(architecture).mean(0))


def some(count: int, seed: int = 0):
    rng = random.Random(seed)
    found = {}
    while len(found) < count:
        one = SPACE.sample(rng)
        found.setdefault(one.genotype, one)
    return list(found.values())


def race(proxy, folder=None, error=0.05):
    return Race(proxy, KEEP, error, 100, 0, folder)


@pytest.mark.parametrize(("total", "start"), [(10, 256), (64, 64), (1000, 100), (25_000, 256), (777, 32)])
def test_rounds_cover_every_batch_once_and_grow(total, start):
    parts = rounds(total, 64, start)
    covered = [number for part in parts for number in range(part.start, part.stop)]
    assert covered == list(range(-(-total // 64)))
    seen = [part.stop for part in parts]
    assert all(later >= 1.5 * earlier or later == seen[-1] for earlier, later in pairwise(seen))


def missed(error, races=40):
    """How many of the truly best races stopped, in how many races, and the share of the images that they looked at."""
    wrong, spoilt, images = 0, 0, 0
    for seed in range(races):
        proxy, contenders = Images(), some(30, seed)
        one = race(proxy, error=error)
        outcomes = one.run(contenders, [], seed)
        truth = sorted(contenders, key=lambda a: -proxy.score(a).value)[:KEEP]
        lost = {best.genotype for best in truth} - {name for name, one in outcomes.items() if one.images is None}
        wrong, spoilt, images = wrong + len(lost), spoilt + bool(lost), images + one.seen
    return wrong, spoilt, images / (races * 30 * 2000)


def test_keeps_the_promised_share_of_the_best_at_a_fraction_of_the_images():
    wrong, _, share = missed(0.05)
    # at most 5 % of 40 * KEEP are promised
    assert wrong <= 0.05 * 40 * KEEP
    assert share < 0.4


def test_an_error_for_the_whole_generation_holds_too():
    _, spoilt, share = missed(0.05 / KEEP)
    assert spoilt <= 5  # at most 5 % are promised, 2 of 40: above 5 by chance in 1 of 70
    assert share < 0.45


def test_whole_scores_are_those_of_full_evaluation_and_estimates_are_near():
    proxy, contenders = Images(), some(30)
    outcomes = race(proxy).run(contenders, [], 0)
    for architecture in contenders:
        outcome, full = outcomes[architecture.genotype], proxy.score(architecture).value
        if outcome.images is None:
            assert outcome.score.value == pytest.approx(full, rel=1e-12)
        else:
            assert 100 <= outcome.images < 2000


def test_earlier_best_are_a_control_variate():
    """The contenders' estimates are corrected by how much the images seen so far flatter the earlier best."""
    proxy = Images(noise=0.05)
    holders, contenders = some(KEEP, 1), some(20, 2)
    contenders = [one for one in contenders if one.genotype not in {h.genotype for h in holders}]
    corrected = race(proxy).run(contenders, holders, 0)
    errors = [
        abs(outcome.score.value - proxy.score(architecture).value)
        for architecture in contenders
        if (outcome := corrected[architecture.genotype]).images == 100
    ]
    assert errors, "some must be stopped after the first round for the test to mean anything"
    raw = abs(float(proxy.common[:100].mean() - proxy.common.mean()))
    assert max(errors) < 0.05 * 4 / math.sqrt(100) * 2
    assert raw > max(errors)


def test_equal_contenders_are_not_told_apart():
    proxy = Images(levels=0.0, noise=0.0)
    outcomes = race(proxy).run(some(12), [], 0)
    assert all(outcome.images is None for outcome in outcomes.values())


def test_a_smaller_error_stops_later():
    seen = []
    for error in (0.2, 1e-6):
        proxy = Images()
        one = race(proxy, error=error)
        one.run(some(30), [], 0)
        seen.append(one.seen)
    assert seen[0] < seen[1]


def test_a_broken_contender_is_an_outcome():
    proxy, contenders = Images(), some(10)
    proxy.broken = {contenders[3].genotype}
    outcomes = race(proxy).run(contenders, [], 0)
    assert outcomes[contenders[3].genotype].failed == "ValueError: broken"
    assert outcomes[contenders[3].genotype].score is None


def test_a_killed_race_continues_from_what_is_on_disk(tmp_path):
    class Killed(BaseException):
        pass

    contenders = some(20)
    expected = race(Images()).run(contenders, [], 0)
    proxy = Images()

    def die(decided):
        if proxy.calls == 27:
            raise Killed

    with pytest.raises(Killed):
        race(proxy, tmp_path).run(contenders, [], 0, die)
    again = Images()
    assert race(again, tmp_path).run(contenders, [], 0) == expected
    whole = Images()
    race(whole).run(contenders, [], 0)
    assert again.calls == whole.calls - 27


SMALL = SearchSettings(generations=4, population=12, parents=4, mutations=5, crossovers=4, race_start=100)


def cost(architecture):
    return Cost(1, 1)


@pytest.mark.parametrize("stop_after", [5, 21, 33])
def test_a_killed_search_ends_bit_identically(tmp_path, stop_after):
    class Killed(BaseException):
        pass

    class Dying(Images):
        def statistics(self, architecture, part):
            if self.calls == stop_after:
                raise Killed
            return super().statistics(architecture, part)

    def whole(history):
        return [(r.genotype, r.score, r.images, r.generation, r.origin, r.parts) for r in history]

    search = open_search(SPACE, SMALL)
    with History(":memory:") as history:
        run_search(search, Images(), history, cost, 3, quiet=True, race_folder=tmp_path / "a")
        expected = whole(history)
    with History(tmp_path / "h.sqlite") as history, pytest.raises(Killed):
        run_search(search, Dying(), history, cost, 3, quiet=True, race_folder=tmp_path / "b")
    with History(tmp_path / "h.sqlite") as history:
        run_search(search, Images(), history, cost, 3, quiet=True, race_folder=tmp_path / "b")
        assert whole(history) == expected


def test_only_whole_scores_are_ranked_and_files_of_losers_go(tmp_path):
    with History(":memory:") as history:
        run_search(open_search(SPACE, SMALL), Images(), history, cost, 0, quiet=True, race_folder=tmp_path)
        assert all(record.images is None for record in history.best(100))
        assert any(record.images is not None for record in history)
        whole = {record.genotype for record in history.best(100)}
        files = [load_checkpoint(path)[1]["key"] for path in tmp_path.glob("*.safetensors")]
        assert len(files) >= SMALL.parents
        assert set(files) <= whole


def test_exact_budget_scores_everything_whole():
    settings = SMALL.model_copy(update={"budget": "exact"})
    with History(":memory:") as history:
        run_search(open_search(SPACE, settings), Images(), history, cost, 0, quiet=True)
        assert all(record.images is None for record in history)


@pytest.mark.parametrize("expression", ["flatness", "accuracy", "loss", "angle + 16*flatness", "accuracy - 0.1*loss"])
def test_real_proxies_are_functions_of_their_statistics(nas_scoring, expression):
    settings = ProxySettings(expression=expression, flatness=FlatnessSettings(sigmas=(0.01, 0.03), draws=2))
    proxy = open_proxy(nas_scoring, settings)
    assert proxy.raceable
    architecture = SPACE.parse("323131")
    batches = -(-nas_scoring.validation_count // nas_scoring.evaluation.batch_size)
    cut = max(1, batches // 2)
    parts = [slice(0, cut), slice(cut, batches)] if batches > 1 else [slice(0, 1)]
    rows = torch.cat([proxy.statistics(architecture, part) for part in parts])
    assert len(rows) == nas_scoring.validation_count
    whole = proxy.score(architecture).value
    assert proxy.score_of_means(architecture, rows.mean(0)).value == pytest.approx(whole, rel=1e-5)
    several = torch.stack([rows.mean(0), rows[: len(rows) // 2].mean(0)])
    expected = [proxy.score_of_means(architecture, row).value for row in several]
    assert proxy.values_of_means(architecture, several).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("expression", ["angle + 16*flatness", "accuracy - 0.1*loss"])
def test_a_race_of_a_sum_continues_where_all_rows_are_on_disk(nas_scoring, tmp_path, monkeypatch, expression):
    """A killed race may find every row of its first round on disk, and so ask for scores before any statistics."""
    monkeypatch.setattr(nas_scoring, "evaluation", EvaluationSettings(batch_size=16))
    contenders = some(6)

    def fresh():
        return open_proxy(nas_scoring, ProxySettings(expression=expression))

    def one(proxy, folder):
        return Race(proxy, 2, 0.05, 16, 0, folder)

    expected = one(fresh(), None).run(contenders, [], 0)
    one(fresh(), tmp_path).run(contenders, [], 0)
    again = fresh()
    again.statistics = None  # type: ignore[assignment,method-assign]
    assert one(again, tmp_path).run(contenders, [], 0) == expected


@pytest.mark.parametrize("expression", ["flatness", "accuracy", "angle + 16*flatness"])
def test_columns_are_those_of_the_statistics(nas_scoring, expression):
    proxy = open_proxy(nas_scoring, ProxySettings(expression=expression))
    assert proxy.statistics(SPACE.parse("323131"), slice(0, 1)).shape[1] == proxy.columns


def test_a_history_from_before_races_is_read_and_continued(tmp_path):
    path = tmp_path / "h.sqlite"
    with History(path) as history:
        history.add(Record(0, "a", 0, "random", (), None, 1.0, {}, 1, 1, 0.1))
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("DROP INDEX by_whole_score")
        plain.execute("ALTER TABLE architectures DROP COLUMN pictures")
        plain.commit()
    with History(path, readonly=True) as history:
        assert [record.images for record in history.best()] == [None]
    with History(path) as history:
        history.add(Record(0, "b", 0, "random", (), None, 2.0, {}, 1, 1, 0.1, 64))
        assert [record.genotype for record in history.best()] == ["a"]


def test_the_angle_alone_and_averages_of_batches_are_not_raced(nas_scoring, monkeypatch):
    assert not Angle(nas_scoring).raceable
    monkeypatch.setattr(nas_scoring, "evaluation", EvaluationSettings(weighting="batches"))
    assert not Flatness(nas_scoring).raceable
    assert not Accuracy(nas_scoring).raceable


@pytest.mark.parametrize("budget", ["racing", "exact"])
def test_the_history_does_not_depend_on_what_does_the_work(tmp_path, monkeypatch, budget):
    """Failures, functions scored once and files of a race included."""
    monkeypatch.setattr(executors, "get_context", lambda kind: multiprocessing.get_context("fork"))
    settings = SMALL.model_copy(update={"budget": budget, "population": 30, "generations": 3})
    found = []
    for name, executor in (("serial", Serial()), ("processes", Processes(2))):
        with executor, History(":memory:") as history:
            run_search(
                open_search(SPACE, settings), Fragile(), history, cost, 3, True, tmp_path / name, executor=executor
            )
            found.append([replace(record, seconds=0.0) for record in history])
    assert found[0] == found[1]
    assert sum("shared_with" in record.parts for record in found[0]) > 2
    assert sum(record.failed is not None for record in found[0]) > 2
    files = [
        {path.name: load_checkpoint(path)[0]["statistics"].tolist() for path in (tmp_path / name).glob("*")}
        for name in ("serial", "processes")
    ]
    assert files[0] == files[1]
    assert bool(files[0]) == (budget == "racing")


class Fragile(Images):
    """Its rows and failures are those of the function."""

    by_function = True

    def rows(self, architecture):
        key = SPACE.function_key(architecture)
        if len(key) % 5 == 0:
            raise ValueError("too long")
        return super().rows(NoText(key))

    def score(self, architecture):
        return self.score_of_means(architecture, self.rows(architecture).mean(0))


class NoText:
    def __init__(self, genotype):
        self.genotype = genotype


def test_a_real_proxy_gives_the_same_history_in_processes(nas_scoring, monkeypatch):
    monkeypatch.setattr(executors, "get_context", lambda kind: multiprocessing.get_context("fork"))
    monkeypatch.setattr(nas_scoring, "evaluation", EvaluationSettings(batch_size=16))
    settings = SMALL.model_copy(update={"generations": 2, "population": 4, "parents": 2, "race_start": 32})
    found = []
    for executor in (Serial(), Processes(2)):
        proxy = open_proxy(nas_scoring, ProxySettings(expression="angle + 16*accuracy"))
        with executor, History(":memory:") as history:
            run_search(open_search(SPACE, settings), proxy, history, cost, 3, True, executor=executor)
            found.append([replace(record, seconds=0.0) for record in history])
    assert found[0] == found[1]


def test_an_interrupted_race_keeps_what_its_processes_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "get_context", lambda kind: multiprocessing.get_context("fork"))
    contenders = some(8)
    with StopRequest() as stop, Processes(2) as executor:
        race = Race(Slow(), KEEP, 0.05, 100, 0, tmp_path, executor=executor)

        def tick(state):
            stop.requested = True

        with pytest.raises(Interrupted):
            race.run(contenders, [], 0, tick, stop=stop)
    kept = len(list(tmp_path.glob("*.safetensors")))
    assert 1 <= kept < 8
    continued, alone = Images(), Images()
    expected = Race(alone, KEEP, 0.05, 100, 0).run(contenders, [], 0)
    assert Race(continued, KEEP, 0.05, 100, 0, tmp_path).run(contenders, [], 0) == expected
    assert continued.calls == alone.calls - kept  # nothing that was computed is computed again


class Slow(Images):
    def statistics(self, architecture, part):
        time.sleep(0.05)
        return super().statistics(architecture, part)
