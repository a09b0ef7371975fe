"""The shape of the code: few entries at the top, short functions and files, no module for odds and ends."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "genas"
FILES = sorted(SOURCE.rglob("*.py"))

MOST_ENTRIES = 14
LONGEST_FUNCTION = 80
LONGEST_FILE = 400
#: Longer ones, as "file:function" or "file", each with its reason.
LONG_FUNCTIONS: dict[str, str] = {}
LONG_FILES: dict[str, str] = {}


def name_of(file):
    return file.relative_to(SOURCE).as_posix()


@cache
def nodes():
    """All nodes of all files, each with its file."""
    return [(file, node) for file in FILES for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]


def test_the_top_has_few_entries():
    entries = {path.name for path in SOURCE.iterdir() if path.name != "__pycache__"}
    assert len(entries - {"__init__.py", "__main__.py", "py.typed"}) <= MOST_ENTRIES


def test_functions_are_short_or_have_a_reason():
    found = {
        f"{name_of(file)}:{node.name}": length
        for file, node in nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := node.end_lineno - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert found.keys() == LONG_FUNCTIONS.keys(), f"longer than {LONGEST_FUNCTION} lines: {found}"
    assert all(LONG_FUNCTIONS.values())


def test_files_are_short_or_have_a_reason():
    lengths = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    found = {name: length for name, length in lengths.items() if length > LONGEST_FILE}
    assert found.keys() == LONG_FILES.keys(), f"longer than {LONGEST_FILE} lines: {found}"
    assert all(LONG_FILES.values())


def test_no_module_is_for_odds_and_ends():
    assert not [name_of(file) for file in FILES if file.stem in ("utils", "util", "helpers", "common", "misc")]


def test_whole_numbers_are_rounded_up_in_one_place():
    places = [name_of(file) for file in FILES if re.search(r"-\(-|\+ *\w+ *- *1\) *//", file.read_text("utf-8"))]
    assert places == ["core/arithmetic.py"]


def test_nothing_is_decided_by_the_identity_of_a_method():
    """A class says by an attribute what it is; only Python's own mark of "no constructor" may be compared."""
    compared = [
        f"{name_of(file)}:{node.lineno} {ast.unparse(node)}"
        for file, node in nodes()
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
        and re.fullmatch(r"(super\(\)|[A-Z]\w+)\.[a-z_]\w*", ast.unparse(node.comparators[0]))
    ]
    assert compared == []


def test_every_module_that_the_document_names_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*/(?:[a-z0-9_]+\.py)?)`", text))
    roots = (SOURCE, ROOT, *(path for path in SOURCE.rglob("*") if path.is_dir()))
    assert named
    assert sorted(name for name in named if not any((root / name).exists() for root in roots)) == []


def is_there(name):
    """Whether a dotted name of genas leads to a package, or to a file that has the name after the module's."""
    place, parts = SOURCE, name.split(".")[1:]
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    file = place / "__init__.py"
    if parts and (place / f"{parts[0]}.py").is_file():
        file = place / f"{parts.pop(0)}.py"
    return not parts or re.search(rf"\b{parts[0]}\b", file.read_text(encoding="utf-8")) is not None


def test_dotted_names_in_texts_and_tests_lead_somewhere():
    assert is_there("genas.core.settings.Settings")
    assert not is_there("genas.core.settings.Missing")
    assert not is_there("genas.missing.Settings")
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *FILES]
    named = {
        (text, name) for text in texts for name in re.findall(r"`(genas(?:\.[A-Za-z_]\w*)+)", text.read_text("utf-8"))
    }
    tests = sorted((ROOT / "tests").rglob("*.py"))
    named |= {
        (test, name) for test in tests for name in re.findall(r'setattr\("(genas[.\w]+)"', test.read_text("utf-8"))
    }
    assert sorted(f"{file.relative_to(ROOT)}: {name}" for file, name in named if not is_there(name)) == []
