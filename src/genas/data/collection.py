"""Data sets that lie in files: from what was found in them to splits, the same way for folders and Parquet files."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genas.core.errors import DataError
from genas.core.executors import Threads
from genas.core.progress import Bar
from genas.data.augment import Augmentation
from genas.data.base import Dataset, LabelledImages, Normalisation, Splits
from genas.data.copies import Contents, find_copies
from genas.data.decoding import (
    RESIDENT_BYTES,
    check_image,
    highest_level,
    load_all,
    sample_numbers,
    size_of,
    worker_count,
)
from genas.data.loader import PixelStore, ResidentImages
from genas.data.normalisation import compute
from genas.data.split import hold_out_test, make_splits
from genas.data.streaming import AtSize, StreamedImages, stream_pixels
from genas.data.summary import BOTH_HALVES, SCORES, SUPERNET, TEST, DataSummary, SplitSummary, named, shown

_SAMPLE = 64  # headers that the usual size and the summary of a streamed set come from
_STREAMED_SAMPLE = 4096  # images that a streamed set's normalisation is computed from
_LARGEST_OWN = 224  # pixels; larger images are brought to this size unless another one is asked for
SMALL_SIDE, LEAST_SIDE = 8, 4  # pixels of the shorter side: below the first a warning, below the second refused
LONG, LONGEST = 4, 32  # longer side over shorter: above the first a warning, above the second refused
_DARK = 65_535 // 4  # 16-bit images without higher levels have a note: they leave two bits or more unused
_CHUNK = 256


class ImageFiles(Contents, Protocol):
    """Numbered images of files."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int, /) -> Image.Image:
        """One image, decoded."""
        ...

    def stored(self, index: int) -> tuple[Path | bytes, str]:
        """The file or the bytes of one image, and what to call it."""
        ...


@dataclass(frozen=True)
class Collection:
    """What was found in the files of a data set.

    Args:
        images: all images, numbered through.
        labels: [N] int64.
        class_names: in label order.
        train: numbers of the images of the train split, ascending.
        validation: those of the validation split; None without one.
        test: those of the test split; None without one: a fifth of the train split is held out.
        names: what the splits are called in the files.
        ignored: how many files were left out, by suffix or reason.
        notes: what a user should know, one sentence each.
    """

    images: ImageFiles
    labels: Tensor
    class_names: tuple[str, ...]
    train: Tensor
    validation: Tensor | None = None
    test: Tensor | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Loaded:
    """The sets of a collection."""

    collection: Collection
    parts: dict[str, Tensor]
    sets: dict[str, LabelledImages]
    normalisation: Normalisation
    summary: DataSummary


class FileDataset(Dataset):
    """A data set that lies in files; subclasses say what they find.

    Images of every kind become RGB (see ``docs/data.md``). They are brought to squares: the shorter side is resized and
    the centre cut. The usual augmentation is a crop with a padding of an eighth of the side, and a flip; streamed sets
    take a random resized crop instead.

    Args:
        root: where the files lie.
        image_size: side in pixels; None for the images' own size where they share one of at most 224, else 224.
        resizing: how images get that size, see `genas.data.decoding.at_size`; None: ``fit``, or ``crop`` where they
            are streamed.
    """

    _normalisation: Normalisation | None = None  # None: computed from the train split
    _always_stream = False

    def __init__(self, root: Path | str, image_size: int | None = None, resizing: str | None = None) -> None:
        self.root = Path(root).expanduser()
        self.image_size = image_size
        self.resizing = resizing

    @abstractmethod
    def collect(self) -> Collection:
        """Finds images, labels and splits.

        Raises:
            DataError: files are missing or damaged, or labels or splits are unfit.
        """

    def own_side(self) -> int:
        """Side in pixels that the images get where none is asked for, from the headers of a sample of them.

        Raises:
            DataError: see `collect`.
        """
        images = self.collect().images
        sample = sample_numbers(len(images), _SAMPLE)
        sizes = [size_of(*images.stored(number)) for number in sample]
        return _own_size(np.array(sizes, dtype=np.int64).reshape(-1, 2))

    def splits(self, seed: int) -> Splits:
        """Divides the training images into class-balanced halves by `seed`, where no validation split is given.

        Raises:
            DataError: see `collect`; a class is empty, or an image cannot be read.
        """
        loaded = self._loaded
        train = loaded.sets["train"]
        return make_splits(
            train,
            loaded.sets["test"],
            seed,
            normalisation=loaded.normalisation,
            class_names=loaded.collection.class_names,
            augmentation=Augmentation(crop_padding=max(1, train.image_shape[1] // 8), flip=True),
            validation=loaded.sets.get("validation"),
            summary=loaded.summary,
        )

    def check(self, *, quiet: bool = False) -> tuple[str, ...]:
        """Looks for damaged images that have not been decoded yet, and for copies in two classes or splits.

        A streamed set's files are opened one by one (`check_image`): 0.1 ms of one processor each, 2 minutes for
        ImageNet where the disk keeps up.

        Raises:
            DataError: an image cannot be read.
        """
        loaded, images = self._loaded, self._loaded.collection.images
        notes: tuple[str, ...] = ()
        if isinstance(loaded.sets["train"], StreamedImages):
            used = torch.cat(list(loaded.parts.values())).sort().values.tolist()
            notes = _fit_sizes(_checked_sizes(images, used, quiet), images, used)
        labels = loaded.collection.labels.tolist()
        parts = {name: part.tolist() for name, part in loaded.parts.items()}
        return notes + find_copies(images, labels, parts, quiet=quiet)

    @cached_property
    def _loaded(self) -> _Loaded:
        found = self.collect()
        parts = _parts(found)
        images = found.images
        sample = sample_numbers(len(images), _SAMPLE)
        looks = [(size_of(*file), highest_level(*file)) for file in map(images.stored, sample)]
        sizes = np.array([size for size, _ in looks], dtype=np.int64).reshape(-1, 2)
        side = self.image_size or _own_size(sizes)
        if self._always_stream or len(images) * 3 * side * side > RESIDENT_BYTES:
            notes = _fit_sizes(sizes, images, sample)
            sets, normalisation = _stream(found, parts, side, self._normalisation, self.resizing or "crop")
            looked_at = len(sample) if len(sample) < len(images) else None
        else:
            sets, normalisation, sizes, own = _load(found, parts, side, self._normalisation, self.resizing or "fit")
            notes = _fit_sizes(sizes, images, range(len(images))) + own
            looked_at = None
        notes += _absent(found) + _dark([level for _, level in looks if level is not None])
        summary = _summary(self.name, found, parts, (3, side, side), sizes, looked_at, notes)
        return _Loaded(found, parts, sets, normalisation, summary)


def _parts(found: Collection) -> dict[str, Tensor]:
    """Numbers of the images by split: ``train``, perhaps ``validation``, ``test``."""
    if found.test is not None:
        parts = {"train": found.train, "validation": found.validation, "test": found.test}
        return {name: part for name, part in parts.items() if part is not None}
    train, test = hold_out_test(found.labels[found.train], len(found.class_names), found.class_names)
    return {"train": found.train[train], "test": found.train[test]}


def _absent(found: Collection) -> tuple[str, ...]:
    """Notes on classes that the validation or the test split has no images of."""
    notes = []
    for split, numbers in (("validation", found.validation), ("test", found.test)):
        if numbers is not None:
            counts = torch.bincount(found.labels[numbers], minlength=len(found.class_names)).tolist()
            absent = [name for name, count in zip(found.class_names, counts, strict=True) if not count]
            if absent:
                kind = "class" if len(absent) == 1 else "classes"
                notes.append(f"The {split} split has no images of {len(absent)} {kind} ({shown(named(absent))}).")
    return tuple(notes)


def _own_size(sizes: NDArray[np.int64]) -> int:
    """The images' common shorter side where all share one size, at most 224; else 224."""
    if not len(sizes) or (sizes != sizes[0]).any():
        return _LARGEST_OWN
    return min(int(sizes[0].min()), _LARGEST_OWN)


def _load(
    found: Collection, parts: Mapping[str, Tensor], side: int, normalisation: Normalisation | None, resizing: str
) -> tuple[dict[str, LabelledImages], Normalisation, NDArray[np.int64], tuple[str, ...]]:
    """Sets in memory, their normalisation, the images' own sizes [N, 2], and notes."""
    images = found.images
    sizes = np.zeros((len(images), 2), dtype=np.int64)

    def load(number: int) -> Image.Image:
        image = images[number]
        sizes[number] = image.size
        return image

    store = PixelStore(load_all(load, len(images), side, resizing), images, resizing)
    own = normalisation or compute(store.pixels[index] for index in torch.split(parts["train"], 4096))
    sets: dict[str, LabelledImages] = {
        name: ResidentImages(store, found.labels[part], own, part) for name, part in parts.items()
    }
    return sets, own, sizes, _uniform(store.pixels, images)


def _stream(
    found: Collection, parts: Mapping[str, Tensor], side: int, normalisation: Normalisation | None, resizing: str
) -> tuple[dict[str, LabelledImages], Normalisation]:
    train = parts["train"]
    if normalisation is None:
        sample = train[torch.tensor(sample_numbers(len(train), _STREAMED_SAMPLE))]
        normalisation = compute(
            stream_pixels(found.images, sample, 64, AtSize(side, resizing)),
            f"computed from {len(sample)} of {len(train)} training images",
        )
    sets: dict[str, LabelledImages] = {
        name: StreamedImages(found.images, found.labels[part], normalisation, side, part, resizing=resizing)
        for name, part in parts.items()
    }
    return sets, normalisation


def _uniform(pixels: Tensor, images: ImageFiles) -> tuple[str, ...]:
    """A note on images of a single colour: blank files, or levels that no rule brings to light."""
    flags = [(chunk == chunk[:, :, :1, :1]).flatten(1).all(1) for chunk in torch.split(pixels, 4096)]
    blank = torch.cat(flags).nonzero().flatten()
    if not len(blank):
        return ()
    return (
        f"{len(blank):,} of {len(pixels):,} images have one colour throughout, such as "
        f"{shown(images.stored(int(blank[0]))[1])}.",
    )


def _dark(levels: Sequence[int]) -> tuple[str, ...]:
    """A note on 16-bit images whose highest levels fill a small part of the 16 bits, such as 12-bit scans."""
    if not levels or max(levels) > _DARK:
        return ()
    return (
        f"The 16-bit images hold levels up to {max(levels):,} of 65,535 in a sample of {len(levels)}, so they come out "
        f"with {(max(levels) >> 8) + 1} of 256 levels: stretch them to 16 bits, or store them with 8 bits.",
    )


def _fit_sizes(sizes: NDArray[np.int64], images: ImageFiles, numbers: Sequence[int]) -> tuple[str, ...]:
    """Notes on images that are too small or too long to show much in a square.

    Args:
        sizes: [K, 2] width and height.
        images: what they are of.
        numbers: [K] their numbers.

    Raises:
        DataError: more than half of the images show next to nothing.
    """
    shorter, longer = sizes.min(1), sizes.max(1)
    unfit = (shorter < LEAST_SIDE) | (longer > LONGEST * shorter)
    if unfit.sum() * 2 > len(sizes):
        first = int(np.flatnonzero(unfit)[0])
        raise DataError(
            f"{int(unfit.sum()):,} of {len(sizes):,} images are too small or too long, such as "
            f"{images.stored(numbers[first])[1]} with {'x'.join(map(str, sizes[first]))} pixels: expected at least "
            f"{LEAST_SIDE} on the shorter side and at most {LONGEST} times that on the longer."
        )
    notes = []
    for poor, text in (
        (shorter < SMALL_SIDE, f"are smaller than {SMALL_SIDE} pixels"),
        (longer > LONG * shorter, f"are more than {LONG} times as long as wide, and only their centre is used"),
    ):
        if poor.any():
            example = images.stored(numbers[int(np.flatnonzero(poor)[0])])[1]
            notes.append(f"{int(poor.sum()):,} of {len(sizes):,} images {text}, such as {shown(example)}.")
    return tuple(notes)


def _checked_sizes(images: ImageFiles, numbers: Sequence[int], quiet: bool) -> NDArray[np.int64]:
    """Width and height [K, 2] of images, each of them looked at for damage, on several threads."""
    chunks = [numbers[first : first + _CHUNK] for first in range(0, len(numbers), _CHUNK)]

    def check(chunk: Sequence[int]) -> list[tuple[int, int]]:
        return [check_image(*images.stored(number)) for number in chunk]

    sizes: list[tuple[int, int]] = []
    with Bar("Checking images", len(numbers), unit="image", quiet=quiet) as bar:
        for found in Threads(worker_count()).map(check, chunks):
            sizes += found
            bar.step(len(found))
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _summary(
    name: str,
    found: Collection,
    parts: Mapping[str, Tensor],
    shape: tuple[int, int, int],
    sizes: NDArray[np.int64],
    looked_at: int | None,
    notes: Sequence[str],
) -> DataSummary:
    uses = {"train": SUPERNET if "validation" in parts else BOTH_HALVES, "validation": SCORES, "test": TEST}
    names = {"test": "held out" if found.test is None else "test", **found.names}
    uses["test"] = TEST if found.test is not None else f"{TEST}, a fifth of every class"
    areas = sizes.prod(1)
    return DataSummary(
        name,
        len(found.class_names),
        shape,
        tuple(SplitSummary(names.get(part, part), len(numbers), uses[part]) for part, numbers in parts.items()),
        smallest=tuple(sizes[areas.argmin()].tolist()),
        largest=tuple(sizes[areas.argmax()].tolist()),
        looked_at=looked_at,
        ignored=found.ignored,
        notes=(*found.notes, *notes),
    )
