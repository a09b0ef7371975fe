"""What the functions of genas return: frozen objects with documented fields, and the same as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from genas.core.deprecation import warn_replaced


@dataclass(frozen=True)
class Result:
    """Base of all results: ``to_dict()`` is what the command of the same name prints with ``--json``."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON holds."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    def as_dict(self) -> dict[str, Any]:
        """The old name of `to_dict`."""
        warn_replaced("as_dict()", "to_dict()")
        return self.to_dict()

    def __getitem__(self, key: str) -> Any:
        """The old way to read a result: some functions returned a mapping."""
        warn_replaced(f"result[{key!r}]", "a field of the result, or to_dict()")
        return self.to_dict()[key]


def plain(value: Any) -> Any:
    """`value` as JSON holds it: paths as text; results, dataclasses and settings as mappings; tuples as lists."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
