"""Hand-written digits that come with scikit-learn: 1,797 grey pictures, for tests and first steps without a download.

The pictures are 8 x 8 with 17 grey levels. They are scaled to 0..255 and enlarged to 16 x 16 (bilinear), because the
networks halve the resolution twice. A fixed, class-balanced fifth is the test set, the same for every seed.
"""

from functools import cached_property

import torch
from torch import Tensor

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
        from sklearn.datasets import load_digits  # takes a second to import, and no other set needs it

        digits = load_digits()
        grey = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
        larger = torch.nn.functional.interpolate(grey, size=(_SIZE, _SIZE), mode="bilinear", align_corners=False)
        return PixelStore(larger.round().clamp(0, 255).to(torch.uint8)), torch.from_numpy(digits.target).long()
