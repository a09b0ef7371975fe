"""Strategies by name: one line each."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from genas.errors import ConfigError
from genas.registry import Registry
from genas.space.base import Architecture, Space
from genas.strategy.base import SearchSettings

if TYPE_CHECKING:
    from genas.strategy.base import Search

STRATEGIES: "Registry[Search]" = Registry(
    "search",
    "genas.strategy.base:Search",
    {
        "evolution": "genas.strategy.evolution:Evolution",
        "random": "genas.strategy.random_search:RandomSearch",
    },
)


def open_search(
    space: Space, settings: SearchSettings, allowed: Callable[[Architecture], bool] | None = None
) -> "Search":
    """The search that `settings` name.

    Raises:
        ConfigError: an unknown name, or options that it does not take.
    """
    name = settings.algorithm
    if settings.options and name in STRATEGIES.names:
        raise ConfigError(
            f"search.options are for custom classes; {name!r} has no option {', '.join(settings.options)}."
        )
    return STRATEGIES.make(name, space, settings, allowed, options=settings.options)
