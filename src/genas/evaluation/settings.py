"""What an evaluation measures; no torch needed."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from genas.core.settings import Settings

BINS = 15  # of the calibration error (Guo et al.)


class LatencySettings(Settings):
    """How often the forward pass is timed."""

    batch_sizes: tuple[int, ...] = (1, 64)
    """Images per pass: one for the latency, a batch for the throughput."""
    warmup: int = Field(5, ge=0)
    """Passes before the timed ones: memory is allocated and kernels are chosen there."""
    repeats: int = Field(30, ge=2)
    """Timed passes per batch size."""


class FlatnessMeasureSettings(Settings):
    """What is measured around a trained network's weights."""

    former_names: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    sigmas: tuple[float, ...] = (0.0025, 0.005, 0.01, 0.02, 0.03)
    """Standard deviations of the absolute noise. genas's own: a trained network bears more than the 0.006 that the
    search ends at (methods.md 4.3)."""
    relative_sigmas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4)
    """Ratios of the norms of noise and filter. genas's own."""
    draws: int = Field(5, ge=2)
    """Independent draws of the noise; mean and standard deviation are over them."""
    rho: tuple[float, ...] = (0.05,)
    """Lengths of the ascent step (Foret et al.: 0.05 on CIFAR-10 and ImageNet)."""
    adaptive_rho: tuple[float, ...] = (0.5,)
    """Lengths of the adaptive step (Kwon et al.: 0.5 on CIFAR-10)."""
    images: int | None = Field(1024, ge=2)
    """At most that many images, evenly spaced over the set; None for all."""
    on: Literal["test", "train"] = "test"
    """Held images, or the training images (without augmentation), whose loss the weights are a minimum of."""

    @field_validator("sigmas", "relative_sigmas", "rho", "adaptive_rho")
    @classmethod
    def _increasing(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not one > 0 for one in value) or list(value) != sorted(set(value)):
            raise ValueError("the values must be above 0 and increase")
        return value


class EvaluateSettings(Settings):
    """What is measured on a trained network."""

    former_names: ClassVar[Mapping[str, str]] = {"corruption_pictures": "corruption_images"}

    batch_size: int = Field(256, ge=1)
    """Images per batch."""
    limit: int | None = Field(None, ge=2)
    """At most that many test images, evenly spaced over the set; None for all."""
    image_size: int | None = Field(None, ge=8, le=2048)
    """Side of the images; None for the side that the network was trained on."""
    resizing: Literal["fit", "crop", "crop-aliased"] | None = None
    """How images of ``folder:``, ``parquet:`` and ``imagenet`` get that size (see ``data.resizing``); None: as those
    that the network was trained on. The released weights of RLNAS and GeNAS saw ``crop-aliased``."""
    classes: Literal["name", "order"] = "name"
    """``name``: match classes by name; ``order``: trust their order, where only names differ."""
    bins: int = Field(BINS, ge=2)
    """Bins of the calibration error (Guo et al.: 15)."""
    shifts: tuple[str, ...] = ()
    """Robustness: corruptions (all), a group (noise, blur, digital, tone), one corruption, or other images of the same
    classes or of some: ``folder:PATH``, or a data set; may be repeated."""
    ood: tuple[str, ...] = ()
    """Images of none of the classes, to be told from the test set: ``folder:PATH``, or a data set; may be repeated."""
    corruption_images: int | None = Field(None, ge=2)
    """At most that many test images for the corruptions, evenly spaced; None for all."""
    seed: int = Field(0, ge=0)
    """Of the corruptions' and the weights' noise: the same for all networks, whatever seed trained them."""
    with_latency: bool = True
    """Time forward passes."""
    latency: LatencySettings = Field(default_factory=LatencySettings)
    with_flatness: bool = True
    """Measure the loss around the weights."""
    flatness: FlatnessMeasureSettings = Field(default_factory=FlatnessMeasureSettings)
