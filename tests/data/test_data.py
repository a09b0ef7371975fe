"""Properties that every data set and every kind of batch has."""

import pickle
import time

import numpy as np
import pytest
import torch
from PIL import Image

from genas.core.errors import ConfigError, DataError
from genas.data import Augmentation, Normalisation, ResidentImages, StreamedImages, open_dataset
from genas.data.imagenet16 import load_arrays
from genas.data.normalisation import compute
from genas.data.split import class_balanced_halves, hold_out_test

CPU = torch.device("cpu")
NORMALISATION = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "made")


def pixels(count=50, size=8):
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def resident(count=50):
    return ResidentImages(pixels(count), torch.arange(count) % 5, NORMALISATION)


class Images:
    def __init__(self, count):
        self.pixels = pixels(count, 20)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        return Image.fromarray(self.pixels[index].permute(1, 2, 0).numpy())


def streamed(count=50, workers=0):
    return StreamedImages(Images(count), torch.arange(count) % 5, NORMALISATION, 8, workers=workers)


def write_folder(root, classes=("ant", "bee"), count=6, size=12, parts=("train",)):
    rng = np.random.default_rng(0)
    for part in parts:
        for label, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                array = rng.integers(0, 80, (size, size, 3), dtype=np.uint8) + np.uint8(100 * label)
                Image.fromarray(array).save(root / part / name / f"{number}.png")
    return root


# ---- halves


def test_halves_are_balanced_disjoint_complete_and_fixed_by_the_seed():
    labels = torch.randint(0, 7, (1001,), generator=torch.Generator().manual_seed(1))
    names = tuple("abcdefg")
    first, second = class_balanced_halves(labels, 7, 3, names)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(1001))
    assert abs(len(first) - len(second)) <= 1
    counts = [torch.bincount(labels[half], minlength=7) for half in (first, second)]
    assert int((counts[0] - counts[1]).abs().max()) <= 1
    again = class_balanced_halves(labels, 7, 3, names)
    assert torch.equal(first, again[0])
    assert not torch.equal(first, class_balanced_halves(labels, 7, 4, names)[0])


def test_held_out_test_set_is_the_same_for_every_seed_and_never_in_the_halves():
    dataset = open_dataset("digits")
    runs = [dataset.splits(seed) for seed in (0, 1)]
    assert torch.equal(runs[0].test.indices, runs[1].test.indices)
    assert not torch.equal(runs[0].weights.indices, runs[1].weights.indices)
    for splits in runs:
        parts = [set(part.indices.tolist()) for part in (splits.weights, splits.validation, splits.test)]
        assert not parts[0] & parts[1]
        assert not parts[2] & (parts[0] | parts[1])
        assert parts[0] | parts[1] == set(splits.train.indices.tolist())
        assert sum(len(part) for part in parts) == 1797


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 0, 0], ("a",), "1 class (a); at least 2"),
        ([0, 0, 2, 2], ("a", "b", "c"), "No training images in class b"),
        ([0, 0, 1], ("a", "b"), "Fewer than 2 training images in class b"),
        ([0, 0, 5, 5], ("a", "b"), "A label is 5"),
    ],
)
def test_unfit_labels(labels, names, message):
    with pytest.raises(DataError) as caught:
        class_balanced_halves(torch.tensor(labels), len(names), 0, names)
    assert message in str(caught.value)
    with pytest.raises(DataError):
        hold_out_test(torch.tensor(labels), len(names), names)


# ---- batches


@pytest.mark.parametrize("images", [resident(), streamed()], ids=["resident", "streamed"])
def test_a_walk_from_the_middle_gives_the_batches_of_the_whole_walk(images):
    options = {"seed": 3, "shuffle": True, "augmentation": Augmentation(crop_padding=2, flip=True, cutout=3)}
    whole = list(images.batches(8, CPU, **options))
    assert [len(labels) for _, labels in whole] == [8] * 6 + [2]
    rest = list(images.batches(8, CPU, start=4, **options))
    for (first, first_labels), (second, second_labels) in zip(whole[4:], rest, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first_labels, second_labels)
    assert sum(len(labels) for _, labels in images.batches(8, CPU, limit=20, **options)) == 20
    other = next(images.batches(8, CPU, **{**options, "seed": 4}))
    assert not torch.equal(other[0], whole[0][0])


@pytest.mark.parametrize("images", [resident(), streamed()], ids=["resident", "streamed"])
def test_batches_leave_the_global_generators_alone(images):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    list(images.batches(8, CPU, seed=1, shuffle=True, augmentation=Augmentation(crop_padding=2, flip=True, cutout=2)))
    assert torch.equal(before, torch.get_rng_state())


def test_workers_change_nothing():
    options = {"seed": 3, "shuffle": True, "augmentation": Augmentation(crop_padding=2, flip=True)}
    for one, two in zip(
        streamed().batches(8, CPU, **options), streamed(workers=2).batches(8, CPU, **options), strict=True
    ):
        assert torch.equal(one[0], two[0])


def test_values_are_normalised_and_labels_follow_their_images():
    images = resident(10)
    batch, labels = next(images.subset([7, 2]).batches(2, CPU))
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (NORMALISATION.mean, NORMALISATION.std))
    assert torch.allclose(batch[0], (pixels(10)[7] / 255 - mean) / std, atol=1e-5)
    assert labels.tolist() == [2, 2]
    assert images.with_labels(torch.zeros(10)).subset([7]).labels.tolist() == [0]
    assert images.labels.tolist() == [0, 1, 2, 3, 4] * 2


def test_subsets_share_their_pixels():
    whole = resident()
    assert whole.subset(range(20)).store is whole.store
    assert whole.with_labels(whole.labels).store is whole.store


def test_crop_and_flip_equal_a_slow_loop():
    images = pixels(64)
    augmentation = Augmentation(crop_padding=2, flip=True)
    out = augmentation.geometry(images, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    tops, lefts = (torch.randint(0, 5, (64,), generator=rng).tolist() for _ in range(2))
    mirrored = torch.randint(0, 2, (64,), generator=rng).tolist()
    for number in range(64):
        padded = torch.zeros(3, 12, 12, dtype=torch.uint8)
        padded[:, 2:10, 2:10] = images[number]
        window = padded[:, tops[number] : tops[number] + 8, lefts[number] : lefts[number] + 8]
        assert torch.equal(out[number], window.flip(2) if mirrored[number] else window)
    assert 10 < sum(mirrored) < 54


def test_cutout_erases_one_square_with_a_uniform_centre():
    ones = torch.ones(2000, 1, 8, 8)
    out = Augmentation(cutout=4).erase(ones, torch.Generator().manual_seed(0))
    erased = (out == 0).sum((1, 2, 3))
    assert int(erased.max()) == 16
    assert int(erased.min()) >= 4  # a corner keeps at least a quarter of the square
    for image in out[:50, 0]:
        rows, columns = (image == 0).any(1).nonzero().flatten(), (image == 0).any(0).nonzero().flatten()
        assert (image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 0).all()


def test_computed_normalisation_is_exact():
    images = pixels(40)
    found = compute(images)
    values = images.double().transpose(0, 1).flatten(1) / 255
    assert found.mean == pytest.approx(values.mean(1).tolist())
    assert found.std == pytest.approx(values.std(1, unbiased=False).tolist())
    assert compute(torch.zeros(3, 1, 2, 2, dtype=torch.uint8)).std == (1 / 255,)


# ---- names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifra10", "Did you mean 'cifar10'"),
        ("mnist", "known are digits, cifar10, cifar100, imagenet16-120, imagenet, folder:PATH, parquet:PATH"),
        ("folder:", "names no path"),
        ("no_such_package:Name", "cannot be imported"),
        ("math:pi", "not a subclass"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ConfigError) as caught:
        open_dataset(name)
    assert message in str(caught.value)


# ---- folders


def test_folder_with_and_without_a_test_part(tmp_path):
    one = open_dataset(f"folder:{write_folder(tmp_path / 'one', parts=('',))}").splits(0)
    assert one.class_names == ("ant", "bee")
    assert one.image_shape == (3, 12, 12)
    assert (len(one.train), len(one.test)) == (10, 2)
    two = open_dataset(f"folder:{write_folder(tmp_path / 'two', parts=('train', 'val'))}", image_size=9).splits(0)
    assert (len(two.weights), len(two.validation), len(two.test)) == (6, 6, 12)
    assert two.image_shape == (3, 9, 9)
    assert "computed" in two.normalisation.source
    # class 1 is brighter than class 0 in every image
    for images, labels in two.train.batches(4, CPU):
        bright = images.mean((1, 2, 3)) > 0
        assert torch.equal(bright.long(), labels)


def test_all_colour_modes_are_read(tmp_path):
    root = write_folder(tmp_path, parts=("",), count=3)
    array = np.full((12, 12), 200, np.uint8)
    for number, mode in enumerate(("L", "LA", "P", "RGBA", "CMYK", "1")):
        Image.fromarray(array).convert(mode).save(root / "ant" / f"mode{number}.{'tif' if mode == 'CMYK' else 'png'}")
    Image.fromarray(np.full((12, 12), 51_200, np.uint16)).save(root / "ant" / "mode16.png")
    splits = open_dataset(f"folder:{root}").splits(0)
    grey = splits.train.store.pixels[3:10]
    assert grey.shape[0] == 7
    assert (grey[:, 0] == grey[:, 1]).all()
    assert int(grey[1].max()) == 200  # "mode16.png" sorts second; sixteen bits scaled, not clipped


@pytest.mark.parametrize("stream", [False, True])
def test_an_unreadable_image_is_named(tmp_path, stream, monkeypatch):
    root = write_folder(tmp_path)
    broken = root / "train" / "bee" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    monkeypatch.setattr("genas.data.collection.RESIDENT_BYTES", 0 if stream else 2**30)
    with pytest.raises(DataError) as caught:
        list(open_dataset(f"folder:{root}", image_size=12).splits(0).train.batches(4, CPU))
    assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faulty_folders(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        open_dataset(f"folder:{tmp_path / 'missing'}").splits(0)
    with pytest.raises(DataError, match="No class folders"):
        open_dataset(f"folder:{tmp_path}").splits(0)
    root = write_folder(tmp_path / "a")
    (root / "train" / "cat").mkdir()
    with pytest.raises(DataError, match="No training images in class cat"):
        open_dataset(f"folder:{root}").splits(0)
    lonely = write_folder(tmp_path / "b", classes=("ant",), parts=("",))
    with pytest.raises(DataError, match=r"1 class \(ant\)"):
        open_dataset(f"folder:{lonely}").splits(0)


# ---- Parquet


def parquet(path, rows, features=None):
    from datasets import Dataset

    Dataset.from_dict(rows, features=features).to_parquet(str(path))


def png(value, size=10):
    import io

    out = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def image_features(label):
    from datasets import Features
    from datasets import Image as ImageColumn

    return Features({"image": ImageColumn(), "label": label})


def test_parquet_with_class_labels_and_with_texts(tmp_path):
    from datasets import ClassLabel, Value

    (tmp_path / "a" / "data").mkdir(parents=True)
    values = [10, 200] * 6
    rows = {"image": [png(v) for v in values], "label": [int(v > 100) for v in values]}
    parquet(tmp_path / "a/data/train-0.parquet", rows, image_features(ClassLabel(names=["dark", "light"])))
    parquet(tmp_path / "a/data/validation.parquet", rows, image_features(ClassLabel(names=["dark", "light"])))
    splits = open_dataset(f"parquet:{tmp_path / 'a'}").splits(0)
    assert splits.class_names == ("dark", "light")
    assert (len(splits.train), len(splits.test)) == (12, 12)
    for images, labels in splits.train.batches(5, CPU):
        assert torch.equal((images.mean((1, 2, 3)) > 0).long(), labels)
    texts = {"image": rows["image"], "label": ["night" if v < 100 else "day" for v in values]}
    parquet(tmp_path / "one.parquet", texts, image_features(Value("string")))
    single = open_dataset(f"parquet:{tmp_path / 'one.parquet'}").splits(0)
    assert single.class_names == ("day", "night")
    assert len(single.train) + len(single.test) == 12


def test_faulty_parquet(tmp_path):
    from datasets import Features, Value

    with pytest.raises(DataError, match="There is no file or folder"):
        open_dataset(f"parquet:{tmp_path / 'missing'}").splits(0)
    with pytest.raises(DataError, match=r"No \*.parquet files"):
        open_dataset(f"parquet:{tmp_path}").splits(0)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="as Parquet"):
        open_dataset(f"parquet:{tmp_path}").splits(0)
    parquet(tmp_path / "numbers.parquet", {"x": [1, 2]}, Features({"x": Value("int64")}))
    with pytest.raises(DataError, match="no column of images among x"):
        open_dataset(f"parquet:{tmp_path / 'numbers.parquet'}").splits(0)
    rows = {"image": [png(1), png(2), {"bytes": b"rubbish", "path": None}, *[png(3)] * 5], "label": [0, 1] * 4}
    parquet(tmp_path / "bad.parquet", rows, image_features(Value("int64")))
    with pytest.raises(DataError, match="image 2 of bad.parquet"):
        open_dataset(f"parquet:{tmp_path / 'bad.parquet'}").splits(0)


def test_real_cifar10(shared_data):
    """50,000 + 10,000 images; channel means as the data's README gives them."""
    splits = open_dataset(f"parquet:{shared_data / 'cifar10'}").splits(0)
    assert (len(splits.weights), len(splits.validation), len(splits.test)) == (25_000, 25_000, 10_000)
    assert splits.image_shape == (3, 32, 32)
    assert splits.class_names[3] == "cat"
    assert splits.normalisation.mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=1e-4)
    assert torch.bincount(splits.weights.labels).tolist() == [2500] * 10


def test_real_photos(shared_data):
    splits = open_dataset(f"folder:{shared_data / 'photos'}", image_size=32).splits(0)
    assert (len(splits.train), len(splits.test), splits.num_classes) == (2000, 500, 10)


# ---- files of the original sets


def write_imagenet16(root, classes=120):
    root.mkdir()
    for number in range(1, 11):
        labels = [1 + (place % classes) for place in range(2 * classes)]
        data = np.zeros((len(labels), 768), np.uint8)
        data[:] = np.array(labels, np.uint8)[:, None]
        (root / f"train_data_batch_{number}").write_bytes(pickle.dumps({"data": data, "labels": labels}))
    (root / "val_data").write_bytes(pickle.dumps({"data": data, "labels": labels}))
    return root


def test_imagenet16_120_keeps_the_first_120_classes(tmp_path):
    splits = open_dataset("imagenet16-120", root=write_imagenet16(tmp_path / "set", 150)).splits(0)
    assert splits.num_classes == 120
    assert splits.image_shape == (3, 16, 16)
    assert len(splits.train) == 10 * 2 * 120
    store, labels = splits.train.store.pixels, splits.train.labels
    assert torch.equal(store[:, 0, 0, 0].long() - 1, labels)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    root = write_imagenet16(tmp_path / "set")
    (root / "val_data").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="refused"):
        open_dataset("imagenet16-120", root=root).splits(0)
    assert not (tmp_path / "trapped").exists()
    for protocol in range(6):
        plain = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, np.int64(2)], "name": "x"}
        (tmp_path / "plain").write_bytes(pickle.dumps(plain, protocol))
        assert np.array_equal(load_arrays(tmp_path / "plain")["data"], plain["data"])
    # Arrays that a file gives no values for, and lists that refer to one another, would fill the memory.
    for bomb in (
        b"cnumpy\nndarray\n((L3221225472L\ntR.",
        b"cnumpy\nndarray\n((L3221225472L\ntcnumpy\ndtype\n(S'u1'\ntRtR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(L3221225472L\ntS'b'\ntR.",
        b"cnumpy\ndtype\n(S'V2000000000'\ntR.",
        b"\x80\x02]r\xff\xff\xff\x7f.",
        pickle.dumps({"data": [[[[0] * 1000] * 1000] * 1000] * 1000, "labels": [1] * 1000}),
        pickle.dumps({"data": np.zeros((1, 768), np.uint8), "labels": [[[0] * 1000] * 1000] * 1000}),
    ):
        (root / "val_data").write_bytes(bomb)
        start = time.monotonic()
        with pytest.raises(DataError, match="val_data"):
            open_dataset("imagenet16-120", root=root).splits(0)
        assert time.monotonic() - start < 1
    (root / "val_data").write_bytes(b"\x80\x04X\xff")
    with pytest.raises(DataError, match="not a readable batch file"):
        open_dataset("imagenet16-120", root=root).splits(0)
    (root / "train_data_batch_4").unlink()
    with pytest.raises(DataError, match="lacks train_data_batch_4"):
        open_dataset("imagenet16-120", root=root).splits(0)


def test_cifar_through_torchvision(tmp_path, monkeypatch):
    """The files of the Python version, made small; torchvision's checksums are told the truth about them."""
    import hashlib

    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    batch = {"data": rng.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [n % 10 for n in range(20)]}
    train = [write(f"data_batch_{number}", batch) for number in range(1, 6)]
    test = [write("test_batch", batch)]
    names = [f"class {n}" for n in range(10)]
    meta = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    splits = open_dataset("cifar10", root=tmp_path).splits(0)
    assert (len(splits.train), len(splits.test)) == (100, 20)
    assert splits.class_names == tuple(names)
    assert np.array_equal(splits.test.store.pixels[0].numpy().reshape(-1), batch["data"][0])
    assert splits.normalisation.source == "published, CIFAR-10"
    (folder / "data_batch_2").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cifar10 is missing or damaged"):
        open_dataset("cifar10", root=tmp_path).splits(0)


def test_hundred_thousand_small_images_fit_in_a_gigabyte(tmp_path):
    """Peak resident memory of a process that holds 100,000 images of 32 x 32 and walks through them."""
    import subprocess
    import sys

    if sys.platform != "linux":
        pytest.skip("reads /proc")

    code = """
import torch
from genas.data import Augmentation, ResidentImages, Normalisation
pixels = torch.zeros(100_000, 3, 32, 32, dtype=torch.uint8)
images = ResidentImages(pixels, torch.arange(100_000) % 10, Normalisation((.5,)*3, (.2,)*3, "made"))
half = images.subset(range(0, 100_000, 2))
for number, (batch, labels) in enumerate(half.batches(64, torch.device("cpu"), seed=0, shuffle=True, augmentation=Augmentation(crop_padding=4, flip=True, cutout=8))):
    if number == 50:
        break
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) < 2**20  # KiB
