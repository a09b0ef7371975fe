"""``genas evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options

WHAT = "What is measured"


def evaluate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder of genas search or retrain (all its seeds), an exported folder, or a weights file.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="Data set; its test set is used. \\[default: the run's own]", rich_help_panel=options.DATA
        ),
    ] = None,
    data_root: options.DataRoot = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size", help="Side of the images. \\[default: the network's]", rich_help_panel=options.DATA
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="name: match classes by name; order: trust their order, where only names differ. \\[default: name]",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            "--shift",
            help="Robustness: corruptions (all), a group (noise, blur, digital, tone), one corruption, or other "
            "images of the same classes or of some: folder:PATH, or a data set. May be repeated.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    ood: Annotated[
        list[str] | None,
        typer.Option(
            "--ood",
            help="Images of none of the classes, to be told from the test set: folder:PATH, or a data set. May be "
            "repeated.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency/--no-latency", help="Time forward passes.", rich_help_panel=WHAT)
    ] = True,
    flatness: Annotated[
        bool,
        typer.Option("--flatness/--no-flatness", help="Measure the loss around the weights.", rich_help_panel=WHAT),
    ] = True,
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="At most that many test images. \\[default: all]", rich_help_panel=WHAT),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any other setting, such as flatness.draws=10; may be repeated.", rich_help_panel=WHAT
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the results go. \\[default: into RUN]", rich_help_panel=options.OUTPUT),
    ] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a trained network: accuracy, calibration, robustness, latency, flatness.

    Writes evaluation.json, evaluation.html and tables into the folder, and a section into the report of a search.

    [bold]Examples[/bold]

    genas evaluate runs/c10 --shift corruptions

    genas evaluate runs/photos --shift folder:photos-by-others --ood folder:textures

    genas evaluate exported --data parquet:cifar10 --no-latency --json
    """
    with options.loading(quiet or as_json):
        from genas.cli.show_trained import print_evaluation
        from genas.workflows.evaluate import evaluate as measure
        from genas.workflows.evaluate import read_settings

    named = {
        "image_size": image_size,
        "classes": classes,
        "shifts": shift or None,
        "ood": ood or None,
        "with_latency": None if latency else False,
        "with_flatness": None if flatness else False,
        "limit": limit,
    }
    settings = read_settings(options.overrides(None, assignments, named))
    found = measure(
        path,
        data=data,
        data_root=data_root,
        settings=settings,
        out=out,
        device=device,
        precision=precision or "32",
        quiet=quiet or as_json,
    )
    options.emit(found, as_json, lambda found: print_evaluation(found.to_dict(), path if out is None else out))
