"""Every proxy says of itself what the documentation and the configuration say of it."""

import re
import sys
from pathlib import Path

import pytest

import genas
from genas.analysis.ranking.scores import Scores
from genas.analysis.ranking.variants import read_variants
from genas.core.errors import ConfigError, RunError
from genas.proxies import ProxySettings
from genas.proxies.base import Proxy
from genas.proxies.expression import complete, keep_for, sections_read, settings_model
from genas.proxies.named import PROXIES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "proxies.md"
HERE = __name__


class Counted(Proxy):
    name = "my-count"

    class Settings(genas.Settings):
        factor: float = 1.0
        power: int = 1

    def score(self, architecture):
        return self.settings.factor * len(architecture.genotype) ** self.settings.power


class Nameless(Counted):
    name = ""


class Impostor(Counted):
    name = "flatness"


class Gentle(PROXIES.find("flatness")):
    """Inherits name and settings of a proxy of genas."""


def described(name):
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and f"`{name}`" in cells[0].split(", ") and len(cells) == 6:
            return cells
    raise AssertionError(name)


@pytest.mark.parametrize("name", PROXIES.names)
def test_the_document_says_what_the_class_says(name):
    kind = PROXIES.find(name)
    assert kind.name == name
    _, _, source, settings, passes, _ = described(name)
    assert (source, passes) == (kind.citation, kind.passes)
    sections = [one.section_name() for one in (kind, *kind.reads) if one.Settings.model_fields or one.section]
    assert re.findall(r"`(\w+)`", settings) == sections


def test_classes_of_the_table_are_not_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry])
    PROXIES.find("loss")
    assert str(tmp_path) not in sys.path


def test_a_line_of_the_table_makes_a_section_of_the_settings(monkeypatch):
    monkeypatch.setitem(PROXIES.table, "my-count", f"{HERE}:Counted")
    model = settings_model((*PROXIES.names,))
    made = model.model_validate({"expression": "2*my-count - loss", "my_count": {"factor": 3}})
    assert made.my_count == Counted.Settings(factor=3)
    assert sections_read(made) == {"expression", "batchnorm", "evaluation", "my_count"}
    assert type(made.of(Counted)) is Counted.Settings


def test_settings_of_a_custom_class_are_written_out_and_kept_while_it_is_named():
    name = f"{HERE}:Counted"
    given = ProxySettings.model_validate({"expression": f"angle + {name}", "my_count": {"factor": 3}})
    whole = complete(given).model_dump(mode="json")
    assert whole["my_count"] == {"factor": 3.0, "power": 1}
    assert complete(ProxySettings(expression=name)).model_dump()["my_count"] == {"factor": 1.0, "power": 1}
    assert keep_for(whole, name)["my_count"] == {"factor": 3.0, "power": 1}
    assert "my_count" not in keep_for(whole, "angle")
    assert "my_count" in sections_read(ProxySettings.model_validate(whole))


def test_a_study_takes_scores_over_under_the_same_settings_only(tmp_path):
    def agree(**settings):
        named = {"mine": {"expression": f"{HERE}:Counted", "my_count": settings}}
        with Scores(tmp_path / "scores.sqlite") as scores:
            scores.agree({}, read_variants("", named, ProxySettings()))

    agree(factor=3)
    agree(factor=3, power=1)
    with pytest.raises(RunError, match="my_count.factor was 3.0, is 4.0"):
        agree(factor=4)


def test_a_class_that_inherits_name_and_settings_of_genas_has_their_defaults(nas_scoring):
    settings = ProxySettings.model_validate({"expression": f"{HERE}:Gentle", "flatness": {"draws": 3}})
    assert complete(settings) == settings
    assert settings.open(settings.expression, nas_scoring).settings.draws == 1  # as in runs made before


@pytest.mark.parametrize(
    ("expression", "sections", "message"),
    [
        ("{}:Counted", {"my_count": {"fcator": 1}}, "did you mean 'factor'"),
        ("{}:Counted", {"my_count": {"power": "two"}}, "power"),
        ("{}:Counted", {"my_cuont": {"factor": 1}}, "Did you mean 'my_count'"),
        ("{}:Nameless", {}, "expected an attribute `name` of its own"),
        ("{}:Impostor", {}, "calls itself 'flatness'; expected an attribute `name` of its own"),
    ],
)
def test_wrong_settings_of_custom_classes_are_told(expression, sections, message):
    settings = ProxySettings.model_validate({"expression": expression.format(HERE), **sections})
    with pytest.raises(ConfigError, match=re.escape(message)):
        complete(settings)
