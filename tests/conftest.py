"""Shared fixtures: a small data set, small spaces, a small trained supernet, a trained network on disk."""

import json
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from genas.core.checkpoint import save_checkpoint
from genas.core.device import Fabric
from genas.core.errors import Interrupted
from genas.core.interrupt import StopRequest
from genas.data import Splits, open_dataset
from genas.data.augment import Augmentation
from genas.data.base import Normalisation
from genas.data.decoding import decode, square
from genas.data.loader import ResidentImages
from genas.data.preprocessing import Preprocessing
from genas.proxies import BatchNormSettings, EvaluationSettings, Scoring
from genas.spaces import Space, open_space
from genas.training.loop import Trainer
from genas.training.supernet import SupernetSettings, initial_weights, train_supernet

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
def shared_photos() -> Path:
    """Real photographs in class folders under ``train`` and ``val``."""
    return real_data() / "photos"


@pytest.fixture(scope="session")
def photographs() -> torch.Tensor:
    """Twelve real photographs, [12, 3, 96, 96] in [0, 1]."""
    paths = sorted((real_data() / "photos" / "val").glob("*/*.jpg"))[::40][:12]
    assert len(paths) == 12
    return torch.stack([torch.from_numpy(square(decode(path, str(path)), 96).copy()) for path in paths]).float() / 255


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    return Fabric()


@pytest.fixture(scope="session")
def digits() -> Splits:
    return open_dataset("digits").splits(0)


def tiny_splits(count: int = 40, classes: int = 4, size: int = 8, channels: int = 3) -> Splits:
    """Random images whose brightness tells the class."""
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


@pytest.fixture(scope="session")
def macro_scoring(tiny: Splits, fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Scoring:
    """As `scoring`, NAS-Bench-Macro alone."""
    space = open_space("nasbench-macro", **SMALL_SPACES["nasbench-macro"])
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
        batchnorm=BatchNormSettings(images=16, batch_size=8),
        evaluation=EvaluationSettings(batch_size=8),
    )


def write_trained(folder: Path, splits: Splits, space: Space, genotype: str, seed: int = 0, steps: int = 60) -> Path:
    """A folder as retraining leaves it, with a network that has learnt a little."""
    architecture = space.parse(genotype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = space.network(splits.num_classes, architecture, splits.image_shape[0])
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    done = 0
    while done < steps:
        for images, labels in splits.train.batches(64, torch.device("cpu"), seed=done, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
            done += 1
            if done == steps:
                break
    identity = {
        "kind": "stand-alone",
        "space": space.describe(),
        "classes": splits.num_classes,
        "genotype": architecture.genotype,
    }
    save_checkpoint(folder / "model.safetensors", network.eval().state_dict(), {"identity": identity})
    described = {
        **identity,
        "image_shape": list(splits.image_shape),
        "class_names": list(splits.class_names),
        "mean": list(splits.normalisation.mean),
        "std": list(splits.normalisation.std),
        "seed": seed,
        "preprocessing": Preprocessing(
            splits.image_shape,
            splits.normalisation.mean,
            splits.normalisation.std,
            splits.class_names,
            splits.train.resizing,
        ).record(),
    }
    (folder / "model.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="session")
def trained_folder(digits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network for the digits, trained for some steps."""
    space = open_space("nasbench201", **SMALL_SPACES["nasbench201"]).final()
    return write_trained(tmp_path_factory.mktemp("trained"), digits, space, "333103")


@pytest.fixture(scope="session")
def make_trained() -> Callable[..., Path]:
    return write_trained


@pytest.fixture
def in_processes() -> Callable[..., list[Any]]:
    """Runs ``work(rank)`` in several processes that are numbered as torchrun does; gives the results by rank.

    They are forks of this one, which takes no time, where a process of its own takes seconds to import torch.
    """
    if torch.cuda.is_available():
        pytest.skip("autograd cannot go on in a fork where it has begun threads for a GPU")

    def run(count: int, work: Callable[[int], Any]) -> list[Any]:
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def one(rank: int) -> None:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
            names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
            os.environ.update({name: str(value) for name, value in names.items()})
            try:
                outcome = (rank, True, work(rank))
            except BaseException:
                outcome = (rank, False, traceback.format_exc())
            results.put(outcome)

        processes = [context.Process(target=one, args=(rank,)) for rank in range(count)]
        for process in processes:
            process.start()
        found = [results.get() for _ in processes]
        for process in processes:
            process.join(20)
            process.kill()
        failed = [text for _, well, text in found if not well]
        assert not failed, failed[0]
        return [result for _, _, result in sorted(found)]

    return run


@pytest.fixture
def interrupt_after(monkeypatch):
    """A function (step, work): runs `work`, a training, and interrupts it after that many steps."""

    def run(step, work):
        steps = 0
        one, check = Trainer._one, StopRequest.check

        def count(self, *arguments):
            nonlocal steps
            steps += 1
            one(self, *arguments)

        def stop(self):
            self.requested = self.requested or steps >= step
            check(self)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_one", count)
            patch.setattr(StopRequest, "check", stop)
            with pytest.raises(Interrupted):
                work()

    return run
