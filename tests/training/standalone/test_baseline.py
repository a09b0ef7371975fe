"""Random architectures to compare with: others than the best, always the same, within the limits."""

import pytest
from pydantic import ValidationError

from genas.cli.parse import read_share
from genas.core.errors import ConfigError
from genas.spaces import open_space
from genas.training.standalone import RetrainSettings
from genas.training.standalone.baseline import decide, draw, folder_of
from genas.training.standalone.settings import BaselineSettings

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
BEST = SPACE.parse("333103")
SHAPE = (3, 8, 8)


def drawn(**options):
    return draw(SPACE, BEST, 3, 4, SHAPE, **{"seed": 5, **options})


def test_they_are_of_other_functions_and_the_same_for_the_same_seed():
    first, again, other = drawn(), drawn(), drawn(seed=6)
    assert first == again != other
    keys = [SPACE.function_key(one.architecture) for one in first]
    assert len({*keys, SPACE.function_key(BEST)}) == 4
    assert all(one.fits for one in first)


def test_more_of_them_keep_the_first_ones():
    assert draw(SPACE, BEST, 5, 4, SHAPE, 5)[:3] == drawn()


def test_equal_macs_and_limits_hold(monkeypatch):
    best = next(one for one in drawn() if one.cost.macs)
    target = best.cost.macs
    near = draw(SPACE, best.architecture, 3, 4, SHAPE, 5, equal_macs=0.1)
    assert all(one.fits and abs(one.cost.macs - target) <= 0.1 * target for one in near)
    small = drawn(allowed=lambda architecture: "nor_conv_3x3" not in architecture.genotype)
    assert all("nor_conv_3x3" not in one.architecture.genotype for one in small)
    monkeypatch.setattr("genas.training.standalone.baseline.DRAWS", 20)
    assert drawn(allowed=lambda _: False) == []
    monkeypatch.setattr("genas.training.standalone.baseline.DRAWS", 60)
    rare = [0]

    def one_in_forty(_):
        rare[0] += 1
        return rare[0] % 40 == 0

    assert len(drawn(allowed=one_in_forty)) == 3  # after twice as many draws as may give nothing


def test_where_none_has_the_macs_the_nearest_come_and_say_so(monkeypatch):
    monkeypatch.setattr("genas.training.standalone.baseline.DRAWS", 20)
    largest = SPACE.parse("333333")
    found = draw(SPACE, largest, 2, 4, SHAPE, 5, equal_macs=1e-9)
    assert len(found) == 2
    assert not any(one.fits for one in found)
    assert found[0].cost.macs >= found[1].cost.macs >= sorted(one.cost.macs for one in drawn())[1]


@pytest.mark.parametrize(
    ("choice", "one", "spent", "count"),
    [
        ("random:5", 1e9, 0, 5),
        ("none", 1, 1e9, 0),
        ("auto", 20, 60, 3),  # a minute in all
        ("auto", 60, 600, 0),
        ("auto", 60, 1801, 3),  # a tenth of half an hour
    ],
)
def test_they_come_unasked_only_where_that_is_cheap(choice, one, spent, count):
    assert decide(BaselineSettings(choice=choice), one, spent)[0] == count


def test_wrong_choices_are_refused():
    for choice in ("random", "random:0", "random:51", "all", "random:-1", "random:3x"):
        with pytest.raises(ValidationError, match="expected auto, none or random:N"):
            BaselineSettings(choice=choice)
    assert read_share("10%", "--baseline-macs") == pytest.approx(0.1)
    assert read_share("0.25", "--baseline-macs") == 0.25
    for text in ("0", "110%", "-1%", "ten", "1" * 400):
        with pytest.raises(ConfigError, match="expected a share"):
            read_share(text, "--baseline-macs")


def test_another_training_lies_in_another_folder(tmp_path):
    folders = {
        folder_of(tmp_path, architecture, RetrainSettings(epochs=epochs), seed)
        for architecture in (BEST, SPACE.parse("000001"))
        for epochs in (1, 2)
        for seed in (0, 1)
    }
    assert len(folders) == 8
    rarely = RetrainSettings(epochs=1, checkpoint_seconds=7)
    assert folder_of(tmp_path, BEST, rarely, 0) == folder_of(tmp_path, BEST, RetrainSettings(epochs=1), 0)
