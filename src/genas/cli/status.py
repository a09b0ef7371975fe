"""``genas status``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: options.Json = False,
) -> None:
    """Show how far a run is and the best architectures so far; the run may be going on."""
    from genas.cli.show import print_status
    from genas.cli.show_retrain import print_retrain_status
    from genas.reporting.status import RetrainStatus
    from genas.reporting.status import status as read_status

    state = read_status(run)
    show = print_retrain_status if isinstance(state, RetrainStatus) else print_status
    options.emit(state, as_json, lambda state: show(state.to_dict()))
