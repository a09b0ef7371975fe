"""CIFAR in its original files, ImageNet, and any folder of images.

A folder holds one folder of images per class, directly or under its splits (`genas.data.layout`). Without a test split
a fixed fifth is held out. Sets that fit are decoded once and stay in memory; larger ones are streamed.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genas.core.errors import DataError
from genas.data.augment import Augmentation
from genas.data.base import Dataset, Normalisation, Splits
from genas.data.collection import Collection, FileDataset
from genas.data.decoding import decode
from genas.data.files import OUTSIDE, Key, Walk, above, folders_in, images_in, key_of
from genas.data.identity import file_fingerprints
from genas.data.layout import FolderLayout, folder_layout
from genas.data.loader import ResidentImages
from genas.data.normalisation import CIFAR10, CIFAR100, IMAGENET
from genas.data.split import check_labels, make_splits
from genas.data.summary import listed, named, shown


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
        """Divides the 50,000 training images into class-balanced halves by `seed`.

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
                    f"https://www.cs.toronto.edu/~kriz/{self._archive} into {self.root.absolute()}, or name the folder "
                    "that holds it with --data-root."
                ) from error
            pixels = torch.from_numpy(np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)))
            parts.append(ResidentImages(pixels, torch.tensor(part.targets), self._normalisation))
            names = part.classes
        return parts[0], parts[1], tuple(names)


class Cifar10(_Cifar):
    """CIFAR-10 (Krizhevsky 2009): 10 classes, 50,000 + 10,000 images, 3 x 32 x 32; crop padding of 4 and flip."""

    name = "cifar10"
    _class_name = "CIFAR10"
    _folder = "cifar-10-batches-py"
    _archive = "cifar-10-python.tar.gz"
    _normalisation = CIFAR10


class Cifar100(_Cifar):
    """CIFAR-100 (Krizhevsky 2009): 100 classes, 50,000 + 10,000 images, 3 x 32 x 32; crop padding of 4 and flip."""

    name = "cifar100"
    _class_name = "CIFAR100"
    _folder = "cifar-100-python"
    _archive = "cifar-100-python.tar.gz"
    _normalisation = CIFAR100


class FolderImages:
    """Image files by number.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        # One array, not a list of strings: a forked worker would copy every page of the list by counting references.
        self._paths = np.array(paths, dtype=np.bytes_ if all(p.isascii() for p in paths) else np.str_)
        self._fingerprints: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> Path:
        """Where the image lies."""
        return Path(os.fsdecode(self._paths[index]))

    def stored(self, index: int) -> tuple[Path, str]:
        """The file, and what to call it."""
        path = self.path(index)
        return path, str(path)

    def __getitem__(self, index: int) -> Image.Image:
        return decode(*self.stored(index))

    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per file, [N]: of its name, its size and, in small sets, both ends of its content."""
        if self._fingerprints is None:
            self._fingerprints = file_fingerprints([self.path(index) for index in range(len(self))])
        return self._fingerprints

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of every file, [N]."""
        return np.array([os.stat(os.fsdecode(path)).st_size for path in self._paths], dtype=np.int64)


class ImageFolderData(FileDataset):
    """Any folder of images, one folder per class; see `FileDataset`.

    Args:
        root: the folder, with class folders inside it or inside its splits (`genas.data.layout`).
        image_size: side in pixels; None for the images' own size where they share one of at most 224, else 224.
        resizing: see `FileDataset`.
    """

    _expected = "give the path of a folder with one folder per class"

    def __init__(self, root: Path | str, image_size: int | None = None, resizing: str | None = None) -> None:
        super().__init__(root, image_size, resizing)
        self.name = f"folder:{root}"

    def collect(self) -> Collection:
        """Finds the class folders and their images.

        Raises:
            DataError: the folder is missing or empty, a class is empty, or a split has classes of its own.
        """
        if not self.root.is_dir():
            raise DataError(f"There is no folder {self.root.absolute()}: {self._expected}.")
        layout = folder_layout(self.root)
        folders = folders_in(layout.train)
        if not folders:
            raise DataError(
                f"No class folders in {layout.train.absolute()}: put the images of each class into its own folder."
            )
        walk = Walk(_known(self.root, layout))
        paths, labels = _files(walk, layout.train, folders)
        ends = [len(paths)]
        for split in (layout.validation, layout.test):
            if split is not None:
                more = _split_files(walk, split, layout.train, folders)
                paths, labels = paths + more[0], labels + more[1]
            ends.append(len(paths))
        names = class_names(folders)
        every = torch.tensor(labels, dtype=torch.int64)
        train, validation, test = (torch.arange(*span) for span in ((0, ends[0]), ends[:2], ends[1:]))
        if not len(train) and walk.ignored:
            raise DataError(f"No images in {layout.train.absolute()}: only {listed(walk.ignored)} are there.")
        check_labels(every[train], len(names), names)
        return Collection(
            FolderImages(paths),
            every,
            names,
            train,
            validation if len(validation) else None,
            test if len(test) else None,
            _split_names(self.root, layout),
            walk.ignored + _outside(self.root, layout),
            _layout_notes(layout, folders),
        )


class ImageNet(ImageFolderData):
    """ImageNet (ILSVRC 2012) in class folders under ``train`` and ``val``; streamed, published normalisation.

    Args:
        root: the folder that holds ``train`` and ``val``.
        image_size: side in pixels; the usual one is 224.
        resizing: see `FileDataset`.
    """

    usual_root = Path("data/imagenet")
    _normalisation = IMAGENET
    _always_stream = True
    _expected = "name the folder that holds ImageNet's train and val with --data-root"

    def __init__(self, root: Path | str, image_size: int | None = None, resizing: str | None = None) -> None:
        super().__init__(root, image_size or 224, resizing)
        self.name = "imagenet"


def undivided(root: Path) -> tuple[FolderImages, Tensor, tuple[str, ...], Counter[str]]:
    """All images of a folder, for evaluation: nothing is held out.

    Args:
        root: with one folder per class, or with images that lie loose in it.

    Returns:
        The images; labels [N] int64; class names in label order, none for loose images (all labels are 0); how many
        files were left out, by suffix or reason.

    Raises:
        DataError: the folder is missing, holds no images, or holds splits.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise DataError(f"There is no folder {root.absolute()}: give the path of a folder with one folder per class.")
    folders = folders_in(root)
    layout = folder_layout(root) if "train" in map(str.lower, folders) else FolderLayout(root)
    if layout.train != root:
        raise DataError(
            f"{root} holds splits, and all images of a folder are used here: give one of the splits, such as "
            f"folder:{layout.test or layout.train}."
        )
    walk = Walk(_known(root, layout))
    paths, labels = _files(walk, root, folders or ("",))
    if not paths:
        others = f" (only {listed(walk.ignored)})" if walk.ignored else ""
        raise DataError(f"No images in {root.absolute()}{others}: put the images of each class into its own folder.")
    return FolderImages(paths), torch.tensor(labels, dtype=torch.int64), class_names(folders), walk.ignored


def class_names(folders: Sequence[str]) -> tuple[str, ...]:
    """The names of class folders as they are recorded and shown: what does not print is written as an escape.

    Raises:
        DataError: a name is not valid UTF-8, or two come out alike.
    """
    for name in folders:
        if not _is_text(name):
            raise DataError(f"The name of the class folder {shown(name)} is not valid UTF-8: rename it.")
    names = tuple(shown(name) for name in folders)
    if len(set(names)) < len(names):
        raise DataError(f"Two class folders have names that look the same ({named(sorted(names))}): rename one.")
    return names


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _known(root: Path, layout: FolderLayout) -> set[Key]:
    """Folders that a link inside a class does not lead into: those above it, and those of all classes."""
    known = above(root)
    for split in (layout.train, layout.validation, layout.test):
        if split is not None:
            known |= {key for path in (split, *(split / name for name in folders_in(split))) if (key := key_of(path))}
    return known


def _files(walk: Walk, root: Path, names: Sequence[str | None]) -> tuple[list[str], list[int]]:
    """Paths and labels of the images of class folders, None for a class that has none here."""
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = [] if name is None else walk.images(root / name)
        paths += found
        labels += [label] * len(found)
    return paths, labels


def _split_files(walk: Walk, split: Path, train: Path, names: Sequence[str]) -> tuple[list[str], list[int]]:
    # Systems store accents in two ways; the same letters are the same class.
    here = {unicodedata.normalize("NFC", name): name for name in folders_in(split)}
    known = [unicodedata.normalize("NFC", name) for name in names]
    unknown = [name for name in here if name not in known]
    if unknown:
        raise DataError(f"The class {shown(unknown[0])} is in {split} but not in {train}: both need the same classes.")
    paths, labels = _files(walk, split, [here.get(name) for name in known])
    if not paths:
        raise DataError(f"No images in {split}: fill it, or remove it to have a fifth of the rest held out.")
    return paths, labels


def _split_names(root: Path, layout: FolderLayout) -> dict[str, str]:
    """What the splits are called in the files, by what they are used for."""
    if layout.train == root:
        return {"train": "train"}
    found = {"train": layout.train, "validation": layout.validation, "test": layout.test}
    return {use: path.relative_to(root).as_posix() for use, path in found.items() if path is not None}


def _layout_notes(layout: FolderLayout, folders: Sequence[str]) -> tuple[str, ...]:
    notes = [f"The folder {shown(name)} beside the splits is not used." for name in layout.unused]
    if layout.alike:
        notes.append(
            f"The classes {shown(named(folders))} hold the same folders ({shown(named(layout.alike))}), which are not "
            "told apart: if the outer folders are splits, name them train, val and test."
        )
    return tuple(notes)


def _outside(root: Path, layout: FolderLayout) -> Counter[str]:
    """Images that lie beside the class folders."""
    splits = (layout.train, layout.validation, layout.test)
    count = sum(images_in(folder) for folder in {root, *(split for split in splits if split is not None)})
    return Counter({OUTSIDE: count}) if count else Counter()
