import re
from pathlib import Path

import pytest
from pydantic import model_validator

import genas
from genas.core.errors import CheckpointError, ConfigError
from genas.core.settings import Settings, keys_of, validate
from genas.workflows.config import Config


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
