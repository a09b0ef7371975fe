"""Old names and shapes of public functions: they work for one version more, with a DeprecationWarning."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def warn_replaced(old: str, new: str, stacklevel: int = 3) -> None:
    """Says that `old` goes with the next version, and what replaces it."""
    warnings.warn(
        f"{old} is deprecated and goes with the next version: use {new}.", DeprecationWarning, stacklevel=stacklevel
    )


def formerly(*order: str, **renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Lets a function be called as before: with more arguments by position, or with old names of them.

    Args:
        order: today's names of the arguments that were taken by position, in their old order.
        renamed: old names of arguments, with today's.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        count = sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters.values())
        assert {*order, *renamed.values()} <= parameters.keys(), f"{function.__name__} has other arguments"
        name = function.__name__

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            moved = [(key, key, value) for key, value in zip(order[count:], args[count:], strict=False)]
            moved += [(old, renamed[old], kwargs.pop(old)) for old in [*kwargs] if old in renamed]
            for old, key, value in moved:
                if key in kwargs:
                    raise TypeError(f"{name}() got multiple values for argument {key!r}")
                what = f"{name}(): the argument {key} by position" if old == key else f"{name}({old}=...)"
                warn_replaced(what, f"{key}=..." if old == key else f"{name}({key}=...)")
                kwargs[key] = value
            return function(*args[:count], *args[max(count, len(order)) :], **kwargs)

        return call

    return decorate
