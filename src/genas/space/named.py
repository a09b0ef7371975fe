"""Spaces by name."""

import difflib
import importlib
from collections.abc import Callable
from typing import Any

from genas.errors import ConfigError
from genas.space.base import Space
from genas.space.darts.space import DartsConfig, DartsSpace
from genas.space.nasbench201.space import NasBench201Config, NasBench201Space
from genas.space.nasbench_macro.space import NasBenchMacroConfig, NasBenchMacroSpace
from genas.space.options import validated

_KNOWN: dict[str, tuple[type[Any], Callable[[Any], Space]]] = {
    "darts": (DartsConfig, DartsSpace),
    "nasbench201": (NasBench201Config, NasBench201Space),
    "nasbench-macro": (NasBenchMacroConfig, NasBenchMacroSpace),
}


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
        config, make = _KNOWN[name]
        return make(validated(name, config, options))
    if ":" in name:
        return _own(name, options)
    close = difflib.get_close_matches(name, _KNOWN, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"unknown space {name!r}; known are {', '.join(_KNOWN)} and package.module:Name.{hint}")


def _own(name: str, options: dict[str, Any]) -> Space:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{name!r} cannot be imported ({error}); it must read package.module:Name.") from error
    if not (isinstance(found, type) and issubclass(found, Space)):
        raise ConfigError(f"{name!r} is not a subclass of genas.Space.")
    try:
        return found(**options)
    except TypeError as error:
        raise ConfigError(f"{name!r} does not take these options ({error}).") from error
