"""`genas predict`: the accuracy of an evaluation from the files alone; every kind of network; what cannot be read."""

import json
import shutil

import pytest
import torch
from commands import genas as command
from PIL import Image
from rich.cells import cell_len

import genas
from genas.cli.show_predictions import print_predictions
from genas.core.errors import CheckpointError, ConfigError, DataError
from genas.data.decoding import RESIZINGS
from genas.data.vision import ImageFolderData
from genas.spaces import open_space
from genas.workflows.predict import Prediction, Predictions

QUICK = {"with_latency": False, "with_flatness": False}


@pytest.fixture(scope="module")
def photos(shared_photos, tmp_path_factory):
    """Three classes of real photographs, some of them turned by EXIF, grey or transparent."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("n01440764", "n02979186", "n03888257"):
        for place, source in enumerate(sorted((shared_photos / "val" / name).glob("*"))[:24]):
            own = folder / ("test" if place % 2 else "train") / name
            own.mkdir(parents=True, exist_ok=True)
            image = Image.open(source).convert("RGB")
            exif = image.getexif()
            exif[0x0112] = (1, 3, 6, 8)[place // 2 % 4]
            if place % 5 == 1:
                image.putalpha(Image.radial_gradient("L").resize(image.size))
                image.save(own / f"{place}.png")
            else:
                image.convert("L" if place % 7 == 3 else "RGB").save(own / f"{place}.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module")
def networks(photos, make_trained, tmp_path_factory):
    """A folder as retraining leaves it for each way of resizing."""
    space = open_space("nasbench201", cells_per_stage=1, channels=4).final()
    folder = tmp_path_factory.mktemp("networks")
    return {
        resizing: make_trained(
            folder / resizing, ImageFolderData(photos, 32, resizing).splits(0), space, "333103", steps=25
        )
        for resizing in RESIZINGS
    }


@pytest.mark.parametrize("resizing", RESIZINGS)
def test_the_accuracy_is_that_of_an_evaluation(photos, networks, resizing, tmp_path):
    found = genas.predict(networks[resizing], photos / "test", batch_size=7)
    assert not found.unreadable
    right = [one.name == one.image.split("/")[-2] for one in found.images]
    clean = genas.evaluate(networks[resizing], data=f"folder:{photos}", settings=QUICK, out=tmp_path, quiet=True)
    figures = clean.models[0]["clean"]
    assert figures["pictures"] == len(right) == 36
    assert sum(right) / len(right) == figures["top1"]
    assert sum(one.probability for one in found.images) / 36 == pytest.approx(figures["confidence"], rel=1e-6)
    assert 0.4 < figures["top1"] < 1  # a network that has learnt something and errs


def test_whether_a_set_is_streamed_changes_nothing(photos, networks, tmp_path, monkeypatch):
    confidences = []
    for streamed in (False, True):
        monkeypatch.setattr(ImageFolderData, "_always_stream", streamed)
        content = genas.evaluate(networks["fit"], data=f"folder:{photos}", settings=QUICK, out=tmp_path, quiet=True)
        confidences.append(content.models[0]["clean"]["confidence"])
    assert confidences[0] == confidences[1]


def test_runs_seeds_exports_and_files_give_the_same(photos, networks, tmp_path):
    run = tmp_path / "run"
    seed = run / "retrain" / "seed-3"
    shutil.copytree(networks["crop"], seed)
    exported = genas.export(seed, tmp_path / "out").folder
    image = sorted((photos / "test").glob("*/*"))[0]
    every = [genas.predict(path, image) for path in (run, run / "retrain", seed, seed / "model.safetensors", exported)]
    assert all(one.images == every[0].images for one in every)
    assert every[0].images[0].image == str(image)
    assert sum(probability for _, probability in every[0].images[0].classes) == pytest.approx(1)
    shutil.copytree(seed, run / "retrain" / "seed-4")
    with pytest.raises(CheckpointError, match="holds 2 trained networks; name one of .*seed-3, .*seed-4"):
        genas.predict(run, image)


def test_python_takes_images_files_and_folders(photos, networks):
    path = sorted((photos / "test").glob("*/*"))[2]
    one = genas.predict(networks["fit"], path, top=1)
    assert [len(each.classes) for each in one.images] == [1]
    with Image.open(path) as image:
        both = genas.predict(networks["fit"], [image, photos / "train", str(path)])
    assert both.images[0].image == "image 1"
    assert both.images[0].classes == both.images[-1].classes
    assert len(both.images) == 38
    network = genas.load(networks["fit"])
    logits = network(torch.stack([network.preprocess(Image.open(each.image)) for each in both.images[1:3]]))
    assert [network.class_names[place] for place in logits.argmax(1)] == [each.name for each in both.images[1:3]]
    with pytest.raises(ConfigError, match="top is 0: expected a whole number above 0"):
        genas.predict(networks["fit"], path, top=0)


def test_what_cannot_be_read_is_named_and_the_rest_predicted(photos, networks, tmp_path, capsys):
    good = sorted((photos / "test").glob("*/*"))[0]
    (tmp_path / "images" / "deep").mkdir(parents=True)
    (tmp_path / "images" / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (tmp_path / "images" / "notes.txt").write_text("no image")
    shutil.copy(good, tmp_path / "images" / "deep" / "a.png")
    arguments = ["predict", networks["fit"], tmp_path / "images", tmp_path / "missing.png", "--top", "2"]
    assert command(*arguments) == 1
    out, err = capsys.readouterr()
    assert "a.png" in out.replace("\n", "")
    assert out.count(" %") == 2
    assert f"There is no file {tmp_path}/missing.png" in err
    assert "cut.jpg" in err
    assert "notes.txt" not in out + err
    assert command(*arguments, "--json") == 1
    content = json.loads(capsys.readouterr().out)
    assert [one["image"] for one in content["images"]] == [f"{tmp_path}/images/deep/a.png"]
    assert [one["image"] for one in content["unreadable"]] == [f"{tmp_path}/images/cut.jpg", f"{tmp_path}/missing.png"]
    assert [len(one["classes"]) for one in content["images"]] == [2]
    assert command("predict", networks["fit"], good) == 0


def test_bad_input_is_one_sentence(networks, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, text in (
        ((tmp_path / "nothing", tmp_path / "a.png"), "There is no"),
        ((networks["fit"], tmp_path / "empty"), "There are no images in"),
        ((networks["fit"], tmp_path / "a.png", tmp_path / "b"), "There is no file"),
        ((networks["fit"], tmp_path / "empty", "--batch-size", "0"), "batch_size is 0: expected"),
        ((tmp_path / "model.onnx", tmp_path / "a.png"), "give the model.onnx of an exported folder"),
        ((networks["fit"], tmp_path / "a.png", "--device", "tpu"), "must be one of auto"),
    ):
        capsys.readouterr()
        assert command("predict", *arguments) == 2
        err = capsys.readouterr().err
        assert text in " ".join(err.split())
        assert "Traceback" not in err
    (tmp_path / "model.onnx").write_bytes(b"no ONNX")
    pytest.importorskip("onnxruntime")
    with pytest.raises(CheckpointError, match="is no ONNX file that genas export wrote"):
        genas.predict(tmp_path / "model.onnx", tmp_path / "a.png")
    with pytest.raises(DataError, match="No images were given"):
        genas.predict(networks["fit"], [])


def test_the_table_fits_the_terminal_and_cuts_nothing(capsys, monkeypatch):
    """Names too long for their column, of wide characters, and with codes that act on a terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    images = ("short.jpg", "very/" * 14 + "long.jpg", "猫.png", "esc\x1b[31m.jpg")
    classes = (("tabby cat", 0.9), ("Übung", 0.05))
    found = Predictions("w", ("a",), tuple(Prediction(image, classes) for image in images), ())
    print_predictions(found)
    lines = capsys.readouterr().out.splitlines()
    assert images[1] in lines
    assert r"esc\x1b[31m.jpg" in "".join(lines)
    others = [line for line in lines if line != images[1]]
    assert {cell_len(line) for line in others} == {cell_len(lines[0])}
    assert cell_len(lines[0]) <= 60
    assert len(others) == 1 + 2 * len(images)
    print_predictions(Predictions("w", ("a",), (), ()))
    assert not capsys.readouterr().out.strip()
