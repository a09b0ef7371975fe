"""What the presets and ``--as-published`` make of a configuration."""

import pytest

from genas.core.errors import ConfigError
from genas.strategies import Evolution, SearchSettings
from genas.workflows.config import build_config, describe_given, given_layers


@pytest.mark.parametrize(("space", "shifted"), [("darts", True), ("nasbench-macro", True), ("nasbench201", False)])
def test_as_published_shifts_the_schedule_where_the_published_code_does(space, shifted):
    """methods.md 3, T1: not in the supernet code of NAS-Bench-201 (methods.md 13.3)."""
    named = {"space": {"name": space}}
    assert build_config([named], as_published=True).supernet.shifted_schedule == shifted
    assert not build_config([named]).supernet.shifted_schedule
    given = {"supernet": {"shifted_schedule": not shifted}}
    assert build_config([named, given], as_published=True).supernet.shifted_schedule != shifted


def test_as_published_mutation_is_that_of_the_darts_space():
    assert build_config([{"space": {"name": "darts"}}], as_published=True).space.options["mutation"] == "as-published"
    assert "mutation" not in build_config([{"space": {"name": "nasbench201"}}], as_published=True).space.options


@pytest.mark.parametrize("side", [7, 100_000])
def test_image_sizes_that_would_fill_the_memory_are_refused_before_anything_is_read(side):
    with pytest.raises(ConfigError, match=f"data.image_size is {side}"):
        build_config([{"data": {"name": "folder:nowhere", "image_size": side}}])


def test_the_settings_of_a_strategy_that_was_passed_are_those_of_the_run():
    given = describe_given(search=Evolution(None, SearchSettings(population=6)))
    assert given == {"strategy": {"population": 6, "algorithm": "evolution"}}
    assert build_config([given]).strategy.population == 6
    assert describe_given(search=Evolution) == {"strategy": {"algorithm": "evolution"}}


@pytest.mark.parametrize("settings", ["supernet.epochs=3", [1], 3, [{"seed": 1}, "seed=2"]])
def test_settings_that_are_no_mappings_are_refused_with_the_form_that_is_expected(settings):
    with pytest.raises(ConfigError, match=r"settings is .*: expected nested mappings such as"):
        given_layers(settings)


def test_settings_are_one_mapping_or_several():
    assert given_layers(None, seed=3)[-1] == {"seed": 3}
    assert given_layers({"seed": 1})[0] == {"seed": 1}
    assert given_layers([{"seed": 1}, {"seed": 2}])[:2] == [{"seed": 1}, {"seed": 2}]
