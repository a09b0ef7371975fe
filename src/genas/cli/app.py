"""The console command ``genas``: collects the commands and turns errors into one sentence and an exit code."""

import inspect
import os
import signal
import sys
from typing import NoReturn

import typer

import genas
from genas.cli import (
    evaluate,
    export,
    landscape,
    options,
    predict,
    rank,
    report,
    retrain,
    score,
    search,
    status,
    supernet,
    sweep,
    usage,
    zoo,
)
from genas.core.allocator import keep_freed_memory
from genas.core.errors import DataError, GenasError
from genas.core.terminal import say

app = typer.Typer(
    name="genas",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find neural architectures that generalise: train one weight-sharing supernet, measure how flat the loss is "
    "around each architecture, search by that measure, retrain the winner.\n\n"
    "Start with [bold]genas search[/bold]: without options it searches on a small built-in data set.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"genas {genas.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    if debug:
        os.environ["GENAS_DEBUG"] = "1"


COMMANDS = (
    search.search,
    supernet.supernet,
    score.score,
    landscape.landscape,
    sweep.sweep,
    rank.rank,
    evaluate.evaluate,
    predict.predict,
    export.export,
    status.status,
    retrain.retrain,
    report.report,
    zoo.zoo,
)


def _flowing(text: str) -> str:
    """A docstring whose paragraphs are one line each: the terminal's width breaks them, not ours."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for command in COMMANDS:
    app.command(command.__name__, help=_flowing(command.__doc__ or ""))(command)


_INTERRUPTED = 130


def main() -> None:
    """Runs the command line; the process's exit code tells how it went (0, 2 for bad input, 130 for Ctrl-C).

    Without arguments it shows the help, and the exit code is 2: nothing was done.
    """
    keep_freed_memory()  # here, not in the library: a program that imports genas chooses for itself
    arguments = sys.argv[1:]
    debug = "--debug" in arguments or bool(os.environ.get("GENAS_DEBUG"))
    arguments = [argument for argument in arguments if argument != "--debug"]  # allowed at any place
    wrong = usage.unknown_command(arguments, [command.__name__ for command in COMMANDS])
    if wrong is not None:
        _refuse(wrong)
    try:
        code = app(args=arguments or ["--help"], prog_name="genas", standalone_mode=False)
    except GenasError as error:
        if debug:
            raise
        if error.exit_code == _INTERRUPTED:
            _ignore_further_signals()
        if _speaks(error):
            _complain(str(error))
        sys.exit(error.exit_code)
    except usage.USAGE as error:
        if debug:
            raise
        _refuse(usage.sentence(error, arguments))
    except (KeyboardInterrupt, typer.Abort):
        if debug:
            raise
        _interrupted()
    except OSError as error:
        if debug or (error.filename is None and error.errno is None):
            raise
        _complain(f"{error.filename or 'a file'}: {error.strerror or error}.")
        sys.exit(2)
    if code == _INTERRUPTED:  # typer makes a return value of Ctrl-C
        _interrupted()
    sys.exit((code if isinstance(code, int) else 0) if arguments else 2)


def _ignore_further_signals() -> None:
    """The process is ending: another Ctrl-C would only print a traceback of Python's own shutdown."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupted() -> NoReturn:
    _ignore_further_signals()
    if options.is_first_process():
        _complain("Interrupted; what was saved is complete. Give the same command to continue.")
    sys.exit(_INTERRUPTED)


def _refuse(sentence: str) -> NoReturn:
    """Ends with what is wrong with the command line; of several processes that torchrun started, the first says it."""
    if options.is_first_process():
        _complain(sentence)
    sys.exit(2)


def _speaks(error: GenasError) -> bool:
    """Whether this process reports the error: of several that torchrun started, the first one speaks for all.

    The others report what may be theirs alone: an image that they could not read once training has begun.
    """
    if options.is_first_process():
        return True
    torch = sys.modules.get("torch")
    return isinstance(error, DataError) and torch is not None and torch.distributed.is_initialized()


def _complain(sentence: str) -> None:
    say(sentence, "genas:", "bold red")
