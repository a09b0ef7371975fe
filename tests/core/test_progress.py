"""The plain lines of progress, and the bar at 80 columns."""

import io

import pytest
from rich.console import Console

from genas.core import progress
from genas.core.progress import Bar, doing, duration, inside


def test_no_time_left_is_claimed_before_anything_is_known(monkeypatch, capsys):
    monkeypatch.setattr("genas.core.progress.PLAIN_INTERVAL", 0)
    with Bar("search", 4, unit="architecture") as bar:
        bar.step(0)
        bar.step(4)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "search: 0/4 architectures, 0/s"
    assert last.startswith("search: 4/4 architectures, ")
    assert last.endswith("/s, 0 s left")


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns; gives what was written to it."""
    file = io.StringIO()

    def console(**named):
        return Console(
            file=file, width=80, height=25, force_terminal=True, color_system="standard", legacy_windows=False
        )

    monkeypatch.setattr(progress, "Console", console)
    return file


def test_at_80_columns_bar_rate_and_time_left_are_whole(terminal, clock):
    with Bar("retrain, seed 3", 391_000) as bar:
        clock[0] += 100
        bar.step(25, "epoch 1/1000, last loss 2.302, and more that does not fit into eighty columns " + "x" * 80)
        bar._progress.refresh()
    text = terminal.getvalue()
    assert "25/391,000" in text
    assert "4 s/step" in text
    assert "18 d 02 h left" in text
    assert "━" * 10 in text
    lines = [line for line in text.replace("\r", "\n").split("\n") if "391,000" in line]
    assert all("retrain, seed 3" in line for line in lines)
    assert "epoch 1/1000" in text


def test_the_time_left_is_known_inside_a_long_step(terminal, clock):
    with Bar("search", 100, unit="architecture") as bar:
        clock[0] += 50
        bar.within(2.5, "generation 1/2")
        assert bar._status() == "0/100  20 s/architecture  32 min 30 s left"
        inside("512 images evaluated")
        bar._progress.refresh()
        assert "generation 1/2; 512 images evaluated" in terminal.getvalue()
        bar.step(5)
        assert bar.done == 5
        bar.within(0)
        assert bar._status().startswith("5/100  10 s/architecture")


def test_what_cannot_be_counted_is_said(terminal, monkeypatch, capsys):
    with doing("Reading the data [bold]x"):
        pass
    assert "Reading the data [bold]x ..." in terminal.getvalue()
    monkeypatch.undo()
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with doing("Reading the data"):
        for _ in range(1000):
            if (found := capsys.readouterr().err) != "":
                break
            progress.time.sleep(0.01)
    assert found == "Reading the data ...\n"
    with doing("Reading the data", quiet=True):
        progress.time.sleep(0.05)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (75, "1 min 15 s"), (7500, "2 h 05 min"), (200_000, "2 d 07 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
