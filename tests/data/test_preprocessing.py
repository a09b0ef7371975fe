"""One rule from image file to input: the same pixels in evaluation, by hand and by torchvision."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, rgb_to_grayscale

from genas.core.errors import ConfigError
from genas.data import StreamedImages
from genas.data.augment import centre_crop
from genas.data.base import Normalisation
from genas.data.decoding import RESIZINGS, at_size, decode
from genas.data.preprocessing import Preprocessing, with_channels
from genas.data.vision import FolderImages, ImageFolderData

NORM = Normalisation((0.45, 0.42, 0.39), (0.27, 0.26, 0.25), "made")


def rule(size=48, resizing="fit", channels=3, names=("a", "b")):
    return Preprocessing((channels, size, size), NORM.mean[:channels], NORM.std[:channels], names, resizing)


@pytest.fixture(scope="module")
def photographs_on_disk(shared_photos, tmp_path_factory):
    """Real photographs in class folders: as they are, turned by EXIF, grey, transparent, very long."""
    folder = tmp_path_factory.mktemp("photographs")
    for place, source in enumerate(sorted((shared_photos / "val").glob("*/*"))[::40]):
        own = folder / ("train" if place % 3 else "test") / "ab"[place % 2]
        own.mkdir(parents=True, exist_ok=True)
        image = Image.open(source).convert("RGB")
        image.save(own / f"{place}.png")
        exif = image.getexif()
        exif[0x0112] = 1 + place % 8
        image.save(own / f"{place}-turned.jpg", exif=exif)
        image.convert("L").save(own / f"{place}-grey.png")
        alpha = Image.linear_gradient("L").resize(image.size)
        image.putalpha(alpha)
        image.crop((0, 0, image.width, max(8, image.height // 7))).save(own / f"{place}-transparent.png")
    return folder


@pytest.mark.parametrize("resizing", RESIZINGS)
@pytest.mark.parametrize("streamed", [False, True])
def test_files_give_the_pixels_of_an_evaluation(photographs_on_disk, resizing, streamed, monkeypatch):
    dataset = ImageFolderData(photographs_on_disk, 48, resizing)
    monkeypatch.setattr(dataset, "_always_stream", streamed)
    monkeypatch.setattr(dataset, "_normalisation", NORM)
    test = dataset.splits(0).test
    assert test.resizing == resizing
    assert isinstance(test, StreamedImages) == streamed
    images, _ = next(test.batches(1000, torch.device("cpu")))
    files = sorted((photographs_on_disk / "test").glob("*/*"), key=lambda path: (path.parent.name, str(path)))
    assert len(images) == len(files) == 20
    own = rule(resizing=resizing)
    assert all(torch.equal(own(Image.open(path)), one) for path, one in zip(files, images, strict=True))


def test_cropping_is_torchvisions(photographs_on_disk):
    for path in sorted(photographs_on_disk.glob("*/*/*")):
        image = decode(path, str(path))
        for size in (32, 57, 224):
            found = torch.from_numpy(at_size(image, size, size, "crop").copy())
            assert torch.equal(found, pil_to_tensor(centre_crop(size)(image)))


def test_own_defaults_are_fit_in_memory_and_crop_when_streamed(photographs_on_disk):
    resident = ImageFolderData(photographs_on_disk, 16).splits(0)
    assert {part.resizing for part in (resident.train, resident.validation, resident.test)} == {"fit"}
    labels = torch.zeros(3, dtype=torch.int64)
    paths = [str(path) for path in sorted(photographs_on_disk.glob("*/*/*.png"))[:3]]
    streamed = StreamedImages(FolderImages(paths), labels, NORM, 16)
    assert streamed.subset([0]).with_labels(labels[:1]).resizing == "crop"


def test_grey_networks_and_colours():
    colour = torch.rand(2, 3, 5, 5)
    assert torch.equal(with_channels(colour, 1), rgb_to_grayscale(colour))
    assert torch.equal(with_channels(colour[:, :1], 3), colour[:, :1].expand(-1, 3, -1, -1))
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = rule(16, channels=1)(Image.fromarray(levels))
    wanted = rgb_to_grayscale(torch.from_numpy(levels / 255).float().expand(3, -1, -1))
    torch.testing.assert_close(found, (wanted - NORM.mean[0]) / NORM.std[0])


def test_shapes_that_are_no_square():
    own = dataclasses.replace(rule(), image_shape=(3, 20, 40))
    image = Image.effect_noise((300, 100), 60)
    assert own(image).shape == (3, 20, 40)
    fitted = ImageOps.fit(image.convert("RGB"), (40, 20), Image.Resampling.BILINEAR)
    assert torch.equal(own.pixels(image), pil_to_tensor(fitted) / 255)
    crop = dataclasses.replace(own, resizing="crop")
    resized = v2.Resize(round(40 * 256 / 224))(image.convert("RGB"))
    assert torch.equal(crop.pixels(image), pil_to_tensor(v2.CenterCrop((20, 40))(resized)) / 255)


@pytest.mark.parametrize("resizing", RESIZINGS)
def test_what_is_recorded_gives_the_rule_again(resizing):
    own = rule(resizing=resizing)
    described = {**dataclasses.asdict(own), "preprocessing": own.record()}
    assert Preprocessing.of(described) == own
    assert Preprocessing.of({**described, "preprocessing": None}) == rule()
    text = " ".join(own.sentences())
    assert "EXIF" in text
    aliased = resizing == "crop-aliased"
    assert ("shorter side to 55" in text) == (resizing != "fit")
    assert ("without antialiasing" in text) == aliased
    for key, value in (("interpolation", "bicubic"), ("antialias", aliased), ("crop", [32, 32]), ("shorter_side", 7)):
        with pytest.raises(ConfigError, match=f"has {key} .*load the network with the version that wrote it"):
            Preprocessing.of({**described, "preprocessing": {**own.record(), key: value}})


def test_what_has_no_rule_is_refused():
    with pytest.raises(ConfigError, match="do not fit a network of 4 channels: expected 1"):
        Preprocessing((4, 8, 8), (0.0,) * 4, (1.0,) * 4, ("a", "b"))
    with pytest.raises(ConfigError, match="unknown way of resizing 'stretch': expected one of fit, crop"):
        rule(resizing="stretch")
