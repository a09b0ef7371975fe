"""``genas report``."""

import json
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
    as_json: options.Json = False,
) -> None:
    """Write the report page of a run anew, from what the run folder holds; prints its path."""
    from genas.report.build import build_report

    path = build_report(run, out)
    print(json.dumps({"report": str(path)}) if as_json else str(path))
