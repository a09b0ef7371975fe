"""``genas report``."""

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
    if noise_curves:
        with options.loading(quiet):
            from genas.workflows.noise_curves import make_noise_curves

        make_noise_curves(run, quiet)
    from genas.reporting.build import build_report

    path = build_report(run, out)
    options.emit({"report": str(path)}, as_json, lambda content: print(content["report"]))
