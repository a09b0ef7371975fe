"""An architecture as a value; no torch needed to read or write its text form."""

from abc import ABC, abstractmethod


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
