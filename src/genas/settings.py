"""The base of all settings: frozen pydantic models that refuse unknown keys."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError


class Settings(BaseModel):
    """Frozen; unknown keys and wrong types are errors; field docstrings are the fields' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    def __hash__(self) -> int:
        """Equal settings have equal hashes, also where they hold mappings."""
        return hash((type(self), self.model_dump_json()))


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_DIGITS = 18  # of a count: more is no count of anything here


def parse_count(text: str) -> int:
    """Reads ``600M``, ``1.5M``, ``30000`` or ``3e7``: how counts are written everywhere (YAML, ``--set``, options).

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)(?:([KMG])|e\+?(\d))?\s*", text, re.IGNORECASE)
    count = 0.0
    if match is not None:
        factor = 10 ** int(match.group(3)) if match.group(3) else _UNITS[(match.group(2) or "").upper()]
        whole = match.group(1).isdigit()
        count = int(match.group(1)) * factor if whole else float(match.group(1)) * factor
    if not 0.5 < count < 10**_DIGITS:
        raise ValueError("expected a number above 0 such as 600M, 1.5M or 30000")
    return round(count)


def _count(value: Any) -> Any:
    return parse_count(value) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_count)]
"""A whole number that may be written as ``30M`` or ``1.5K``."""


def expand(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings from such in which keys may be dotted: ``{"supernet.epochs": 1}``.

    Raises:
        ValueError: a setting is given twice, or beside a value that is no section.
    """
    expanded: dict[str, Any] = {}
    for key, value in settings.items():
        _put(expanded, str(key), expand(value) if isinstance(value, Mapping) else value)
    return expanded


def _put(into: dict[str, Any], key: str, value: Any) -> None:
    first, dot, rest = key.partition(".")
    if dot and first and rest:
        nested: dict[str, Any] = {}
        _put(nested, rest, value)
        key, value = first, nested
    if key not in into:
        into[key] = value
    elif isinstance(into[key], dict) and isinstance(value, dict):
        for name, inner in value.items():
            try:
                _put(into[key], name, inner)
            except ValueError as error:
                raise ValueError(f"{key}.{error}") from error
    else:
        raise ValueError(f"{key} is given twice")


def message_of(fault: Mapping[str, object]) -> str:
    """The message of one entry of pydantic's ``ValidationError.errors()``, as the end of a sentence."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def faults_of(error: ValidationError, known: Iterable[str], noun: str = "key") -> str:
    """Every fault that pydantic found, as the end of a sentence.

    Args:
        error: what it raised.
        known: names that would have been right.
        noun: what a name is called.
    """
    names = ", ".join(known)
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown {noun} {key!r} (known are {names})")
        else:
            faults.append(f"{key} is {fault['input']!r}: {message_of(fault)}")
    return "; ".join(faults)
