"""``genas export``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def export(
    path: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run folder, a seed's folder of genas retrain, or a weights file."),
    ],
    out: Annotated[Path, options.option(options.OUTPUT, "--out", "The folder to make.")],
    onnx: Annotated[
        bool,
        options.option(
            options.OUTPUT,
            "--onnx",
            "Also write model.onnx, checked against the network on real images (needs genas\\[export]).",
        ),
    ] = False,
    onnx_input: Annotated[
        str,
        options.option(
            options.OUTPUT,
            "--onnx-input",
            "What the ONNX file takes: normalised images, or pixels in 0..1 (normalised inside).",
        ),
    ] = "normalised",
    licence: Annotated[
        str,
        options.option(
            options.OUTPUT,
            "--license",
            "Licence in the header of the model card, such as apache-2.0; look at the data set's terms first.",
        ),
    ] = "other",
    data: Annotated[
        str | None,
        options.option(options.DATA, "--data", "Data set that the export is checked on. \\[default: the run's own]"),
    ] = None,
    data_root: options.DataRoot = None,
    push: Annotated[
        str | None,
        options.option(None, "--push-to-hub", "Push the folder to the Hugging Face hub.", metavar="OWNER/NAME"),
    ] = None,
    private: Annotated[bool, options.option(None, "--private", "Make a new repository of the hub private.")] = False,
    as_json: options.Json = False,
) -> None:
    """Export a trained network: weights, code that needs torch only, a model card and, if asked for, ONNX.

    [bold]Examples[/bold]

    genas export runs/c10 --out exported

    genas export runs/c10 --out exported --onnx --onnx-input pixels
    """
    with options.loading():
        from genas.cli.show_trained import print_export
        from genas.workflows.export import export as write

    done = write(
        path,
        out,
        onnx=onnx,
        onnx_input=onnx_input,  # type: ignore[arg-type]  # checked there
        data=data,
        data_root=data_root,
        licence=licence,
        push=push,
        private=private,
    )
    options.emit(done, as_json, lambda done: print_export(done.to_dict()))
