"""The list of the command line and the file of variants: what they mean, and what is refused."""

import pytest

from genas.analysis.ranking.variants import read_variants, repetition, split_list
from genas.core.errors import ConfigError
from genas.proxies import ProxySettings

BASE = ProxySettings(evaluation={"images": 100})


def test_the_covariates_come_first_and_nothing_twice():
    found = read_variants("angle, loss,angle  + 16*flatness,angle,params", {}, BASE)
    assert [one.name for one in found] == ["loss", "macs", "angle", "angle + 16*flatness", "params"]
    assert [one.kind for one in found] == ["proxy", "cost", "proxy", "proxy", "cost"]
    assert all(one.settings.evaluation.images == 100 for one in found if one.settings)


def test_variants_of_a_file_change_the_runs_settings():
    named = {
        "many draws": {"expression": "flatness", "flatness": {"draws": 16, "alpha": 0}},
        "both": "ranks(many draws, loss)",
        "expression": "angle + loss",
    }
    found = {one.name: one for one in read_variants("", named, BASE)}
    assert list(found) == ["loss", "macs", "many draws", "both", "expression"]
    settings = found["many draws"].proxy_settings
    assert (settings.flatness.draws, settings.flatness.alpha, settings.evaluation.images) == (16, 0, 100)
    assert (found["both"].kind, found["both"].members) == ("ranks", ("many draws", "loss"))
    assert found["expression"].proxy_settings.expression == "angle + loss"


def test_members_of_aggregated_ranks_are_ranked_themselves():
    found = read_variants("logranks(accuracy, angle + loss)", {}, BASE)
    assert [one.name for one in found] == [
        "loss",
        "macs",
        "accuracy",
        "angle + loss",
        "logranks(accuracy, angle + loss)",
    ]
    assert found[-1].kind == "logranks"


@pytest.mark.parametrize(
    ("text", "named", "message"),
    [
        ("los", {}, "unknown proxy 'los'.*Did you mean 'loss'"),
        ("loss,,angle", {}, "has an empty entry between two commas"),
        ("ranks(loss,macs", {}, "parentheses that do not match"),
        ("ranks(loss)", {}, r"'ranks\(loss\)': expected at least two proxies to aggregate, got 1"),
        ("ranks(loss,ranks(loss,macs))", {}, "itself an aggregation; name its members instead"),
        ("", {"a,b": "loss"}, r"'a,b' needs another name: a text without commas, parentheses and #\."),
        ("", {"a#b": "loss"}, r"'a#b' needs another name: a text without commas, parentheses and #\."),
        ("", {"genotype": "loss"}, "'genotype' needs another name: this one has a meaning in every study"),
        ("", {"failures": "loss"}, "'failures' needs another name: this one has a meaning in every study"),
        ("", {"loss": {"expression": "angle"}}, "'loss' needs another name: this one has a meaning in every study"),
        ("", {"x": 3}, "the variant 'x' is 3: expected an expression or a mapping of settings"),
        (
            "",
            {"x": {"flatness": {"drawz": 2}}},
            "variant 'x' are wrong: unknown key 'flatness.drawz' .did you mean 'flatness.draws'",
        ),
        ("", {"x": {"flatness": {"draws": 0}}}, "variant 'x' are wrong: flatness.draws is 0: "),
    ],
)
def test_faults(text, named, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_variants(text, named, BASE)
    assert "\n" not in str(caught.value)


def test_lists_are_split_outside_parentheses():
    assert split_list("a,ranks(b, c) , d + 2*e") == ["a", "ranks(b, c)", "d + 2*e"]
    assert split_list("  ") == []


def test_repetitions_have_seeds_of_their_own_and_the_first_is_the_searchs():
    variant = read_variants("flatness", {}, BASE)[-1]
    seeds = [repetition(variant, 7, repeat)[1] for repeat in range(4)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 4


def test_an_engine_that_is_chosen_at_random_times_is_refused():
    with pytest.raises(ConfigError, match="'mine' has evaluation.engine=auto"):
        read_variants("", {"mine": {"expression": "loss", "evaluation": {"engine": "auto"}}}, BASE)
