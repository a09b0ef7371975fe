"""Spaces by name."""

import difflib
import importlib
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from genas.errors import ConfigError
from genas.space.base import Space
from genas.space.darts.space import DartsConfig, DartsSpace
from genas.space.nasbench201.space import NasBench201Config, NasBench201Space

_KNOWN: dict[str, tuple[type[Any], Callable[[Any], Space]]] = {
    "darts": (DartsConfig, DartsSpace),
    "nasbench201": (NasBench201Config, NasBench201Space),
}


def spaces() -> tuple[str, ...]:
    """The known names."""
    return tuple(_KNOWN)


def open_space(name: str, **options: Any) -> Space:
    """A space by name.

    Args:
        name: ``darts``, ``nasbench201`` or package.module:Name of a `Space` subclass.
        options: of that space, such as ``channels``.

    Raises:
        ConfigError: an unknown name, an unknown option or an impossible value.
    """
    if name in _KNOWN:
        config, make = _KNOWN[name]
        try:
            return make(config.model_validate(options))
        except ValidationError as error:
            faults = []
            for fault in error.errors():
                key = ".".join(str(part) for part in fault["loc"]) or "options"
                if fault["type"] == "extra_forbidden":
                    faults.append(f"unknown option {key!r} (known are {', '.join(config.model_fields)})")
                else:
                    message = fault["msg"].removeprefix("Value error, ")
                    faults.append(f"{key} is {fault['input']!r}: {message[0].lower()}{message[1:]}")
            raise ConfigError(f"the space {name!r} is configured wrongly: {'; '.join(faults)}.") from error
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
