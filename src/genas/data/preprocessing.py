"""How an image file becomes a network's input: one rule for training, evaluation, prediction and exported networks.

Upright 8-bit RGB (`genas.data.decoding`), brought to the network's size by `at_size`, as grey levels where the network
has one channel, minus ``mean`` and divided by ``std`` per channel. `genas.export` copies this very code into
``modeling.py``, so it needs torch, numpy and Pillow only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genas.core.errors import ConfigError
from genas.data.decoding import BACKGROUND, RESIZINGS, at_size, shorter_side, to_rgb, upright

CHANNELS = (1, 3)
"""Of image files: grey and RGB."""

_GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as torchvision rounds it


@dataclass(frozen=True)
class Preprocessing:
    """The rule by which an image becomes a network's input, and what the outputs mean.

    Args:
        image_shape: channels (1: grey, 3: RGB), height and width of the input.
        mean: subtracted from pixel values in [0, 1], per channel.
        std: divided by afterwards, per channel.
        class_names: one name per output.
        resizing: see `genas.data.decoding.at_size`.

    Raises:
        ConfigError: a number of channels that images do not have, or an unknown way of resizing.
    """

    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    resizing: str = "fit"

    def __post_init__(self) -> None:
        if self.image_shape[0] not in CHANNELS:
            raise ConfigError(
                f"image files do not fit a network of {self.image_shape[0]} channels: expected 1 (grey) or 3 (RGB)."
            )
        if self.resizing not in RESIZINGS:
            raise ConfigError(f"unknown way of resizing {self.resizing!r}: expected one of {', '.join(RESIZINGS)}.")

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Preprocessing":
        """The rule of a description, such as ``config.json``; "fit" where it was written without one.

        Raises:
            ConfigError: a rule that this version does not know.
        """
        recorded = described.get("preprocessing") or {}
        rule = cls(
            tuple(described["image_shape"]),
            tuple(described["mean"]),
            tuple(described["std"]),
            tuple(described["class_names"]),
            recorded.get("resizing", "fit"),
        )
        for key, value in rule.record().items():
            if recorded.get(key, value) != value:
                raise ConfigError(
                    f"the preprocessing that is recorded with the network has {key} {recorded[key]!r}: this version of "
                    f"genas does {value!r} only; load the network with the version that wrote it."
                )
        return rule

    def record(self) -> dict[str, Any]:
        """What a description holds beside ``image_shape``, ``mean``, ``std`` and ``class_names``, JSON-able."""
        return {
            "orientation": "exif",
            "background": list(BACKGROUND),
            "resizing": self.resizing,
            "shorter_side": shorter_side(*self.image_shape[1:], self.resizing),
            "crop": list(self.image_shape[1:]),
            "interpolation": "bilinear",
            "antialias": self.resizing != "crop-aliased",
        }

    def sentences(self) -> tuple[str, ...]:
        """The rule in words, in the order of its steps."""
        channels, height, width = self.image_shape
        side = shorter_side(height, width, self.resizing)
        smoothing = "without" if self.resizing == "crop-aliased" else "with"
        mean, std = (", ".join(f"{value:.4f}" for value in part) for part in (self.mean, self.std))
        shape = "square" if height == width else f"part of the shape {width}:{height}"
        cut = (
            f"Cut the largest centred {shape} and resize it, as PIL.ImageOps.fit does, to {width} x {height}"
            if self.resizing == "fit"
            else f"Resize the shorter side to {side} and cut the centre, {width} x {height}"
        )
        return (
            "Turn the image as its EXIF orientation says.",
            f"Convert it to 8-bit RGB; transparent parts show {'white' if min(BACKGROUND) == 255 else BACKGROUND}.",
            f"{cut} (width x height), bilinear {smoothing} antialiasing.",
            "Divide the levels by 255."
            if channels == 3
            else "Divide the levels by 255 and turn them grey: 0.2989 R + 0.587 G + 0.114 B.",
            f"Subtract the mean ({mean}) and divide by the standard deviation ({std}), per channel.",
        )

    def pixels(self, image: Image.Image) -> Tensor:
        """An image as the network wants it before the normalisation.

        Args:
            image: of any size and mode.

        Returns:
            [C, H, W] float32 in [0, 1].

        Raises:
            ValueError: levels that no rule covers; see `genas.data.decoding.to_rgb`.
        """
        levels = torch.from_numpy(at_size(to_rgb(upright(image)), *self.image_shape[1:], self.resizing).copy())
        return with_channels(levels[None].float() / 255, self.image_shape[0])[0]

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixel values in [0, 1], [B, C, H, W] or [C, H, W], as the network wants them."""
        mean, std = (torch.tensor(part, device=pixels.device)[:, None, None] * 255 for part in (self.mean, self.std))
        return pixels.mul(255).sub_(mean).div_(std)

    def __call__(self, image: Image.Image) -> Tensor:
        """An image as the network's input, [C, H, W] float32; see `pixels`."""
        return self.normalise(self.pixels(image))


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    """Grey images repeated as colours, or coloured ones turned grey: [B, 1 or 3, H, W] to [B, channels, H, W]."""
    if pixels.shape[1] == channels:
        return pixels
    if pixels.shape[1] == 1:
        return pixels.expand(-1, channels, -1, -1)
    red, green, blue = pixels.unbind(1)
    return red.mul(_GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])[:, None]
