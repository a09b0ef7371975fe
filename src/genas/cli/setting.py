"""Options that set fields of settings models: type, bounds, default and help are the field's, written there alone.

The first sentence of a field's docstring is the help, without citations; ``; None for ...`` at its end tells the
default. Only models that can be read without torch serve here, so that ``--help`` answers at once.
"""

import functools
import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from genas.cli.parse import read_count, read_numbers, read_seeds, read_whole_or_all
from genas.core.settings import Count

Reader = Callable[[str, str], Any]
Given = dict[str, Any]
"""What a command receives: the settings that were given, by dotted key."""

_CITATION = re.compile(r" \((?:methods\.md|Li et al\.)[^)]*\)")


@dataclass(frozen=True)
class Setting:
    """An option for a field of a settings model.

    Args:
        model: the model.
        field: the field's name.
        panel: of the help screen.
        flag: the option; None for the field's name with hyphens.
        section: where the model stands in the configuration; what is given then has the key ``section.field``.
        read: reads the text; None for the field's type.
        default: what the help shows as the default; None for the field's own.
        former: the option as it was called before; accepted as well.
    """

    model: type[BaseModel]
    field: str
    panel: str
    flag: str | None = None
    section: str = ""
    read: Reader | None = None
    default: str | None = None
    former: str | None = None

    @property
    def key(self) -> str:
        """The dotted key of the setting."""
        return f"{self.section}.{self.field}".removeprefix(".")

    @property
    def option(self) -> str:
        """The option as it is given."""
        return self.flag or f"--{self.field.replace('_', '-')}"

    @property
    def help(self) -> str:
        """First sentence of the field's docstring, and the default."""
        text, without = _sentence(self._info.description or "")
        if self._info.default is not None and without:
            text, without = f"{text}; all: {without}", ""
        default = self.default if self.default is not None else self._shown or without
        return f"{text}. \\[default: {default}]" if default else f"{text}."

    def declare(self) -> Any:
        """The option as typer declares it."""
        kind = self._kind
        flag = f"{self.option}/--no-{self.option[2:]}" if kind is bool else self.option
        bounds = _bounds(self._info) if kind is int else {}
        flags = (flag, self.former) if self.former else (flag,)
        return typer.Option(*flags, help=self.help, rich_help_panel=self.panel, **bounds)

    def parameter(self) -> inspect.Parameter:
        """The parameter of a command; None means that it was not given."""
        return inspect.Parameter(
            f"set_{self.option[2:].replace('-', '_')}",
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[self._kind | None, self.declare()],
        )

    def value(self, given: Any) -> Any:
        """What was given, as the model takes it.

        Raises:
            ConfigError: a text that cannot be read.
        """
        return given if self._reader is None else self._reader(given, self.option)

    @property
    def _info(self) -> FieldInfo:
        return self.model.model_fields[self.field]

    @property
    def _shown(self) -> str:
        """The field's default; empty for None."""
        default = self._info.default
        if isinstance(default, bool):
            return f"{'' if default else 'no-'}{self.option[2:]}"
        if isinstance(default, tuple):
            return ",".join(map(str, default))
        return "" if default is None else str(default)

    @property
    def _reader(self) -> Reader | None:
        return self.read or _reader(self._info)

    @property
    def _kind(self) -> Any:
        """The type of the option."""
        kind = _bare(self._info.annotation)
        if self._reader is not None:
            return str
        if get_origin(kind) is tuple:
            return list[str]
        if kind in (bool, str, int, float) or get_origin(kind) is Literal:
            return kind
        raise TypeError(f"there is no option for a field of the type {kind}")


def add_settings(*settings: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command options for settings in place of its parameter ``given``.

    The command receives there what was given, and nothing else, by dotted key.
    """
    options = {setting.parameter().name: setting for setting in settings}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**values: Any) -> None:
            found = {setting: values.pop(name) for name, setting in options.items()}
            given = {setting.key: setting.value(one) for setting, one in found.items() if one not in (None, [])}
            command(**values, given=given)

        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for one in signature.parameters.values():
            parameters += [setting.parameter() for setting in settings] if one.name == "given" else [one]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__settings__ = settings  # type: ignore[attr-defined]
        return run

    return decorate


def _bare(annotation: Any) -> Any:
    """A type without None and without what is annotated to it."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        (only,) = (one for one in get_args(annotation) if one is not type(None))
        return _bare(only)
    return annotation


def _reader(info: FieldInfo) -> Reader | None:
    """What reads a text that no plain type describes; None for a plain type."""
    kind = _bare(info.annotation)
    if Count in get_args(info.annotation):
        return read_count
    if kind is int and info.annotation is not int and info.default is not None:
        return functools.partial(read_whole_or_all, least=_bounds(info).get("min", 1))
    if get_origin(kind) is tuple:
        return {float: read_numbers, int: read_seeds}.get(get_args(kind)[0])
    return None


def _bounds(info: FieldInfo) -> dict[str, Any]:
    rules = {"min": "ge", "max": "le"}
    return {name: getattr(one, rule) for name, rule in rules.items() for one in info.metadata if hasattr(one, rule)}


def _sentence(description: str) -> tuple[str, str]:
    """First sentence of a docstring, and what it says that None stands for."""
    text = _CITATION.sub("", " ".join(description.split())).replace("``", "").replace("`", "")
    first = re.split(r"\.(?: |$)", text, maxsplit=1)[0]
    text, _, without = first.partition("; None ")
    return text, without.removeprefix("for ")
