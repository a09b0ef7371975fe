import importlib
import sys

import pytest

from genas.core.fingerprint import fingerprint

MODULE = '''"""A module."""
import math
from fp_helpers import twice
import fp_helpers as helpers

LIMIT = 3

def used(x):
    # a comment
    return x + LIMIT

def unused(x):
    return x

class Base:
    def scale(self):
        return 1

class Proxy(Base):
    """Scores."""

    def score(self, x):
        return twice(used(x)) * self.scale() + helpers.other(x)

class Space:
    def sample(self):
        return 5
'''
HELPERS = "def twice(x):\n    return 2 * x\n\ndef other(x):\n    return x\n\ndef apart(x):\n    return x\n"


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """The fingerprints of Proxy and Space of a module with this text."""
    (tmp_path / "library").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "library")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def read(text=MODULE, helpers=HELPERS):
        (tmp_path / "fp_module.py").write_text(text)
        (tmp_path / "library" / "fp_helpers.py").write_text(helpers)
        for name in ("fp_module", "fp_helpers"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module = importlib.import_module("fp_module")
        return fingerprint(module.Proxy), fingerprint(module.Space)

    yield read
    for name in ("fp_module", "fp_helpers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x + LIMIT", "return x - LIMIT"),  # a function that it calls
        ("LIMIT = 3", "LIMIT = 4"),  # a constant of that function
        ("        return 1\n", "        return 2\n"),  # a base class
        ("* self.scale()", "/ self.scale()"),  # itself
        ("import fp_helpers as helpers", "import math as helpers\nhelpers.other = abs"),
    ],
)
def test_what_a_class_depends_on_counts(digest, old, new):
    proxy, space = digest()
    changed = digest(MODULE.replace(old, new))
    assert changed[0] != proxy
    assert changed[1] == space  # what is beside it in the file does not


@pytest.mark.parametrize("old", ["2 * x", "def other(x):\n    return x"])
def test_modules_beside_it_count(digest, old):
    before = digest()
    after = digest(helpers=HELPERS.replace(old, old.replace("x", "x", 1) + " + 1"))
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""Scores."""', '"""Scores, otherwise put."""'),
        ("def unused(x):\n    return x", "def unused(x):\n    return -x"),
        ("return x + LIMIT", "return (x\n        + LIMIT)"),
    ],
)
def test_comments_and_strangers_do_not_count(digest, old, new):
    assert digest(MODULE.replace(old, new))[0] == digest()[0]
    assert (
        digest(helpers=HELPERS.replace("def apart(x):\n    return x", "def apart(x):\n    return 9"))[0] == digest()[0]
    )


def test_a_declared_version_decides(digest):
    first = digest(MODULE.replace('"""Scores."""', 'version = "1"'))[0]
    assert first == "version 1"
    assert digest(MODULE.replace('"""Scores."""', 'version = "1"').replace("LIMIT = 3", "LIMIT = 4"))[0] == first


def test_an_inherited_version_does_not_decide(digest):
    versioned = MODULE.replace("class Base:\n", "class Base:\n    version = 3\n")
    first = digest(versioned)[0]
    assert first.startswith("source ")
    assert digest(versioned.replace("* self.scale()", "/ self.scale()"))[0] != first


def test_a_class_without_source_is_unknown():
    assert fingerprint(type("Made", (), {"__module__": "nowhere"})) == "unknown"
