"""Per-channel means and standard deviations: the published figures of well-known sets, or computed ones.

The CIFAR and ImageNet16-120 figures are those that the NAS-Bench-201 code uses, the ImageNet ones torchvision's.
Computed figures come from the training images only.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from genas.core.errors import DataError
from genas.data.base import Normalisation


def _raw(mean: tuple[float, ...], std: tuple[float, ...], source: str) -> Normalisation:
    """From figures in units of raw pixels (0 to 255)."""
    return Normalisation(tuple(m / 255 for m in mean), tuple(s / 255 for s in std), source)


CIFAR10 = _raw((125.3, 123.0, 113.9), (63.0, 62.1, 66.7), "published, CIFAR-10")
CIFAR100 = _raw((129.3, 124.1, 112.4), (68.2, 65.4, 70.4), "published, CIFAR-100")
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "published, ImageNet")
IMAGENET16 = _raw((122.68, 116.66, 104.01), (63.22, 61.26, 65.09), "published, ImageNet16-120")


def compute(images: Tensor | Iterable[Tensor], source: str = "computed from the training images") -> Normalisation:
    """Computes mean and standard deviation per channel, exactly and in little memory.

    Counts how often each of the 256 levels occurs, so neither rounding nor a float copy of the images comes in. A
    channel of one single level gets a standard deviation of 1/255 in place of 0.

    Args:
        images: [N, C, H, W] uint8, or batches of such.
        source: where the figures come from, for the run's record.

    Raises:
        DataError: there are no images.
    """
    batches = torch.split(images, 4096) if isinstance(images, Tensor) else images
    counts: Tensor | None = None  # [C, 256]
    for batch in batches:
        here = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in batch.unbind(1)])
        counts = here if counts is None else counts + here
    if counts is None or not counts.sum():
        raise DataError("There are no training images to compute a normalisation from.")
    share = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = (share * levels).sum(1)
    std = (share * (levels - mean[:, None]).square()).sum(1).sqrt().clamp(min=1 / 255)
    return Normalisation(tuple(mean.tolist()), tuple(std.tolist()), source)
