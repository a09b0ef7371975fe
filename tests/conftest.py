"""Shared fixtures: a small data set, small spaces, a small trained supernet."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric

from genas.data import Splits, open_dataset
from genas.data.augment import Augmentation
from genas.data.base import Normalisation
from genas.data.loader import ResidentImages
from genas.proxy import BatchNormSettings, EvaluationSettings, Scoring
from genas.space import Space, open_space
from genas.supernet import SupernetSettings, initial_weights, train_supernet

torch.set_num_threads(int(os.environ.get("GENAS_TEST_THREADS", "1")))

SMALL_SPACES: dict[str, dict[str, int]] = {
    "darts": {"cells": 3, "channels": 4},
    "nasbench201": {"cells_per_stage": 1, "channels": 4},
    "nasbench-macro": {"channels": 4, "tail_channels": 16},
}


def real_data() -> Path:
    """The folder of real data sets; skips the test where it is missing."""
    folder = Path(os.environ.get("GENAS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data are not at {folder}; set GENAS_DATA")
    return folder


@pytest.fixture
def shared_data() -> Path:
    return real_data()


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture(scope="session")
def digits() -> Splits:
    return open_dataset("digits").splits(0)


def tiny_splits(count: int = 40, classes: int = 4, size: int = 8, channels: int = 3) -> Splits:
    """Random pictures whose brightness tells the class."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.arange(count) % classes
    noise = torch.randint(0, 60, (count, channels, size, size), generator=generator)
    images = (noise + 45 * labels[:, None, None, None]).to(torch.uint8)
    normalisation = Normalisation((0.5,) * channels, (0.25,) * channels, "made")
    whole = ResidentImages(images, labels, normalisation)
    half = count // 2
    return Splits(
        weights=whole.subset(range(half)),
        validation=whole.subset(range(half, count)),
        train=whole,
        test=whole.subset(range(0, count, 3)),
        normalisation=normalisation,
        class_names=tuple("abcdefghij"[:classes]),
        augmentation=Augmentation(crop_padding=1, flip=True, cutout=0),
    )


@pytest.fixture(scope="session")
def make_splits() -> Callable[..., Splits]:
    return tiny_splits


@pytest.fixture(scope="session")
def tiny() -> Splits:
    return tiny_splits()


@pytest.fixture(scope="session", params=list(SMALL_SPACES))
def space(request: pytest.FixtureRequest) -> Space:
    return open_space(request.param, **SMALL_SPACES[request.param])


@pytest.fixture(scope="session")
def scoring(space: Space, tiny: Splits, fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Scoring:
    """A briefly trained supernet of each space, ready to score."""
    return trained(space, tiny, fabric, tmp_path_factory.mktemp("supernet"))


@pytest.fixture(scope="session")
def nas_scoring(tiny: Splits, fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Scoring:
    """As `scoring`, NAS-Bench-201 alone."""
    space = open_space("nasbench201", **SMALL_SPACES["nasbench201"])
    return trained(space, tiny, fabric, tmp_path_factory.mktemp("supernet"))


def trained(space: Space, tiny: Splits, fabric: Fabric, folder: Path) -> Scoring:
    settings = SupernetSettings(epochs=3, batch_size=8)
    network = train_supernet(folder, space, tiny, settings, fabric, seed=3, quiet=True)
    return Scoring(
        space,
        network,
        initial_weights(folder),
        tiny,
        fabric,
        seed=3,
        batchnorm=BatchNormSettings(pictures=16, batch_size=8),
        evaluation=EvaluationSettings(batch_size=8),
    )
