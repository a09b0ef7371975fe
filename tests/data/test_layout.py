"""Which files count and which split they are: folders and Parquet files alike, in any case."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from genas.core.errors import DataError
from genas.data import open_dataset
from genas.data.files import HIDDEN, LINKS, NO_FILE, OUTSIDE, Walk, above, suffixes
from genas.data.layout import folder_layout, parquet_layout
from genas.data.vision import undivided

PNG = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8))
_made = iter(range(10**6))


def image(path):
    """An image that no other equals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = PNG.copy()
    number = next(_made)
    own.putpixel((0, 0), (number % 256, number // 256 % 256, number // 65536))
    own.save(path, "PNG" if path.suffix in ("", ".jfif", ".JPEG") else None)


def classes(root, count=3, names=("a", "b")):
    for name in names:
        for number in range(count):
            image(root / name / f"{number}.png")


def found(root):
    return open_dataset(f"folder:{root}").splits(0)


def sizes(splits):
    parts = (splits.weights, splits.validation, splits.train, splits.test)
    return tuple(len(part) for part in parts)


# ---- which files count


def test_hidden_files_and_folders_are_ignored_at_every_level(tmp_path):
    classes(tmp_path)
    for place in ("a/.ipynb_checkpoints/0-checkpoint.png", "a/sub/.hidden/0.png", "b/.0.png", "b/@eaDir/0.png"):
        image(tmp_path / place)
    image(tmp_path / ".cache" / "0.png")
    image(tmp_path / "__MACOSX" / "a" / "0.png")
    splits = found(tmp_path)
    assert splits.class_names == ("a", "b")
    assert splits.summary.images == 6
    assert splits.summary.ignored[HIDDEN] == 4


def test_every_suffix_of_the_decoder_counts_and_the_rest_is_said(tmp_path):
    assert {".jpg", ".jfif", ".jpe", ".jp2", ".tga", ".avif", ".webp", ".mpo", ".tif", ".pgm"} <= suffixes()
    assert not {".pdf", ".eps", ".h5", ".mpg", ".txt"} & suffixes()
    classes(tmp_path)
    for name in ("x.jfif", "y.JPEG", "z.tga"):
        image(tmp_path / "a" / name)
    for name in ("notes.txt", "more.TXT", "LICENSE"):
        (tmp_path / "b" / name).write_text("words")
    image(tmp_path / "loose.png")
    summary = found(tmp_path).summary
    assert summary.images == 9
    assert summary.ignored == {".txt": 2, "without suffix": 1, OUTSIDE: 1}
    assert "ignored 2 .txt, 1 outside class folders, 1 without suffix" in summary.line()


def test_only_unreadable_suffixes_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.heic").write_bytes(b"")
    with pytest.raises(DataError, match=r"No images in .*: only 1 \.heic are there"):
        found(tmp_path)


def test_links_lead_to_every_real_file_once_and_loops_end(tmp_path):
    root, store = tmp_path / "set", tmp_path / "store"
    classes(root)
    image(store / "deep" / "x.png")
    (root / "a" / "0self").symlink_to(".")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "parent").symlink_to(tmp_path)
    (root / "a" / "loop").symlink_to("loop")
    (root / "a" / "1again.png").symlink_to("0.png")
    (root / "a" / "stored").symlink_to(store)
    (root / "a" / "stored-too").symlink_to(store / "deep")
    (root / "b" / "sibling").symlink_to("../a")
    walk = Walk(above(root))
    assert walk.images(root / "a") == [
        str(root / "a" / name) for name in ("0.png", "1.png", "2.png", "stored/deep/x.png")
    ]
    assert walk.ignored[LINKS] == 5
    splits = found(root)
    assert splits.summary.images == 7
    linked = tmp_path / "linked"  # class folders that are links themselves are what they lead to
    linked.mkdir()
    for name in ("a", "b"):
        (linked / name).symlink_to(root / name)
    assert found(linked).summary.images == 7


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    classes(tmp_path)
    (tmp_path / "a" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match="Cannot read .*gone.png"):
        found(tmp_path)


def test_pipes_are_no_images(tmp_path):
    """Opening one would wait for ever."""
    classes(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "null.png").symlink_to("/dev/null")
    summary = found(tmp_path).summary
    assert (summary.images, summary.ignored) == (6, {NO_FILE: 3})


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    classes(tmp_path)
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"Cannot read the folder .*/b \(Permission denied\)"):
        found(tmp_path)


# ---- splits of folders


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Train", "Test"), ("TRAINING", "testing"), ("seg_train", "seg_test")]
)
def test_split_names_in_any_case(tmp_path, names):
    for name in names:
        classes(tmp_path / name)
    splits = found(tmp_path)
    assert splits.class_names == ("a", "b")
    assert sizes(splits) == (3, 3, 6, 6)
    assert [(split.name, split.images) for split in splits.summary.splits] == [(names[0], 6), (names[1], 6)]


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_validation_beside_test_scores_and_test_tests(tmp_path, name):
    classes(tmp_path / "train", 5)
    classes(tmp_path / name, 1)
    classes(tmp_path / "test", 3)
    splits = found(tmp_path)
    assert sizes(splits) == (10, 2, 10, 6)
    assert (
        f"train 10 (trains the supernet and the final network); {name} 2 (scores architectures); test 6 (test)"
        in splits.summary.line()
    )
    images = [set(part.indices.tolist()) for part in (splits.weights, splits.validation, splits.test)]
    assert not images[0] & images[1]
    assert not images[2] & (images[0] | images[1])


def test_validation_alone_is_the_test_split_and_said_so(tmp_path):
    classes(tmp_path / "train", 5)
    classes(tmp_path / "val", 2)
    splits = found(tmp_path)
    assert sizes(splits) == (5, 5, 10, 4)
    assert "val 4 (test)" in splits.summary.line()


def test_without_a_test_split_a_fifth_is_held_out_and_said_so(tmp_path):
    classes(tmp_path, 10)
    line = found(tmp_path).summary.line()
    assert "20 images in 2 classes, 12x12 pixels" in line
    assert (
        "train 16 (half each for supernet and scores, all for the final network); held out 4 (test, a fifth of every class)"
        in line
    )


def test_nested_splits_are_found(tmp_path):
    for split in ("seg_train", "seg_test"):
        classes(tmp_path / "one" / split / split)
    assert found(tmp_path / "one").class_names == ("a", "b")
    for split in ("train", "test"):
        classes(tmp_path / "two" / "archive" / split)
    splits = found(tmp_path / "two")
    assert splits.class_names == ("a", "b")
    assert sizes(splits) == (3, 3, 6, 6)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("val/a", "val/b", "test/a", "test/b"), "no train split beside it"),
        (("Test/a", "Test/b"), "holds the split Test and no train split"),
        (("a", "b", "test/a", "test/b"), "no train split"),
        (("train/a", "train/b", "Training/a", "Training/b"), "several train splits (Training, train)"),
        (("train/a", "train/b", "val/a", "valid/a"), "several validation splits (val, valid)"),
        (("train", "test"), "No class folders in"),
        (("cats_train", "cats_test"), "No class folders in"),
        (("train/a", "train/b", "test"), "holds images but no class folders"),
        (("train/a", "train/b", "test/a", "test/c"), "The class c is in"),
        (("a/train", "a/test", "b/train", "b/test"), "The folder a of"),
        (("x/Train/a", "x/Train/b", "x/Test/a", "x/Test/b", "y/c"), "The folder x of"),
        (("trainset/a", "trainset/b", "testset/a", "testset/b"), "testset, trainset"),
        (("my_train/a", "my_train/b", "my_dev/a", "my_dev/b"), "name them train, val and test"),
    ],
)
def test_layouts_that_cannot_be_right_are_refused(tmp_path, places, message):
    for place in places:
        for number in range(3):
            image(tmp_path / place / f"{number}.png")
    with pytest.raises(DataError) as caught:
        found(tmp_path)
    assert message in str(caught.value)


def test_classes_that_hold_the_same_folders_are_said_because_they_may_be_splits(tmp_path):
    for name in ("fold1", "fold2"):
        classes(tmp_path / name)
    (note,) = found(tmp_path).summary.notes
    assert "fold1, fold2 hold the same folders (a, b)" in note
    image(tmp_path / "fold1" / "x.png")
    assert not found(tmp_path).summary.notes


def test_classes_without_images_in_the_test_split_are_said(tmp_path):
    classes(tmp_path / "train", names=("a", "b", "c"))
    classes(tmp_path / "test", names=("b",))
    assert found(tmp_path).summary.notes == ("The test split has no images of 2 classes (a, c).",)


def test_classes_may_be_named_like_splits(tmp_path):
    classes(tmp_path / "one", names=("train", "car", "bus"))  # railway images
    assert found(tmp_path / "one").class_names == ("bus", "car", "train")
    classes(tmp_path / "two", names=("valid", "invalid"))
    assert found(tmp_path / "two").class_names == ("invalid", "valid")
    classes(tmp_path / "three", names=("test", "rest"))
    image(tmp_path / "three" / "test" / "deep" / "x.png")
    assert found(tmp_path / "three").class_names == ("rest", "test")


def test_accents_stored_in_two_ways_are_one_class(tmp_path):
    classes(tmp_path / "train", names=("caf\u00e9", "bar"))
    classes(tmp_path / "test", 1, names=("cafe\u0301", "bar"))
    splits = found(tmp_path)
    assert splits.class_names == ("bar", "caf\u00e9")
    assert splits.test.labels.tolist() == [0, 1]


def test_what_lies_beside_the_splits_is_said(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "val")
    for place in ("test/0.png", "extra/0.png"):
        image(tmp_path / place)
    splits = found(tmp_path)  # unlabelled test images beside labelled validation images, as competitions have them
    assert sizes(splits)[3] == 6
    assert splits.summary.notes == (
        "The folder extra beside the splits is not used.",
        "The folder test beside the splits is not used.",
    )


def test_a_folder_for_evaluation_is_used_whole(tmp_path):
    classes(tmp_path / "whole")
    (tmp_path / "whole" / "a" / "notes.txt").touch()
    images, labels, names, ignored = undivided(tmp_path / "whole")
    assert (len(images), labels.tolist(), names, ignored) == (6, [0] * 3 + [1] * 3, ("a", "b"), {".txt": 1})
    classes(tmp_path / "split" / "Train")
    classes(tmp_path / "split" / "val")
    with pytest.raises(DataError, match=r"holds splits.* such as folder:.*/split/val"):
        undivided(tmp_path / "split")


def test_layout_of_a_folder_without_splits_is_the_folder(tmp_path):
    classes(tmp_path)
    assert folder_layout(tmp_path).train == tmp_path


# ---- splits of Parquet files


@pytest.mark.parametrize(
    ("files", "train", "validation", "test"),
    [
        (["train.parquet", "test.parquet"], 1, 0, 1),
        (["Train-00000-of-00002.PARQUET", "Train-00001-of-00002.PARQUET", "Testing.parquet"], 2, 0, 1),
        (["data/train-0.parquet", "data/validation-0.parquet"], 1, 0, 1),
        (["data/train-0.parquet", "data/validation-0.parquet", "data/test-0.parquet"], 1, 1, 1),
        (["cifar10-train.parquet", "cifar10-test.parquet"], 1, 0, 1),
        (["sub/train/0000.parquet", "sub/test/0000.parquet"], 1, 0, 1),
        (["default/train/0000.parquet", "default/train/0001.parquet", "default/validation/0000.parquet"], 2, 0, 1),
        (["default/partial-train/0.parquet", "default/partial-test/0.parquet"], 1, 0, 1),
        (["train/0.parquet", "Valid/0.parquet", "test/0.parquet"], 1, 1, 1),
        (["plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"], 1, 0, 1),
        (["0000.parquet", "0001.parquet"], 2, 0, 0),
        (["train.parquet", ".test.parquet", ".hidden/test.parquet"], 1, 0, 0),
        (["train.parquet", "deeper/train.parquet"], 1, 0, 0),
    ],
)
def test_parquet_splits(tmp_path, files, train, validation, test):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    layout = parquet_layout(tmp_path)
    assert (len(layout.train), len(layout.validation), len(layout.test)) == (train, validation, test)
    assert not set(layout.train) & {*layout.validation, *layout.test}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["one/train/0.parquet", "two/train/0.parquet"], "several data sets (one, two): give one of them"),
        (["test.parquet", "validation.parquet"], "No training files"),
        (["cifar10.parquet", "cifar10-test.parquet"], "No training files"),
        (["notes.txt"], "No *.parquet files"),
    ],
)
def test_parquet_layouts_that_cannot_be_right_are_refused(tmp_path, files, message):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(DataError) as caught:
        parquet_layout(tmp_path)
    assert message in str(caught.value)


def test_parquet_folders_may_link_in_circles(tmp_path):
    (tmp_path / "train.parquet").touch()
    (tmp_path / "self").symlink_to(".")
    start = time.monotonic()
    assert parquet_layout(tmp_path).train == (tmp_path / "train.parquet",)
    assert time.monotonic() - start < 1
