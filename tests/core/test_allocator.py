import sys

import pytest

from genas.cli import app
from genas.core.allocator import keep_freed_memory
from genas.core.device import open_fabric


def test_the_switch_leaves_the_c_library_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("the C library was asked"))
    monkeypatch.setenv("GENAS_ALLOCATOR", "system")
    assert not keep_freed_memory()


def test_without_mallopt_nothing_happens(monkeypatch):
    monkeypatch.delenv("GENAS_ALLOCATOR", raising=False)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_glibc_takes_all_settings(monkeypatch):
    monkeypatch.delenv("GENAS_ALLOCATOR", raising=False)
    import platform

    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    assert keep_freed_memory()


def test_the_command_line_sets_it_and_a_program_chooses_for_itself(monkeypatch):
    calls = []
    monkeypatch.setattr("ctypes.CDLL", lambda name: calls.append(name) or object())
    monkeypatch.delenv("GENAS_ALLOCATOR", raising=False)
    open_fabric("cpu")
    assert not calls
    monkeypatch.setattr(sys, "argv", ["genas", "--version"])
    with pytest.raises(SystemExit):
        app.main()
    assert calls == [None]
