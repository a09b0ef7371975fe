"""Options made of settings models: type, bounds, default and help are the field's, and only what is given comes."""

import subprocess
import sys
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from genas.cli.app import COMMANDS
from genas.cli.setting import Given, Setting, add_settings
from genas.core.errors import ConfigError
from genas.core.settings import Count, Settings


class Kettle(Settings):
    minutes: int = Field(3, ge=1, le=9)
    """Minutes of boiling (methods.md 4.4: 3). More makes no difference."""
    cups: int | None = Field(4, ge=2)
    """Cups, of ``both`` kinds; None for those that fit."""
    cost: Count | None = Field(None, ge=1)
    """Greatest cost, such as 30M; None for no limit."""
    heat: float = Field(0.5, gt=0)
    """Heat."""
    kind: Literal["gas", "electric"] = "gas"
    """Kind."""
    lid: bool = True
    """Close the lid."""
    leaves: tuple[float, ...] = (1.0, 2.5)
    """Leaves of each cup."""
    names: tuple[str, ...] = ()
    """Whom it is for."""
    extra: dict[str, int] = Field(default_factory=dict)
    """What no option can say."""


FIELDS = tuple(name for name in Kettle.model_fields if name != "extra")


def run(*arguments, settings=None):
    """What a command with an option for each field receives; click's result where that is refused."""
    found = []

    @add_settings(*(settings or [Setting(Kettle, name, "Tea", section="tea") for name in FIELDS]))
    def boil(where: str, given: Given, quiet: Annotated[bool, typer.Option("--quiet")] = False) -> None:
        found.append((where, given, quiet))

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(boil)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(one) for one in arguments])
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return found[0] if found else result


def test_only_what_is_given_reaches_the_command():
    assert run("home") == ("home", {}, False)
    assert run("home", "--minutes", 3, "--quiet") == ("home", {"tea.minutes": 3}, True)


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--cups", "all"], "cups", None),
        (["--cups", "12"], "cups", 12),
        (["--cost", "1.5M"], "cost", 1_500_000),
        (["--heat", "0.25"], "heat", 0.25),
        (["--kind", "electric"], "kind", "electric"),
        (["--no-lid"], "lid", False),
        (["--lid"], "lid", True),
        (["--leaves", "1,2,3"], "leaves", [1.0, 2.0, 3.0]),
        (["--names", "a", "--names", "b"], "names", ["a", "b"]),
    ],
)
def test_a_value_is_what_the_model_takes(arguments, key, value):
    given = run("home", *arguments)[1]
    assert given == {f"tea.{key}": value}
    taken = getattr(Kettle(**{key: given[f"tea.{key}"]}), key)
    assert (list(taken) if isinstance(taken, tuple) else taken) == value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--minutes", 0], "equal to 1"), (["--minutes", 10], "equal to 9"), (["--kind", "solar"], "electric")],
)
def test_what_the_field_forbids_is_refused_by_the_option(arguments, said):
    result = run("home", *arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--cups", "1"], "Invalid --cups '1': expected a whole number of at least 2, or all."),
        (["--cups", "few"], "Invalid --cups 'few': expected a whole number above 0, or all."),
        (["--cost", "lots"], "Invalid --cost 'lots': expected a number above 0 such as 600M, 1.5M or 30000."),
        (["--leaves", "1,x"], "Invalid --leaves '1,x': expected numbers with commas between them, such as 0,1.5,16."),
    ],
)
def test_a_text_that_cannot_be_read_is_named_with_its_option(arguments, sentence):
    with pytest.raises(ConfigError) as caught:
        run("home", *arguments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("minutes", "Minutes of boiling. \\[default: 3]"),
        ("cups", "Cups, of both kinds; all: those that fit. \\[default: 4]"),
        ("cost", "Greatest cost, such as 30M. \\[default: no limit]"),
        ("heat", "Heat. \\[default: 0.5]"),
        ("lid", "Close the lid. \\[default: lid]"),
        ("leaves", "Leaves of each cup. \\[default: 1.0,2.5]"),
    ],
)
def test_the_help_is_the_first_sentence_of_the_field(field, text):
    assert Setting(Kettle, field, "Tea").help == text


def test_a_command_may_name_another_default_and_flag():
    setting = Setting(Kettle, "minutes", "Tea", "--long", default="the recipe's")
    assert setting.help.endswith("\\[default: the recipe's]")
    assert run("home", "--long", 5, settings=[setting])[1] == {"minutes": 5}
    assert Setting(Kettle, "minutes", "Tea", default="").help == "Minutes of boiling."


def test_a_field_that_no_option_can_say_is_refused_when_the_command_is_made():
    with pytest.raises(TypeError, match="no option for a field of the type dict"):
        add_settings(Setting(Kettle, "extra", "Tea"))


def test_all_help_screens_come_without_torch():
    names = [command.__name__ for command in COMMANDS]
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from genas.cli.app import app\n"
        f"for name in [[], *([one] for one in {names!r})]:\n"
        "    result = CliRunner().invoke(app, [*name, '--help'])\n"
        "    assert result.exit_code == 0, name\n"
        "    assert 'methods.md' not in result.output, name\n"
        "assert not {'torch', 'numpy'} & set(sys.modules), 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
