"""A wrong command line, as one sentence with a suggestion.

Typer reads the command line with click. Newer versions bring a copy of their own, so that the classes of the package
``click`` are not those that are raised; `USAGE` is what the installed typer raises, whichever that is.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import typer

from genas.core.errors import nearest

USAGE: type[Exception] = typer.BadParameter.__mro__[2]
"""click's ``ClickException`` (``BadParameter`` is a ``UsageError``, which is a ``ClickException``)."""


def unknown_command(arguments: Sequence[str], commands: Iterable[str]) -> str | None:
    """The sentence about a command that does not exist; None where the first word is one or an option."""
    known = sorted(commands)
    if not arguments or arguments[0].startswith("-") or arguments[0] in known:
        return None
    name = arguments[0]
    close = nearest(name, known, 0.5)
    hint = f"did you mean {close!r}?" if close else f"expected one of {', '.join(known)}."
    return f"Unknown command {name!r}: {hint}"


def sentence(error: Exception, arguments: Sequence[str]) -> str:
    """What is wrong, with the nearest right thing, in one line.

    Args:
        error: an instance of `USAGE`.
        arguments: the command line, for the value that was given.
    """
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "genas"
    command = path.removeprefix("genas ")  # the word before the sentence says genas
    prefix = "" if command == "genas" else f"{command}: "
    parameter = getattr(error, "param", None)
    if hasattr(error, "possibilities"):  # an option that does not exist
        return f"{_unknown_option(str(getattr(error, 'option_name', '')), command, context)} See {path} --help."
    message = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]  # every ClickException has it
    message = message.replace(": Value error, ", ": ")  # pydantic's word before a choice that does not exist
    message = message.replace(": Input should", ": the value should")  # as pydantic begins what an option forbids
    if parameter is not None:
        given = _given(parameter.opts, arguments)
        if given is not None and repr(given) not in message:
            message = f"{message.rstrip('.')}, got {given!r}."
        elif given is None and getattr(parameter, "help", None):
            message = f"{message.rstrip('.')}: {_first_sentence(parameter.help)}"
    return f"{prefix}{message.rstrip('.')}. See {path} --help."


def _unknown_option(option: str, command: str, context: Any) -> str:
    known = [name for one in context.command.params for name in (*one.opts, *one.secondary_opts)] if context else []
    known = [name.removeprefix("--") for name in known if name.startswith("--")]
    bare = option.lstrip("-").lower()
    close = nearest(bare, known, 0.75)
    keys = _settings(bare.replace("-", "_")) if not close and "set" in known else []
    if keys:
        return f"{command} has no option {option!r}: did you mean {' or '.join(f'--set {key}=...' for key in keys)}?"
    close = close or nearest(bare, known)
    if close:
        return f"{command} has no option {option!r}: did you mean '--{close}'?"
    return f"{command} has no option {option!r}."


def _settings(name: str) -> list[str]:
    """Settings of a run that have this name, such as ``supernet.epochs`` for ``epochs``."""
    from genas.workflows.config import known_settings  # costs the import of torch, here only

    return [key for key in known_settings() if key.rpartition(".")[2] == name and "." in key][:3]


def _given(options: Sequence[str], arguments: Sequence[str]) -> str | None:
    """What was given for an option."""
    for place, argument in enumerate(arguments):
        for option in options:
            if argument == option and place + 1 < len(arguments):
                return arguments[place + 1]
            if argument.startswith(f"{option}="):
                return argument.removeprefix(f"{option}=")
    return None


def _first_sentence(text: str) -> str:
    return text.partition(" \\[default")[0].partition(". ")[0].replace("\\[", "[")
