"""Which proxies score alike, which measure the same, and scores and keys that stored results depend on."""

import pytest

from genas.analysis.ranking.variants import read_variants
from genas.proxies import (
    Accuracy,
    Angle,
    AngleSettings,
    BatchNormSettings,
    EvaluationSettings,
    Flatness,
    FlatnessSettings,
    Loss,
    ProxySettings,
    RelativeFlatness,
    Scoring,
    open_proxy,
)
from genas.proxies.expression import sections_read
from genas.testing import small_scoring

SMALL = ProxySettings.model_validate(
    {
        "flatness": {"sigmas": (0.01, 0.03)},
        "zero_cost": {"images": 8, "naswot_images": 8},
        "curvature": {"images": 8, "neighbours": 2},
    }
)


class Steep(Flatness):
    """A user's, which changes what is measured."""

    def __init__(self, scoring, settings=None, slope=1, places=()):
        super().__init__(scoring, settings)
        self.slope = slope


class Turned(Angle):
    """A user's, with an option that its settings do not hold."""

    def __init__(self, scoring, turn=0.0):
        super().__init__(scoring)
        self.turn = turn


def test_what_is_measured_once_for_several_proxies(nas_scoring):
    one = nas_scoring
    assert Accuracy(one).measurement == Loss(one).measurement
    flat = Flatness(one, FlatnessSettings(alpha=3)).measurement
    assert flat == Flatness(one, FlatnessSettings(alpha=0)).measurement
    assert flat != Flatness(one, FlatnessSettings(draws=2)).measurement
    assert flat != RelativeFlatness(one).measurement
    assert flat != Steep(one, FlatnessSettings(alpha=3)).measurement
    assert Steep(one, slope=2).measurement != Steep(one, slope=3).measurement


def test_those_of_one_class_and_the_same_arguments_score_alike(nas_scoring):
    one = nas_scoring
    assert Angle(one, AngleSettings()).alike == Angle(one, AngleSettings()).alike
    assert Angle(one, AngleSettings()).alike != Angle(one, AngleSettings(dil_shift="scale")).alike
    assert Turned(one, 1.0).alike == Turned(one, 1.0).alike
    assert Turned(one, 1.0).alike != Turned(one, 2.0).alike
    assert Turned(one).alike != Angle(one).alike
    listed = Steep(one, places=[1])  # a list cannot be compared by its hash
    assert listed.alike == listed.alike != Steep(one, places=[1]).alike


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("angle", 0.11243283741047445),
        ("flatness", 0.0029154932338436275),
        ("loss", -2.3399761994294415),
        ("sharpness", 0.007051217248914554),
        ("neighbour-flatness", 0.00352904191747088),
        ("params", 14230.0),
        ("synflow", 381245470.195001),
        ("naswot", 66.8572284396771),
        ("angle + 16*flatness - 0.5*loss", 5.870565757543973),
    ],
)
def test_scores_are_those_of_runs_made_before(name, value):
    """Computed by commit bf5b937."""
    made = small_scoring()
    scoring = Scoring(
        made.space,
        made.supernet,
        made.initial,
        made.splits,
        made.fabric,
        0,
        BatchNormSettings(images=16, batch_size=8),
        EvaluationSettings(images=48, batch_size=24),
    )
    architecture = made.space.parse(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    )
    score = open_proxy(scoring, SMALL.model_copy(update={"expression": name})).score(architecture)
    assert score.value == pytest.approx(value, rel=1e-6)


def test_keys_of_stored_scores_are_those_of_runs_made_before():
    """Computed by commit bf5b937: what a study compares before it takes scores over."""
    (*_, variant) = read_variants("angle + 16*flatness", {}, SMALL)
    described = variant.describe()
    assert {key: described[key] for key in ("kind", "members", "code")} == {"kind": "proxy", "members": [], "code": {}}
    settings = described["settings"]
    assert set(settings) == {
        "expression", "options", "flatness", "relative_flatness", "angle", "curvature", "zero_cost", "consensus",
        "batchnorm", "evaluation",
    }  # fmt: skip
    assert settings["flatness"]["sigmas"] == [0.01, 0.03]
    assert settings["zero_cost"] == {"images": 8, "naswot_images": 8, "cells": None, "channels": None, "subset": 0}
    assert sections_read(variant.proxy_settings) == {"expression", "batchnorm", "evaluation", "angle", "flatness"}
