"""Imports at first use: names of a package, and packages of optional extras."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genas.core.deprecation import warn_replaced
from genas.core.errors import ConfigError


def lazy_names(
    package: str,
    homes: Mapping[str, str],
    old: Mapping[str, tuple[str, str]] | None = None,
    modules: Mapping[str, str] | None = None,
) -> Callable[[str], Any]:
    """The ``__getattr__`` itself of a package whose names are imported at first use: warnings name who asks for one.

    Args:
        package: its name.
        homes: the module within the package that each name is from.
        old: names that go with the next version: what they stand for, as ``module:name``, and the name to use instead.
        modules: names that stand for whole modules within the package.
    """

    def find(name: str) -> Any:
        if old is not None and name in old:
            place, new = old[name]
            warn_replaced(f"{package}.{name}", f"{package}.{new}")
            module, _, attribute = place.partition(":")
            return getattr(importlib.import_module(f"{package}.{module}"), attribute)
        if modules is not None and name in modules:
            return importlib.import_module(f"{package}.{modules[name]}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find


def check_extra(packages: Sequence[str], extra: str, otherwise: str = "") -> None:
    """Refuses where packages of an optional extra are missing.

    Args:
        packages: that are going to be imported.
        extra: that installs them.
        otherwise: what to do instead, as the end of the sentence.

    Raises:
        ConfigError: with the command that installs them.
    """
    missing = [name for name in packages if not _is_installed(name)]
    if missing:
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        said = f"{' and '.join(missing)} {are} not installed; install {them} with"
        raise ConfigError(f"{said}: pip install 'genas[{extra}]'{otherwise}.")


def _is_installed(name: str) -> bool:
    if name in sys.modules:  # None where an import was blocked
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None
