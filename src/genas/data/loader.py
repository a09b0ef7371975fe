"""Batches of images kept in memory, and what walks through images share.

`ResidentImages` holds one uint8 tensor, copied once to the device it is asked for; all subsets share it. Batches are
gathered, augmented and normalised there.

Order and augmentation are drawn from streams named by the seed and the place in the walk, here and in
`genas.data.streaming`, so that skipping batches never changes the ones that follow. Labels always come from our own
tensor, never from the image source: relabelling a torchvision `ImageFolder` by its `targets` has no effect on what
it yields.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genas.core.distributed import Share
from genas.core.seeding import derive, torch_rng
from genas.data.augment import Augmentation
from genas.data.base import LabelledImages, Normalisation
from genas.data.identity import Fingerprinted, fingerprint

Transform = Callable[[Any], Any]


class PixelStore:
    """One uint8 tensor of images and its copies on other devices.

    Args:
        pixels: [N, C, H, W] uint8.
        source: where they were decoded from, which may tell them apart without their pixels.
        resizing: how they got their size; see `genas.data.decoding.at_size`.
    """

    def __init__(self, pixels: Tensor, source: object = None, resizing: str = "fit") -> None:
        if pixels.dtype != torch.uint8 or pixels.dim() != 4:
            raise ValueError(f"pixels must be [N, C, H, W] uint8, not {list(pixels.shape)} {pixels.dtype}")
        self.pixels = pixels.contiguous()
        self.resizing = resizing
        self._copies: dict[torch.device, Tensor] = {self.pixels.device: self.pixels}
        self._source = source

    @cached_property
    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per image, [N]."""
        if isinstance(self._source, Fingerprinted):
            return self._source.fingerprints()
        rows = self.pixels.cpu().flatten(1).numpy()
        return np.array([fingerprint(row.tobytes()) for row in rows], dtype=np.uint64)

    def on(self, device: torch.device) -> Tensor:
        """The images on `device`; copied at the first call only."""
        if device not in self._copies:
            self._copies[device] = self.pixels.to(device)
        return self._copies[device]


@dataclass(frozen=True)
class Walk:
    """One walk through images: `order` is [N], their places; the rest as in `LabelledImages.batches`."""

    order: Tensor
    batch_size: int
    device: torch.device
    seed: int | None
    augmentation: Augmentation | None
    start: int
    share: Share | None

    def rows(self, first: int) -> tuple[slice | Tensor, tuple[Tensor, int] | None]:
        """Where the batch whose first image is at `first` lies in the walk.

        Returns:
            The places of its rows in the walk, and (rows of the batch, size of the batch) where they are a share.
        """
        if self.share is None:
            return slice(first, first + self.batch_size), None
        size = min(self.batch_size, len(self.order) - first)
        rows = self.share.rows(size)
        return (rows + first).to(self.device, non_blocking=True), (rows, size)


class Walked(LabelledImages):
    """Images in an order that is decided before the walk begins."""

    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        seed: int | None = None,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        start: int = 0,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Walks through the images once; see `LabelledImages.batches`."""
        order = walk_order(len(self), batch_size, seed, shuffle, augmentation, limit)
        return self._walk(Walk(order, batch_size, torch.device(device), seed, augmentation, start, share))

    @abstractmethod
    def _walk(self, walk: Walk) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of a walk."""


class ResidentImages(Walked):
    """Images in memory.

    Args:
        pixels: [M, C, H, W] uint8, or a store that other sets share.
        labels: [N] int64.
        normalisation: subtracted and divided by, per channel.
        indices: [N] which images of `pixels` these are; None for all of them in order.
    """

    def __init__(
        self,
        pixels: Tensor | PixelStore,
        labels: Tensor,
        normalisation: Normalisation,
        indices: Tensor | None = None,
    ) -> None:
        self.store = pixels if isinstance(pixels, PixelStore) else PixelStore(pixels)
        count, channels, height, width = self.store.pixels.shape
        self.indices = torch.arange(count) if indices is None else indices.cpu().long()
        self.labels = check_labels(labels, len(self.indices))
        self.normalisation = normalisation
        self.image_shape = (channels, height, width)
        self.resizing = self.store.resizing

    def subset(self, indices: Sequence[int] | Tensor) -> "ResidentImages":
        """The images at `indices`, in that order; the pixels are shared."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return ResidentImages(self.store, self.labels[chosen], self.normalisation, self.indices[chosen])

    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per image, [N]: see `genas.data.identity`."""
        found: NDArray[np.uint64] = self.store.fingerprints[self.indices.numpy()]
        return found

    def with_labels(self, labels: Tensor) -> "ResidentImages":
        """The same images with other labels ([N] int64); the pixels are shared."""
        return ResidentImages(self.store, labels, self.normalisation, self.indices)

    def with_normalisation(self, normalisation: Normalisation) -> "ResidentImages":
        """The same images with another normalisation; the pixels are shared."""
        return ResidentImages(self.store, self.labels, normalisation, self.indices)

    def _walk(self, walk: Walk) -> Iterator[tuple[Tensor, Tensor]]:
        order, batch_size, device = walk.order, walk.batch_size, walk.device
        augmentation, seed = walk.augmentation, walk.seed
        store = self.store.on(device)
        # One copy of order and labels per walk, so that no batch waits for the host.
        places, labels = (one[order].to(device, non_blocking=True) for one in (self.indices, self.labels))
        mean, std = channel_constants(self.normalisation, self.image_shape[0], device)
        alone = (
            augmentation.per_image(self.image_shape[1], self.resizing)
            if augmentation and augmentation.one_by_one
            else None
        )
        for first in range(walk.start * batch_size, len(order), batch_size):
            here, part = walk.rows(first)
            pixels = store[places[here]]
            if augmentation is None or seed is None:
                yield pixels.float().sub_(mean).div_(std), labels[here]
                continue
            rng = torch_rng(seed, "data.augment", first // batch_size)
            if alone is not None:
                rows = range(first, first + len(pixels)) if part is None else (part[0] + first).tolist()
                pixels = _transformed(pixels, alone, seed, rows)
            else:
                pixels = augmentation.geometry(pixels, rng, part)
            images = augmentation.lighten(pixels.float(), rng, part).sub_(mean).div_(std)
            yield augmentation.erase(images, rng, part), labels[here]


def seeded(transform: Transform, image: Any, seed: int, place: int) -> Any:
    """A random transform of the image at `place` of a walk, under the stream of that place."""
    # The CPU generator alone: torch.manual_seed would reseed the accelerator's as well, and it is not restored.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "data.augment", place))
        return transform(image)


def _transformed(pixels: Tensor, transform: Transform, seed: int, places: Sequence[int]) -> Tensor:
    """[B, C, S, S] uint8, each image transformed for itself."""
    if not len(pixels):
        return pixels
    return torch.stack([seeded(transform, image, seed, place) for image, place in zip(pixels, places, strict=True)])


def walk_order(
    count: int,
    batch_size: int,
    seed: int | None,
    shuffle: bool,
    augmentation: Augmentation | None,
    limit: int | None,
) -> Tensor:
    """The walk's image numbers, cut at `limit`; checks the arguments that both kinds share."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if seed is None and (shuffle or augmentation is not None):
        raise ValueError("shuffle and augmentation need a seed")
    if shuffle and seed is not None:
        order = torch.randperm(count, generator=torch_rng(seed, "data.order"))
    else:
        order = torch.arange(count)
    return order if limit is None else order[:limit]


def check_labels(labels: Tensor, count: int) -> Tensor:
    """The labels on the CPU as int64; refuses any number of them but `count`."""
    if labels.dim() != 1 or len(labels) != count:
        raise ValueError(f"{count} images need {count} labels, not a tensor of {list(labels.shape)}")
    return labels.cpu().long()


def channel_constants(normalisation: Normalisation, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in units of raw pixels (0 to 255), each [1, C, 1, 1]."""
    if len(normalisation.mean) != channels or len(normalisation.std) != channels:
        raise ValueError(f"normalisation of {len(normalisation.mean)} channels for images of {channels}")
    mean, std = (
        (torch.tensor(part) * 255).view(1, -1, 1, 1).to(device, non_blocking=True)
        for part in (normalisation.mean, normalisation.std)
    )
    return mean, std
