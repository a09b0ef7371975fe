"""The network to train: its space at the recipe's size, and the widest one within a limit of MACs."""

from typing import Any

import torch

from genas.core.distributed import Share
from genas.core.errors import ConfigError
from genas.spaces.base import Architecture, Space
from genas.spaces.cost import architecture_cost
from genas.spaces.definition import SPACES
from genas.spaces.named import open_space
from genas.spaces.width import largest_even
from genas.training.standalone.recipe import RetrainSettings


def resize(space: Space, settings: RetrainSettings) -> Space:
    """The space at the size and with the options that the recipe wants.

    Args:
        space: the space, at any size.
        settings: the recipe; what it leaves at None stays as the space has it.

    Raises:
        ConfigError: an option that the space does not have.
    """
    options: dict[str, Any] = {}
    if settings.auxiliary_weight:
        options["auxiliary"] = True
        if settings.auxiliary_bn is not None:
            options["auxiliary_bn"] = settings.auxiliary_bn
    if settings.stem is not None:
        options["stem"] = settings.stem
    if settings.pool_bn is not None:
        options["pool_bn"] = settings.pool_bn
    try:
        check_sizes(space, settings.cells, settings.channels)
        return space.final(cells=settings.cells, channels=settings.channels, **options)
    except ConfigError as error:
        lacking = [key for key in options if key not in space.option_names()]
        if not lacking:
            raise
        raise ConfigError(
            f"the recipe asks for {', '.join(lacking)}, which the space {space.describe()['name']!r} does not have; "
            "name another recipe with --recipe."
        ) from error


def check_pieces(
    space: Space,
    architecture: Architecture,
    classes: int,
    image_shape: tuple[int, int, int],
    images: int,
    settings: RetrainSettings,
) -> None:
    """Refuses a batch that is computed in pieces of which one is a single image, where batch norm needs two.

    A map of several pixels gives batch norm enough of a single image; the 1x1 map of an auxiliary head does not.

    Args:
        space: the space at the size of the network.
        architecture: one of it.
        classes: outputs.
        image_shape: channels, height, width of the images.
        images: number of training images: the last batch of an epoch may be short.
        settings: the recipe.

    Raises:
        ConfigError: such a piece comes up.
    """
    short = images % settings.batch_size
    batches = [settings.batch_size] if settings.limit_batches is not None or short < 2 else [settings.batch_size, short]
    share = Share(pieces=settings.accumulate)
    single = [batch for batch in batches if batch > 1 and any(len(piece) == 1 for piece in share.parts(batch))]
    if not single:
        return
    with torch.device("meta"):
        network = space.network(classes, architecture, image_shape[0]).train()
        try:
            network.forward_with_auxiliary(torch.zeros(1, *image_shape))
        except ValueError as error:
            raise ConfigError(
                f"a batch of {single[0]} images in {settings.accumulate} pieces has pieces of one image, which batch "
                "norm of this network cannot take statistics of; set accumulate lower or batch_size higher."
            ) from error


def check_sizes(space: Space, cells: int | None, channels: int | None) -> None:
    """Refuses a size that a custom `Space.final` takes and does nothing with.

    Raises:
        ConfigError: the network is the same with another size.
    """
    if not SPACES.is_custom(name := space.describe()["name"]):
        return
    for key, value in (("cells", cells), ("channels", channels)):
        if value is None:
            continue
        try:
            made = [space.final(**{key: size}).describe() for size in (value, 2 * value)]
        except ConfigError:
            continue  # the space looks at it
        if made[0] == made[1]:
            raise ConfigError(
                f"{key} is {value}, but the networks of the space {name!r} are the same whatever it is; leave that "
                "setting out, or let Space.final make another space."
            )


def without_auxiliary(space: Space) -> Space:
    """The space of the network that is kept: without an auxiliary head, which only training uses."""
    options = space.describe()
    if not options.get("auxiliary"):
        return space
    return open_space(options.pop("name"), **{**options, "auxiliary": False})


def widest(
    space: Space,
    architecture: Architecture,
    settings: RetrainSettings,
    classes: int,
    image_shape: tuple[int, int, int],
    max_macs: int,
) -> int:
    """The largest even first width whose network keeps within `max_macs` multiply-accumulates per image.

    Args:
        space: the space, at any size.
        architecture: one of it.
        settings: the recipe; its own width is not looked at.
        classes: outputs.
        image_shape: channels, height, width of the images.
        max_macs: the limit.

    Raises:
        ConfigError: not even the narrowest network does, or the width cannot be chosen.
    """

    def macs(channels: int) -> int:
        own = resize(space, settings.model_copy(update={"channels": channels}))
        return architecture_cost(own, architecture, classes, image_shape).macs

    return largest_even(macs, max_macs)
