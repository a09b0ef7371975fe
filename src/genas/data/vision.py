"""CIFAR in its original files, ImageNet, and any folder of pictures.

A folder holds one folder of pictures per class, either directly or under ``train`` and ``val`` (or ``validation``, or
``test``). Without a test part a fixed fifth is held out. Sets that fit are decoded once and stay in memory; larger ones
are streamed.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genas.data.augment import Augmentation, centre_crop
from genas.data.base import Dataset, LabelledImages, Normalisation, Splits
from genas.data.loader import PixelStore, ResidentImages
from genas.data.normalisation import CIFAR10, CIFAR100, IMAGENET, compute
from genas.data.pictures import RESIDENT_BYTES, PictureSource, decode, load_all, sample_numbers
from genas.data.split import check_labels, hold_out_test, make_splits
from genas.data.streaming import StreamedImages, stream_pixels
from genas.errors import DataError

_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"))
_TEST_FOLDERS = ("val", "validation", "test")
_STREAMED_SAMPLE = 4096  # pictures that a streamed set's normalisation is computed from


class _Cifar(Dataset):
    """What the two CIFAR sets share.

    Args:
        root: the folder that holds the unpacked Python version (``cifar-10-batches-py`` or ``cifar-100-python``).
    """

    _class_name: str
    _folder: str
    _archive: str
    _normalisation: Normalisation

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser()

    def splits(self, seed: int) -> Splits:
        """Divides the 50,000 training pictures into class-balanced halves by `seed`.

        Raises:
            DataError: the files are missing or damaged.
        """
        train, test, names = self._loaded
        return make_splits(
            train,
            test,
            seed,
            normalisation=self._normalisation,
            class_names=names,
            augmentation=Augmentation(crop_padding=4, flip=True),
        )

    @cached_property
    def _loaded(self) -> tuple[ResidentImages, ResidentImages, tuple[str, ...]]:
        from torchvision import datasets

        parts = []
        names: Sequence[str] = ()
        for is_train in (True, False):
            try:
                # torchvision compares checksums before it unpickles anything.
                part = getattr(datasets, self._class_name)(str(self.root), train=is_train, download=False)
            except (RuntimeError, OSError) as error:
                raise DataError(
                    f"{self.name} is missing or damaged under {self.root.absolute() / self._folder}: unpack "
                    f"https://www.cs.toronto.edu/~kriz/{self._archive} into {self.root.absolute()}."
                ) from error
            pixels = torch.from_numpy(np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)))
            parts.append(ResidentImages(pixels, torch.tensor(part.targets), self._normalisation))
            names = part.classes
        return parts[0], parts[1], tuple(names)


class Cifar10(_Cifar):
    """CIFAR-10 (Krizhevsky 2009): 10 classes, 50,000 + 10,000 pictures, 3 x 32 x 32; crop padding of 4 and flip."""

    name = "cifar10"
    _class_name = "CIFAR10"
    _folder = "cifar-10-batches-py"
    _archive = "cifar-10-python.tar.gz"
    _normalisation = CIFAR10


class Cifar100(_Cifar):
    """CIFAR-100 (Krizhevsky 2009): 100 classes, 50,000 + 10,000 pictures, 3 x 32 x 32; crop padding of 4 and flip."""

    name = "cifar100"
    _class_name = "CIFAR100"
    _folder = "cifar-100-python"
    _archive = "cifar-100-python.tar.gz"
    _normalisation = CIFAR100


class FolderPictures:
    """Picture files by number.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        # One array, not a list of strings: a forked worker would copy every page of the list by counting references.
        self._paths = np.array(paths, dtype=np.bytes_ if all(p.isascii() for p in paths) else np.str_)

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> Path:
        """Where the picture lies."""
        return Path(os.fsdecode(self._paths[index]))

    def __getitem__(self, index: int) -> Image.Image:
        path = self.path(index)
        return decode(path, str(path))


class ImageFolderData(Dataset):
    """Any folder of pictures, one folder per class.

    Pictures of every colour mode become RGB. They are brought to squares: the shorter side is resized and the centre
    cut. The usual augmentation is a crop with a padding of an eighth of the side, and a flip; streamed sets take a
    random resized crop instead.

    Args:
        root: the folder, with class folders inside it or inside its ``train`` (and ``val``, ``validation``, ``test``).
        image_size: side in pixels; None for the pictures' own size where they share one of at most 224, else 224.
    """

    def __init__(self, root: Path | str, image_size: int | None = None) -> None:
        self.root = Path(root).expanduser()
        self.image_size = image_size
        self.name = f"folder:{root}"
        self._normalisation: Normalisation | None = None
        self._always_stream = False

    def splits(self, seed: int) -> Splits:
        """Divides the training pictures into class-balanced halves by `seed`.

        Raises:
            DataError: the folder is missing or empty, a class is empty, or a picture cannot be read.
        """
        train, test, names, normalisation = self._loaded
        padding = max(1, train.image_shape[1] // 8)
        return make_splits(
            train,
            test,
            seed,
            normalisation=normalisation,
            class_names=names,
            augmentation=Augmentation(crop_padding=padding, flip=True),
        )

    @cached_property
    def _loaded(self) -> tuple[LabelledImages, LabelledImages, tuple[str, ...], Normalisation]:
        found = _scan(self.root)
        pictures = FolderPictures(found.paths)
        size = self.image_size or _own_size(pictures)
        sets = build_sets(
            pictures,
            found.labels,
            found.train,
            found.test,
            size,
            normalisation=self._normalisation,
            stream=self._always_stream or len(pictures) * 3 * size * size > RESIDENT_BYTES,
        )
        return sets[0], sets[1], found.names, sets[2]


class ImageNet(ImageFolderData):
    """ImageNet (ILSVRC 2012) in class folders under ``train`` and ``val``; streamed, published normalisation.

    Args:
        root: the folder that holds ``train`` and ``val``.
        image_size: side in pixels; the usual one is 224.
    """

    def __init__(self, root: Path | str, image_size: int | None = None) -> None:
        super().__init__(root, image_size or 224)
        self.name = "imagenet"
        self._normalisation = IMAGENET
        self._always_stream = True


def build_sets(
    pictures: PictureSource,
    labels: Tensor,
    train: Tensor,
    test: Tensor,
    size: int,
    *,
    normalisation: Normalisation | None,
    stream: bool,
) -> tuple[LabelledImages, LabelledImages, Normalisation]:
    """Makes the training and test sets from numbered pictures.

    Args:
        pictures: gives RGB pictures.
        labels: [N] int64.
        train: numbers of the training pictures.
        test: numbers of the test pictures.
        size: side in pixels.
        normalisation: None to compute it from the training pictures (of a streamed set, from a sample of them).
        stream: decode while training instead of once.

    Returns:
        The training set, the test set, and the normalisation of both.

    Raises:
        DataError: a picture cannot be read.
    """
    if not stream:
        store = PixelStore(load_all(pictures.__getitem__, len(pictures), size))
        norm = normalisation or compute(store.pixels[index] for index in torch.split(train, 4096))
        resident = [ResidentImages(store, labels[part], norm, part) for part in (train, test)]
        return resident[0], resident[1], norm
    if normalisation is None:
        sample = train[torch.tensor(sample_numbers(len(train), _STREAMED_SAMPLE))]
        normalisation = compute(
            stream_pixels(pictures, sample, 64, centre_crop(size)),
            f"computed from {len(sample)} of {len(train)} training pictures",
        )
    streamed = [StreamedImages(pictures, labels[part], normalisation, size, part) for part in (train, test)]
    return streamed[0], streamed[1], normalisation


def undivided(root: Path) -> tuple[FolderPictures, Tensor, tuple[str, ...]]:
    """All pictures of a folder, for evaluation: nothing is held out.

    Args:
        root: with one folder per class, or with pictures that lie loose in it.

    Returns:
        The pictures; labels [N] int64; class names in label order, none for loose pictures (all labels are 0).

    Raises:
        DataError: the folder is missing or holds no pictures.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise DataError(f"There is no folder {root.absolute()}: give the path of a folder with one folder per class.")
    names = tuple(_class_folders(root))
    paths, labels = _files(root, names or ("",))
    if not paths:
        raise DataError(f"No pictures in {root.absolute()}: put the pictures of each class into its own folder.")
    return FolderPictures(paths), torch.tensor(labels, dtype=torch.int64), names


@dataclass(frozen=True)
class _Found:
    """The files of a picture folder: their paths, labels [N], and the numbers of the training and test pictures."""

    paths: list[str]
    labels: Tensor
    train: Tensor
    test: Tensor
    names: tuple[str, ...]


def _scan(root: Path) -> _Found:
    if not root.is_dir():
        raise DataError(f"There is no folder {root.absolute()}: give the path of a folder with one folder per class.")
    # A folder "train" full of pictures is a class of railway pictures, not a part of the set.
    train_root = root / "train" if (root / "train").is_dir() and _class_folders(root / "train") else root
    names = tuple(_class_folders(train_root))
    if not names:
        raise DataError(
            f"No class folders in {train_root.absolute()}: put the pictures of each class into its own folder."
        )
    paths, labels = _files(train_root, names)
    test_root = None
    if train_root != root:
        test_root = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    train_labels = torch.tensor(labels, dtype=torch.int64)
    if test_root is None:
        train, test = hold_out_test(train_labels, len(names), names)
        return _Found(paths, train_labels, train, test, names)
    check_labels(train_labels, len(names), names)
    unknown = [name for name in _class_folders(test_root) if name not in names]
    if unknown:
        raise DataError(
            f"The class {unknown[0]} is in {test_root} but not in {train_root}: both need the same classes."
        )
    test_paths, test_labels = _files(test_root, names)
    if not test_paths:
        raise DataError(f"No pictures in {test_root}: fill it, or remove it to have a fifth of the rest held out.")
    return _Found(
        paths + test_paths,
        torch.tensor(labels + test_labels, dtype=torch.int64),
        torch.arange(len(paths)),
        torch.arange(len(paths), len(paths) + len(test_paths)),
        names,
    )


def _class_folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))


def _files(root: Path, names: Sequence[str]) -> tuple[list[str], list[int]]:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = [
            os.path.join(folder, file)
            for folder, _, files in os.walk(root / name, followlinks=True)
            for file in files
            if os.path.splitext(file)[1].lower() in _SUFFIXES and not file.startswith(".")
        ]
        paths += sorted(found)
        labels += [label] * len(found)
    return paths, labels


def _own_size(pictures: FolderPictures) -> int:
    """The pictures' common shorter side where a sample shares one size of at most 224, else 224; reads headers only."""
    sizes: set[Any] = set()
    for number in sample_numbers(len(pictures), 64):
        path = pictures.path(number)
        try:
            with Image.open(path) as picture:
                sizes.add(picture.size)
        except (OSError, UnidentifiedImageError):
            decode(path, str(path))  # raises the error that names the picture
    side = min(sizes.pop()) if len(sizes) == 1 else 224
    return min(side, 224)
