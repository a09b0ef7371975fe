"""The base of all settings: frozen pydantic models that refuse unknown keys."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(BaseModel):
    """Frozen; unknown keys and wrong types are errors; field docstrings are the fields' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


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
