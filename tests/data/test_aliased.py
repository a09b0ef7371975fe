"""Resizing without antialiasing, as the code of RLNAS and GeNAS has it on ImageNet."""

import math

import numpy as np
import pytest
import torch
from commands import genas as command
from PIL import Image

import genas
from genas.core.errors import ConfigError
from genas.data import StreamedImages, open_dataset
from genas.data.augment import Augmentation
from genas.data.base import Normalisation
from genas.data.decoding import at_size, decode
from genas.data.vision import FolderImages, ImageFolderData
from genas.deploy.standalone import load_modeling
from genas.training.standalone.train import measure

PLAIN = Normalisation((0.0,) * 3, (1 / 255,) * 3, "none")
QUICK = {"with_latency": False, "with_flatness": False}


def slow(levels, height, width):
    """The published evaluation by hand: shorter side to 256 / 224 of the size, half-pixel centres, centre cut."""
    rows, columns, _ = levels.shape
    side = round(max(height, width) * 256 / 224)
    if rows < columns:
        tall, wide = side, int(side / rows * columns + 0.5)
    else:
        tall, wide = int(side / columns * rows + 0.5), side
    top, left = round((tall - height) / 2), round((wide - width) / 2)

    def nearest(place, size, count):
        at = min(max((place + 0.5) * count / size - 0.5, 0), count - 1)
        return math.floor(at), min(math.floor(at) + 1, count - 1), at - math.floor(at)

    out = np.zeros((3, height, width))
    for row in range(height):
        up, down, low = nearest(top + row, tall, rows)
        for column in range(width):
            one, other, right = nearest(left + column, wide, columns)
            above = levels[up, one] * (1 - right) + levels[up, other] * right
            below = levels[down, one] * (1 - right) + levels[down, other] * right
            out[:, row, column] = above * (1 - low) + below * low
    return out


@pytest.mark.parametrize("size", [24, 57])
def test_pixels_are_those_of_the_four_nearest(shared_photos, size):
    paths = sorted((shared_photos / "val").glob("*/*"))[:3]
    for number, path in enumerate(paths):
        image = decode(path, str(path)).resize((90 + 40 * number, 70 + 50 * number))
        found = at_size(image, size, size, "crop-aliased")
        wanted = slow(np.asarray(image).astype(np.float64), size, size)
        assert np.abs(found - wanted).max() <= 0.501  # the nearest level
        assert np.abs(found.astype(float) - at_size(image, size, size, "crop")).mean() > 1


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Images of lines one pixel wide: grey under antialiasing, black and white without."""
    folder = tmp_path_factory.mktemp("stripes")
    paths = []
    for number in range(4):
        levels = np.zeros((300, 400, 3), dtype=np.uint8)
        levels[:, number % 2 :: 2] = 255
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(levels).save(paths[-1])
    return paths


@pytest.mark.parametrize("crop", ["square", "resized", "padded"])
@pytest.mark.parametrize("padding", [0, 4])
def test_random_crops_have_antialiasing_but_for_aliased(stripes, crop, padding):
    spreads = {}
    for resizing in ("crop", "crop-aliased"):
        images = StreamedImages(FolderImages(stripes), torch.zeros(4).long(), PLAIN, 32, workers=0, resizing=resizing)
        augmentation = Augmentation(crop=crop, crop_padding=padding, flip=True)
        batch = torch.cat(
            [next(images.batches(4, torch.device("cpu"), seed=s, augmentation=augmentation))[0] for s in range(3)]
        )
        assert batch.shape == (12, 3, 32, 32)
        spreads[resizing] = float(batch.std())
    assert spreads["crop-aliased"] > 2 * spreads["crop"]


def test_what_has_one_size_refuses_it():
    with pytest.raises(ConfigError, match="data.resizing does not apply to 'cifar10': expected imagenet, folder: or"):
        open_dataset("cifar10", resizing="crop")


def test_retraining_and_evaluation_see_the_same_pixels(shared_photos, tmp_path, fabric, capsys):
    photos = tmp_path / "photos"
    for name in ("n01440764", "n02979186"):
        for place, source in enumerate(sorted((shared_photos / "val" / name).glob("*"))[:24]):
            own = photos / ("test" if place % 2 else "train") / name
            own.mkdir(parents=True, exist_ok=True)
            Image.open(source).convert("RGB").resize((160, 120)).save(own / f"{place}.png")
    run, data = tmp_path / "run", f"folder:{photos}"
    options = ["--epochs", 1, "--batch-size", 8, "--cells", 1, "--channels", 4, "--image-size", 32, "--quiet"]
    options += ["--set", "data.resizing=crop-aliased", "--set", "best=none", "--set", "crop=square"]
    assert command("retrain", "333103", "--data", data, "--run", run, *options) == 0, capsys.readouterr().err
    facts = genas.load(run).preprocessing
    assert facts.resizing == "crop-aliased"
    test = {one: ImageFolderData(photos, 32, one).splits(0).test for one in ("crop-aliased", "crop")}
    mean_and_std = Normalisation(facts.mean, facts.std, "of the network")
    wanted = {
        one: measure(genas.load(run), images.with_normalisation(mean_and_std), fabric)["loss"]
        for one, images in test.items()
    }
    assert abs(wanted["crop"] - wanted["crop-aliased"]) > 1e-4

    def loss(**settings):
        found = genas.evaluate(run, data=data, settings={**QUICK, **settings}, out=tmp_path / "out", quiet=True)
        return found.models[0]["clean"]["nll"]

    assert loss() == pytest.approx(wanted["crop-aliased"], abs=1e-5)
    assert loss(resizing="crop") == pytest.approx(wanted["crop"], abs=1e-5)
    assert command("export", run, "--out", tmp_path / "exported") == 0, capsys.readouterr().err
    modeling = load_modeling(tmp_path / "exported")
    image = Image.open(next((photos / "test").glob("*/*")))
    assert torch.equal(modeling.load(tmp_path / "exported")[0].preprocess(image), facts(image))
    with pytest.raises(ConfigError, match="resizing does not apply to 'digits'"):
        genas.evaluate(run, data="digits", settings={**QUICK, "resizing": "crop"}, out=tmp_path / "out", quiet=True)
