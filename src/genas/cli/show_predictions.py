"""What the terminal shows of predictions."""

from rich.console import Console
from rich.table import Table

from genas.prediction import Predictions
from genas.terminal import literal, plain


def print_predictions(found: Predictions) -> None:
    """A line per class of every image; what could not be read goes to the error stream."""
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    if found.note is not None:
        errors.print("[bold]Note[/bold] ", end="")
        errors.print(plain(found.note), markup=False, soft_wrap=True)
    if found.images:
        table = Table(box=None, pad_edge=False)
        table.add_column("Image", overflow="fold")
        table.add_column("Class", overflow="fold")
        table.add_column("Probability", justify="right", no_wrap=True)
        for one in found.images:
            for place, (name, probability) in enumerate(one.classes):
                style = "bold" if place == 0 else "dim"
                shown = literal(one.image) if place == 0 else ""
                table.add_row(shown, literal(name), f"{100 * probability:.1f} %", style=style)
        console.print(table)
    for missing in found.unreadable:
        errors.print("[bold red]Not read[/bold red] ", end="")
        errors.print(plain(missing.reason), markup=False, soft_wrap=True)
