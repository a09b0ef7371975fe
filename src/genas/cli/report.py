"""``genas report``."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[
        Path | None,
        options.option(options.OUTPUT, "--out", "The folder that the page goes into. \\[default: into RUN]"),
    ] = None,
    noise_curves: Annotated[
        bool,
        options.option(
            options.OUTPUT,
            "--noise-curves",
            "First measure the loss under growing noise of the best, the median and the worst architecture, where "
            "it is missing.",
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
