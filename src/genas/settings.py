"""The base of all settings: frozen pydantic models that refuse unknown keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; unknown keys and wrong types are errors; field docstrings are the fields' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
