"""Errors that a user can mend: one root class, one clear sentence each.

The command line prints the sentence and exits with `exit_code`; a traceback is shown with `--debug` only.
"""


class GenasError(Exception):
    """Root of all errors that genas raises on purpose."""

    exit_code: int = 2


class ConfigError(GenasError):
    """A setting has an unknown name, a wrong type or an impossible value."""


class DataError(GenasError):
    """A data set is missing, unreadable or unfit (empty class, too few pictures)."""


class GenotypeError(GenasError):
    """The text form of an architecture is malformed or names an illegal architecture."""


class CheckpointError(GenasError):
    """A checkpoint is truncated, foreign or belongs to another architecture."""


class RunError(GenasError):
    """A run folder is locked, not writable, of another configuration, or incomplete."""


class SearchError(GenasError):
    """The search cannot go on: too many failures, or no legal architecture within the limits."""


class Interrupted(GenasError):
    """The user pressed Ctrl-C; the state is saved and the same command continues."""

    exit_code = 130
