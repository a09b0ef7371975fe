"""The consensus gives every member an equal say, whatever its units."""

import random

import numpy as np
import pytest
from pydantic import ValidationError

from genas.core.errors import GenasError
from genas.core.seeding import python_rng
from genas.proxies import Consensus, ConsensusSettings, Proxy, ProxySettings, Score, open_proxy

CONSENSUS = ProxySettings.model_validate({"expression": "consensus", "consensus": {"reference": 12}})


class Counting(Proxy):
    """a + b times the number of convolutions in the genotype."""

    def __init__(self, scoring, name, offset, factor):
        super().__init__(scoring)
        self.name, self.offset, self.factor = name, offset, factor

    def score(self, architecture):
        return Score(self.offset + self.factor * architecture.genotype.count("conv"))


class Skips(Counting):
    """Minus the number of skip connections; fails without any."""

    def score(self, architecture):
        count = architecture.genotype.count("skip")
        if not count:
            raise GenasError("no skip connection")
        return Score(-float(count))


def some(scoring, count=20):
    rng = random.Random(5)
    return [scoring.space.sample(rng) for _ in range(count)]


def test_it_is_the_sum_of_normalised_values_over_medians_and_quartiles(nas_scoring):
    members = [
        open_proxy(nas_scoring, CONSENSUS.model_copy(update={"expression": name}))
        for name in CONSENSUS.consensus.members
    ]
    rng = python_rng(nas_scoring.seed, "proxy.consensus")
    reference = [nas_scoring.space.sample(rng) for _ in range(12)]

    def normalised(architecture):
        return np.array([member.normalised(member.score(architecture)) for member in members])

    low, middle, high = np.quantile([normalised(one) for one in reference], [0.25, 0.5, 0.75], axis=0)
    proxy = open_proxy(nas_scoring, CONSENSUS)
    for architecture in some(nas_scoring, 3):
        score = proxy.score(architecture)
        assert score.value == pytest.approx(float(((normalised(architecture) - middle) / (high - low)).sum()), rel=1e-6)
        assert list(score.terms) == list(CONSENSUS.consensus.members)
        assert sum(term["share"] for term in score.terms.values()) == pytest.approx(1)


def test_units_and_offsets_of_a_member_have_no_say(nas_scoring):
    skips = Skips(nas_scoring, "skips", 0, 0)
    plain = Consensus(nas_scoring, (Counting(nas_scoring, "one", 0, 1), skips))
    other = Consensus(nas_scoring, (Counting(nas_scoring, "other", 7, 1e4), skips))
    able = [one for one in some(nas_scoring) if "skip" in one.genotype]
    differences = [other.score(one).value - plain.score(one).value for one in able]
    assert differences == pytest.approx([0] * len(able), abs=1e-6)
    assert len({round(plain.score(one).value, 6) for one in able}) > 3


def test_a_member_that_is_the_same_for_all_has_no_say(nas_scoring):
    constant = Counting(nas_scoring, "constant", 3, 0)
    counting = Counting(nas_scoring, "counting", 0, 1)
    proxy = Consensus(nas_scoring, (constant, counting))
    assert proxy.weights[0] == 0
    assert proxy.weights[1] > 0


def test_scales_are_taken_at_the_first_score_and_from_the_seed(nas_scoring):
    proxy = open_proxy(nas_scoring, CONSENSUS)
    assert proxy.raceable
    architecture = some(nas_scoring, 1)[0]
    means = proxy.statistics(architecture, slice(0, 100)).mean(0)
    value = proxy.score_of_means(architecture, means).value
    again = open_proxy(nas_scoring, CONSENSUS)
    assert again.score(architecture).value == value
    assert again.values_of_means(architecture, torch_rows(means)).tolist() == pytest.approx([value, value])


def torch_rows(means):
    return means.repeat(2, 1)


def test_it_takes_part_in_sums(nas_scoring):
    architecture = some(nas_scoring, 1)[0]
    alone = open_proxy(nas_scoring, CONSENSUS).score(architecture).value
    angle = open_proxy(nas_scoring, CONSENSUS.model_copy(update={"expression": "0.5*angle"})).score(architecture).value
    both = open_proxy(nas_scoring, CONSENSUS.model_copy(update={"expression": "consensus + 0.5*angle"}))
    assert both.score(architecture).value == pytest.approx(alone + angle)


def test_too_few_architectures_of_the_reference_could_be_scored(nas_scoring):
    (asked,) = some(nas_scoring, 1)

    class Failing(Counting):
        def score(self, architecture):
            if architecture != asked:
                raise GenasError("never")
            return super().score(architecture)

    proxy = Consensus(
        nas_scoring,
        (Failing(nas_scoring, "failing", 0, 1), Counting(nas_scoring, "counting", 0, 1)),
        ConsensusSettings(reference=9),
    )
    with pytest.raises(
        GenasError, match="only 0 of 9 random architectures could be scored by all of failing, counting"
    ):
        proxy.score(asked)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"members": ["loss"]}, "at least two"),
        ({"members": ["loss", "loss"]}, "named twice"),
        ({"members": ["loss", "consensus"]}, "part of itself"),
        ({"members": ["loss", "naswott"]}, "Did you mean 'naswot'"),
        ({"reference": 7}, "greater than or equal to 8"),
    ],
)
def test_impossible_settings(content, message):
    with pytest.raises(ValidationError, match=message):
        ProxySettings.model_validate({"consensus": content})
