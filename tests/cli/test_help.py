"""What the help pages say is what was written."""

import importlib.metadata
import inspect
import re

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
    source = re.sub(r'"\s*\n\s*"', "", inspect.getsource(COMMANDS[name]))
    for default in re.findall(r"\\*\[default: ([^\]]*)\]", source):
        assert f"[default: {default}]" in shown
    for paragraph in inspect.cleandoc(COMMANDS[name].__doc__).split("\n\n"):
        assert " ".join(re.sub(r"\[/?bold\]", "", paragraph).split()) in shown


def test_version_is_that_of_the_package():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"genas {importlib.metadata.version('genas')}\n"
