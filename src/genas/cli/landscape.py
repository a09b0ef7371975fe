"""``genas landscape``."""

from functools import partial
from typing import Annotated

import typer

from genas.analysis.landscape.settings import LandscapeSettings
from genas.cli import options
from genas.cli.parse import read_either_or_both
from genas.cli.setting import Given, Setting, add_settings

_where = partial(Setting, LandscapeSettings, panel="Where the loss is taken")
_told = partial(Setting, LandscapeSettings, panel=options.OUTPUT)


@add_settings(
    _where("data", flag="--split", read=read_either_or_both("validation", "test")),
    _where("images", former="--pictures"),
    *map(_where, ("directions", "range", "points", "contour", "normalise", "vectors", "batchnorm")),
    *map(_where, ("noise", "sigmas", "draws")),
    *map(_told, ("radius", "threshold")),
)
def landscape(
    run: options.RunWithSupernet,
    given: Given,
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GENOTYPE",
            help="Architectures in any text form, or folders of trained networks; LABEL=GENOTYPE names one in the "
            "figures. \\[default: the run's best]",
        ),
    ] = None,
    retrained: Annotated[
        bool, options.option(None, "--retrained", "Also the network that the run trained at its end.")
    ] = False,
    name: Annotated[
        str,
        options.option(options.OUTPUT, "--name", "Results lie in RUN/landscape/NAME."),
    ] = "default",
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.RunDevice = None,
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
        settings=given,
        retrained=retrained,
        name=name,
        data=data,
        data_root=data_root,
        device=device,
        quiet=quiet,
    )
    options.emit(found, as_json, lambda found: print_landscape(found.to_dict()))
