"""Corruptions: stronger with severity, the same for the same seed and image, in range, one by one as in batches."""

import math
from itertools import pairwise

import pytest
import torch

from genas.core.errors import ConfigError
from genas.data import open_dataset
from genas.evaluation.corruptions import CORRUPTIONS, GROUPS, SEVERITIES, is_corruption, length, open_corruptions


@pytest.fixture(scope="module")
def grey():
    test = open_dataset("digits").splits(0).test
    return test.store.pixels[test.indices[:24]].float() / 255


def distances(corruption, images):
    spoilt = [corruption(images, severity, range(len(images)), 0) for severity in SEVERITIES]
    return [float((one - images).square().mean().sqrt()) for one in spoilt]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_increases_the_distance_from_the_clean_image(name, photographs, grey):
    corruption = CORRUPTIONS[name]
    images = photographs
    sets = [images, torch.nn.functional.interpolate(images, 32, mode="area")]
    sets += [] if corruption.coloured else [grey]
    for one in sets:
        found = distances(corruption, one)
        assert found[0] > 1e-3
        assert all(later > 1.05 * earlier for earlier, later in pairwise(found)), found


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_values_stay_in_range_and_clean_images_stay_as_they_are(name, photographs):
    images = photographs[:4]
    before = images.clone()
    for severity in SEVERITIES:
        spoilt = CORRUPTIONS[name](images, severity, range(4), 0)
        assert spoilt.shape == images.shape
        assert spoilt.dtype == torch.float32
        assert 0 <= float(spoilt.min()) <= float(spoilt.max()) <= 1
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_spoilt_alike_alone_and_in_any_batch(name, photographs):
    images = photographs[:6]
    corruption = CORRUPTIONS[name]
    together = corruption(images, 3, range(6), 7)
    alone = torch.cat([corruption(images[i : i + 1], 3, [i], 7) for i in range(6)])
    backwards = corruption(images.flip(0), 3, range(5, -1, -1), 7).flip(0)
    assert torch.allclose(alone, together, atol=1e-6)
    assert torch.allclose(backwards, together, atol=1e-6)
    assert torch.equal(corruption(images, 3, range(6), 7), together)


RANDOM = ("gaussian-noise", "shot-noise", "impulse-noise", "motion-blur", "elastic")


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_depend_on_seed_and_image(name, photographs):
    image = photographs[:1].expand(2, -1, -1, -1)
    one = CORRUPTIONS[name](image, 3, [0, 1], 0)
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, CORRUPTIONS[name](image, 3, [0, 1], 1))


def test_severities_share_their_random_numbers():
    grey = torch.full((1, 1, 32, 32), 0.5)
    weak, strong = (CORRUPTIONS["gaussian-noise"](grey, severity, [0], 0) - 0.5 for severity in (1, 2))
    assert torch.allclose(strong, weak * (0.07 / 0.04), atol=1e-6)
    struck = [CORRUPTIONS["impulse-noise"](grey, severity, [0], 0) != 0.5 for severity in SEVERITIES]
    assert all(bool((later >= earlier).all()) for earlier, later in pairwise(struck))


def test_the_noise_has_the_stated_strength():
    grey = torch.full((8, 1, 64, 64), 0.5)
    strengths = CORRUPTIONS["gaussian-noise"].strengths
    for severity in (1, 3):
        spread = float((CORRUPTIONS["gaussian-noise"](grey, severity, range(8), 0) - 0.5).std())
        assert spread == pytest.approx(strengths[severity - 1], rel=0.03)
    counts = CORRUPTIONS["shot-noise"].strengths[1]
    spread = float((CORRUPTIONS["shot-noise"](grey, 2, range(8), 0) - 0.5).std())
    assert spread == pytest.approx(math.sqrt(0.5 / counts), rel=0.03)  # Poisson: variance x / counts
    share = float((CORRUPTIONS["impulse-noise"](grey, 5, range(8), 0) != 0.5).float().mean())
    assert share == pytest.approx(0.17, abs=0.01)


@pytest.mark.parametrize("name", ["gaussian-blur", "defocus-blur", "motion-blur", "pixelate"])
def test_blurs_keep_the_mean_and_leave_flat_images(name):
    flat = torch.full((1, 3, 32, 32), 0.4)
    assert torch.allclose(CORRUPTIONS[name](flat, 5, [0], 0), flat, atol=1e-5)
    point = torch.zeros((1, 1, 33, 33))
    point[0, 0, 16, 16] = 1.0
    assert float(CORRUPTIONS[name](point, 3, [0], 0).sum()) == pytest.approx(1, abs=1e-4)


def test_blurring_by_columns_and_rows_is_the_two_dimensional_blur():
    from torchvision.transforms.v2 import functional

    image = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    sigma = CORRUPTIONS["gaussian-blur"].strengths[3]
    whole = functional.gaussian_blur(image, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma, sigma])
    assert torch.allclose(CORRUPTIONS["gaussian-blur"](image, 4, [0], 0), whole, atol=1e-6)


def test_lengths_grow_with_the_root_of_the_side():
    assert length(2, 32) == 2
    assert length(2, 128) == 4


def test_names_and_groups():
    assert len(CORRUPTIONS) == 13
    everything, left_out = open_corruptions(["corruptions"], 3)
    assert [one.name for one in everything] == list(CORRUPTIONS)
    assert not left_out
    assert sum(len(open_corruptions([group], 3)[0]) for group in GROUPS) == 13
    assert [one.name for one in open_corruptions(["jpeg", "noise"], 3)[0]] == [
        "gaussian-noise",
        "shot-noise",
        "impulse-noise",
        "jpeg",
    ]
    assert not is_corruption("folder:x")


def test_saturation_is_left_out_of_grey_images_or_refused():
    chosen, left_out = open_corruptions(["tone"], 1)
    assert [one.name for one in chosen] == ["brightness", "contrast"]
    assert left_out == ["saturation"]
    with pytest.raises(ConfigError, match="saturation does nothing to images of one channel"):
        open_corruptions(["saturation"], 1)
    with pytest.raises(ConfigError, match="unknown corruption 'fog'"):
        open_corruptions(["fog"], 3)
