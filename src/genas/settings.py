"""The base of all settings: frozen pydantic models that refuse unknown keys."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; unknown keys and wrong types are errors; field docstrings are the fields' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def message_of(fault: Mapping[str, object]) -> str:
    """The message of one entry of pydantic's ``ValidationError.errors()``, as the end of a sentence."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]
