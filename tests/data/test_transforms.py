"""The transforms of the ImageNet recipes, and batches divided over processes."""

import numpy as np
import pytest
import torch

from genas.core.distributed import Share
from genas.core.errors import DataError
from genas.core.seeding import torch_rng
from genas.data.augment import Augmentation
from genas.data.base import Normalisation
from genas.data.loader import ResidentImages
from genas.data.split import class_balanced_part
from genas.data.streaming import StreamedImages

CPU = torch.device("cpu")
HALF = Normalisation((0.5,) * 3, (0.25,) * 3, "made")
EVERYTHING = Augmentation(
    crop="resized", flip=True, colour_jitter=(0.4, 0.4, 0.4, 0.2), lighting=0.1, cutout=5, crop_padding=2
)


def images(count=11, size=12):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator).to(torch.uint8)


class Pixels:
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return images()[index]


KINDS = {
    "resident": lambda: ResidentImages(images(), torch.arange(11), HALF),
    "streamed": lambda: StreamedImages(Pixels(), torch.arange(11), HALF, 12, workers=0),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("augmentation", [None, EVERYTHING, Augmentation(crop_padding=2, flip=True, cutout=5)])
@pytest.mark.parametrize(("processes", "pieces"), [(2, 1), (3, 2), (5, 1)])
def test_shares_of_a_batch_are_its_very_rows(kind, augmentation, processes, pieces):
    images = KINDS[kind]()
    wanted = {"seed": 3, "shuffle": True, "augmentation": augmentation, "start": 1}
    whole = list(images.batches(4, CPU, **wanted))
    assert [len(labels) for _, labels in whole] == [4, 3]
    for process in range(processes):
        share = Share(process, processes, pieces)
        for (all_images, all_labels), (own, labels) in zip(
            whole, images.batches(4, CPU, **wanted, share=share), strict=True
        ):
            rows = share.rows(len(all_labels))
            assert own.shape[1:] == all_images.shape[1:]  # also of no rows
            assert torch.equal(own, all_images[rows])
            assert torch.equal(labels, all_labels[rows])


@pytest.mark.parametrize(("crop", "square"), [("square", True), ("resized", False)])
def test_only_the_resized_crop_changes_the_aspect(crop, square):
    side = 64
    ramp = torch.arange(side, dtype=torch.float32) * 3
    image = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), torch.zeros(side, side)])
    images = ResidentImages(image.to(torch.uint8).expand(24, -1, -1, -1), torch.zeros(24), HALF)
    batch, _ = next(images.batches(24, CPU, seed=1, augmentation=Augmentation(crop=crop)))
    raw = (batch * 0.25 + 0.5) * 255 / 3
    middle = slice(8, 56)
    across = raw[:, 0, 32, middle].diff(dim=1).mean(1)  # image columns per column of the crop
    down = raw[:, 1, middle, 32].diff(dim=1).mean(1)
    ratio = across / down
    assert ((0.08 * 0.9 < across * down) & (across * down < 1.05)).all()  # the share of the area
    assert (across * down).std() > 0.1
    assert ((ratio - 1).abs() < 0.05).all() == square
    assert ((ratio > 0.7) & (ratio < 1.4)).all()


def test_lighting_is_one_colour_per_image_of_the_published_spread():
    images = torch.full((4000, 3, 1, 1), 100.0)
    light = Augmentation(lighting=0.1).lighten(images, torch_rng(1, "test")) - images
    axes = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    spread = torch.tensor([0.2175, 0.0188, 0.0045])
    covariance = 0.1**2 * axes @ torch.diag(spread**2) @ axes.T * 255**2
    assert torch.cov(light.flatten(1).T).numpy() == pytest.approx(covariance.numpy(), rel=0.1, abs=0.05)
    with pytest.raises(DataError, match="the images have 1 channel"):
        Augmentation(lighting=0.1).lighten(images[:, :1], torch_rng(1, "test"))


def test_lighting_on_8_bit_images_is_clipped_and_cut_to_whole_levels():
    """As the code of RLNAS and GeNAS, image by image: a float sum, clipped, written back as uint8."""
    images = torch.randint(0, 256, (50, 3, 4, 4), generator=torch.Generator().manual_seed(2)).float()
    plain = Augmentation(lighting=2.0).lighten(images, torch_rng(1, "test"))
    assert plain.min() < 0
    assert plain.max() > 255
    found = Augmentation(lighting=2.0, lighting_8bit=True).lighten(images, torch_rng(1, "test"))
    assert np.array_equal(found.numpy(), np.clip(plain.numpy(), 0, 255).astype(np.uint8))
    assert torch.equal(Augmentation(lighting_8bit=True).lighten(images, torch_rng(1, "test")), images)


def test_other_normalisations_share_the_pixels():
    plain = Normalisation((0.0,) * 3, (1.0,) * 3, "none")
    for make in KINDS.values():
        images = make().with_normalisation(plain)
        batch, _ = next(images.batches(11, CPU))
        assert batch.min() >= 0
        assert batch.max() <= 1
        assert batch.max() > 0.9


def test_a_held_out_part_is_balanced_and_disjoint():
    labels = torch.arange(60) % 4
    rest, part = class_balanced_part(labels, 4, 0.2, "abcd")
    assert sorted([*rest.tolist(), *part.tolist()]) == list(range(60))
    assert torch.bincount(labels[part]).tolist() == [3] * 4
    rest, part = class_balanced_part(torch.arange(8) % 4, 4, 0.01, "abcd")  # at least one, never all
    assert len(part) == 4
    assert len(rest) == 4
    with pytest.raises(DataError, match="Fewer than 2 training images in class a"):
        class_balanced_part(torch.tensor([0, 1, 1, 2, 2, 3, 3]), 4, 0.5, "abcd")
