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
    out: Annotated[Path, typer.Option("--out", help="The folder to make.", rich_help_panel=options.OUTPUT)],
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx",
            help="Also write model.onnx, checked against the network on real images (needs genas\\[export]).",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    onnx_input: Annotated[
        str,
        typer.Option(
            "--onnx-input",
            help="What the ONNX file takes: normalised images, or pixels in 0..1 (normalised inside).",
            rich_help_panel=options.OUTPUT,
        ),
    ] = "normalised",
    licence: Annotated[
        str,
        typer.Option(
            "--license",
            help="Licence in the header of the model card, such as apache-2.0; look at the data set's terms first.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = "other",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Data set that the export is checked on. \\[default: the run's own]",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    data_root: options.DataRoot = None,
    push: Annotated[
        str | None,
        typer.Option("--push-to-hub", metavar="OWNER/NAME", help="Push the folder to the Hugging Face hub."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository of the hub private.")] = False,
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
