import copy
import sys
from pathlib import Path

import pytest

from genas.core.errors import ConfigError
from genas.core.registry import Recorded, Registry, check_rebuilt, load_class, make, options_of


class Base(Recorded):
    """What a user subclasses."""


class Sized(Base):
    def __init__(self, width: int = 8, *, where=".", **more):
        self.width, self.where = width, where


class Bare(Base):
    pass


class Forgetful(Base):
    def __new__(cls, width):
        return super().__new__(cls)

    def __init__(self, width):
        self.width = width


@pytest.mark.parametrize(
    ("made", "options"),
    [
        (Sized(), {}),
        (Sized(16), {"width": 16}),
        (Sized(width=16), {"width": 16}),
        (Sized(4, where=Path("a/b"), extra=(1, 2)), {"width": 4, "where": "a/b", "extra": [1, 2]}),
        (copy.deepcopy(Sized(16)), {"width": 16}),
        (Bare(), {}),
    ],
)
def test_an_object_knows_its_options_whatever_its_class_does(made, options):
    assert options_of(made) == options
    check_rebuilt("x", made, make("x", type(made), options=options_of(made)))


def test_a_class_without_a_constructor_takes_no_options():
    with pytest.raises(TypeError, match="takes no arguments"):
        Bare(width=3)
    with pytest.raises(ConfigError, match="does not take these options"):
        make("x:Bare", Bare, options={"width": 3})


def test_what_a_run_folder_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match="option 'where' is of type object, which a run folder cannot record"):
        options_of(Sized(where=object()))


def test_an_object_that_was_changed_afterwards_is_refused():
    made = Sized(4)
    made.width = 16
    with pytest.raises(ConfigError, match="its width is 4, not 16"):
        check_rebuilt("x:Sized", made, make("x:Sized", Sized, options=options_of(made)))


def test_a_constructor_that_hides_its_arguments_is_found_out():
    made = Forgetful(3)
    assert options_of(made) == {}
    with pytest.raises(ConfigError, match="does not take these options"):
        make("x:Forgetful", Forgetful, options=options_of(made))


def test_a_constructor_that_fails_is_one_sentence():
    class Fails(Base):
        def __init__(self, width):
            raise RuntimeError(f"no {width}")

    with pytest.raises(
        ConfigError, match=r"'x:Fails' cannot be made with width=3: RuntimeError: no 3 \(.*, line \d+\)"
    ):
        make("x:Fails", Fails, options={"width": 3})


SHORT = {"sized": f"{__name__}:Sized", "box:PATH": f"{__name__}:Bare"}
BASES = Registry("space", f"{__name__}:Base", SHORT)
OPEN = Registry("space", f"{__name__}:Base", {})


def test_what_a_program_passes():
    here = f"{__name__}:Sized"
    assert OPEN.describe("a:B") == ("a:B", {})
    assert OPEN.describe(Sized) == (here, {})
    assert OPEN.describe(Sized(16)) == OPEN.describe(Sized(width=16)) == (here, {"width": 16})
    assert BASES.describe(Sized(16)) == ("sized", {"width": 16})
    assert BASES.describe(Sized) == ("sized", {})


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (5, "space is 5; expected a name, a subclass of genas.Base or an object of one"),
        (int, "expected a name"),
        (lambda: 0, "expected a name"),
        (type("Local", (Base,), {"__qualname__": "f.<locals>.Local"}), "defined inside a function"),
        (type("Sized", (Base,), {}), "is now another class"),
    ],
)
def test_what_cannot_be_found_again_is_refused(thing, message):
    with pytest.raises(ConfigError) as caught:
        OPEN.describe(thing)
    assert message in str(caught.value)


def test_a_name_leads_to_a_class_and_back():
    for name, custom in (("sized", False), ("box:a/b", False), (f"{__name__}:Sized", True), ("box", True)):
        assert BASES.is_custom(name) == (custom and ":" in name)
    assert BASES.find("sized") is BASES.find(f"{__name__}:Sized") is Sized
    assert BASES.find("box:a/b") is Bare
    assert (BASES.path_in("box:a/b"), BASES.path_in("box:"), BASES.path_in("sized")) == ("a/b", "", None)
    assert BASES.make("sized", 3, options={"where": "x"}).width == 3
    assert BASES.name_of(Sized) == "sized"
    assert BASES.name_of(Forgetful) == f"{__name__}:Forgetful"


def test_an_unknown_name_is_told_the_likely_one():
    for ask in (BASES.check, BASES.find):
        with pytest.raises(ConfigError) as caught:
            ask("Sizd")
        assert str(caught.value) == (
            "unknown space 'Sizd'; known are sized, box:PATH, package.module:Name. Did you mean 'sized'?"
        )


class Placed(Base):
    """Given its place by genas, the rest by the user."""

    surroundings = ("place",)

    def __init__(self, place, width=1):
        self.place, self.width = place, width


def test_a_run_records_what_the_user_gave_not_what_genas_gives():
    assert OPEN.describe(Placed(object(), 4)) == (f"{__name__}:Placed", {"width": 4})


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Writes modules into the working directory, as the console script meets them: it is not on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_module_of_the_working_directory_is_found(beside):
    beside(
        "beside_a", "from genas.core.registry import Recorded\nclass One(Recorded):\n    class Two(Recorded): pass\n"
    )
    assert load_class("beside_a:One", Recorded).__name__ == "One"
    assert load_class("beside_a:One.Two", Recorded).__name__ == "Two"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beside_none:X", "there is no module 'beside_none' in the working directory /"),
        ("beside_none.sub:X", "there is no module 'beside_none' in the working directory /"),
        (
            "beside_lacking:X",
            "importing beside_lacking failed with ModuleNotFoundError: No module named 'no_such_lib' (",
        ),
        ("beside_raises:X", "importing beside_raises failed with ValueError: oh no ("),
        ("beside_exits:X", "importing beside_exits failed with SystemExit: 3 ("),
        ("beside_syntax:X", "importing beside_syntax failed with SyntaxError: "),
        ("beside_fine:Neme", "has no 'Neme'. Did you mean 'Name'?"),
        ("beside_fine:number", "is not a subclass of genas.Recorded"),
        ("json:JSONDecoder", "is not a subclass of genas.Recorded"),
        ("beside_fine:Half", "it does not define size, which every"),
        ("beside_fine:", "expected package.module:Name"),
        (":Name", "expected package.module:Name"),
        (".beside_fine:Name", "expected package.module:Name"),
        ("beside_fine:a b", "expected package.module:Name"),
        ("json:Own", "hides"),
    ],
)
def test_an_import_that_fails_says_what_and_where(beside, name, message):
    beside("beside_lacking", "import no_such_lib\n")
    beside("beside_raises", "\n\nraise ValueError('oh no')\n")
    beside("beside_exits", "import sys\nsys.exit(3)\n")
    beside("beside_syntax", "class X(:\n")
    beside("json", "class Own: pass\n")
    beside(
        "beside_fine",
        "from abc import ABC, abstractmethod\nfrom genas.core.registry import Recorded\nnumber = 3\n"
        "class Name(Recorded): pass\n"
        "class Half(Recorded, ABC):\n    @abstractmethod\n    def size(self): ...\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_class(name, Recorded)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0
