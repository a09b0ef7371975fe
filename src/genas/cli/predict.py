"""``genas predict``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def predict(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="NETWORK",
            help="A run folder, a seed's folder of genas retrain, an exported folder, a weights file or a model.onnx.",
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Image files, and folders of them at any depth.")
    ],
    top: Annotated[int, options.option(options.OUTPUT, "--top", "Classes to show for each image.")] = 5,
    batch_size: Annotated[int, options.option(options.MACHINE, "--batch-size", "Images per forward pass.")] = 64,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Classify image files with a trained network.

    Images are turned upright, resized and normalised exactly as in genas evaluate. Files that cannot be read are named
    and the others classified; the exit code is then 1.

    [bold]Examples[/bold]

    genas predict runs/photos dog.jpg cat.png

    genas predict exported holiday-photos --top 1 --json
    """
    from genas.cli.show_predictions import print_predictions
    from genas.workflows.predict import predict as classify

    found = classify(path, list(images), top=top, batch_size=batch_size, device=device, quiet=quiet or as_json)
    options.emit(found, as_json, print_predictions)
    if found.unreadable:
        raise typer.Exit(1)
