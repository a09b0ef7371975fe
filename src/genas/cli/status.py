"""``genas status``."""

import json
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
    from genas.status import read_status

    state = read_status(run)
    if as_json:
        print(json.dumps(state, indent=2))
    elif "genotype" in state:
        print_retrain_status(state)
    else:
        print_status(state)
