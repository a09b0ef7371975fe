"""The share of a part, the weight of a share, and scores that weights have in common."""

import random

import pytest

from genas.analysis.sweep import Remembered, Scores, mean_share, parse_template, weight_for
from genas.analysis.sweep.weights import check_shares, check_weights
from genas.core.errors import ConfigError, GenasError
from genas.proxies import Angle, Combined, Flatness, FlatnessSettings, Proxy, parse_expression
from genas.strategies import History, SearchSettings, open_search, run_search

SEARCH = SearchSettings(generations=2, population=6, parents=3, mutations=3, crossovers=2, budget="exact")


def architectures(space, count):
    rng = random.Random(4)
    return [space.sample(rng) for _ in range(count)]


def parts(scoring, scores):
    own = Remembered(Flatness(scoring, FlatnessSettings(sigmas=(0.01, 0.03))), scores)
    return Remembered(Angle(scoring), scores), own


def search(scoring, weight, angle, flatness):
    summands = ((1.0, angle),) if weight == 0 else ((1.0, angle), (weight, flatness))
    history = History(":memory:")
    best = run_search(
        open_search(scoring.space, SEARCH), Combined(scoring, summands), history, cost_of_nothing, 0, quiet=True
    )
    return best, history


def cost_of_nothing(architecture):
    from genas.spaces import Cost

    return Cost(params=1, macs=1)


def test_template():
    template = parse_template("angle + w*flatness")
    assert template.parts(0) == parse_expression("angle")
    assert set(template.parts(4)) == set(parse_expression("angle + 4*flatness"))
    assert set(parse_template("w * angle - 2*loss").parts(3)) == set(parse_expression("3*angle - 2*loss"))
    assert set(parse_template("accuracy - w*loss").parts(3)) == set(parse_expression("accuracy - 3*loss"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("angle + 4*flatness", "one part has to have the weight w.*0 have it"),
        ("w*angle + w*flatness", "2 have it"),
        ("w*flatness", "expected another part beside the swept one"),
        ("angle + w*flatnes", "Did you mean 'flatness'"),
        ("angle + 2*w*flatness", "the name of a proxy|weight"),
        ("angle w*flatness", r"expected '\+' or '-'"),
    ],
)
def test_malformed_templates(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_template(text)


def test_a_search_says_what_to_do_with_w():
    with pytest.raises(ConfigError, match=r"w has no value here.*genas sweep RUN --proxy 'angle \+ w\*flatness'"):
        parse_expression("angle + w*flatness")


def test_weights_and_shares_are_checked():
    assert check_weights([0, 1.5]) == (0, 1.5)
    assert check_shares([0, 20]) == (0, 0.2)
    for wrong, message in (
        ([-1.0], "Invalid weight -1"),
        ([1.0, 1.0], "twice"),
        ([float("inf")], "Invalid weight inf"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_weights(wrong)
    for wrong, message in (([100.0], "Invalid share 100"), ([-1.0], "Invalid share -1"), ([5.0, 5.0], "twice")):
        with pytest.raises(ConfigError, match=message):
            check_shares(wrong)


def test_shares_lie_in_0_to_1_grow_with_the_weight_and_are_those_of_the_sum(nas_scoring):
    """On a fixed set; against the shares that the weighted sum records itself."""
    with Scores(":memory:") as scores:
        angle, flatness = parts(nas_scoring, scores)
        chosen = architectures(nas_scoring.space, 6)
        own = [abs(flatness.normalised(flatness.score(one))) for one in chosen]
        rest = [abs(angle.normalised(angle.score(one))) for one in chosen]
        found = []
        for weight in (0.0, 0.01, 0.1, 1.0, 10.0):
            share = mean_share(weight, own, rest)
            if weight:
                both = Combined(nas_scoring, ((1.0, angle), (weight, flatness)))
                terms = [both.score(one).terms["flatness"]["share"] for one in chosen]
                assert share == pytest.approx(sum(terms) / len(terms), rel=1e-12)
            found.append(share)
        assert found == sorted(set(found))
        assert found[0] == 0
        assert found[-1] < 1
        for wanted in (0.05, 0.2, 0.43, 0.76, 0.89):
            weight = weight_for(wanted, own, rest)
            assert mean_share(weight, own, rest) == pytest.approx(wanted, abs=1e-3)
            assert weight == float(f"{weight:.4g}")


def test_shares_that_no_weight_gives():
    assert weight_for(0.0, [1.0], [1.0]) == 0
    assert weight_for(0.5, [2.0, 2.0], [1.0, 1.0]) == pytest.approx(0.5)
    assert weight_for(0.9, [1e-9], [1e9]) == pytest.approx(9e18)
    with pytest.raises(ConfigError, match="no weight gives the swept part a share of 90 %: in 1 of 2"):
        weight_for(0.9, [1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ConfigError, match="no weight gives the swept part a share of 10 %: in 1 of 2"):
        weight_for(0.1, [1.0, 1.0], [1.0, 0.0])
    with pytest.raises(ConfigError, match="no weight"):
        weight_for(0.5, [0.0], [1.0])


def test_no_part_is_computed_twice_and_the_searches_are_those_without_sharing(nas_scoring):
    calls = {"angle": 0, "flatness": 0}

    def counted(proxy):
        score = proxy.score

        def count(architecture):
            calls[proxy.name] += 1
            return score(architecture)

        proxy.score = count
        return proxy

    space = nas_scoring.space
    with Scores(":memory:") as scores:
        angle = Remembered(counted(Angle(nas_scoring)), scores)
        flatness = Remembered(counted(Flatness(nas_scoring, FlatnessSettings(sigmas=(0.01, 0.03)))), scores)
        seen, functions, winners = set(), set(), {}
        for weight in (0.0, 0.1, 3.0):
            best, history = search(nas_scoring, weight, angle, flatness)
            winners[weight] = best
            genotypes = [record.genotype for record in history]
            seen |= set(genotypes)
            if weight:
                functions |= {space.function_key(space.parse(text)) for text in genotypes}
        assert calls == {"angle": len(seen), "flatness": len(functions)}
        assert scores.counts() == calls
        assert len(seen) < 3 * SEARCH.generations * SEARCH.population
    alone = run_search(
        open_search(space, SEARCH), Angle(nas_scoring), History(":memory:"), cost_of_nothing, 0, quiet=True
    )
    assert winners[0.0].genotype == alone.genotype
    plain = ((1.0, Angle(nas_scoring)), (3.0, Flatness(nas_scoring, FlatnessSettings(sigmas=(0.01, 0.03)))))
    whole = run_search(
        open_search(space, SEARCH), Combined(nas_scoring, plain), History(":memory:"), cost_of_nothing, 0, quiet=True
    )
    assert winners[3.0].genotype == whole.genotype
    assert winners[3.0].score == pytest.approx(whole.score, rel=1e-12)


class Broken(Proxy):
    """Fails, and counts how often it was asked."""

    name = "broken"
    asked = 0

    def score(self, architecture):
        Broken.asked += 1
        raise ZeroDivisionError("no such thing")


def test_scores_and_failures_outlive_the_process(nas_scoring, tmp_path):
    first, second = architectures(nas_scoring.space, 2)
    with Scores(tmp_path / "scores.sqlite") as scores:
        _, flatness = parts(nas_scoring, scores)
        before = flatness.score(first)
        with pytest.raises(GenasError, match="ZeroDivisionError: no such thing"):
            Remembered(Broken(nas_scoring), scores).score(second)
    with Scores(tmp_path / "scores.sqlite") as scores:
        _, flatness = parts(nas_scoring, scores)
        assert flatness.score(first) == before
        with pytest.raises(GenasError, match="ZeroDivisionError: no such thing"):
            Remembered(Broken(nas_scoring), scores).score(second)
        assert not scores.computed
    assert Broken.asked == 1


def test_functions_are_told_apart_where_sharing_is_off(nas_scoring):
    space = nas_scoring.space
    alike = [space.parse("300000"), space.parse("000000")]
    assert space.function_key(alike[0]) == space.function_key(alike[1])
    for share, wanted in ((True, 1), (False, 2)):
        with Scores(":memory:") as scores:
            proxy = Remembered(Flatness(nas_scoring, FlatnessSettings(sigmas=(0.01, 0.03))), scores, share)
            for one in alike:
                proxy.score(one)
            assert scores.computed["flatness"] == wanted
