"""Data sets: labelled images in class-balanced halves and a test set, in batches."""

from genas.data.augment import Augmentation as Augmentation
from genas.data.base import Dataset as Dataset
from genas.data.base import LabelledImages as LabelledImages
from genas.data.base import Normalisation as Normalisation
from genas.data.base import Splits as Splits
from genas.data.loader import ResidentImages as ResidentImages
from genas.data.named import open_dataset as open_dataset
from genas.data.streaming import StreamedImages as StreamedImages
