"""The plain lines of progress."""

from genas.progress import Bar


def test_no_time_left_is_claimed_before_anything_is_known(monkeypatch, capsys):
    monkeypatch.setattr("genas.progress.PLAIN_INTERVAL", 0)
    with Bar("search", 4, unit="architecture") as progress:
        progress.step(0)
        progress.step(4)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "search: 0/4 architectures, 0/s"
    assert last.startswith("search: 4/4 architectures, ")
    assert last.endswith("/s, 0 s left")
