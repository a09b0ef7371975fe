"""What both sides of the benchmarks are given: images and an untrained supernet."""

import torch

from genas.data import Splits
from genas.data.augment import Augmentation
from genas.data.base import Normalisation
from genas.data.loader import ResidentImages
from genas.proxies import Scoring
from genas.training.supernet import initialise

SIGMAS = (0.001, 0.003, 0.006)


def random_splits(count: int, classes: int = 10, side: int = 32) -> Splits:
    """Random pixels: the time does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    normalisation = Normalisation((0.5,) * 3, (0.25,) * 3, "made")
    whole = ResidentImages(pixels, labels, normalisation)
    names = tuple(str(number) for number in range(classes))
    return Splits(whole, whole, whole, None, normalisation, names, Augmentation(crop_padding=4, flip=True))


def scoring_of(space, splits, fabric) -> Scoring:
    supernet = initialise(space, splits.num_classes, 3, 0).to(fabric.device).eval()
    return Scoring(space, supernet, {}, splits, fabric, 0)
