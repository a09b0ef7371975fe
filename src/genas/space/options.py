"""Reads the options of a space, and says in one sentence what is wrong with them."""

from typing import Any, TypeVar

from pydantic import ValidationError

from genas.errors import ConfigError
from genas.settings import Settings, faults_of

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
        faults = faults_of(error, config.model_fields, "option")
        raise ConfigError(f"the space {name!r} is configured wrongly: {faults}.") from error
