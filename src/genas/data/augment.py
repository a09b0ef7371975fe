"""Random transforms of training pictures, a whole batch at a time.

The usual CIFAR recipe: pad the raw picture with black, cut a window of the old size at a random place, mirror it with
probability one half; then, after normalisation, set a random square to zero (cutout, DeVries and Taylor 2017,
arXiv:1708.04552). Crop and flip run on raw pixels, so that the padding is black and not the mean colour; cutout runs on
normalised pictures, so that the square carries the mean colour.

Random numbers are drawn on the generator's device and carried over, so a CPU generator gives the same transforms on
every device.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class Augmentation(BaseModel):
    """What is done at random to a training picture.

    Args:
        crop_padding: black pixels added on each side before a window of the old size is cut; 0 for no crop. Pictures
            that are streamed from disk take a random resized crop instead wherever this is above 0.
        flip: mirror left to right with probability 0.5.
        cutout: side in pixels of the square that is set to zero; its centre is uniform over the picture, and what
            sticks out is lost; 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_padding: int = Field(default=0, ge=0)
    flip: bool = False
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

    def geometry(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Random crop and flip, meant for raw pixels.

        Args:
            images: [B, C, H, W], any type, any device.
            rng: where the random numbers come from.

        Returns:
            A tensor of the same shape; the very same one where neither step is asked for.
        """
        if not self.crop_padding and not self.flip:
            return images
        count, channels, height, width = images.shape
        pad = self.crop_padding
        draws = torch.stack(
            [
                torch.randint(0, 2 * pad + 1, (count,), generator=rng, device=rng.device),
                torch.randint(0, 2 * pad + 1, (count,), generator=rng, device=rng.device),
                torch.randint(0, 2, (count,), generator=rng, device=rng.device),
            ]
        ).to(images.device, non_blocking=True)
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

    def erase(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Cutout, meant for normalised pictures.

        Args:
            images: [B, C, H, W], any type, any device.
            rng: where the random numbers come from.

        Returns:
            A tensor of the same shape; the very same one where cutout is 0.
        """
        if not self.cutout:
            return images
        count, _, height, width = images.shape
        centres = torch.stack(
            [
                torch.randint(0, height, (count,), generator=rng, device=rng.device),
                torch.randint(0, width, (count,), generator=rng, device=rng.device),
            ]
        ).to(images.device, non_blocking=True)
        first = centres[:, :, None] - self.cutout // 2
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        in_rows = (rows >= first[0]) & (rows < first[0] + self.cutout)
        in_columns = (columns >= first[1]) & (columns < first[1] + self.cutout)
        square = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        return images.masked_fill(square, 0)
