"""An architecture as a value; no torch needed to read or write its text form."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from genas.core.errors import ConfigError, GenotypeError


class Architecture(ABC):
    """An architecture: immutable, hashable, equal by value. Subclasses are frozen dataclasses."""

    @property
    @abstractmethod
    def genotype(self) -> str:
        """The text form; `Space.parse` gives the same architecture back."""

    @property
    def short(self) -> str:
        """A text form that fits into a table; `Space.parse` reads it too."""
        return self.genotype

    def __str__(self) -> str:
        return self.genotype


A = TypeVar("A", bound=Architecture)


def check_kind(architecture: Architecture, kind: type[A], space: str) -> A:
    """The architecture, as one of the class `kind`.

    Args:
        architecture: any.
        kind: the class of the space's architectures.
        space: the space's name, for the message.

    Raises:
        ConfigError: it is of another class.
    """
    if not isinstance(architecture, kind):
        raise ConfigError(f"{architecture} is not an architecture of the space {space!r}.")
    return architecture


@dataclass(frozen=True)
class ChoiceArchitecture(Architecture):
    """A vector of choices: at every position one of the operations that stand there.

    A subclass gives the table of choices and needs nothing else:

        class ChainArchitecture(ChoiceArchitecture):
            choices = {f"layer {layer}": ("identity", "conv_3x3", "conv_5x5") for layer in range(4)}

    Args:
        operations: numbers of the chosen operations, in the order of the positions.
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]]
    """The operations of every position; the positions' names stand in messages."""

    operations: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != len(self.choices):
            raise GenotypeError(f"expected {len(self.choices)} operations, got {len(self.operations)}.")
        for (position, names), number in zip(self.choices.items(), self.operations, strict=True):
            if not 0 <= number < len(names):
                raise GenotypeError(f"{position}: expected an operation from 0 to {len(names) - 1}, got {number}.")

    @property
    def operation_names(self) -> tuple[str, ...]:
        """The chosen operations by name."""
        return tuple(names[number] for names, number in zip(self.choices.values(), self.operations, strict=True))

    @property
    def genotype(self) -> str:
        """The numbers: one digit each, or parted by commas where a position has more than ten operations."""
        return ("" if self._has_digits() else ",").join(map(str, self.operations))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the numbers, as digits in a row or with separators.

        Raises:
            GenotypeError: with the place where the text goes wrong.
        """
        wrong = re.search(r"[^\s\d,;\[\]()]", text)
        if wrong or not text.strip():
            place = wrong.start() if wrong else 0
            given = repr(text[place : place + 12]) if wrong else "the end"
            what = f"{len(cls.choices)} {'digits' if cls._has_digits() else 'numbers'}"
            raise GenotypeError(f"genotype, character {place + 1}: expected {what}, got {given}.")
        numbers = re.findall(r"\d+", text)
        digits = numbers[0] if len(numbers) == 1 and cls._has_digits() else numbers
        return cls(tuple(int(digit) for digit in digits))

    @classmethod
    def _has_digits(cls) -> bool:
        return all(len(names) <= 10 for names in cls.choices.values())
