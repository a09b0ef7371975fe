"""Strategies by name: one line each."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from genas.core.errors import ConfigError
from genas.core.registry import Registry
from genas.core.settings import validate

if TYPE_CHECKING:
    from genas.spaces.base import Architecture, Space
    from genas.strategies.base import Strategy
    from genas.strategies.settings import SearchSettings

STRATEGIES: "Registry[Strategy]" = Registry(
    "strategy",
    "genas.strategies.base:Strategy",
    {
        "evolution": "genas.strategies.evolution:Evolution",
        "random": "genas.strategies.random_search:RandomSearch",
    },
)


def resolve_settings(settings: "SearchSettings") -> "SearchSettings":
    """The settings as the model of the strategy's class has them, with those that only this class knows.

    Raises:
        ConfigError: an unknown name, an unknown setting or an impossible value.
    """
    model = STRATEGIES.find(settings.algorithm).Settings
    if not issubclass(model, STRATEGIES.kind.Settings):
        raise ConfigError(f"{settings.algorithm}.Settings is {model!r}; expected a subclass of genas.SearchSettings.")
    if isinstance(settings, model) and not settings.model_extra:
        return settings
    return validate(model, settings.model_dump(), f"the settings of the strategy {settings.algorithm!r} are wrong")


def open_search(
    space: "Space", settings: "SearchSettings", allowed: "Callable[[Architecture], bool] | None" = None
) -> "Strategy":
    """The search that `settings` name.

    Raises:
        ConfigError: an unknown name, or options that it does not take.
    """
    name = settings.algorithm
    if settings.options and name in STRATEGIES.names:
        raise ConfigError(
            f"strategy.options are for custom classes; {name!r} has no option {', '.join(settings.options)}."
        )
    return STRATEGIES.make(name, space, resolve_settings(settings), allowed, options=settings.options)
