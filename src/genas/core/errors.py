"""Errors that a user can mend: one root class, one clear sentence each, and the likely name in place of an unknown one.

The command line prints the sentence and exits with `exit_code`; a traceback is shown with `--debug` only.
"""

import difflib
from collections.abc import Iterable


class GenasError(Exception):
    """Root of all errors that genas raises on purpose."""

    exit_code: int = 2


class ConfigError(GenasError):
    """A setting has an unknown name, a wrong type or an impossible value."""


class DataError(GenasError):
    """A data set is missing, unreadable or unfit (empty class, too few images)."""


class GenotypeError(GenasError):
    """The text form of an architecture is malformed or names an illegal architecture."""


class CostError(GenasError):
    """A network runs an operator whose multiply-accumulates are not known."""


class CheckpointError(GenasError):
    """A checkpoint is truncated, foreign or belongs to another architecture."""


class RunError(GenasError):
    """A run folder is locked, not writable, of another configuration, or incomplete."""


class SearchError(GenasError):
    """The search cannot go on: too many failures, or no legal architecture within the limits."""


class Interrupted(GenasError):
    """The user pressed Ctrl-C; the state is saved and the same command continues."""

    exit_code = 130


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like `name`, upper and lower case alike; None where none is.

    Args:
        name: what was given.
        known: what would have been right.
        cutoff: least similarity, 0 to 1 (`difflib.get_close_matches`).
    """
    names = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), names, 1, cutoff)
    return names[close[0]] if close else None


def suggest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The sentence " Did you mean 'x'?" with the nearest known name; empty where none is near."""
    close = nearest(name, known, cutoff)
    return "" if close is None else f" Did you mean {close!r}?"


def unknown_name(word: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not known, with all that are and the likely one.

    Args:
        word: what has the name, such as ``space``.
        name: what was given.
        known: the known names; forms such as ``package.module:Name`` too.
    """
    names = tuple(known)
    return ConfigError(f"unknown {word} {name!r}; known are {', '.join(names)}.{suggest(name, names)}")
