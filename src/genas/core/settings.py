"""The base of all settings: frozen pydantic models that refuse unknown keys."""

import re
from collections.abc import Container, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from genas.core.errors import ConfigError, GenasError, nearest

Model = TypeVar("Model", bound=BaseModel)
_LONGEST = 100  # characters of a wrong value in a message


class Settings(BaseModel):
    """Frozen; unknown keys and wrong types are errors; field docstrings are the fields' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    former_names: ClassVar[Mapping[str, str]] = {}
    """Former names, which are accepted everywhere: ``{"old_key": "new_key", "key=old_value": "new_value"}``."""

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: Any) -> Any:
        return current_names(cls, values) if isinstance(values, Mapping) else values

    def __hash__(self) -> int:
        """Equal settings have equal hashes, also where they hold mappings."""
        return hash((type(self), self.model_dump_json()))


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_DIGITS = 18  # of a count: more is no count of anything here


def merge(base: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `layers`, later ones winning, mappings merged key by key."""
    merged = dict(base)
    for key, value in ((key, value) for layer in layers for key, value in layer.items()):
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(before, value) if both else value  # type: ignore[arg-type]
    return merged


def current_names(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by the names of today, where some are called as they were before (`Settings.former_names`).

    A key that is given under both names keeps the former one, which no model knows.
    """
    renamed = getattr(model, "former_names", {})
    current: dict[str, Any] = {}
    for former, value in values.items():
        key = renamed.get(former, former)
        key = former if key in values else key
        inner = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
            value = current_names(inner, value)
        current[key] = renamed.get(f"{key}={value}", value) if isinstance(value, str) else value
    return current


def combine(model: type[BaseModel], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Layers of nested settings as one, later ones winning, with dotted keys expanded and by the names of today.

    Raises:
        ValueError: a setting is given twice in a layer, or beside a value that is no section.
    """
    return merge({}, *(current_names(model, expand(layer)) for layer in layers))


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


def validate(model: type[Model], values: object, fault: str, error: type[GenasError] = ConfigError) -> Model:
    """The values as a model: the one place where what pydantic finds becomes a sentence.

    Args:
        model: class of the settings.
        values: a mapping by field.
        fault: how the sentence begins, such as ``the configuration is wrong``.
        error: class of the error.

    Raises:
        GenasError: of the class `error`: unknown keys, each with the nearest that exists, and impossible values.
    """
    try:
        return model.model_validate(dict(values) if isinstance(values, Mapping) else values)
    except ValidationError as found:
        faults = "; ".join(_explain(one, model) for one in found.errors())
        raise error(f"{fault}: {faults}.") from found


def refuse_unknown(settings: BaseModel, known: Container[str] = ()) -> None:
    """Refuses keys that a model took beside its fields, for its validator: options that only some classes have.

    Args:
        settings: the model.
        known: the keys that may stand there.

    Raises:
        ValidationError: one that is not among them.
    """
    unknown = [key for key in settings.model_extra or {} if key not in known]
    faults = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=None) for key in unknown]
    if faults:
        raise ValidationError.from_exception_data(type(settings).__name__, faults)


def keys_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The settings of a model and of those nested in it, as dotted keys."""
    keys = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        keys += keys_of(inner, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]  # type: ignore[arg-type]
    return keys


def _explain(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One entry of pydantic's ``ValidationError.errors()``, as a part of a sentence."""
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r} ({_hint(key, keys_of(model))})"
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(fault["input"], Mapping) else f" is {_cut(repr(fault['input']))}"  # else a whole section
    return f"{key}{given}: {message[0].lower()}{message[1:]}".removeprefix(": ")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _hint(key: str, known: Sequence[str]) -> str:
    """The known key or section that was probably meant, else what is known beside it."""
    same = [name for name in known if name.rpartition(".")[2] == key.lower()]
    if same:
        return f"did you mean {' or '.join(map(repr, same[:3]))}?"
    sections = {name.rpartition(".")[0] for name in known} - {""}
    names = (*known, *sections)
    if close := nearest(key, names):
        return f"did you mean {close!r}?"
    above = key.rpartition(".")[0]
    return f"known here are {', '.join(name for name in names if name.rpartition('.')[0] == above)}"
