"""From files to splits: what is found is said, and what would be found too late is found at the start."""

import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from genas.core.errors import ConfigError, DataError
from genas.data import Augmentation, Dataset, Normalisation, ResidentImages, Splits, StreamedImages, open_dataset
from genas.data.copies import find_copies
from genas.data.inspection import check, summarise
from genas.data.split import divided_by

CPU = torch.device("cpu")


def write(root, count=6, names=("a", "b"), size=(12, 12), seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr("genas.data.collection.RESIDENT_BYTES", 0)
    monkeypatch.setattr("genas.data.collection._STREAMED_SAMPLE", 20)


# ---- what was found


def test_what_was_found_is_one_line_and_a_value(tmp_path, capsys):
    root = write(tmp_path / "set", size=(20, 12))
    write(root / "more", names=("x",), size=(40, 24), seed=1)
    shutil.copytree(root / "more" / "x", root / "a" / "deep")
    shutil.rmtree(root / "more")
    (root / "a" / "notes.txt").touch()
    dataset = open_dataset(f"folder:{root}", image_size=8)
    splits = summarise(dataset, dataset.splits(0), quiet=False)
    assert capsys.readouterr().err == (
        f"Data folder:{root}: 18 images in 2 classes, 20x12 to 40x24 pixels, used at 8x8; train 15 (half each for "
        "supernet and scores, all for the final network); held out 3 (test, a fifth of every class); ignored 1 .txt.\n"
    )
    value = json.loads(json.dumps(splits.summary.as_dict()))
    assert value["images"] == 18
    assert value["sizes"] == {"smallest": [20, 12], "largest": [40, 24], "looked_at": None}
    assert value["splits"]["held out"] == {"images": 3, "use": "test, a fifth of every class"}
    assert value["ignored"] == {".txt": 1}
    check(dataset, summarise(dataset, dataset.splits(0), quiet=True), quiet=True)
    assert capsys.readouterr().err == ""


def test_every_data_set_has_a_line(capsys):
    dataset = open_dataset("digits")
    check(dataset, summarise(dataset, dataset.splits(0), quiet=False), quiet=False)
    assert capsys.readouterr().err == (
        "Data digits: 1,797 images in 10 classes, 16x16 pixels; train 1,438 (half each for supernet and "
        "scores, all for the final network); test 359 (test).\n"
    )


def test_names_that_do_not_print_reach_no_terminal(tmp_path, capsys):
    root = write(tmp_path / "set\x1b[31m\n", names=("a\x1b[0m", "b\nc", "[bold]"))
    dataset = open_dataset(f"folder:{root}")
    splits = check(dataset, summarise(dataset, dataset.splits(0), quiet=False), quiet=False)
    assert splits.class_names == ("[bold]", "a\\x1b[0m", "b\\nc")
    assert capsys.readouterr().err.strip().isprintable()


def test_bytes_that_are_no_utf8_are_refused_or_read(tmp_path):
    with pytest.raises(ConfigError, match="not valid UTF-8"):
        open_dataset("folder:" + os.fsdecode(b"photos\xff"))
    root = write(tmp_path)
    os.rename(root / "a" / "0.png", os.fsencode(root / "a") + b"/\xff.png")
    assert open_dataset(f"folder:{root}").splits(0).summary.images == 12
    os.rename(root / "a", os.fsencode(root) + b"/\xffa")
    with pytest.raises(DataError, match=r"class folder \\udcffa is not valid UTF-8"):
        open_dataset(f"folder:{root}").splits(0)


# ---- sizes


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (400, 2), (400, 12)])
@pytest.mark.parametrize("asked", [None, 16])
def test_images_that_show_nothing_in_a_square_are_refused(tmp_path, size, asked, monkeypatch):
    root = write(tmp_path, size=size)
    for limit in (2**30, 0):
        monkeypatch.setattr("genas.data.collection.RESIDENT_BYTES", limit)
        with pytest.raises(DataError, match="12 of 12 images are too small or too long, such as .*/a/0.png with"):
            open_dataset(f"folder:{root}", image_size=asked).splits(0)


def test_poor_sizes_and_blank_images_are_named(tmp_path):
    root = write(tmp_path)
    for name, size in (("tiny", (7, 7)), ("long", (90, 12)), ("blank", (12, 12))):
        Image.new("RGB", size, (9, 9, 9)).save(root / "b" / f"{name}.png")
    notes = open_dataset(f"folder:{root}").splits(0).summary.notes
    assert [note.split(", such as")[0] for note in notes] == [
        "1 of 15 images are smaller than 8 pixels",
        "1 of 15 images are more than 4 times as long as wide, and only their centre is used",
        "3 of 15 images have one colour throughout",
    ]


def test_levels_that_fill_few_of_16_bits_are_said(tmp_path):
    for depth, notes in ((12, 1), (16, 0)):
        rng = np.random.default_rng(0)
        for name in ("a", "b"):
            (tmp_path / str(depth) / name).mkdir(parents=True)
            for number in range(4):
                levels = rng.integers(0, 2**depth, (12, 12)).astype(np.uint16)
                levels[0, 0] = 2**depth - 1
                Image.fromarray(levels).save(tmp_path / str(depth) / name / f"{number}.png")
        splits = open_dataset(f"folder:{tmp_path / str(depth)}").splits(0)
        assert len(splits.summary.notes) == notes
    note = open_dataset(f"folder:{tmp_path / '12'}").splits(0).summary.notes[0]
    assert note.startswith(
        "The 16-bit images hold levels up to 4,095 of 65,535 in a sample of 8, so they come out with 16"
    )


@pytest.mark.parametrize(("channels", "kind"), [(2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize(("depth", "notes"), [(12, 1), (16, 0)])
def test_colours_that_fill_few_of_16_bits_are_said_too(tmp_path, channels, kind, depth, notes):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            levels = np.random.default_rng(number).integers(0, 2**depth, (12, 12, channels))
            if channels != 3:
                levels[..., -1] = 65_535  # opaque
            rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
            header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 12, 16, kind, 0, 0, 0))
            content = header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
            (tmp_path / name / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert len(open_dataset(f"folder:{tmp_path}").splits(0).summary.notes) == notes


def test_a_list_of_halves_is_said(tmp_path):
    root = tmp_path / "set"
    for seed, part in enumerate(("train", "val", "test")):
        write(root / part, seed=seed)
    (tmp_path / "halves.json").write_text('{"train": [0, 1, 6, 7], "valid": [2, 8]}')
    line = divided_by(open_dataset(f"folder:{root}").splits(0), tmp_path / "halves.json").summary.line()
    assert "train 12 (4 train the supernet, 2 score architectures, by halves.json); test 12 (test)" in line


def test_the_own_size_is_that_of_the_upright_images(tmp_path):
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = Image.fromarray(rng.integers(0, 256, (16, 12, 3), dtype=np.uint8))
            if number % 2:
                pixels.transpose(Image.Transpose.ROTATE_90).save(tmp_path / name / f"{number}.png", exif=exif)
            else:
                pixels.save(tmp_path / name / f"{number}.png")
    splits = open_dataset(f"folder:{tmp_path}").splits(0)
    assert splits.image_shape == (3, 12, 12)
    assert splits.summary.smallest == splits.summary.largest == (12, 16)


# ---- damage and copies, found before a run begins


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_image_of_a_streamed_set_is_found_at_the_start(tmp_path, split):
    for seed, part in enumerate(("train", "test")):
        write(tmp_path / part, count=100, seed=seed)
    broken = tmp_path / split / "b" / "77.png"
    broken.write_bytes(broken.read_bytes()[:-40])
    dataset = open_dataset(f"folder:{tmp_path}")
    splits = dataset.splits(0)  # the headers are sound, and this image is in no sample
    assert isinstance(splits.test, StreamedImages)
    with pytest.raises(DataError, match=rf"Cannot read .*{split}/b/77.png"):
        dataset.check(quiet=True)


@pytest.mark.usefixtures("streamed")
def test_the_check_of_a_sound_streamed_set_looks_at_all_sizes(tmp_path):
    root = write(tmp_path, count=60)
    Image.new("RGB", (4, 90)).save(root / "a" / "5.png")
    dataset = open_dataset(f"folder:{root}", image_size=12)
    assert dataset.splits(0).summary.looked_at == 64
    assert [note.split(", such as")[0] for note in dataset.check(quiet=True)] == [
        "1 of 120 images are smaller than 8 pixels",
        "1 of 120 images are more than 4 times as long as wide, and only their centre is used",
    ]


def test_copies_in_two_classes_or_splits_are_counted_and_named(tmp_path, capsys):
    for seed, part in enumerate(("train", "val", "test")):
        write(tmp_path / part, seed=seed)
    shutil.copy(tmp_path / "train/a/0.png", tmp_path / "train/b/copy.png")
    shutil.copy(tmp_path / "train/a/1.png", tmp_path / "test/a/other name.png")
    shutil.copy(tmp_path / "train/a/2.png", tmp_path / "test/a/second.png")
    shutil.copy(tmp_path / "val/b/3.png", tmp_path / "test/b/third.png")
    shutil.copy(tmp_path / "val/b/4.png", tmp_path / "val/b/twin.png")  # within a class and split: no harm
    shutil.copy(tmp_path / "train/b/4.png", tmp_path / "train/b/twin.png")  # but the halves may share it
    dataset = open_dataset(f"folder:{tmp_path}")
    assert sorted(dataset.check()) == sorted(
        [
            f"1 image is in both the validation and the test split, such as {tmp_path}/val/b/3.png and "
            f"{tmp_path}/test/b/third.png.",
            f"1 image is in the train split more than once, such as {tmp_path}/train/b/4.png and {tmp_path}/train/b/twin.png.",
            f"1 image is in more than one class, such as {tmp_path}/train/a/0.png and {tmp_path}/train/b/copy.png.",
            f"2 images are in both the train and the test split, such as {tmp_path}/train/a/1.png and "
            f"{tmp_path}/test/a/other name.png.",
        ]
    )
    splits = check(dataset, summarise(dataset, dataset.splits(0), quiet=False), quiet=False)
    assert capsys.readouterr().err.count("Note: ") == len(splits.summary.as_dict()["notes"]) == 4


def test_only_contents_of_equal_size_are_read_and_large_sets_are_left_alone(monkeypatch):
    class Files:
        def __init__(self, contents):
            self.contents, self.read = contents, []

        def sizes(self):
            return np.array([len(content) for content in self.contents])

        def stored(self, index):
            self.read.append(index)
            return self.contents[index], f"file {index}"

    files = Files([b"a", b"bb", b"cc", b"ddd", b"bb"])
    parts = {"train": [0, 1, 2, 3], "test": [4]}
    assert find_copies(files, [0] * 5, parts) == (
        "1 image is in both the train and the test split, such as file 1 and file 4.",
    )
    assert set(files.read) == {1, 2, 4}
    files.read.clear()
    mixed = Files([b"a", b"b", b"b", b"a"])  # held-out images lie among the others
    (note,) = find_copies(mixed, [0] * 4, {"train": [0, 2], "test": [1, 3]})
    assert note == "2 images are in both the train and the test split, such as file 0 and file 3."
    monkeypatch.setattr("genas.data.copies.MOST_BYTES", 5)
    (note,) = find_copies(files, [0] * 5, parts)
    assert "were not compared" in note
    assert not files.read


# ---- streams without shared memory


class Numbers:
    """Images that tell their number."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.full((3, 8, 8), index, dtype=torch.uint8)


def test_processes_send_images_by_value(monkeypatch):
    """No tensor passes between processes, so that no shared memory is needed."""
    import torch.multiprocessing.reductions as reductions

    def refuse(*_):
        raise OSError(28, "No space left on device")

    for name in ("reduce_tensor", "reduce_storage", "reduce_typed_storage"):
        monkeypatch.setattr(reductions, name, refuse)
    images = StreamedImages(
        Numbers(), torch.arange(40), Normalisation((0.0,) * 3, (1 / 255,) * 3, "made"), 8, workers=2
    )
    seen = torch.cat([batch[:, 0, 0, 0] for batch, _ in images.batches(8, CPU)])
    assert seen.round().tolist() == list(range(40))


def test_where_not_even_locks_find_room_this_process_decodes(monkeypatch):
    import multiprocessing.context

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(multiprocessing.context.BaseContext, "Queue", refuse)
    monkeypatch.setattr(multiprocessing.context.BaseContext, "Event", refuse)
    images = StreamedImages(Numbers(), torch.arange(40), Normalisation((0.0,) * 3, (1.0,) * 3, "made"), 8, workers=2)
    assert sum(len(labels) for _, labels in images.batches(8, CPU)) == 40


def test_a_process_that_dies_ends_the_walk_with_a_sentence():
    class Deadly(Numbers):
        def __getitem__(self, index):
            if index == 20:
                os._exit(1)
            return super().__getitem__(index)

    images = StreamedImages(Deadly(), torch.arange(40), Normalisation((0.0,) * 3, (1.0,) * 3, "made"), 8, workers=2)
    with pytest.raises(DataError, match="A process that decodes images ended early"):
        list(images.batches(8, CPU))


def test_batches_lie_in_memory_the_same_way_with_and_without_processes(tmp_path, monkeypatch):
    """Other strides would round differently in the layers that follow."""
    monkeypatch.setattr("genas.data.collection.RESIDENT_BYTES", 0)
    train = open_dataset(f"folder:{write(tmp_path)}").splits(0).train
    found = []
    for workers in (0, 2):
        train.workers = workers
        found.append([batch for batch, _ in train.batches(4, CPU)])
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)
        assert one.stride() == two.stride()


# ---- a data set of a user's own


def own_splits(**changes):
    pixels = torch.randint(0, 256, (12, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    whole = ResidentImages(pixels, torch.arange(12) % 2, Normalisation((0.5,) * 3, (0.2,) * 3, "made"))
    parts = {
        "weights": whole.subset(range(6)),
        "validation": whole.subset(range(6, 12)),
        "train": whole,
        "test": whole.subset(range(4)),
        "normalisation": whole.normalisation,
        "class_names": ("a", "b"),
        "augmentation": Augmentation(),
    }
    return Splits(**{**parts, **changes})


def test_no_augmentation_is_none():
    splits = own_splits(augmentation=None)
    assert splits.augmentation == Augmentation()
    assert len(list(splits.train.batches(4, CPU, seed=0, augmentation=splits.augmentation))) == 3


def test_splits_that_do_not_fit_together_are_refused_when_they_are_made():
    whole = own_splits().train
    small = ResidentImages(torch.zeros(4, 3, 4, 4, dtype=torch.uint8), torch.zeros(4), whole.normalisation)
    floats = own_splits().train
    floats.labels = floats.labels.float()
    stretched = own_splits().train
    stretched.resizing = "stretch"
    for changes, message in (
        ({"test": whole.with_labels(torch.full((12,), -1))}, "A label of Splits.test is -1: expected 0 to 1"),
        ({"test": whole.with_labels(torch.full((12,), 2))}, "A label of Splits.test is 2"),
        ({"train": floats}, "Splits.train.labels must be"),
        ({"validation": whole.subset([])}, "Splits.validation holds no images"),
        ({"test": whole.subset([])}, "give it some, or None"),
        ({"test": small}, "The images of Splits.test are .3, 4, 4."),
        ({"train": stretched}, "Splits.train.resizing is 'stretch': expected one of fit, crop"),
        ({"weights": None}, "Splits.weights is of the type NoneType: expected LabelledImages"),
        ({"test": 3}, "Splits.test is of the type int: expected LabelledImages or None"),
        ({"normalisation": None}, "Splits.normalisation is of the type NoneType"),
        ({"augmentation": "flip"}, "Splits.augmentation is of the type str"),
        ({"class_names": "ab"}, "one text per class"),
        ({"class_names": ("a", "a")}, "has 'a' twice"),
    ):
        with pytest.raises(DataError, match=message):
            own_splits(**changes)
    assert own_splits(test=None).test is None


def test_a_data_set_may_check_itself(capsys):
    class Own(Dataset):
        name = "own"

        def splits(self, seed):
            return own_splits()

        def check(self, *, quiet=False):
            return ("Half of it is noise.",)

    splits = check(Own(), summarise(Own(), Own().splits(0), quiet=False), quiet=False)
    assert splits.summary.notes == ("Half of it is noise.",)
    assert capsys.readouterr().err == (
        "Data own: 16 images in 2 classes, 8x8 pixels; train 12 (half each for supernet and scores, all for the final network); "
        "test 4 (test).\nNote: Half of it is noise.\n"
    )
