"""Data sets: labelled images in class-balanced halves and a test set, in batches.

Names are imported at first use, so that settings can be read without torch.
"""

from typing import TYPE_CHECKING

from genas.core.lazy import lazy_names

if TYPE_CHECKING:
    from genas.data.augment import Augmentation as Augmentation
    from genas.data.base import Dataset as Dataset
    from genas.data.base import LabelledImages as LabelledImages
    from genas.data.base import Normalisation as Normalisation
    from genas.data.base import Splits as Splits
    from genas.data.loader import ResidentImages as ResidentImages
    from genas.data.named import open_dataset as open_dataset
    from genas.data.streaming import StreamedImages as StreamedImages

_HOMES = {
    "Augmentation": "augment",
    "Dataset": "base",
    "LabelledImages": "base",
    "Normalisation": "base",
    "Splits": "base",
    "ResidentImages": "loader",
    "open_dataset": "named",
    "StreamedImages": "streaming",
}

__getattr__ = lazy_names(__name__, _HOMES)
