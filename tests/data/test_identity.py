"""What tells data from others, and what a difference is called."""

import numpy as np
import pytest
import torch
from datasets import Dataset as Table
from PIL import Image

from genas.data import identity, open_dataset
from genas.data.identity import differences, file_fingerprints, identify, listed
from genas.data.location import describe_location, find_data


def write_set(folder, classes=("a", "b", "c"), count=8):
    generator = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def of_folder(folder, seed=0):
    return identify(open_dataset(f"folder:{folder}").splits(seed))


@pytest.fixture
def photos(tmp_path):
    return write_set(tmp_path / "photos")


def test_the_place_and_the_seed_are_no_part_of_it(photos, tmp_path):
    first = of_folder(photos)
    photos.rename(tmp_path / "elsewhere")
    assert of_folder(tmp_path / "elsewhere", seed=5) == first
    assert differences(first, of_folder(tmp_path / "elsewhere")) == []


def test_a_renamed_class_is_named_though_the_order_changes(photos):
    first = of_folder(photos)
    (photos / "a").rename(photos / "z")
    assert differences(first, of_folder(photos)) == ["the class 'a' is now named 'z'"]


def test_every_change_of_images_is_named_with_its_class(photos):
    first = of_folder(photos)
    (photos / "b" / "7.png").unlink()
    changed = listed(differences(first, of_folder(photos)))
    assert changed == "the class 'b' has 7 images, it had 8"
    Image.new("RGB", (12, 12)).save(photos / "b" / "7.png")  # of the same name, another content
    replaced = listed(differences(first, of_folder(photos)))
    assert replaced == "among the 8 images of the class 'b' are others than before"
    (photos / "d").mkdir()
    for number in range(8):
        Image.new("RGB", (12, 12), (number, 0, 0)).save(photos / "d" / f"{number}.png")
    assert "the class 'd' is new" in differences(first, of_folder(photos))


def test_a_replaced_file_of_the_same_name_and_size_is_seen(photos):
    path = photos / "c" / "3.bmp"
    Image.new("RGB", (12, 12), (1, 2, 3)).save(path)
    before = file_fingerprints([path])
    Image.new("RGB", (12, 12), (3, 2, 1)).save(path)
    assert file_fingerprints([path]) != before


def test_large_sets_are_told_by_names_and_sizes(photos, monkeypatch):
    first = of_folder(photos)
    monkeypatch.setattr(identity, "SAMPLED", 5)
    assert of_folder(photos) == of_folder(photos) != first


def test_parquet_rows_and_pixels_in_memory_are_told_apart(tmp_path, digits, photos):
    def rows(colour):
        values = []
        for number in range(12):
            path = tmp_path / "one.png"
            Image.new("RGB", (8, 8), (colour, number, 0)).save(path)
            values.append({"bytes": path.read_bytes(), "path": None})
        return {"image": values, "label": [number % 2 for number in range(12)]}

    found = []
    for name, colour in (("x", 10), ("y", 10), ("z", 11)):
        (tmp_path / name).mkdir()
        Table.from_dict(rows(colour)).to_parquet(str(tmp_path / name / "train.parquet"))
        found.append(identify(open_dataset(f"parquet:{tmp_path / name}").splits(0)))
    assert found[0] == found[1] != found[2]
    whole = identify(digits)
    assert sum(whole["counts"]) == len(digits.train) + len(digits.test)
    assert whole["counts"][3] == int((digits.train.labels == 3).sum() + (digits.test.labels == 3).sum())
    assert differences(whole, identify(digits)) == []
    other = torch.flip(digits.train.labels, (0,))
    assert not np.array_equal(digits.train.fingerprints()[:5], digits.train.fingerprints()[5:10])
    assert digits.train.with_labels(other).fingerprints().tolist() == digits.train.fingerprints().tolist()


def test_a_record_from_before_identities_is_compared_by_classes_and_counts(photos):
    now = of_folder(photos)
    old = {"classes": ["a", "b", "c"], "image_shape": [3, 12, 12], "train": 18, "test": 6}
    assert differences(old, now) == []
    assert differences({**old, "train": 19}, now) == ["there are 18 training images, there were 19"]
    assert differences({**old, "classes": ["b", "a", "c"]}, now) == ["the classes come in another order"]


def test_data_are_found_where_they_were_or_beside_the_run(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "one"
    location = describe_location("folder:photos", None, run)
    monkeypatch.chdir("/")
    assert find_data("folder:photos", None, location, run) == (f"folder:{photos}", None)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("photos", "runs"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name).rename(moved / name)
    (moved / "runs" / "one").mkdir(parents=True, exist_ok=True)
    assert find_data("folder:photos", None, location, moved / "runs" / "one") == (f"folder:{moved / 'photos'}", None)
    assert find_data("folder:photos", None, None, run) == ("folder:photos", None)
    assert find_data("digits", None, None, run) == ("digits", None)
