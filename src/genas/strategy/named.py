"""Search algorithms by name."""

import difflib
from collections.abc import Callable

from genas.errors import ConfigError
from genas.proxy.expression import import_object
from genas.space.base import Architecture, Space
from genas.strategy.base import Search, SearchSettings
from genas.strategy.evolution import Evolution
from genas.strategy.random_search import RandomSearch

KNOWN: dict[str, type[Search]] = {"evolution": Evolution, "random": RandomSearch}


def open_search(
    space: Space, settings: SearchSettings, allowed: Callable[[Architecture], bool] | None = None
) -> Search:
    """The search that `settings` name.

    Raises:
        ConfigError: an unknown name.
    """
    name = settings.algorithm
    if name in KNOWN:
        return KNOWN[name](space, settings, allowed)
    if ":" in name:
        found = import_object(name, Search)(space, settings, allowed)
        assert isinstance(found, Search)
        return found
    close = difflib.get_close_matches(name, KNOWN, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"unknown search {name!r}; known are {', '.join(KNOWN)} and package.module:Name.{hint}")
