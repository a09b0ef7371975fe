"""What a data set is: labelled images in three parts, and how they come out in batches.

A `Dataset` gives `Splits`: the *weights half* and the *validation half* of the training set (both fixed by the seed and
balanced over classes) and, apart, the test set, which the search never touches.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genas.core.distributed import Share
from genas.core.errors import DataError, GenasError
from genas.core.registry import Recorded, blame, class_path
from genas.data.augment import Augmentation
from genas.data.decoding import RESIZINGS
from genas.data.summary import DataSummary


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of pixel values in [0, 1].

    Args:
        mean: one value per channel.
        std: one value per channel, above 0.
        source: where the figures come from, for the run's record.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


class LabelledImages(ABC):
    """Images with labels that can be walked through in batches, any number of times, always reproducibly."""

    labels: Tensor  # [N] int64, on the CPU
    image_shape: tuple[int, int, int]  # channels, height, width of a batch's images
    resizing: str = "fit"  # how image files get that size, see `genas.data.decoding.at_size`

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def subset(self, indices: Sequence[int] | Tensor) -> "LabelledImages":
        """The images at `indices`, in that order (shares memory where it can)."""

    @abstractmethod
    def with_labels(self, labels: Tensor) -> "LabelledImages":
        """The same images with other labels ([N] int64), for random-label training."""

    def with_normalisation(self, normalisation: Normalisation) -> "LabelledImages":
        """The same images with another normalisation.

        Raises:
            DataError: this kind of images has no other one.
        """
        raise DataError(f"{type(self).__name__} cannot change its normalisation; retrain with retrain.normalise=true.")

    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per image that tells it from others, [N]: by them a run knows its data again.

        The default tells none apart, so that only classes and counts are compared. Your own class may return whatever
        is cheap and stays the same from one process to the next, such as hashes of file names and sizes.
        """
        return np.zeros(len(self), dtype=np.uint64)

    @abstractmethod
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
        """Walks through the images once.

        Order and augmentation of batch i are functions of `seed` and i alone, so a walk from `start` gives the very
        batches that a whole walk gives from there on.

        Args:
            batch_size: images per batch; the last batch may be smaller.
            device: where the batches lie.
            seed: seed of order and augmentation; needed when either is asked for.
            shuffle: random order instead of the stored one.
            augmentation: random transforms of the training images; None for none.
            start: number of batches to skip at the start.
            limit: stop after that many images of the walk (counted from its beginning, not from `start`).
            share: give this process's rows of every batch only, with the very transforms that they have in the whole
                batch; None for all rows.

        Yields:
            images [B, C, H, W] float32, normalised; labels [B] int64.
        """


@dataclass(frozen=True)
class Splits:
    """The parts of a data set that a run uses.

    Args:
        weights: trains the supernet and recalibrates batch norm.
        validation: scores architectures.
        train: for retraining: both halves together, or the whole train split where there is a validation split too.
        test: judged once, after retraining; None where the data set has none.
        normalisation: what was subtracted and divided by.
        class_names: one name per class, in label order.
        augmentation: the data set's usual training augmentation; None for none.
        summary: what was found in the files; None where the parts say all.

    Raises:
        DataError: a part is missing or of the wrong type, or its labels, shapes and class names do not fit together.
    """

    weights: LabelledImages
    validation: LabelledImages
    train: LabelledImages
    test: LabelledImages | None
    normalisation: Normalisation
    class_names: tuple[str, ...]
    augmentation: Augmentation
    summary: DataSummary | None = None

    def __post_init__(self) -> None:
        if self.augmentation is None:  # of a data set of a user's own
            object.__setattr__(self, "augmentation", Augmentation())
        _check_types(self)
        for name in ("weights", "validation", "train", "test"):
            part = getattr(self, name)
            if part is not None:
                _check_part(name, part, self)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self.weights.image_shape


def _check_types(splits: Splits) -> None:
    expected = {
        "weights": LabelledImages,
        "validation": LabelledImages,
        "train": LabelledImages,
        "test": LabelledImages | None,
        "normalisation": Normalisation,
        "augmentation": Augmentation,
    }
    for name, kind in expected.items():
        value = getattr(splits, name)
        if not isinstance(value, kind):
            named = getattr(kind, "__name__", "LabelledImages or None")
            raise DataError(f"Splits.{name} is of the type {type(value).__name__}: expected {named}.")
    names = splits.class_names
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise DataError("Splits.class_names must be one text per class, in label order.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError(f"Splits.class_names has {twice!r} twice: expected another name for every class.")


def _check_part(name: str, part: LabelledImages, splits: Splits) -> None:
    labels = getattr(part, "labels", None)
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
        raise DataError(f"Splits.{name}.labels must be a tensor [N] of int64.")
    if not len(labels):
        raise DataError(f"Splits.{name} holds no images: give it some{', or None' if name == 'test' else ''}.")
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= len(splits.class_names):
        raise DataError(
            f"A label of Splits.{name} is {least if least < 0 else most}: expected 0 to {len(splits.class_names) - 1}, "
            f"the number of one of the {len(splits.class_names)} classes."
        )
    shape, own = getattr(part, "image_shape", None), splits.weights.image_shape
    if shape is None or tuple(shape) != tuple(own):
        raise DataError(f"The images of Splits.{name} are {shape}, those of Splits.weights {own}: expected one shape.")
    if part.resizing not in RESIZINGS:
        raise DataError(f"Splits.{name}.resizing is {part.resizing!r}: expected one of {', '.join(RESIZINGS)}.")


class Dataset(Recorded, ABC):
    """A source of labelled images. Subclass it for your own data and name it ``package.module:Name``.

    Give paths and other options to the constructor, as numbers, text, lists or mappings: a run folder records them and
    makes the data set again from them.
    """

    name: str = "custom"
    usual_root: ClassVar[Path] = Path("data")
    """Where the files of a named data set lie unless ``data.root`` says otherwise."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lets every subclass's `splits` fail with a sentence, whatever it raises."""
        super().__init_subclass__(**kwargs)
        if "splits" in cls.__dict__:
            cls.splits = _with_sentence(cls.__dict__["splits"])  # type: ignore[method-assign]

    def check(self, *, quiet: bool = False) -> tuple[str, ...]:
        """Looks at the whole data set once more before a run begins, and more closely than `splits` does.

        Args:
            quiet: no progress.

        Returns:
            What a user should know, one sentence each.

        Raises:
            DataError: an image cannot be read.
        """
        del quiet
        return ()

    @abstractmethod
    def splits(self, seed: int) -> Splits:
        """Loads the data and divides the training set into class-balanced halves by `seed`.

        Raises:
            DataError: the data are missing, unreadable or unfit.
        """


def _with_sentence(splits: Callable[..., Splits]) -> Callable[..., Splits]:
    """A subclass's `splits` that raises GenasErrors and OSErrors only: a user's code may raise anything."""

    @functools.wraps(splits)
    def guarded(self: Dataset, seed: int) -> Splits:
        called = repr(self.name if self.name != Dataset.name else class_path(type(self)))
        try:
            found = splits(self, seed)
        except (GenasError, OSError, MemoryError):
            raise
        except Exception as error:
            raise DataError(f"The data set {called} cannot be loaded: {blame(error)}.") from error
        if not isinstance(found, Splits):
            kind = type(found).__name__
            raise DataError(f"The data set {called} cannot be loaded: its splits gave a {kind}; expected genas.Splits.")
        return found

    return guarded
