"""Spaces by name."""

import random
from collections.abc import Mapping
from typing import Any

import torch

from genas.errors import ConfigError, GenasError
from genas.registry import blame, check_rebuilt, class_path, known_names, load_class, name_and_options
from genas.seeding import python_rng
from genas.space.base import Space
from genas.space.configured import ConfiguredSpace
from genas.space.darts.space import DartsSpace
from genas.space.nasbench201.space import NasBench201Space
from genas.space.nasbench_macro.space import NasBenchMacroSpace

_KNOWN: dict[str, type[ConfiguredSpace[Any]]] = {
    "darts": DartsSpace,
    "nasbench201": NasBench201Space,
    "nasbench-macro": NasBenchMacroSpace,
}
_COMPARED = 3  # architectures that a space and its rebuilt copy are compared on


def spaces() -> tuple[str, ...]:
    """The known names."""
    return tuple(_KNOWN)


def open_space(name: str, **options: Any) -> Space:
    """A space by name.

    Args:
        name: ``darts``, ``nasbench201``, ``nasbench-macro`` or package.module:Name of a `Space` subclass.
        options: of that space, such as ``channels``.

    Raises:
        ConfigError: an unknown name, an unknown option or an impossible value.
    """
    if name in _KNOWN:
        return _KNOWN[name].from_options(name, options)
    if ":" in name:
        opened: Space = load_class(name, Space).from_options(name, options)
        return opened
    raise known_names(spaces(), "space", name)


def describe_given(space: object) -> dict[str, Any]:
    """Name and options of a space that a Python program passed: a name, a subclass of `Space`, or an object of one.

    Raises:
        ConfigError: it is something else, or name and options would not make it again.
    """
    if type(space) in _KNOWN.values() and isinstance(space, Space):
        return space.describe()
    for name, known in _KNOWN.items():
        if space is known:
            return {"name": name}
    name, options = name_and_options(space, Space, "space", objects=True)
    if isinstance(space, Space):
        again = open_space(name, **options)
        check_rebuilt(name, space, again)
        _check_same(name, space, again)
    return {"name": name, **options}


def reopen(description: Mapping[str, Any]) -> Space:
    """The space that `Space.describe` described."""
    options = dict(description)
    return open_space(str(options.pop("name")), **options)


def check_recorded(space: Space) -> None:
    """Makes a custom space again from what a run folder will hold, and compares the two.

    Raises:
        ConfigError: another class, other attributes, other architectures or another network.
    """
    description = space.describe()
    if type(space) is _KNOWN.get(description["name"]):
        return
    name = class_path(type(space))
    again = reopen(description)
    check_rebuilt(name, space, again)
    _check_same(name, space, again)


def _check_same(name: str, first: Space, second: Space) -> None:
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


def _sizes(space: Space, architecture: Any) -> dict[str, tuple[int, ...]]:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = space.network(10, architecture, 3)
    return {name: tuple(value.shape) for name, value in network.named_parameters()}
