"""Search algorithms by name."""

from collections.abc import Callable

from genas.errors import ConfigError
from genas.registry import known_names, load_class, make, name_and_options
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
        ConfigError: an unknown name, or options that it does not take.
    """
    name = settings.algorithm
    if ":" in name:
        found: Search = make(name, load_class(name, Search), space, settings, allowed, options=settings.options)
        return found
    if name not in KNOWN:
        raise known_names(list(KNOWN), "search", name)
    if settings.options:
        raise ConfigError(
            f"search.options are for custom classes; {name!r} has no option {', '.join(settings.options)}."
        )
    return KNOWN[name](space, settings, allowed)


def name_given(algorithm: object) -> str:
    """The name for what a Python program passed: a name or a subclass of `Search`.

    Raises:
        ConfigError: it is something else, or cannot be found by its name.
    """
    for name, known in KNOWN.items():
        if algorithm is known:
            return name
    return name_and_options(algorithm, Search, "search", objects=False)[0]


def custom_class(settings: SearchSettings) -> type[Search] | None:
    """The custom class that `settings` name; None for those of genas."""
    return load_class(settings.algorithm, Search) if ":" in settings.algorithm else None
