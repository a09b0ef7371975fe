"""Images for evaluation: the network's normalisation, its classes, its size and its channels."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from genas.core.errors import ConfigError, DataError
from genas.data import Normalisation, open_dataset
from genas.data.streaming import StreamedImages
from genas.evaluation.unseen import match_classes, open_splits, own_test_set, shifted_set
from genas.training.standalone.loading import ModelFacts, read_facts

CPU = torch.device("cpu")


def facts_of(classes=("ant", "bee", "cat"), shape=(3, 16, 16)):
    return ModelFacts(
        space={"name": "nasbench201"},
        genotype="333333",
        classes=len(classes),
        class_names=classes,
        image_shape=shape,
        mean=(0.5,) * shape[0],
        std=(0.25,) * shape[0],
    )


def write(root, classes, count=6, size=16, mode="RGB", suffix="png", part=None):
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        folder = root / part / name if part else root / name
        folder.mkdir(parents=True)
        for index in range(count):
            array = rng.integers(0, 90, (size, size, 3), dtype=np.uint8) + np.uint8(50 * number)
            Image.fromarray(array).convert(mode).save(folder / f"{index}.{suffix}")
    return root


def test_the_network_gets_its_own_normalisation_exactly(digits, trained_folder):
    facts = read_facts(trained_folder)
    other = facts.model_copy(update={"mean": (0.1,), "std": (0.7,)})
    own = own_test_set("digits", digits, facts)
    for (images, labels), (wanted, truth) in zip(own.batches(100, CPU), digits.test.batches(100, CPU), strict=True):
        assert torch.equal(images, wanted)  # to the last bit: the same figures as after retraining
        assert torch.equal(labels, truth)
    images = next(own_test_set("digits", digits, other).batches(100, CPU))[0]
    levels = digits.test.store.pixels[digits.test.indices[:100]].float()
    assert torch.allclose(images, (levels / 255 - 0.1) / 0.7, atol=1e-6)


def test_pixels_are_the_stored_ones(digits, trained_folder):
    pixels, _, numbers = next(own_test_set("digits", digits, read_facts(trained_folder)).pixels(50, CPU))
    assert torch.equal(pixels * 255, digits.test.store.pixels[digits.test.indices[:50]].float())
    assert numbers.tolist() == list(range(50))


def test_a_thinned_set_keeps_the_numbers_of_its_images(digits, trained_folder):
    whole = own_test_set("digits", digits, read_facts(trained_folder))
    few = whole.thinned(7)
    numbers = torch.cat([numbers for *_, numbers in few.pixels(3, CPU)])
    assert len(few) == len(numbers) == 7
    assert numbers[0] == 0
    assert numbers[-1] == len(whole) - 1
    everything = torch.cat([images for images, *_ in whole.pixels(500, CPU)])
    assert torch.equal(torch.cat([images for images, *_ in few.pixels(3, CPU)]), everything[numbers])


def test_classes_in_another_order_are_sorted_by_name(tmp_path):
    splits = open_splits(
        f"folder:{write(tmp_path, ('ant', 'bee', 'cat'), 10)}", facts_of(), root=None, image_size=None, seed=0
    )
    turned = facts_of(("cat", "ant", "bee"))
    labels = own_test_set("x", splits, turned).images.labels
    assert torch.equal(labels, torch.tensor([1, 2, 0])[splits.test.labels])
    alike = dataclasses.replace(splits, class_names=("Ant", "b-e e", "CAT"))
    assert torch.equal(own_test_set("x", alike, facts_of()).images.labels, splits.test.labels)


def test_other_classes_are_refused(tmp_path):
    splits = open_splits(
        f"folder:{write(tmp_path, ('ant', 'bee', 'cow'), 10)}", facts_of(), root=None, image_size=None, seed=0
    )
    with pytest.raises(DataError, match=r"classes that the network does not know \(cow; it knows ant, bee, cat\)"):
        own_test_set("x", splits, facts_of())
    assert torch.equal(own_test_set("x", splits, facts_of(), classes="order").images.labels, splits.test.labels)
    with pytest.raises(
        DataError, match=r"x has 3 classes \(ant, bee, cow\), the network was trained on 2 \(ant, bee\)"
    ):
        own_test_set("x", splits, facts_of(("ant", "bee")))
    with pytest.raises(DataError, match="has no test set"):
        own_test_set("x", dataclasses.replace(splits, test=None), facts_of())


def test_another_size_is_refused_where_the_data_have_one_and_resized_where_they_do_not(tmp_path, digits):
    wanted = facts_of(tuple("0123456789"), (1, 32, 32))
    with pytest.raises(DataError, match="are 16 x 16, the network was trained on 32 x 32; give --image-size 16"):
        own_test_set("digits", digits, wanted)
    assert own_test_set("digits", digits, wanted, image_size=16).notes == ("evaluated at 16 x 16, trained at 32 x 32",)
    name = f"folder:{write(tmp_path, ('ant', 'bee', 'cat'), 10, size=40)}"
    assert open_splits(name, facts_of(), root=None, image_size=None, seed=0).image_shape == (3, 16, 16)
    assert open_splits(name, facts_of(), root=None, image_size=24, seed=0).image_shape == (3, 24, 24)
    with pytest.raises(ConfigError, match="image_size does not apply to 'digits'"):
        open_splits("digits", wanted, root=None, image_size=32, seed=0)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("P", "png"), ("1", "png"), ("I;16", "png")]
)
def test_images_of_every_mode_come_as_the_network_wants_them(tmp_path, mode, suffix):
    root = write(tmp_path, ("ant", "bee"), 2, mode="L" if mode == "I;16" else mode, suffix=suffix)
    if mode == "I;16":
        for path in root.rglob("*.png"):
            Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * 257).save(path)
    colour = facts_of()
    like = own_test_set("x", tiny_like(colour), colour)
    images, _, _ = next(shifted_set(f"folder:{root}", colour, like).pixels(10, CPU))
    assert images.shape == (4, 3, 16, 16)
    grey = facts_of(shape=(1, 16, 16))
    turned, _, _ = next(shifted_set(f"folder:{root}", grey, like).pixels(10, CPU))
    assert turned.shape == (4, 1, 16, 16)
    wanted = 0.299 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]
    assert torch.allclose(turned, wanted, atol=2e-3)


def tiny_like(facts):
    from genas.data.augment import Augmentation
    from genas.data.base import Splits
    from genas.data.loader import ResidentImages

    channels, side, _ = facts.image_shape
    plain = Normalisation((0.0,) * channels, (1.0,) * channels, "made")
    images = ResidentImages(torch.zeros((6, channels, side, side), dtype=torch.uint8), torch.arange(6) % 3, plain)
    return Splits(images, images, images, images, plain, facts.class_names, Augmentation())


def test_grey_images_are_repeated_for_a_network_of_colours(digits):
    facts = facts_of(tuple("0123456789"), (3, 16, 16))
    unseen = own_test_set("digits", digits, facts)
    images = next(unseen.pixels(9, CPU))[0]
    assert images.shape == (9, 3, 16, 16)
    assert torch.equal(images[:, 0], images[:, 2])
    assert unseen.notes == ("grey images repeated in three channels",)
    four = facts_of(tuple("0123456789"), (4, 16, 16))
    with pytest.raises(DataError, match="have 1 channels, the network was trained on 4"):
        own_test_set("digits", digits, four)


def test_a_corrupt_image_is_named(tmp_path):
    root = write(tmp_path, ("ant", "bee"), 2)
    (root / "bee" / "1.png").write_bytes(b"no image")
    facts = facts_of()
    with pytest.raises(DataError, match=r"Cannot read .*bee/1\.png"):
        shifted_set(f"folder:{root}", facts, own_test_set("x", tiny_like(facts), facts))


def test_a_shift_takes_all_images_and_is_streamed_where_the_test_set_is(tmp_path):
    root = write(tmp_path, ("bee", "ant"), 5, size=30)
    facts = facts_of()
    like = own_test_set("x", tiny_like(facts), facts)
    resident = shifted_set(f"folder:{root}", facts, like)
    assert len(resident) == 10
    assert resident.class_names == ("ant", "bee")
    streamed = StreamedImages([], torch.zeros(0), Normalisation((0.0,) * 3, (1.0,) * 3, "made"), 16)
    again = shifted_set(f"folder:{root}", facts, dataclasses.replace(like, images=streamed))
    assert isinstance(again.images, StreamedImages)
    assert len(again) == 10


def test_loose_images_have_no_classes_and_missing_folders_are_refused(tmp_path):
    facts = facts_of()
    like = own_test_set("x", tiny_like(facts), facts)
    write(tmp_path / "a", ("ant",), 3)
    assert shifted_set(f"folder:{tmp_path / 'a' / 'ant'}", facts, like).class_names == ()
    with pytest.raises(DataError, match="There is no folder"):
        shifted_set(f"folder:{tmp_path / 'nothing'}", facts, like)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No images in"):
        shifted_set(f"folder:{tmp_path / 'empty'}", facts, like)
    with pytest.raises(ConfigError, match="names no path"):
        shifted_set("folder:", facts, like)
    assert len(shifted_set("digits", facts_of(tuple("0123456789"), (1, 16, 16)), like)) == 359
    assert open_dataset("digits").name == "digits"


def test_classes_are_matched_by_name_then_alike_then_by_number():
    ours = ("green snake", "Snow Leopard", "cat", "green_snake 2")
    match = match_classes(("snow_leopard", "dog", "GREEN SNAKE"), ours, "x")
    assert match.columns.tolist() == [0, 1]
    assert match.targets.tolist() == [1, -1, 0]
    assert match.unmatched == ("dog",)
    assert match.by == "name"
    numbered = match_classes(("0", "2", "3"), ours, "x")  # ImageNet-V2
    assert numbered.columns.tolist() == [0, 2, 3]
    assert numbered.by == "number"
    exact = match_classes(("a b", "a-b"), ("a-b", "a b"), "x")
    assert exact.targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (("dog", "cow"), r"None of the classes of x \(dog, cow\) is one of the network's \(ant, bee, cat\)"),
        (("0", "7"), "None of the classes"),
        (("Ant", "ANT"), "has the class ant several times"),
    ],
)
def test_folders_that_do_not_match_are_refused(theirs, message):
    with pytest.raises(DataError, match=message):
        match_classes(theirs, ("ant", "bee", "cat"), "x")
