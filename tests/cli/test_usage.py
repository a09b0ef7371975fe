"""A wrong command line is answered by one line with a suggestion and exit code 2, whichever click typer uses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import genas

from genas.core.terminal import literal, plain, warn


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["serach"], "'search'"),
        (["completely-else"], "expected one of evaluate, export"),
        (["search", "--prxy", "angle"], "'--proxy'"),
        (["search", "--epochs", "3"], "--set supernet.epochs=..."),
        (["--nope"], "genas --help"),
        (["search", "--nope"], "search has no option '--nope'"),
        (["search", "--seed", "abc"], "'abc'"),
        (["search", "--seed=-1"], "'--seed': the value should be greater than or equal to 0, got '-1'"),
        (["search", "--seed", "9" * 5000], "--seed"),
        (["search", "--seed"], "requires an argument"),
        (["search", "--budget", "large"], "'--budget': 'large' is not one of 'racing', 'exact'"),
        (["search", "more"], "more"),
        (["search", "--strategy", "evolve"], "unknown strategy 'evolve'"),
        (["status"], "Missing argument"),
        (["landscape", "RUN", "--pictures", "none"], "Invalid --images 'none'"),
        (["export", "RUN"], "'--out': The folder to make"),
        (["search", "--max-macs", "9" * 400], "expected a number above 0 such as 600M"),
        (["search", "--set", "seed=" + "9" * 5000], "the value is not YAML"),
        (["search", "--set", "seed=" + "[" * 100_000], "the value is not YAML"),
        (["sweep", "RUN", "--weights", "1," * 50_000 + "x"], "expected numbers with commas"),
        (["retrain", "RUN", "--seeds", "9" * 5000], "expected whole numbers with commas"),
        (["rank", "RUN", "--table", "T", "--architectures", "9" * 5000], "expected a whole number"),
        (["search", "--data", "\x1b[31m[bold]red"], r"'\x1b[31m[bold]red'"),
        (["search", "--data", "x" * 120_000], "more characters"),
        (["search", "--data", "src"], "Did you mean 'folder:src'?"),
        (["search", "--data", "folders:a/b"], "Did you mean 'folder:a/b'?"),
        (["search", "--data", "a.parquet:/b"], "expected folder:PATH or parquet:PATH"),
        (["search", "--data", "imagenet", "--data-root", "nowhere"], "--data-root"),
        (["status", "runs/no-such"], "There is no runs/no-such: expected the folder of a run."),
        (["retrain", "runs/no-such"], "There is no runs/no-such: expected the folder of a run."),
        (["status", "src"], "src is not a run folder: it has no config.yaml."),
    ],
)
def test_one_line_that_says_what_to_do_and_exit_code_2(arguments, wanted, capsys):
    assert genas(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("genas: ")
    assert err.count("\n") == 1
    assert wanted in err
    assert len(err) < 8000
    assert "\x1b" not in err


def test_without_arguments_the_help_is_shown(capsys):
    assert genas() == 2
    assert "search" in capsys.readouterr().out


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_the_first_speaks(rank, capsys, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    for arguments in (["retrain", "X", "--nope"], ["serach"]):
        assert genas(*arguments) == 2
        assert capsys.readouterr().err.count("\n") == (rank == "0")


@pytest.mark.parametrize("command", [[str(Path(sys.executable).parent / "genas")], [sys.executable, "-m", "genas"]])
def test_the_installed_command_answers_alike(command):
    for arguments, wanted in ((["serach"], "did you mean 'search'?"), (["search", "--prxy", "x"], "'--proxy'")):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode == 2
        assert wanted in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_ctrl_c_outside_of_any_loop_ends_with_a_sentence(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("genas.spaces.zoo.entry.names", interrupt)
    monkeypatch.setattr("genas.spaces.zoo.entry.load", interrupt)
    assert genas("zoo") == 130
    assert capsys.readouterr().err.startswith("genas: Interrupted; what was saved is complete.")


def test_ctrl_c_again_while_the_process_ends_is_ignored():
    # stands for the moments between the sentence and the end, when Python would answer with a traceback
    code = (
        "import atexit, os, signal, sys\n"
        "import genas.spaces.zoo.entry\n"
        "def interrupt(*_): raise KeyboardInterrupt\n"
        "genas.zoo.entry.names = genas.zoo.entry.load = interrupt\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['genas', 'zoo']\n"
        "from genas.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 130
    assert done.stderr.startswith("genas: Interrupted")
    assert "KeyboardInterrupt" not in done.stderr


def test_text_from_outside_stays_text():
    assert plain("a\nb\x1b]0;x\x07") == r"a\nb\x1b]0;x\x07"
    assert literal("[bold]x[/x]") == r"\[bold]x\[/x]"
    assert plain("Blüte 雪") == "Blüte 雪"
    assert len(plain("y" * 10**6)) < 1200


def test_sentences_break_between_words_on_a_terminal_and_nowhere_else(capsys, monkeypatch):
    words = [
        "The",
        "supernet",
        "has",
        "learnt",
        "next",
        "to",
        "nothing:",
        "over",
        "4",
        "random",
        "paths",
        "its",
        "loss",
        "on",
        "1,000",
        "images",
        "is",
        "2.2558.",
    ]
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    for terminal, lines in (("0", 1), ("1", 3)):
        monkeypatch.setenv("TTY_COMPATIBLE", terminal)
        warn(" ".join(words))
        written = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)
        assert written.split() == ["warning:", *words]
        assert written.count("\n") == lines
