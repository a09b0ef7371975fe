"""Hand-written digits that come with scikit-learn: 1,797 grey images, for tests and first steps without a download.

The images are 8 x 8 with 17 grey levels. They are scaled to 0..255 and enlarged to 16 x 16 (bilinear), because the
networks halve the resolution twice. A fixed, class-balanced fifth is the test set, the same for every seed.
"""

import gzip
import importlib.util
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from genas.core.errors import DataError
from genas.data.augment import Augmentation
from genas.data.base import Dataset, Splits
from genas.data.loader import PixelStore, ResidentImages
from genas.data.normalisation import compute
from genas.data.split import hold_out_test, make_splits

_SIZE = 16  # pixels


class Digits(Dataset):
    """The digits set: 10 classes, 1 channel, 16 x 16 pixels; crop padding of 1, no flip (digits have a direction)."""

    name = "digits"

    def splits(self, seed: int) -> Splits:
        """Divides the training set into class-balanced halves by `seed`."""
        store, labels = self._loaded
        names = tuple(str(digit) for digit in range(10))
        train, test = hold_out_test(labels, 10, names)
        normalisation = compute(store.pixels[train])
        return make_splits(
            ResidentImages(store, labels[train], normalisation, train),
            ResidentImages(store, labels[test], normalisation, test),
            seed,
            normalisation=normalisation,
            class_names=names,
            augmentation=Augmentation(crop_padding=1),
        )

    @cached_property
    def _loaded(self) -> tuple[PixelStore, Tensor]:
        rows = torch.tensor(_read(), dtype=torch.int64)  # [1797, 65]: 8 x 8 grey levels, the label
        grey = rows[:, :-1].reshape(-1, 1, 8, 8).float() * (255 / 16)
        larger = torch.nn.functional.interpolate(grey, size=(_SIZE, _SIZE), mode="bilinear", align_corners=False)
        return PixelStore(larger.round().clamp(0, 255).to(torch.uint8)), rows[:, -1].contiguous()


def _read() -> list[list[int]]:
    """The rows of scikit-learn's file. Importing the package for it would take a second or two."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise DataError("the digits come with scikit-learn, which is not installed: pip install scikit-learn")
    file = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(file, "rt", encoding="ascii") as lines:
        return [[int(float(value)) for value in line.split(",")] for line in lines]
