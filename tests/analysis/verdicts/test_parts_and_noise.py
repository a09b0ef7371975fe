"""A part without a say in a sum, and a best score within its noise."""

import random

import pytest
import torch

from genas.analysis.verdicts.measure import measure_noise
from genas.analysis.verdicts.noise import Contender, within_noise
from genas.analysis.verdicts.parts import spreads, swamped
from genas.analysis.verdicts.read import read_noise
from genas.core.seeding import derive
from genas.proxies import Loss, Proxy
from genas.strategies import History, Record


def rows(scale, offset=0.0):
    """Contributions of two parts: the second spreads `scale` times as far as the first."""
    values = [0.1, 0.4, 0.2, 0.3, 0.5]
    other = [0.3, 0.1, 0.5, 0.2, 0.4]
    return [
        {
            "angle": {"weight": 1.0, "contribution": offset + value},
            "flatness": {"weight": 2.0, "contribution": scale * second},
        }
        for value, second in zip(values, other, strict=True)
    ]


def test_a_part_that_spreads_3000_times_as_far_decides_alone():
    parts = spreads(rows(3000))
    assert [one.name for one in parts] == ["flatness", "angle"]
    verdict = swamped(parts)
    assert verdict.code == "part-without-say"
    assert "flatness spreads 3e+03 times as far" in verdict.sentence
    assert "3e+03*angle" in verdict.sentence  # the weight of an equal say
    assert swamped(spreads(rows(10))) is None


def test_the_size_of_a_part_is_not_its_say():
    """1,000 for every architecture decides nothing."""
    assert swamped(spreads(rows(1, offset=1000.0))) is None
    same = [
        {name: {"weight": 1.0, "contribution": 5.0 if name == "a" else place} for name in "ab"} for place in range(6)
    ]
    assert "a has 0 % of the spread" in swamped(spreads(same)).sentence
    assert "it is the same for all" in swamped(spreads(same)).sentence
    assert swamped(spreads(same[:2])) is None  # too few to know a spread
    assert swamped(spreads([{"a": {"weight": 1.0, "contribution": 5.0}}] * 6)) is None


@pytest.mark.parametrize(
    ("contenders", "wanted"),
    [
        ([(2, 0.1, 1.0), (0, 0.5, 1.0)], "scores-within-noise"),
        ([(2, 0.1, 1.0), (3, 0.2, 1.0), (0, 5.0, 1.0)], "best-within-noise"),
        ([(2, 0.1, 1.0), (3, 2.5, 1.0), (0, 5.0, 1.0)], None),  # one of those next to it is surely worse
        ([(2, 3.0, 1.0), (0, 5.0, 1.0)], None),
        ([(2, 0.0, 0.0), (0, 0.0, 0.0)], None),  # no noise: a tie, which another check tells
        ([], None),
    ],
)
def test_only_what_is_within_the_noise_is_told(contenders, wanted):
    found = within_noise([Contender(place, "g", difference, error) for place, difference, error in contenders], "x")
    assert (found.code if found else None) == wanted


class Shaky(Proxy):
    """A score that is mostly the seed's luck."""

    name = "shaky"

    def score(self, architecture):
        return derive(self.scoring.seed, architecture.genotype) / 2**63


class Steady(Shaky):
    """The same, whatever the seed."""

    def score(self, architecture):
        return derive(0, architecture.genotype) / 2**63


class Failing(Shaky):
    """Cannot be asked again."""

    def score(self, architecture):
        if self.scoring.seed == 99:
            raise RuntimeError("out of luck")
        return super().score(architecture)


def searched(scoring, proxy, folder, count=60):
    history = History(folder / "history.sqlite")
    rng = random.Random(1)
    for architecture in dict.fromkeys(scoring.space.sample(rng) for _ in range(count)):
        score = proxy.score(architecture)
        value = score if isinstance(score, float) else score.value
        history.add(Record(0, architecture.genotype, 0, "random", (), None, value, {}, 1, 1, 0.0))
    return history


def test_a_proxy_that_fails_when_it_is_asked_again_is_told(nas_scoring, tmp_path, capsys):
    proxy = Failing(nas_scoring)
    with searched(nas_scoring, proxy, tmp_path) as history:
        measure_noise(proxy, lambda: Failing(nas_scoring.reseeded(99)), nas_scoring, history, tmp_path)
        assert read_noise(tmp_path, history.best(1)[0].genotype) is None
    assert "the noise of the best scores is not known" in " ".join(capsys.readouterr().err.split())


def test_the_noise_of_scores_is_measured_by_repeating_or_resampling(nas_scoring, tmp_path):
    codes = {}
    for kind in (Shaky, Steady, Loss):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        proxy = kind(nas_scoring)
        with searched(nas_scoring, proxy, folder, 60 if kind is not Loss else 16) as history:
            measure_noise(proxy, lambda: kind(nas_scoring.reseeded(99)), nas_scoring, history, folder, quiet=True)  # noqa: B023
            best = history.best(1)[0]
        noise = read_noise(folder, best.genotype)
        assert read_noise(folder, "another") is None
        assert 0 <= noise["best"]["accuracy"] <= 1
        verdict = within_noise(noise["contenders"], noise["how"])
        codes[kind.__name__] = verdict.code if verdict else None
        if kind is Loss:
            errors = [one.error for one in noise["contenders"]]
            losses = [
                nas_scoring.image_losses(nas_scoring.prepared(nas_scoring.space.parse(name)))[0]
                for name in noise["genotypes"]
            ]
            exact = [float((losses[0] - one).std(correction=0)) / len(one) ** 0.5 for one in losses[1:]]
            assert errors == pytest.approx(exact, rel=0.2)  # the standard error of a paired mean
            differences = [float((one - losses[0]).mean()) for one in losses[1:]]
            assert [one.difference for one in noise["contenders"]] == pytest.approx(differences, abs=1e-5)
            assert torch.isfinite(torch.tensor(errors)).all()
    assert codes["Shaky"] in ("scores-within-noise", "best-within-noise")
    assert codes["Steady"] is None
