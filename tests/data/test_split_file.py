"""The halves of a published list (methods.md 4.1)."""

import json

import pytest
import torch

from genas.core.errors import DataError
from genas.data.split import divided_by
from genas.workflows.config import Config
from genas.workflows.session import Session


def write(folder, content):
    path = folder / "split.txt"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def pixels(images):
    return next(images.batches(len(images), torch.device("cpu")))[0]


@pytest.mark.parametrize("form", ["published", "plain"])
def test_the_halves_are_the_listed_images_of_the_whole_training_set(tmp_path, tiny, form):
    lists = {"train": [7, 3, 30], "valid": [39, 0, 5, 6]}
    written = lists if form == "plain" else {k: ["int", [str(one) for one in v]] for k, v in lists.items()}
    found = divided_by(tiny, write(tmp_path, written))
    whole = pixels(tiny.train)
    for half, places in ((found.weights, lists["train"]), (found.validation, lists["valid"])):
        assert torch.equal(pixels(half), whole[places])
        assert torch.equal(half.labels, tiny.train.labels[places])
    assert found.train is tiny.train
    assert found.test is tiny.test


def test_a_session_divides_by_the_file_whatever_its_seed(tmp_path):
    path = write(tmp_path, {"train": list(range(0, 1000)), "valid": list(range(1000, 1400))})
    for seed in (0, 1):
        config = Config.model_validate({"seed": seed, "data": {"split_file": str(path)}})
        splits = Session(config).splits
        assert torch.equal(splits.weights.labels, splits.train.labels[:1000])
        assert torch.equal(splits.validation.labels, splits.train.labels[1000:1400])


def test_a_file_is_found_again_from_another_folder(tmp_path, monkeypatch):
    write(tmp_path, {"train": [0, 1], "valid": [2, 3]})
    monkeypatch.chdir(tmp_path)
    settings = Config.model_validate({"data": {"split_file": "split.txt"}})
    monkeypatch.chdir("/")
    again = Config.model_validate(settings.model_dump(mode="json"))
    assert again == settings
    assert again.data.split_file == str(tmp_path / "split.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": [0, 40], "valid": [1]}, "names the training image 40, but there are 40, numbered from 0"),
        ({"train": [0, -1], "valid": [1]}, "names the training image -1"),
        ({"train": [0, 1], "valid": [1]}, "names the training image 1 twice"),
        ({"train": [0, 0], "valid": [1]}, "names the training image 0 twice"),
        ({"train": [], "valid": [1]}, "The list 'train' of .* is empty"),
        ({"train": [0]}, "has no list 'valid' of whole numbers; expected JSON such as"),
        ({"train": [0.5], "valid": [1]}, "has no list 'train' of whole numbers"),
        ({"train": ["str", ["a"]], "valid": [1]}, "has no list 'train' of whole numbers"),
        ([1, 2], "has no list 'train'"),
        ("0 1 2", "cannot be read"),
    ],
)
def test_unfit_files_are_refused_in_one_sentence(tmp_path, tiny, content, message):
    with pytest.raises(DataError, match=message):
        divided_by(tiny, write(tmp_path, content))


def test_a_missing_file_is_named(tmp_path, tiny):
    with pytest.raises(DataError, match="split.txt does not exist"):
        divided_by(tiny, tmp_path / "split.txt")
