"""Spaces whose options are a settings model: what the spaces of genas have in common, and what a subclass changes."""

from typing import Any, ClassVar, Generic, Self

from genas.core.settings import Settings, validate
from genas.spaces.architecture import A, Architecture, check_kind
from genas.spaces.base import Space
from genas.spaces.definition import SPACES


class ConfiguredSpace(Space, Generic[A]):
    """A space made from one settings model.

    Args:
        config: the options; None for the defaults and those that are given by name.
        options: fields of the settings model.
    """

    architecture_class: type[A]
    """The class of the space's architectures."""
    config_class: ClassVar[type[Settings]] = Settings
    """The settings model; without one, the space has no options."""
    config: Any
    _configured: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls._configured = False

    def __init__(self, config: Settings | None = None, /, **options: Any) -> None:
        fault = f"the space {type(self).__name__!r} is configured wrongly"
        self.config = config or validate(self.config_class, options, fault)

    @classmethod
    def from_options(cls, name: str, options: dict[str, Any]) -> Self:
        """See `Space.from_options`."""
        if cls._by_config():
            return cls(validate(cls.config_class, options, f"the space {name!r} is configured wrongly"))
        return super().from_options(name, options)

    @classmethod
    def option_names(cls) -> list[str]:
        """See `Space.option_names`: the fields of the settings model."""
        return list(cls.config_class.model_fields) if cls._by_config() else super().option_names()

    @classmethod
    def _by_config(cls) -> bool:
        """Whether the constructor is the inherited one; otherwise the class has options of its own."""
        return cls._configured

    def describe(self) -> dict[str, Any]:
        """Name and all options."""
        if not self._by_config():
            return super().describe()
        return {"name": SPACES.name_of(type(self)), **self.config.model_dump(mode="json")}

    def __eq__(self, other: object) -> bool:
        if not self._by_config():
            return self is other
        return isinstance(other, type(self)) and type(other) is type(self) and self.config == other.config

    def __hash__(self) -> int:
        return hash((type(self), self.config)) if self._by_config() else object.__hash__(self)

    def own(self, architecture: Architecture) -> A:
        """The architecture, which must be one of this space.

        Raises:
            ConfigError: it is of another class.
        """
        return check_kind(architecture, self.architecture_class, self.name)

    def changed(self, cells: int | None, channels: int | None, options: dict[str, Any], **published: Any) -> "Space":
        """The space of final networks.

        Args:
            cells: as the field of the settings that counts cells has it; None keeps it.
            channels: the first width; None keeps it.
            options: further options, as given.
            published: what final networks have unless `options` say otherwise.

        Raises:
            ConfigError: an unknown option or an impossible value.
        """
        if not self._by_config():
            return Space.final(self, cells, channels, **options)
        sizes = {self.cells_option: cells, "channels": channels}
        changes = {**published, **options, **{key: value for key, value in sizes.items() if value is not None}}
        return self.from_options(str(self.describe()["name"]), {**self.config.model_dump(), **changes})

    cells_option: ClassVar[str] = "cells"
    """The option that counts cells."""
