"""What the terminal shows of predictions."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console

from genas.core.terminal import plain
from genas.workflows.predict import Predictions

_PROBABILITY = 7  # columns of "100.0 %"
_BETWEEN = 2


def print_predictions(found: Predictions) -> None:
    """A line per class of every image; what could not be read goes to the error stream."""
    errors = Console(stderr=True, highlight=False)
    if found.note is not None:
        errors.print("[bold]Note[/bold] ", end="")
        errors.print(plain(found.note), markup=False, soft_wrap=True)
    print("\n".join(_lines(found, Console().width)))  # a table of rich takes seconds for thousands of images
    for missing in found.unreadable:
        errors.print("[bold red]Not read[/bold red] ", end="")
        errors.print(plain(missing.reason), markup=False, soft_wrap=True)


def _lines(found: Predictions, width: int) -> Iterator[str]:
    """Image, class and probability in columns; a name that leaves no room for the others has a line of its own."""
    if not found.images:
        return
    names = [plain(one.image) for one in found.images]
    classes = max(cell_len(plain(name)) for one in found.images for name, _ in one.classes)
    room = max(width - classes - _PROBABILITY - 2 * _BETWEEN, 0)
    column = max((cell_len(name) for name in names if cell_len(name) <= room), default=_BETWEEN)
    yield _row("Image" if column >= len("Image") else "", "Class", "Prob.", column, max(classes, len("Class")))
    for image, one in zip(names, found.images, strict=True):
        first = image
        if cell_len(image) > column:
            yield image
            first = ""
        for place, (name, probability) in enumerate(one.classes):
            shown = first if place == 0 else ""
            yield _row(shown, plain(name), f"{100 * probability:.1f} %", column, max(classes, len("Class")))


def _row(image: str, name: str, probability: str, column: int, classes: int) -> str:
    left = image + " " * (column - cell_len(image) + _BETWEEN)
    return left + name + " " * (classes - cell_len(name) + _BETWEEN) + probability.rjust(_PROBABILITY)
