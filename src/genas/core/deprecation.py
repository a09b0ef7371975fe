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
            for key, value in zip(order[count:], args[count:], strict=False):
                warn_replaced(f"{name}(): the argument {key} by position", f"{key}=...")
                kwargs[key] = value
            for old in [key for key in kwargs if key in renamed]:
                warn_replaced(f"{name}({old}=...)", f"{name}({renamed[old]}=...)")
                kwargs[renamed[old]] = kwargs.pop(old)
            return function(*args[:count], *args[max(count, len(order)) :], **kwargs)

        return call

    return decorate
