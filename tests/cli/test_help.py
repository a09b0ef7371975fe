"""What the help pages say is what was written."""

import importlib.metadata
import inspect
import re
from typing import get_args

import pytest
from typer.testing import CliRunner

from genas.cli.app import app

COMMANDS = {command.name: command.callback for command in app.registered_commands}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_shows_written_defaults_and_flowing_paragraphs(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 300)
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    shown = " ".join(result.output.replace("│", " ").split())
    for parameter in inspect.signature(COMMANDS[name]).parameters.values():
        said = get_args(parameter.annotation)[1].help
        assert said
        assert " ".join(said.replace("\\[", "[").split()) in shown
    for paragraph in inspect.cleandoc(COMMANDS[name].__doc__).split("\n\n"):
        assert " ".join(re.sub(r"\[/?bold\]", "", paragraph).split()) in shown


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_complete_on_a_terminal_of_80_columns(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    lines = CliRunner().invoke(app, [name, "--help"]).output.splitlines()
    assert lines
    assert not [line for line in lines if "…" in line], "a word is cut off"
    assert "...}" not in lines[1]
    assert "[[" not in lines[1]


def test_version_is_that_of_the_package():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"genas {importlib.metadata.version('genas')}\n"
