"""``genas evaluate``."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options
from genas.cli.setting import Given, Setting, add_settings
from genas.evaluation.settings import EvaluateSettings

WHAT = "What is measured"


_field = partial(Setting, EvaluateSettings)


@add_settings(
    *(_field(name, options.DATA) for name in ("image_size", "classes")),
    _field("shifts", WHAT, "--shift"),
    _field("ood", WHAT),
    _field("with_latency", WHAT, "--latency"),
    _field("with_flatness", WHAT, "--flatness"),
    _field("limit", WHAT),
)
def evaluate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder of genas search or retrain (all its seeds), an exported folder, or a weights file.",
        ),
    ],
    given: Given,
    data: Annotated[
        str | None,
        options.option(options.DATA, "--data", "Data set; its test set is used. \\[default: the run's own]"),
    ] = None,
    data_root: options.DataRoot = None,
    assignments: Annotated[
        list[str] | None,
        options.option(WHAT, "--set", "Any other setting, such as flatness.draws=10; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        options.option(options.OUTPUT, "--out", "The folder that the results go into. \\[default: into RUN]"),
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

    settings = read_settings(options.overrides(None, assignments, given))
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
