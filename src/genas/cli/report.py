"""``genas report``."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the page goes. \\[default: into RUN]", rich_help_panel=options.OUTPUT),
    ] = None,
    noise_curves: Annotated[
        bool,
        typer.Option(
            "--noise-curves",
            help="First measure the loss under growing noise of the best, the median and the worst architecture, where "
            "it is missing.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the report page of a run anew, from what the run folder holds; prints its path."""
    from genas.workflows.report import report as write

    with options.loading(quiet) if noise_curves else nullcontext():
        found = write(run, out=out, noise_curves=noise_curves, quiet=quiet)
    options.emit(found, as_json, lambda found: print(found.report))
