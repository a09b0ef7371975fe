"""Reads the options of a space, and says in one sentence what is wrong with them."""

from typing import Any, TypeVar

from pydantic import ValidationError

from genas.errors import ConfigError
from genas.settings import Settings, message_of

Config = TypeVar("Config", bound=Settings)


def validated(name: str, config: type[Config], options: dict[str, Any]) -> Config:
    """The frozen options of the space `name`.

    Args:
        name: of the space, for the message.
        config: its settings class.
        options: what was given.

    Raises:
        ConfigError: an unknown option or an impossible value.
    """
    try:
        return config.model_validate(options)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            key = ".".join(str(part) for part in fault["loc"]) or "options"
            if fault["type"] == "extra_forbidden":
                faults.append(f"unknown option {key!r} (known are {', '.join(config.model_fields)})")
            else:
                faults.append(f"{key} is {fault['input']!r}: {message_of(fault)}")
        raise ConfigError(f"the space {name!r} is configured wrongly: {'; '.join(faults)}.") from error
