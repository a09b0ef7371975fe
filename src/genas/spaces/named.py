"""Spaces by name."""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from genas.core.errors import ConfigError, GenasError
from genas.core.registry import blame, check_rebuilt
from genas.core.seeding import python_rng
from genas.spaces.definition import SPACES

if TYPE_CHECKING:
    from genas.spaces.base import Space

_COMPARED = 3  # architectures that a space and its rebuilt copy are compared on


def open_space(name: str, **options: Any) -> "Space":
    """A space by name.

    Args:
        name: a name of `SPACES` or package.module:Name of a `Space` subclass.
        options: of that space, such as ``channels``.

    Raises:
        ConfigError: an unknown name, an unknown option or an impossible value.
    """
    return SPACES.find(name).from_options(name, options)


def describe_given(space: object) -> dict[str, Any]:
    """Name and options of a space that a Python program passed: a name, a subclass of `Space`, or an object of one.

    Raises:
        ConfigError: it is something else, or name and options would not make it again.
    """
    name = SPACES.name_given(space)
    if not isinstance(space, SPACES.kind):
        return {"name": name}
    check_recorded(space)
    return dict(space.describe())


def reopen(description: Mapping[str, Any]) -> "Space":
    """The space that `Space.describe` described."""
    options = dict(description)
    return open_space(str(options.pop("name")), **options)


def check_recorded(space: "Space") -> None:
    """Makes a custom space again from what a run folder will hold, and compares the two.

    Raises:
        ConfigError: another class, other attributes, other architectures or another network.
    """
    name = SPACES.name_of(type(space))
    if name in SPACES.table:
        return
    again = reopen(space.describe())
    check_rebuilt(name, space, again)
    _check_same(name, space, again)


def _check_same(name: str, first: "Space", second: "Space") -> None:
    """Compares two spaces by what they sample and by the parameters of their networks.

    Raises:
        ConfigError: they differ, or one of them fails.
    """
    try:
        drawn = [[one.sample(rng) for _ in range(_COMPARED)] for one, rng in zip((first, second), _pair(), strict=True)]
        texts = [[architecture.genotype for architecture in row] for row in drawn]
        sizes = [[_sizes(one, row[0]), _sizes(one, None)] for one, row in zip((first, second), drawn, strict=True)]
    except GenasError:
        raise
    except Exception as error:  # a user's class may raise anything
        raise ConfigError(f"the space {name!r} cannot be used: {blame(error)}.") from error
    if texts[0] != texts[1]:
        raise ConfigError(
            f"the space {name!r} cannot be recorded: made again from its options it draws other architectures "
            f"({texts[1][0]}, not {texts[0][0]}); pass everything that it depends on to its constructor."
        )
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"the space {name!r} cannot be recorded: made again from its options, its networks have other parameters; "
            "pass everything that they depend on to its constructor."
        )


def _pair() -> tuple[random.Random, random.Random]:
    return python_rng(0, "space.recorded"), python_rng(0, "space.recorded")


def _sizes(space: "Space", architecture: Any) -> dict[str, tuple[int, ...]]:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = space.network(10, architecture, 3)
    return {name: tuple(value.shape) for name, value in network.named_parameters()}
