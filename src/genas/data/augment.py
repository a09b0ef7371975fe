"""Random transforms of training images, a whole batch at a time.

The usual CIFAR recipe: pad the raw image with black, cut a window of the old size at a random place, mirror it with
probability one half; then, after normalisation, set a random square to zero (cutout, DeVries and Taylor 2017,
arXiv:1708.04552). Crop and flip run on raw pixels, so that the padding is black and not the mean colour; cutout runs on
normalised images, so that the square carries the mean colour.

The ImageNet recipes cut a window of random area and resize it, change colours (`per_image`, through torchvision), and
add colour noise along the principal components of ImageNet's colours (Krizhevsky et al. 2012).

Random numbers are drawn on the generator's device and carried over, so a CPU generator gives the same transforms on
every device.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from genas.core.errors import DataError

Part = tuple[Tensor, int]
"""Rows [B] of a larger batch, and that batch's size: random numbers are drawn for the larger batch."""

# Standard deviations along, and directions of, the principal components of ImageNet's colours, for pixels in [0, 1]
_LIGHTING_STD = (0.2175, 0.0188, 0.0045)
_LIGHTING_AXES = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class Augmentation(BaseModel):
    """What is done at random to a training image.

    Args:
        crop_padding: black pixels added on each side before a window of the old size is cut; 0 for no crop. Images
            that are streamed from disk take a random resized crop instead wherever this is above 0.
        crop: ``padded`` is the above. ``resized`` takes a window of 8 to 100 % of the area and of aspect 3/4 to 4/3 and
            resizes it to the old size; ``square`` the same without a change of aspect.
        flip: mirror left to right with probability 0.5.
        colour_jitter: how much brightness, contrast, saturation and hue may change; None for not at all.
        lighting: standard deviation of the colour noise along ImageNet's principal components; 0 for none.
        lighting_8bit: cut the sum of pixel and noise to 0 to 255 and to whole levels, downwards.
        cutout: side in pixels of the square that is set to zero; its centre is uniform over the image, and what
            sticks out is lost; 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_padding: int = Field(default=0, ge=0)
    crop: Literal["padded", "resized", "square"] = "padded"
    flip: bool = False
    colour_jitter: tuple[float, float, float, float] | None = None
    lighting: float = Field(default=0, ge=0)
    lighting_8bit: bool = False
    cutout: int = Field(default=0, ge=0)

    def apply(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Applies all steps: `geometry`, then `erase`.

        Args:
            images: [B, C, H, W], any type, any device.
            rng: where the random numbers come from.

        Returns:
            A tensor of the same shape, type and device.
        """
        return self.erase(self.geometry(images, rng), rng)

    @property
    def one_by_one(self) -> bool:
        """Whether crop, flip and colours are those of `per_image`, not `geometry`."""
        return self.crop != "padded" or self.colour_jitter is not None

    def per_image(self, size: int, resizing: str = "crop") -> Callable[[Any], Any]:
        """Crop to [`size`, `size`] pixels, flip and colour jitter of one image, as a torchvision transform.

        Crops are resized as `genas.data.decoding.at_size` says: with antialiasing but for ``crop-aliased``.

        A padded crop has no place here: the images come in sizes of their own. It becomes a resized one where
        `crop_padding` is above 0, else the centre (`centre_crop`).
        """
        from torchvision.transforms import v2  # heavy, and not needed for images in memory

        antialias = resizing != "crop-aliased"
        # Pillow's resizing has antialiasing always, that of tensors where it is asked for
        steps: list[Any] = [] if antialias else [v2.PILToTensor()]
        if self.crop == "square":
            steps.append(v2.RandomResizedCrop(size, ratio=(1.0, 1.0), antialias=antialias))
        elif self.crop == "resized" or self.crop_padding:
            steps.append(v2.RandomResizedCrop(size, antialias=antialias))
        else:
            steps.append(centre_crop(size, antialias=antialias))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if self.colour_jitter is not None:
            steps.append(v2.ColorJitter(*self.colour_jitter))
        both: Callable[[Any], Any] = v2.Compose(steps) if len(steps) > 1 else steps[0]
        return both

    def lighten(self, images: Tensor, rng: torch.Generator, part: Part | None = None) -> Tensor:
        """Adds the colour noise: one colour for the whole image.

        Args:
            images: [B, 3, H, W] float32 raw pixels (0 to 255), any device.
            rng: where the random numbers come from.
            part: the rows that `images` are of a larger batch; None where they are all.

        Returns:
            A tensor of the same shape; the very same one where `lighting` is 0.

        Raises:
            DataError: the images are not in colour.
        """
        if not self.lighting:
            return images
        if images.shape[1] != 3:
            raise DataError(
                f"The recipe's lighting noise is along colours, and the images have {images.shape[1]} channel(s); "
                "set retrain.lighting=0 for them."
            )
        rows, total = part or (torch.arange(len(images)), len(images))
        drawn = self.lighting * torch.randn((total, 3), generator=rng, device=rng.device)[rows.to(rng.device)]
        colour = (drawn.cpu() * torch.tensor(_LIGHTING_STD)) @ torch.tensor(_LIGHTING_AXES).T
        lit = images + (255 * colour).to(images.device, non_blocking=True)[:, :, None, None]
        return lit.clamp_(0, 255).floor_() if self.lighting_8bit else lit

    def geometry(self, images: Tensor, rng: torch.Generator, part: Part | None = None) -> Tensor:
        """Random padded crop and flip, meant for raw pixels.

        Args:
            images: [B, C, H, W], any type, any device.
            rng: where the random numbers come from.
            part: the rows that `images` are of a larger batch; None where they are all.

        Returns:
            A tensor of the same shape; the very same one where neither step is asked for.
        """
        if not self.crop_padding and not self.flip:
            return images
        _, channels, height, width = images.shape
        count, pad = len(images), self.crop_padding
        draws = _draw((2 * pad + 1, 2 * pad + 1, 2), images, rng, part)
        top, left, mirrored = draws[0, :, None], draws[1, :, None], draws[2, :, None]
        rows = top + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device).expand(count, -1)
        if self.flip:
            columns = torch.where(mirrored == 1, width - 1 - columns, columns)
        columns = left + columns
        padded = torch.nn.functional.pad(images, (pad, pad, pad, pad)) if pad else images
        places = (rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]).view(count, 1, height * width)
        window = padded.flatten(2).gather(2, places.expand(-1, channels, -1))
        return window.view(count, channels, height, width)

    def erase(self, images: Tensor, rng: torch.Generator, part: Part | None = None) -> Tensor:
        """Cutout, meant for normalised images; arguments and result are as those of `geometry`."""
        if not self.cutout:
            return images
        _, _, height, width = images.shape
        centres = _draw((height, width), images, rng, part)
        first = centres[:, :, None] - self.cutout // 2
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        in_rows = (rows >= first[0]) & (rows < first[0] + self.cutout)
        in_columns = (columns >= first[1]) & (columns < first[1] + self.cutout)
        square = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        return images.masked_fill(square, 0)


def centre_crop(size: int, *, antialias: bool = True) -> Callable[[Any], Any]:
    """Resizes the shorter side to `size` * 256 / 224 and cuts the centre, [`size`, `size`] pixels."""
    from torchvision.transforms import v2  # heavy, and not needed for images in memory

    both: Callable[[Any], Any] = v2.Compose(
        [v2.Resize(round(size * 256 / 224), antialias=antialias), v2.CenterCrop(size)]
    )
    return both


def _draw(limits: Sequence[int], images: Tensor, rng: torch.Generator, part: Part | None) -> Tensor:
    """Whole numbers below each of `limits` for every image of the batch that `part` is of: [K, B], beside `images`."""
    count = len(images) if part is None else part[1]
    draws = torch.stack([torch.randint(0, limit, (count,), generator=rng, device=rng.device) for limit in limits])
    own = draws if part is None else draws[:, part[0].to(draws.device)]
    return own.to(images.device, non_blocking=True)
