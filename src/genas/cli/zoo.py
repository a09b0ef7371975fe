"""``genas zoo``."""

from typing import Annotated

import typer

from genas.cli import options
from genas.cli.parse import read_count


def zoo(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One architecture, in detail.", show_default=False)
    ] = None,
    max_macs: Annotated[
        str | None,
        options.option(
            None, "--max-macs", "Take the largest even width within this limit, such as 600M, not the published one."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Published architectures: where they come from, our parameters and MACs, and the published figures.

    The ImageNet networks have 14 cells and see 224x224 images, the CIFAR networks have 20 cells and 36 channels.
    Papers count differently what they call FLOPs, so three counts are shown.
    """
    from genas.spaces.zoo.costs import rows
    from genas.spaces.zoo.entry import load, names

    limit = None if max_macs is None else read_count(max_macs, "--max-macs")
    found = rows(names() if name is None else (name,), limit)
    from genas.cli.show_zoo import print_entry, print_zoo

    options.emit(found, as_json, print_zoo if name is None else lambda rows: print_entry(load(name), rows))
