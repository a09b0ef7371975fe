"""What a data set is: labelled pictures in three parts, and how they come out in batches.

A `Dataset` gives `Splits`: the *weights half* and the *validation half* of the training set (both fixed by the seed and
balanced over classes) and, apart, the test set, which the search never touches.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genas.errors import DataError
from genas.processes import Share

if TYPE_CHECKING:
    from genas.data.augment import Augmentation


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
    """Pictures with labels that can be walked through in batches, any number of times, always reproducibly."""

    labels: Tensor  # [N] int64, on the CPU
    image_shape: tuple[int, int, int]  # channels, height, width of a batch's pictures

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def subset(self, indices: Sequence[int] | Tensor) -> "LabelledImages":
        """The pictures at `indices`, in that order (shares memory where it can)."""

    @abstractmethod
    def with_labels(self, labels: Tensor) -> "LabelledImages":
        """The same pictures with other labels ([N] int64), for random-label training."""

    def with_normalisation(self, normalisation: Normalisation) -> "LabelledImages":
        """The same pictures with another normalisation.

        Raises:
            DataError: this kind of pictures has no other one.
        """
        raise DataError(f"{type(self).__name__} cannot change its normalisation; retrain with retrain.normalise=true.")

    @abstractmethod
    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        seed: int | None = None,
        shuffle: bool = False,
        augmentation: "Augmentation | None" = None,
        start: int = 0,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Walks through the pictures once.

        Order and augmentation of batch i are functions of `seed` and i alone, so a walk from `start` gives the very
        batches that a whole walk gives from there on.

        Args:
            batch_size: pictures per batch; the last batch may be smaller.
            device: where the batches lie.
            seed: seed of order and augmentation; needed when either is asked for.
            shuffle: random order instead of the stored one.
            augmentation: random transforms of the training pictures; None for none.
            start: number of batches to skip at the start.
            limit: stop after that many pictures of the walk (counted from its beginning, not from `start`).
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
        train: both halves together, for retraining.
        test: judged once, after retraining; None where the data set has none.
        normalisation: what was subtracted and divided by.
        class_names: one name per class, in label order.
        augmentation: the data set's usual training augmentation.
    """

    weights: LabelledImages
    validation: LabelledImages
    train: LabelledImages
    test: LabelledImages | None
    normalisation: Normalisation
    class_names: tuple[str, ...]
    augmentation: "Augmentation"

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pictures."""
        return self.weights.image_shape


class Dataset(ABC):
    """A source of labelled pictures. Subclass it for your own data and name it ``package.module:Name``."""

    name: str = "custom"

    @abstractmethod
    def splits(self, seed: int) -> Splits:
        """Loads the data and divides the training set into class-balanced halves by `seed`.

        Raises:
            DataError: the data are missing, unreadable or unfit.
        """
