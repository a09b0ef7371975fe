"""What a user sees of the data that they bring, through commands."""

import json
import shutil

import numpy as np
import pytest
from commands import FAST, genas
from PIL import Image

SMALL = [text for key, value in FAST.items() for text in ("--set", f"{key}={value}")]
SMALL += ["--space", "nasbench201", "--proxy", "params", "--no-retrain", "--set", "supernet.batch_size=4"]


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("Train", 8), ("test", 4)):
        for name in ("a", "[bold]b\x1b[31m"):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / part / name / f"{number}.png")
    return tmp_path / "photos"


def test_a_search_says_and_records_what_it_found(photos, tmp_path, capsys):
    shutil.copy(photos / "Train" / "a" / "0.png", photos / "test" / "a" / "copy.png")
    (photos / "Train" / "a" / ".hidden.png").touch()
    run = tmp_path / "run"
    assert genas("search", "--data", f"folder:{photos}", "--run", run, *SMALL) == 0
    out = capsys.readouterr()
    line = (
        f"Data folder:{photos}: 25 images in 2 classes, 12x12 pixels; Train 16 (half each for supernet and "
        "scores, all for the final network); test 9 (test); ignored 1 hidden."
    )
    note = (
        f"1 image is in both the train and the test split, such as {photos}/Train/a/0.png and {photos}/test/a/copy.png."
    )
    assert line in out.err.splitlines()
    assert f"Note: {note}" in out.err.splitlines()
    assert "\x1b[31m" not in out.err + out.out
    record = json.loads((run / "data.json").read_text())
    assert record["classes"] == ["[bold]b\\x1b[31m", "a"]
    assert record["found"]["notes"] == [note]
    page = (run / "report.html").read_text()
    assert note in page
    assert "ignored 1 hidden" in page
    assert genas("search", "--run", run, "--no-retrain") == 0  # continuing says the line, and does not look again
    again = capsys.readouterr().err.splitlines()
    assert line in again
    assert f"Note: {note}" not in again
    assert json.loads((run / "data.json").read_text())["found"]["notes"] == [note]


def test_quiet_says_nothing(photos, tmp_path, capsys):
    assert genas("search", "--data", f"folder:{photos}", "--run", tmp_path / "run", "--quiet", "--json", *SMALL) == 0
    out = capsys.readouterr()
    assert out.err == ""
    assert json.loads(out.out)["genotype"]


@pytest.mark.parametrize("command", ["search", "retrain"])
def test_a_damaged_test_image_of_a_streamed_set_is_found_before_anything_is_written(
    photos, tmp_path, capsys, monkeypatch, command
):
    monkeypatch.setattr("genas.data.collection.RESIDENT_BYTES", 0)
    broken = photos / "test" / "a" / "3.png"
    broken.write_bytes(broken.read_bytes()[:-30])
    run = tmp_path / "run"
    rest = ("333333", "--set", "batch_size=4", "--epochs", "1") if command == "retrain" else SMALL
    assert genas(command, *rest, "--data", f"folder:{photos}", "--run", run) == 2
    assert f"Cannot read {broken}" in capsys.readouterr().err
    assert not run.exists()
