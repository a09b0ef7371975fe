"""Batches of images streamed from disk: decoded in worker processes, for sets that do not fit into memory.

The processes send arrays, not tensors: torch passes tensors through shared memory, which containers often limit to
64 MB, and a process that finds none leaves its reader waiting for ever. Where not even the processes' locks find room,
this process decodes.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from genas.core.distributed import Share
from genas.core.errors import DataError
from genas.core.seeding import torch_rng
from genas.data.augment import centre_crop
from genas.data.base import Normalisation
from genas.data.decoding import ImageSource, at_size, to_rgb, worker_count
from genas.data.identity import Fingerprinted
from genas.data.loader import Transform, Walk, Walked, channel_constants, check_labels, seeded


class StreamedImages(Walked):
    """Images decoded from disk as they are needed; a walk ends with a `DataError` that names what cannot be read.

    Without an augmentation, images are brought to `size` by `genas.data.decoding.at_size`; the numbers of its ``crop``
    are those of the usual ImageNet recipe. With one, `Augmentation.per_image` replaces that.

    Args:
        images: gives the images; must be picklable where processes are not forked.
        labels: [N] int64.
        normalisation: subtracted and divided by, per channel.
        size: side of the batches' images, in pixels.
        indices: [N] which of `images` these are; None for all of them in order.
        workers: number of decoding processes; None for one per processor, at most 8; 0 decodes in this process.
        resizing: how images get their size without an augmentation, and whether random crops are resized with
            antialiasing; see `genas.data.decoding.at_size`.
    """

    def __init__(
        self,
        images: ImageSource,
        labels: Tensor,
        normalisation: Normalisation,
        size: int,
        indices: Tensor | None = None,
        workers: int | None = None,
        resizing: str = "crop",
    ) -> None:
        self.images = images
        self.indices = torch.arange(len(images)) if indices is None else indices.cpu().long()
        self.labels = check_labels(labels, len(self.indices))
        self.normalisation = normalisation
        self.size = size
        self.workers = workers
        self.resizing = resizing
        self.image_shape = (3, size, size)

    def subset(self, indices: Sequence[int] | Tensor) -> "StreamedImages":
        """The images at `indices`, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return self._like(self.labels[chosen], self.indices[chosen])

    def with_labels(self, labels: Tensor) -> "StreamedImages":
        """The same images with other labels ([N] int64)."""
        return self._like(labels, self.indices)

    def with_normalisation(self, normalisation: Normalisation) -> "StreamedImages":
        """The same images with another normalisation."""
        return self._like(self.labels, self.indices, normalisation)

    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per image, [N]; all alike where the source cannot tell: see `genas.data.identity`."""
        if isinstance(self.images, Fingerprinted):
            found: NDArray[np.uint64] = self.images.fingerprints()[self.indices.numpy()]
            return found
        return super().fingerprints()

    def _like(self, labels: Tensor, indices: Tensor, normalisation: Normalisation | None = None) -> "StreamedImages":
        return StreamedImages(
            self.images, labels, normalisation or self.normalisation, self.size, indices, self.workers, self.resizing
        )

    def _walk(self, walk: Walk) -> Iterator[tuple[Tensor, Tensor]]:
        augmentation, seed, device = walk.augmentation, walk.seed, walk.device
        plain = AtSize(self.size, self.resizing)
        transform = plain if augmentation is None else augmentation.per_image(self.size, self.resizing)
        labels = self.labels[walk.order].to(device, non_blocking=True)
        mean, std = channel_constants(self.normalisation, 3, device)
        stream = stream_pixels(
            self.images,
            self.indices[walk.order],
            walk.batch_size,
            transform,
            seed=None if augmentation is None else seed,
            start=walk.start,
            workers=self.workers,
            pin_memory=device.type == "cuda",
            share=walk.share,
        )
        for number, pixels in enumerate(stream, walk.start):
            here, part = walk.rows(number * walk.batch_size)
            if not len(pixels):
                pixels = pixels.expand(0, 3, self.size, self.size)
            images = pixels.to(device, non_blocking=True).float()
            if augmentation is not None and seed is not None:
                images = augmentation.lighten(images, torch_rng(seed, "data.lighting", number), part)
            images = images.sub_(mean).div_(std)
            if augmentation is not None and seed is not None:
                images = augmentation.erase(images, torch_rng(seed, "data.cutout", number), part)
            yield images, labels[here]


class AtSize:
    """Brings one image to a size as evaluation does: `genas.data.decoding.at_size` as a transform.

    Args:
        size: side in pixels.
        resizing: see `genas.data.decoding.at_size`.
    """

    def __init__(self, size: int, resizing: str = "crop") -> None:
        self.size = size
        self.resizing = resizing

    def __call__(self, image: Any) -> Tensor:
        """[3, size, size] uint8 of an RGB image; tensors, which a source of one's own may give, are cropped."""
        if not isinstance(image, Image.Image):
            cropped: Tensor = centre_crop(self.size)(image)
            return cropped
        return torch.from_numpy(at_size(image, self.size, self.size, self.resizing).copy())


def stream_pixels(
    images: ImageSource,
    order: Tensor,
    batch_size: int,
    transform: Transform,
    *,
    seed: int | None = None,
    start: int = 0,
    workers: int | None = None,
    pin_memory: bool = False,
    share: Share | None = None,
) -> Iterator[Tensor]:
    """Decodes images in worker processes.

    Args:
        images: where they come from.
        order: [N] which images, in the order of the walk.
        batch_size: images per batch.
        transform: brings an image to the common size; may draw from torch's global CPU generator.
        seed: the image at place i of `order` is transformed under a stream named by (seed, i); None for no seeding.
        start: number of batches to skip.
        workers: number of processes; None for one per processor, at most 8.
        pin_memory: whether the batches lie in page-locked memory.
        share: decode this process's rows of every batch only; None for all.

    Yields:
        [B, 3, S, S] uint8 on the CPU.

    Raises:
        DataError: an image cannot be read.
    """
    groups = [
        list(range(i, min(i + batch_size, len(order)))) for i in range(start * batch_size, len(order), batch_size)
    ]
    if share is not None:
        groups = [[group[row] for row in share.rows(len(group)).tolist()] for group in groups]
    if not groups:
        return
    wanted = worker_count() if workers is None else workers

    def load(processes: int) -> Iterator[Any]:
        return iter(
            DataLoader(
                _Items(images, order, transform, seed),
                batch_sampler=groups,
                num_workers=processes,
                collate_fn=_collate,
                pin_memory=pin_memory,
                # Without its own generator the loader draws from, and so changes, torch's global one.
                generator=torch.Generator(),
            )
        )

    try:
        batches = load(min(wanted, len(groups)))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EAGAIN, errno.EACCES, errno.ENOSYS):
            raise
        batches = load(0)
    try:
        for batch in batches:
            if isinstance(batch, _Unreadable):
                raise DataError(batch.message)
            yield batch.tensor
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"A process that decodes images ended early ({' '.join(str(error).split())[:200]}): free some memory, or "
            "set data.image_size or the batch size lower."
        ) from error


class _Batch:
    """Images [B, 3, S, S] uint8 on their way from a worker; pickled by value."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels: NDArray[np.uint8] | None = pixels
        self._pinned: Tensor | None = None

    def pin_memory(self) -> "_Batch":
        """Called by the loader where page-locked memory is asked for."""
        self._pinned, self._pixels = self.tensor.pin_memory(), None
        return self

    @property
    def tensor(self) -> Tensor:
        """The images."""
        if self._pinned is not None or self._pixels is None:
            assert self._pinned is not None
            return self._pinned
        return torch.from_numpy(self._pixels)


@dataclass(frozen=True)
class _Unreadable:
    """Stands in for an image: an exception that crosses the worker boundary would come out as a page of traceback."""

    message: str


class _Items(TorchDataset[Any]):
    """Images by their place in a walk, brought to size."""

    def __init__(self, images: ImageSource, order: Tensor, transform: Transform, seed: int | None) -> None:
        self.images = images
        self.order = order
        self.transform = transform
        self.seed = seed

    def __getitem__(self, place: int) -> Tensor | _Unreadable:
        number = int(self.order[place])
        try:
            image = self.images[number]
        except DataError as error:
            return _Unreadable(str(error))
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            reason = " ".join(str(error).split())
            return _Unreadable(f"Cannot read image number {number} ({reason}): replace or remove it.")
        image = image[0] if isinstance(image, tuple | list) else image
        if isinstance(image, Image.Image):
            image = to_rgb(image)
        if self.seed is None:
            return _as_pixels(self.transform(image))
        return _as_pixels(seeded(self.transform, image, self.seed, place))


def _as_pixels(image: Any) -> Tensor:
    from torchvision.transforms.v2.functional import pil_to_tensor

    pixels: Tensor = pil_to_tensor(image) if isinstance(image, Image.Image) else image
    return pixels.expand(3, -1, -1) if pixels.shape[0] == 1 else pixels


def _collate(items: list[Tensor | _Unreadable]) -> _Batch | _Unreadable:
    images: list[NDArray[np.uint8]] = []
    for item in items:
        if isinstance(item, _Unreadable):
            return item
        images.append(item.numpy())
    if not images:  # a process without a row of this batch; the batch's size is not known here, nor needed
        return _Batch(np.empty((0, 3, 1, 1), dtype=np.uint8))
    return _Batch(np.ascontiguousarray(np.stack(images)))  # as a worker would send them: strides change rounding
