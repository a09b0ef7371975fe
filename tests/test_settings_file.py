"""How settings may be written: counts, dotted keys."""

import pytest

from genas.core.errors import ConfigError
from genas.core.settings import expand, parse_count
from genas.workflows.config import build_config, parse_assignment, read_yaml


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("30M", 30_000_000),
        (" 1.5k ", 1500),
        ("30000", 30000),
        ("3e7", 30_000_000),
        ("2G", 2 * 10**9),
        ("0.5M", 500_000),
    ],
)
def test_counts_are_read_alike_everywhere(text, count, tmp_path):
    assert parse_count(text) == count
    file = tmp_path / "settings.yaml"
    file.write_text(f"search: {{max_macs: {text}}}\n")
    for layer in (read_yaml(file), parse_assignment(f"search.max_macs={text}"), {"search.max_macs": text}):
        assert build_config([layer]).strategy.max_macs == count


@pytest.mark.parametrize("text", ["", "0", "-1", "1T", "1.5.2", "M", "9" * 400, "1e99", "nan", "inf", "0.1"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(ValueError, match="expected a number above 0"):
        parse_count(text)


def test_dotted_keys_are_nested_ones(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(
        "supernet.epochs: 7\nproxy: {flatness.draws: 3, batchnorm: {images: 64}}\nproxy.expression: angle\n"
    )
    config = build_config([read_yaml(file)])
    assert (config.supernet.epochs, config.proxy.flatness.draws) == (7, 3)
    assert (config.proxy.batchnorm.images, config.proxy.expression) == (64, "angle")


def test_a_setting_given_twice_is_refused(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("supernet.epochs: 7\nsupernet: {epochs: 8}\n")
    with pytest.raises(ConfigError, match="supernet.epochs is given twice"):
        read_yaml(file)
    with pytest.raises(ValueError, match="a is given twice"):
        expand({"a": 1, "a.b": 2})


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"Supernet": {"epochs": 1}}, "did you mean 'supernet'"),
        ({"supernet": {"Epochs": 1}}, "did you mean 'supernet.epochs'"),
        ({"epochs": 1}, "supernet.epochs' or 'retrain.epochs"),
        ({"supernet.epohcs": 1}, "did you mean 'supernet.epochs'"),
    ],
)
def test_an_unknown_key_comes_with_the_right_one(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        build_config([wrong])
