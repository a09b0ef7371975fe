import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from pydantic import model_validator

import genas
from genas.core.errors import CheckpointError, ConfigError
from genas.core.run_folder import read_config
from genas.core.run_paths import RunPaths
from genas.core.settings import Settings, combine, keys_of, validate
from genas.workflows.config import Config, build_config, fill_defaults


class Inner(Settings):
    draws: int = 3
    sigmas: tuple[float, ...] = (0.1,)


class Outer(Settings):
    width: int = 8
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _consistent(self):
        if self.width == 13:
            raise ValueError("Width and draws do not go together")
        return self


def test_right_values_become_the_model():
    assert validate(Outer, {"inner": {"draws": 4}}, "x is wrong").inner.draws == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 1}, "unknown key 'widht' (did you mean 'width'?)"),
        ({"inner": {"drawz": 1}}, "unknown key 'inner.drawz' (did you mean 'inner.draws'?)"),
        ({"draws": 1}, "unknown key 'draws' (did you mean 'inner.draws'?)"),
        ({"zzz": 1}, "unknown key 'zzz' (known here are width, inner)"),
        ({"inner": {"qqqqqqqqqqqq": 1}}, "unknown key 'inner.qqqqqqqqqqqq' (known here are inner.draws, inner.sigmas)"),
        ({"inner": {"draws": "many"}}, "inner.draws is 'many': input should be a valid integer"),
        ({"width": "many", "inner": {"zzz": 1}}, "width is 'many': input should be a valid integer"),
        ({"inner": 3}, "inner is 3: input should be a valid dictionary"),
        ({"width": 13}, "x is wrong: width and draws do not go together."),
        ([1], "x is wrong"),
    ],
)
def test_every_fault_is_a_sentence_of_the_class_that_was_asked_for(values, message):
    for error in (ConfigError, CheckpointError):
        with pytest.raises(error) as found:
            validate(Outer, values, "x is wrong", error)
        assert message in str(found.value)
        assert str(found.value).startswith("x is wrong: ")
        assert str(found.value).endswith(".")


def test_all_faults_are_named():
    with pytest.raises(ConfigError) as found:
        validate(Outer, {"width": "many", "inner": {"zzz": 1}}, "x is wrong")
    assert "width is" in str(found.value)
    assert "'inner.zzz'" in str(found.value)


def test_a_long_value_does_not_drown_the_message():
    with pytest.raises(ConfigError) as found:
        validate(Inner, {"draws": "a" * 5000}, "x is wrong")
    assert len(str(found.value)) < 300


def test_keys_are_those_of_the_dumped_model():
    def leaves(value, prefix=""):
        for key, entry in value.items():
            yield from leaves(entry, f"{prefix}{key}.") if isinstance(entry, dict) and entry else [f"{prefix}{key}"]

    assert keys_of(Outer) == list(leaves(Outer().model_dump()))
    assert set(leaves(Config().model_dump())) <= set(keys_of(Config))


def test_one_place_words_the_faults():
    folder = Path(genas.__file__).parent
    handled = [path.name for path in folder.rglob("*.py") if re.search(r"except \(?ValidationError", path.read_text())]
    assert handled == ["settings.py"]


class Renamed(Settings):
    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images", "by=pictures": "images"}

    images: int = 1
    by: str = "images"


class Holder(Settings):
    former_names: ClassVar[Mapping[str, str]] = {"old": "new"}

    new: Renamed = Renamed()


def test_former_names_of_keys_sections_and_values_are_accepted():
    expected = Holder(new=Renamed(images=5))
    assert validate(Holder, {"old": {"pictures": 5, "by": "pictures"}}, "x is wrong") == expected
    assert validate(Holder, {"new": {"images": 5, "by": "images"}}, "x is wrong") == expected
    assert expected.model_dump() == {"new": {"images": 5, "by": "images"}}


def test_former_and_new_names_are_one_setting_and_the_later_layer_wins():
    layers = [{"old.pictures": 1}, {"new": {"images": 2}}, {"old": {"images": 3}}]
    assert combine(Holder, layers) == {"new": {"images": 3}}
    assert combine(Holder, layers[::-1]) == {"new": {"images": 1}}


def test_both_names_at_once_are_refused():
    with pytest.raises(ConfigError, match="unknown key 'new.pictures'"):
        validate(Holder, {"new": {"pictures": 1, "images": 1}}, "x is wrong")


def test_a_configuration_with_former_names_is_the_same_configuration():
    former = {
        "proxy": {"evaluation": {"pictures": 64, "weighting": "pictures"}, "flatness": {"draw_pictures": "dealt"}}
    }
    now = {"proxy": {"evaluation": {"images": 64, "weighting": "images"}, "flatness": {"draw_images": "dealt"}}}
    config = build_config([former])
    assert config == build_config([now])
    assert config.proxy.evaluation.images == 64
    stored = config.model_dump(mode="json")
    begun_before = config.model_dump(mode="json")
    evaluation = begun_before["proxy"]["evaluation"]
    evaluation |= {"pictures": evaluation.pop("images"), "weighting": "pictures"}
    assert fill_defaults(begun_before) == stored


def test_the_section_of_the_strategy_is_found_by_its_former_name(tmp_path):
    layers = [{"search.generations": 3}, {"strategy": {"population": 5}}, {"search": {"max_macs": "30M"}}]
    config = build_config(layers)
    found = config.strategy
    assert (found.generations, found.population, found.max_macs) == (3, 5, 30_000_000)
    stored = config.model_dump(mode="json")
    begun_before = {"search" if key == "strategy" else key: value for key, value in stored.items()}
    assert fill_defaults(begun_before) == stored
    RunPaths(tmp_path).config.write_text(yaml.safe_dump(begun_before))
    assert read_config(tmp_path) == stored
