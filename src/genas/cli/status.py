"""``genas status``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def status(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    as_json: options.Json = False,
) -> None:
    """Show how far a run is and the best architectures so far; the run may be going on."""
    from genas.cli.show import print_status
    from genas.cli.show_retrain import print_retrain_status
    from genas.reporting.status import read_status

    state = read_status(run)
    options.emit(state, as_json, print_retrain_status if "genotype" in state else print_status)
