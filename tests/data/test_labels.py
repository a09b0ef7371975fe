"""Labels of Parquet files: classes are matched by name, and what cannot be a class is refused before anything is read."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from genas.core.errors import DataError
from genas.data import open_dataset

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}
_made = iter(range(10**6))


def png(colour):
    """An image of about one colour that no other equals."""
    number = next(_made)
    pixels = np.full((8, 8, 3), colour, np.uint8)
    pixels[0, 0] = (number % 256, number // 256 % 256, 77)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def write(path, colours, labels, kind):
    """A Parquet file with images of these colours; `kind` is class names or a type of values."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageColumn

    path.parent.mkdir(parents=True, exist_ok=True)
    label = Value(kind) if isinstance(kind, str) else ClassLabel(names=list(kind))
    rows = {"image": [png(COLOURS[colour]) for colour in colours], "label": labels}
    Dataset.from_dict(rows, features=Features({"image": ImageColumn(), "label": label})).to_parquet(str(path))


def shown_classes(images, names):
    """The colour that each image shows, by the name that it is labelled with."""
    found = set()
    for place, label in enumerate(images.labels.tolist()):
        pixel = tuple(images.store.pixels[images.indices[place], :, 4, 4].tolist())
        found.add((names[label], next(name for name, colour in COLOURS.items() if colour == pixel)))
    return found


def test_classes_are_matched_by_name_between_files(tmp_path):
    write(tmp_path / "train-0.parquet", ["red", "blue"] * 4, [0, 1] * 4, ("red", "blue"))
    write(tmp_path / "train-1.parquet", ["red", "blue"] * 4, [1, 0] * 4, ("blue", "red"))
    write(tmp_path / "test.parquet", ["red", "blue"], [1, 0], ("blue", "red"))
    splits = open_dataset(f"parquet:{tmp_path}").splits(0)
    assert splits.class_names == ("red", "blue")
    for images in (splits.train, splits.test):
        assert shown_classes(images, splits.class_names) == {("red", "red"), ("blue", "blue")}


@pytest.mark.parametrize(
    ("labels", "kind", "names", "note"),
    [
        ([0, 1, 2], "int64", ("0", "1", "2"), None),
        ([1, 2, 3], "int64", ("1", "2", "3"), "not 0 to 2 but 1, 2, 3;"),
        ([0, 5, 7], "int32", ("0", "5", "7"), "(no images with label 1 to 4, 6)"),
        ([0, 10**12, 2**62], "int64", ("0", str(10**12), str(2**62)), "no images with label"),
        ([False, True, True], "bool", ("false", "true"), None),
        (["b", "a", "c"], "string", ("a", "b", "c"), None),
    ],
)
def test_values_become_classes_in_order_with_a_note_on_gaps(tmp_path, labels, kind, names, note):
    write(tmp_path / "train.parquet", ["red", "blue", "green"] * 6, labels * 6, kind)
    start = time.monotonic()
    splits = open_dataset(f"parquet:{tmp_path}").splits(0)
    assert time.monotonic() - start < 20  # a label of 10^12 took 69 s and all memory
    assert splits.class_names == names
    expected = {(str(label).lower(), colour) for label, colour in zip(labels, ["red", "blue", "green"], strict=True)}
    assert shown_classes(splits.train, names) == expected
    notes = [text for text in splits.summary.notes if "labels" in text]
    assert (len(notes), note or "") == (int(note is not None), note or "")
    assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("train", "test", "kind", "message"),
    [
        ([0, 1], [-1, -1], ("red", "blue"), "2 of 2 rows of .*test.parquet have a negative label"),
        ([-1, 0], [0, 0], "int64", "4 of 8 rows of .*train.parquet have a negative label"),
        ([0, 1], [0, 2], "int64", r"test.parquet has classes that the train split does not have \(2\)"),
        (["a", "b"], ["a", "c"], "string", r"does not have \(c\)"),
        ([0, 1], [0, None], "int64", "Row 1 of .*test.parquet has no label"),
        (["a", "b"], ["a", None], "string", "Row 1 of .*test.parquet has no label"),
        ([0.5, float("nan")], [0.5, 0.5], "float64", "Row 1 of .*train.parquet has no label"),
    ],
)
def test_unlabelled_and_unknown_rows_are_refused_at_the_start(tmp_path, monkeypatch, train, test, kind, message):
    write(tmp_path / "train.parquet", ["red", "blue"] * 4, train * 4, kind)
    write(tmp_path / "test.parquet", ["red", "blue"], test, kind)
    monkeypatch.setattr("genas.data.parquet.decode", None)  # nothing is decoded
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(f"parquet:{tmp_path}").splits(0)
    assert "\n" not in str(caught.value)


def test_labels_of_several_types_and_lists_are_refused(tmp_path):
    from datasets import Dataset

    write(tmp_path / "one" / "train.parquet", ["red", "blue"] * 4, [0, 1] * 4, "int64")
    write(tmp_path / "one" / "test.parquet", ["red", "blue"], ["0", "1"], "string")
    with pytest.raises(DataError, match=r"labels of several types \(numbers, texts\)"):
        open_dataset(f"parquet:{tmp_path / 'one'}").splits(0)
    (tmp_path / "two").mkdir()
    rows = {"image": [png((1, 2, 3))["bytes"]] * 4, "label": [[0], [1]] * 2}
    Dataset.from_dict(rows).to_parquet(str(tmp_path / "two" / "train.parquet"))
    with pytest.raises(DataError, match="A label of .* is of the type list"):
        open_dataset(f"parquet:{tmp_path / 'two'}").splits(0)


def test_validation_and_test_files_are_used_as_such(tmp_path):
    for name, count in (("my-train", 8), ("my-val", 2), ("my-test", 3)):
        write(tmp_path / f"{name}.parquet", ["red", "blue"] * count, [0, 1] * count, ("red", "blue"))
    write(tmp_path / "more.parquet", ["red", "blue"], [0, 1], ("red", "blue"))
    splits = open_dataset(f"parquet:{tmp_path}").splits(0)
    assert (len(splits.weights), len(splits.validation), len(splits.train), len(splits.test)) == (16, 4, 16, 6)
    line = splits.summary.line()
    assert "my-val.parquet 4 (scores architectures); my-test.parquet 6 (test); ignored 1 .parquet of no split" in line


def test_files_without_rows_are_refused(tmp_path):
    write(tmp_path / "train.parquet", ["red", "blue"] * 4, [0, 1] * 4, ("red", "blue"))
    write(tmp_path / "test.parquet", [], [], ("red", "blue"))
    with pytest.raises(DataError, match="test.parquet holds no rows"):
        open_dataset(f"parquet:{tmp_path}").splits(0)


def test_a_damaged_row_of_a_streamed_set_is_found_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr("genas.data.collection.RESIDENT_BYTES", 0)
    write(tmp_path / "train.parquet", ["red", "blue"] * 40, [0, 1] * 40, ("red", "blue"))
    whole = png((9, 9, 9))
    with monkeypatch.context() as patch:
        cut = {"bytes": whole["bytes"][:-20], "path": None}
        patch.setitem(globals(), "png", lambda colour: cut if colour == COLOURS["green"] else whole)
        write(tmp_path / "test.parquet", ["red"] * 20 + ["green"] + ["blue"] * 40, [0, 1] * 30 + [0], ("red", "blue"))
    dataset = open_dataset(f"parquet:{tmp_path}")
    dataset.splits(0)
    with pytest.raises(DataError, match="image 20 of test.parquet"):
        dataset.check(quiet=True)


def test_a_home_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch):
    import datasets

    (tmp_path / "home").write_text("a file, so that no folder can be made below it")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home" / "cache")
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(tmp_path / "home"))
    write(tmp_path / "train.parquet", ["red", "blue"] * 4, [0, 1] * 4, ("red", "blue"))
    splits = open_dataset(f"parquet:{tmp_path / 'train.parquet'}").splits(0)
    assert len(splits.train) + len(splits.test) == 8


def test_the_column_in_use_is_said_where_others_might_be_meant(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageColumn

    images = [png(colour) for colour in COLOURS.values()] * 3
    rows = {"image": images, "mask": images, "sex": [0, 1, 0] * 3, "race": [1, 0, 1] * 3, "age": list(range(9))}
    kinds = {"image": ImageColumn(), "mask": ImageColumn(), "sex": ClassLabel(names=["m", "f"])}
    features = Features({**kinds, "race": ClassLabel(names=["r", "s"]), "age": Value("int64")})
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    splits = open_dataset(f"parquet:{tmp_path}").splits(0)
    assert splits.class_names == ("m", "f")
    assert splits.summary.notes[:2] == (
        "The images come from the column image, not from mask.",
        "The labels come from the column sex, not from race.",
    )
