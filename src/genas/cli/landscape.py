"""``genas landscape``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options

WHERE = "Where the loss is taken"


def landscape(
    run: Annotated[Path, typer.Argument(help="A run folder with a trained supernet.")],
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GENOTYPE]...",
            help="Architectures in any text form, or folders of trained networks; LABEL=GENOTYPE names one in the "
            "figures. \\[default: the run's best]",
        ),
    ] = None,
    retrained: Annotated[
        bool, typer.Option("--retrained", help="Also the network that the run trained at its end.")
    ] = False,
    split: Annotated[
        str,
        typer.Option(
            "--split", help="Images of which the loss is taken: validation, test or both.", rich_help_panel=WHERE
        ),
    ] = "validation",
    images: Annotated[
        str,
        typer.Option(
            "--pictures",
            help="Random images, the same for all networks; all: those that the run scores on.",
            rich_help_panel=WHERE,
        ),
    ] = "1024",
    directions: Annotated[
        int, typer.Option("--directions", help="Random directions of the lines.", rich_help_panel=WHERE)
    ] = 10,
    reach: Annotated[
        float | None,
        typer.Option(
            "--range",
            help="How far lines and plane go to either side. \\[default: 1, the norm of each filter; 0.05 with "
            "--normalise none]",
            rich_help_panel=WHERE,
        ),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Points of a line; odd.", rich_help_panel=WHERE)] = 21,
    contour: Annotated[
        int, typer.Option("--contour", help="Points of a side of the plane; odd, 0 for none.", rich_help_panel=WHERE)
    ] = 15,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="filter: directions have the norm of each filter of the weights; none: plain Gaussian ones.",
            rich_help_panel=WHERE,
        ),
    ] = "filter",
    vectors: Annotated[
        str,
        typer.Option(
            "--vectors",
            help="Batch norm's scales and shifts and biases: fixed, or moved as filters of their own.",
            rich_help_panel=WHERE,
        ),
    ] = "fixed",
    batchnorm: Annotated[
        str,
        typer.Option(
            "--batchnorm", help="Statistics of batch norm: kept, or recomputed at each point.", rich_help_panel=WHERE
        ),
    ] = "kept",
    noise: Annotated[
        str,
        typer.Option(
            "--noise",
            help="Growing Gaussian noise: absolute, as flatness has it; relative to each filter's norm; none.",
            rich_help_panel=WHERE,
        ),
    ] = "absolute",
    sigmas: Annotated[
        str | None,
        typer.Option("--sigmas", help="Strengths of the noise, such as 0.001,0.003,0.01.", rich_help_panel=WHERE),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="Draws of the noise.", rich_help_panel=WHERE)] = 5,
    radius: Annotated[
        float | None,
        typer.Option(
            "--radius",
            help="Distance at which the rise of the loss is told. \\[default: half the range]",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", help="Rise, in nats, that the width is measured at.", rich_help_panel=options.OUTPUT
        ),
    ] = 0.5,
    name: Annotated[
        str,
        typer.Option("--name", help="Results lie in RUN/landscape/NAME.", rich_help_panel=options.OUTPUT),
    ] = "default",
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the loss around architectures: along random directions, on a plane, under growing noise.

    Architectures stand at the weights that the run's supernet gives them. The same directions are used for all. Points
    that are computed are kept: press Ctrl-C at any time, the same command continues, and more points, directions or
    architectures may be asked for later.

    [bold]Examples[/bold]

    genas landscape runs/mine

    genas landscape runs/c10 "angle=|nor_conv_3x3~0|+..." "angle + flatness=|..." --split both --contour 25

    genas landscape runs/mine --retrained --noise relative --name trained
    """
    with options.loading(quiet):
        from genas.cli.show_landscape import print_landscape
        from genas.workflows.landscape import landscape as draw

    found = draw(
        run,
        subjects=subjects or [],
        settings={
            "data": options.either_or_both(split, "validation", "test", "--split"),
            "images": None if images == "all" else options.parse_whole(images, "--pictures"),
            "directions": directions,
            "range": reach,
            "points": points,
            "contour": contour,
            "normalise": normalise,
            "vectors": vectors,
            "batchnorm": batchnorm,
            "noise": noise,
            "sigmas": None if sigmas is None else options.parse_numbers(sigmas, "--sigmas"),
            "draws": draws,
            "radius": radius,
            "threshold": threshold,
        },
        retrained=retrained,
        name=name,
        data=data,
        data_root=data_root,
        device=device,
        quiet=quiet,
    )
    options.emit(found, as_json, lambda found: print_landscape(found.to_dict()))
