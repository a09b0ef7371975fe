"""A study scores as a search does, once, keeps what it has, and continues to the same end."""

import time

import numpy as np
import pytest
from scipy import stats

from genas.analysis.ranking.analysis import analyse
from genas.analysis.ranking.scores import Scores
from genas.analysis.ranking.scoring import Job, Scorer, TimedScoring
from genas.analysis.ranking.settings import StudySettings
from genas.analysis.ranking.study import Study, draw
from genas.analysis.ranking.variants import read_variants
from genas.core.errors import DataError, GenasError, RunError
from genas.proxies import ProxySettings, Scoring, checked_score, open_proxy
from genas.proxies.accuracy import Loss
from genas.proxies.flatness import Flatness, FlatnessSettings
from genas.proxies.zero_cost import Naswot
from genas.spaces.cost import Cost, architecture_cost

BASE = ProxySettings(
    flatness={"sigmas": (0.05, 0.1)},
    batchnorm={"images": 16, "batch_size": 8},
    evaluation={"images": 12, "batch_size": 8},
)
NAMED = {
    "slopes": {"expression": "flatness", "flatness": {"alpha": 0}},
    "steep": {"expression": "flatness", "flatness": {"alpha": 16}},
}
# the last three are one function of the supernet: what does not reach the output makes no difference
CODES = ["333333", "111111", "300030", "203133", "122333", "013213", "431201", "000300", "120300", "340300"]
FEW = CODES[:2] + CODES[-3:]


@pytest.fixture
def opened(nas_scoring):
    def open_scoring(settings, seed):
        one = nas_scoring
        return TimedScoring(
            one.space, one.supernet, one.initial, one.splits, one.fabric, seed, settings.batchnorm, settings.evaluation
        )

    return Scorer(nas_scoring.space, open_scoring, nas_scoring.seed)


def study(
    path,
    opened,
    nas_scoring,
    text="angle,flatness,accuracy,angle + 2*flatness,ranks(loss,macs)",
    codes=CODES,
    **settings,
):
    variants = read_variants(text, NAMED, BASE)
    space, splits = nas_scoring.space, nas_scoring.splits
    genotypes = [space.parse(code).genotype for code in codes]

    def cost(genotype):
        return architecture_cost(space, space.parse(genotype), splits.num_classes, splits.image_shape)

    with Scores(path / "scores.sqlite") as scores:
        scores.agree({"weights": "w"}, variants)
        chosen = StudySettings(**settings)
        outcome = Study(scores, opened, variants, genotypes, chosen, cost, quiet=True).run()
        rows = {variant.name: scores.of(variant.name) for variant in variants}
    return outcome, rows, variants


def test_scores_are_those_of_a_search(tmp_path, opened, nas_scoring):
    outcome, _, variants = study(tmp_path, opened, nas_scoring, codes=CODES[:3])
    for variant in variants:
        if variant.kind != "proxy":
            continue
        one = nas_scoring
        scoring = Scoring(
            one.space, one.supernet, one.initial, one.splits, one.fabric, one.seed, BASE.batchnorm, BASE.evaluation
        )
        proxy = open_proxy(scoring, variant.proxy_settings)
        wanted = [checked_score(proxy, one.space.parse(genotype)).value for genotype in outcome.genotypes]
        assert outcome.scores[variant.name].tolist() == wanted, variant.name
    assert (outcome.scores["macs"] > 0).all()
    assert outcome.seconds["slopes"] > 0


def test_what_variants_share_is_computed_once(opened, nas_scoring, monkeypatch):
    variants = [one for one in read_variants("flatness,accuracy,angle + flatness", NAMED, BASE) if one.kind == "proxy"]
    calls = []
    whole = Scoring.image_losses
    monkeypatch.setattr(Scoring, "image_losses", lambda self, *rest: calls.append(1) or whole(self, *rest))
    rows = opened.score("333333", [Job(variant, 0) for variant in variants])
    assert len(calls) == 1 + 2  # loss and accuracy; two sigmas for flatness with three alphas and in the sum
    seconds = {row.variant: row.seconds for row in rows}
    assert seconds["accuracy"] > 0.5 * seconds["loss"]  # as if it had been alone


def test_architectures_of_one_function_are_scored_once(tmp_path, opened, nas_scoring):
    _, rows, _ = study(tmp_path, opened, nas_scoring, "angle,flatness", FEW)
    first, *others = [nas_scoring.space.parse(code).genotype for code in CODES[-3:]]
    for other in others:
        assert rows["flatness"][other].shared_with == first
        assert rows["flatness"][other].score == rows["flatness"][first].score
        assert rows["flatness"][other].seconds is None
        assert rows["angle"][other].shared_with is None  # the angle sees the paths


def test_an_interrupted_study_ends_as_an_uninterrupted_one(tmp_path, opened, nas_scoring, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, _, _ = study(tmp_path / "whole", opened, nas_scoring, "flatness,angle", FEW, repeats=2)
    asked, limit = [], 6
    score = Scorer.score

    def stopping(self, genotype, jobs):
        asked.extend((genotype, job.variant.name, job.repeat) for job in jobs)
        if len(asked) > limit:
            raise KeyboardInterrupt
        return score(self, genotype, jobs)

    monkeypatch.setattr(Scorer, "score", stopping)
    for _ in range(3):
        asked = []
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path / "parts", opened, nas_scoring, "flatness,angle", FEW, repeats=2)
    limit, asked = 10**6, []
    parts, _, _ = study(tmp_path / "parts", opened, nas_scoring, "flatness,angle", FEW, repeats=2)
    assert 0 < len(asked) == len(set(asked))
    for name, values in whole.scores.items():
        assert parts.scores[name].tolist() == values.tolist()
    assert {name: [row.tolist() for row in rows] for name, rows in parts.repeats.items()} == {
        name: [row.tolist() for row in rows] for name, rows in whole.repeats.items()
    }
    asked = []
    study(tmp_path / "parts", opened, nas_scoring, "flatness,angle", FEW, repeats=2)
    assert asked == []


def test_random_proxies_are_told_from_others_by_repeating_them(tmp_path, opened, nas_scoring):
    outcome, _, _ = study(tmp_path, opened, nas_scoring, codes=FEW, repeats=3)
    assert {name: len(rows) for name, rows in outcome.repeats.items()} == {
        "loss": 3,
        "angle": 1,
        "flatness": 3,
        "accuracy": len(outcome.repeats["accuracy"]),  # so few images may repeat by chance
        "angle + 2*flatness": 3,
        "ranks(loss,macs)": 3,
        "slopes": 3,
        "steep": 3,
    }
    first, second, _ = outcome.repeats["flatness"]
    assert first.tolist() == outcome.scores["flatness"].tolist()
    assert (first != second).all()


def test_a_study_may_grow_but_not_change(tmp_path, opened, nas_scoring):
    first, _, _ = study(tmp_path, opened, nas_scoring, "", FEW[:3])
    second, _, _ = study(tmp_path, opened, nas_scoring, "angle", FEW)
    assert second.scores["slopes"][:3].tolist() == first.scores["slopes"].tolist()
    with Scores(tmp_path / "scores.sqlite") as scores:
        with pytest.raises(RunError, match=r"another study: they differ in weights \(was 'w', now 'v'\).*--name"):
            scores.agree({"weights": "v"}, [])
        changed = read_variants("", {"slopes": {"expression": "flatness", "flatness": {"alpha": 0.5}}}, BASE)
        with pytest.raises(RunError, match=r"slopes had other settings \(settings.flatness.alpha was 0.0, is 0.5\)"):
            scores.agree({"weights": "w"}, changed)
        # what a proxy does not read has no say in its scores
        elsewhere = read_variants("angle", {}, BASE.model_copy(update={"flatness": FlatnessSettings(alpha=7)}))
        scores.agree({"weights": "w"}, elsewhere)


def test_a_failure_is_recorded_and_the_study_goes_on(tmp_path, opened, nas_scoring, monkeypatch):
    bad = nas_scoring.space.parse(CODES[2])
    whole = Loss.score_of_means

    def failing(self, architecture, means):
        if architecture == bad:
            raise GenasError("the loss is odd")
        return whole(self, architecture, means)

    monkeypatch.setattr(Loss, "score_of_means", failing)
    outcome, _, _ = study(tmp_path, opened, nas_scoring, "accuracy,ranks(loss,macs)", CODES[:4])
    assert outcome.failed["loss"] == [(bad.genotype, "GenasError: the loss is odd")]
    for name in ("loss", "ranks(loss,macs)"):
        assert np.flatnonzero(np.isnan(outcome.scores[name])).tolist() == [2]
    assert np.isfinite(outcome.scores["accuracy"]).all()


class Coarse(Flatness):
    """A user's own: inherits how it measures, and settles by itself with which noise."""

    name = "coarse"

    def __init__(self, scoring):
        super().__init__(scoring, FlatnessSettings(sigmas=(0.2, 0.4)))


def test_a_proxy_that_inherits_its_statistics_has_scores_of_its_own(opened, nas_scoring):
    text = f"flatness,{__name__}:Coarse"
    variants = [one for one in read_variants(text, {}, BASE) if one.kind == "proxy"]
    rows = {row.variant: row.score for row in opened.score("333333", [Job(one, 0) for one in variants])}
    assert rows[f"{__name__}:Coarse"] == opened.score("333333", [Job(variants[-1], 0)])[0].score != rows["flatness"]


def test_seconds_are_those_of_a_proxy_alone_also_after_one_that_looks_at_neighbours(opened, monkeypatch):
    def slow(self, *arguments):
        time.sleep(0.05)
        return recalibrate(self, *arguments)

    recalibrate = Scoring.recalibrate
    variants = [one for one in read_variants("neighbour-flatness,accuracy", {}, BASE) if one.kind == "proxy"]
    monkeypatch.setattr(Scoring, "recalibrate", slow)
    seconds = {row.variant: row.seconds for row in opened.score("333333", [Job(one, 0) for one in variants])}
    assert seconds["loss"] > 0.05
    assert seconds["accuracy"] > 0.05
    assert seconds["neighbour-flatness"] > 5 * 0.05  # itself and four neighbours


def test_costs_are_counted_once(tmp_path, opened, nas_scoring):
    genotype = nas_scoring.space.parse(CODES[0]).genotype
    with Scores(tmp_path / "scores.sqlite") as scores:
        scores.add_cost(genotype, Cost(params=5, macs=7))  # as if counted before
    outcome, _, _ = study(tmp_path, opened, nas_scoring, "angle", codes=CODES[:2])
    assert outcome.scores["macs"][0] == 7
    assert outcome.scores["macs"][1] > 7


def test_draws_are_nested_and_know_nothing_of_the_order_of_rows():
    names = [f"g{number}" for number in range(500)]
    large = draw(names, 200, seed=4)
    assert draw(names[::-1], 60, seed=4) == large[:60]
    assert len(set(large)) == 200
    assert draw(names, 60, seed=5) != large[:60]
    assert sorted(draw(names, None, seed=4)) == sorted(names)
    with pytest.raises(
        DataError, match="501 architectures were asked for, the table has 500; ask for fewer, or for all"
    ):
        draw(names, 501, seed=4)


def made(count=40):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=count)
    scores = {"loss": truth + rng.normal(size=count), "macs": truth + rng.normal(size=count)}
    return scores | {"copy": 2 * scores["loss"], "noise": rng.normal(size=count)}, {"test": truth}


def test_figures_of_a_study():
    scores, columns = made()
    settings = StudySettings().analysis.model_copy(update={"replicates": 200})
    noisy = [scores["noise"], scores["noise"] + 0.1, -scores["noise"]]
    found = analyse(scores, columns, {"noise": noisy, "macs": [scores["macs"]]}, settings, 0)
    loss = found["proxies"]["loss"]["columns"]["test"]
    assert loss["tau"]["low"] < loss["tau"]["value"] < loss["tau"]["high"]
    assert loss["partial"]["loss"] is None
    assert loss["partial"]["macs"]["value"] is not None
    assert loss["tau_best_count"] is None  # 50 of 40
    assert set(loss["regret"]) == {"10", "all"}
    copy = found["proxies"]["copy"]["columns"]["test"]
    assert copy["minus"]["loss"] == {"value": 0, "low": 0, "high": 0}  # the same samples for both
    assert copy["partial"]["loss"]["value"] is None  # nothing of it is left
    names = found["mutual"]["names"]
    assert found["mutual"]["tau"][names.index("loss")][names.index("copy")] == pytest.approx(1)
    assert found["proxies"]["noise"]["retest"]["tau"]["value"] == pytest.approx(-1 / 3)
    assert found["proxies"]["macs"]["retest"]["random"] is False
    again = analyse(scores, columns, {}, settings, 0)
    assert again["proxies"]["loss"]["columns"] == found["proxies"]["loss"]["columns"]


def test_a_column_may_have_the_name_of_a_proxy():
    scores, columns = made()
    settings = StudySettings().analysis.model_copy(update={"replicates": 100})
    named = {"loss": columns["test"], "macs": -columns["test"]}
    found = analyse(scores, named, {}, settings, 0)
    assert found["columns"]["tau"][0][1] == pytest.approx(-1)
    assert found["mutual"]["tau"][0][1] == pytest.approx(stats.kendalltau(scores["loss"], scores["macs"]).statistic)


def test_failed_architectures_are_left_out_for_all_and_failed_proxies_for_good():
    scores, columns = made()
    settings = StudySettings().analysis.model_copy(update={"replicates": 100})
    scores["loss"][[3, 5]] = np.nan
    scores["noise"][:30] = np.nan
    found = analyse(scores, columns, {}, settings, 0)
    assert (found["n"], found["dropped"]) == (38, ["noise"])
    kept = np.isfinite(scores["loss"])
    rest = {name: values[kept] for name, values in scores.items() if name != "noise"}
    alone = analyse(rest, {"test": columns["test"][kept]}, {}, settings, 0)
    assert alone["proxies"] == found["proxies"]
    scores["macs"][:20], scores["copy"][20:] = np.nan, np.nan
    with pytest.raises(DataError, match="0 architectures were scored by all proxies, at least 10 are needed"):
        analyse(scores, columns, {}, settings, 0)


def test_what_needs_no_images_is_computed_once_for_all_variants_and_counted_for_each(opened, monkeypatch):
    computed, score = [], Naswot.score

    def slow(self, architecture):
        computed.append((self.settings.subset, architecture.genotype))
        time.sleep(0.3)
        return score(self, architecture)

    monkeypatch.setattr(Naswot, "score", slow)
    named = {
        "other": {"expression": "naswot", "zero_cost": {"subset": 1}},
        "both": {"expression": "loss + 0.1*naswot"},
    }
    variants = [one for one in read_variants("naswot,naswot + macs", named, BASE) if one.kind == "proxy"]
    rows = {row.variant: row for row in opened.score("222222", [Job(one, 0) for one in variants])}
    assert [subset for subset, _ in computed] == [0, 1]
    for name in ("naswot", "naswot + macs", "other", "both"):
        assert rows[name].seconds > 0.3
    assert rows["loss"].seconds < 0.3
    assert rows["both"].terms["naswot"]["value"] == rows["naswot"].score


def test_flatness_under_absolute_and_relative_noise_share_nothing(opened):
    variants = [
        one
        for one in read_variants("flatness,relative-flatness,flatness + relative-flatness", {}, BASE)
        if one.kind == "proxy"
    ]
    rows = {row.variant: row for row in opened.score("333333", [Job(one, 0) for one in variants])}
    alone = opened.score("333333", [Job(one, 0) for one in variants if one.name == "relative-flatness"])[0]
    assert alone.score == rows["relative-flatness"].score != rows["flatness"].score
    both = rows["flatness + relative-flatness"].terms
    assert both["flatness"]["value"] == rows["flatness"].score
    assert both["relative-flatness"]["value"] == alone.score
