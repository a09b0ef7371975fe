"""What of a landscape is computed, and on which images."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from genas.core.settings import Settings, validate

ABSOLUTE_SIGMAS = (0.001, 0.003, 0.006, 0.01, 0.02, 0.03)  # the search's own (methods.md 4.3), and beyond
RELATIVE_SIGMAS = (0.05, 0.1, 0.2, 0.3, 0.4)  # those of `genas evaluate`


class LandscapeSettings(Settings):
    """The loss around weights: lines, a plane, and growing noise."""

    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    data: tuple[Literal["validation", "test"], ...] = ("validation",)
    """Images of which the loss is taken: ``validation``, ``test`` or both."""
    images: int | None = Field(1024, ge=1)
    """Random images, the same for all networks; None for those that the run scores on. genas's own."""
    directions: int = Field(10, ge=1)
    """Random directions of the lines. genas's own (Li et al. draw one)."""
    range: float | None = Field(None, gt=0)
    """How far lines and plane go to either side; None for 1, the norm of each filter (0.05 with --normalise none).

    Li et al.: -1 to 1."""
    points: int = Field(21, ge=3)
    """Points of a line; odd, so that the weights themselves are one. Li et al.: 51."""
    contour: int = Field(15, ge=0)
    """Points of a side of the plane; odd, 0 for no plane. Li et al.: 51."""
    normalise: Literal["filter", "none"] = "filter"
    """``filter``: every filter of a direction has the norm of the weights' filter (Li et al.); ``none``: plain Gaussian
    directions. With ``none``, a step of 1 is a standard deviation of 1 in every weight."""
    vectors: Literal["fixed", "moved"] = "fixed"
    """Batch norm's scales and shifts and biases: ``fixed``, as in Li et al., or ``moved``, each as a filter."""
    batchnorm: Literal["kept", "recomputed"] = "kept"
    """Statistics of batch norm: ``kept`` as the weights have them, or ``recomputed`` at each point."""
    noise: Literal["absolute", "relative", "none"] = "absolute"
    """Growing Gaussian noise: ``absolute``, the same in every weight as flatness has it; ``relative`` to the norm of
    each filter; ``none``."""
    sigmas: tuple[float, ...] | None = None
    """Strengths of the noise, increasing, such as 0.001,0.003,0.01; None for those of genas."""
    draws: int = Field(5, ge=1)
    """Draws of the noise. genas's own."""
    radius: float | None = Field(None, gt=0)
    """Distance at which the rise of the loss is told; None for half the range. genas's own."""
    threshold: float = Field(0.5, gt=0)
    """Rise of the loss, in nats, that the width of a minimum is measured at. genas's own."""

    @field_validator("points", "contour")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0 and value > 0:
            raise ValueError("expected an odd number, so that the weights themselves are one of the points")
        if value == 1:
            raise ValueError("at least 3 points are needed")
        return value

    @field_validator("sigmas")
    @classmethod
    def _increasing(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (not value or any(not one > 0 for one in value) or list(value) != sorted(set(value))):
            raise ValueError("the sigmas must be above 0 and increase")
        return value

    @field_validator("data")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("expected validation, test or both")
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "LandscapeSettings":
        if self.radius is not None and self.radius > self.reach:
            raise ValueError(f"the radius {self.radius:g} lies outside the range {self.reach:g}")
        return self

    @property
    def reach(self) -> float:
        """The range that holds."""
        if self.range is not None:
            return self.range
        return 1.0 if self.normalise == "filter" else 0.05

    @property
    def measured_radius(self) -> float:
        """The radius that holds."""
        return self.radius if self.radius is not None else self.reach / 2

    @property
    def strengths(self) -> tuple[float, ...]:
        """The sigmas that hold; none without noise."""
        if self.noise == "none":
            return ()
        if self.sigmas is not None:
            return self.sigmas
        return ABSOLUTE_SIGMAS if self.noise == "absolute" else RELATIVE_SIGMAS


def read_settings(given: Mapping[str, Any]) -> LandscapeSettings:
    """The settings from a mapping of their fields.

    Raises:
        ConfigError: an unknown key or an impossible value; every fault is named.
    """
    return validate(LandscapeSettings, given, "the settings of the landscape are wrong")
