"""Every citation of docs/methods.md, by section (methods.md 4.3) or by the code of a defect (G3), resolves there."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "methods.md").read_text()
SECTIONS = set(re.findall(r"^##+ (\d+(?:\.\d+)?) ", PAGE, re.MULTILINE))
CODES = set(re.findall(r"^\| ([A-Z]\d+) \|", PAGE, re.MULTILINE))
LETTERS = "".join(sorted({code[0] for code in CODES}))
CITED = re.compile(
    r"methods\.md(?:,? ?(?:sections? |and |to )?(?:\d+(?:\.\d+)?|[A-Z]\d+)(?!\d))+(?:(?:, | and | to )(?:\d+\.\d+|[A-Z]\d+))*"
)
CODE = re.compile(rf"\b[{LETTERS}]\d{{1,2}}\b")


def prose(path):
    """What a file says to its reader: a page's text, or a module's comments and docstrings."""
    text = path.read_text()
    if path.suffix == ".md":
        return text
    comments = [
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    documented = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return "\n".join(" ".join(one.split()) for one in comments + documented)


FILES = [
    path
    for folder in ("src", "tests", "benchmarks", "studies", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".md") and path.name not in ("methods.md", "test_citations.py")
]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "studies", "docs"])
def test_every_citation_resolves(folder):
    unknown = []
    for path in FILES:
        if path.relative_to(ROOT).parts[0] != folder:
            continue
        text = prose(path)
        cited = [part for match in CITED.findall(text) for part in re.findall(r"\d+(?:\.\d+)?|[A-Z]\d+", match)]
        unknown += [f"{path.relative_to(ROOT)}: {one}" for one in cited if one not in SECTIONS | CODES]
        unknown += [f"{path.relative_to(ROOT)}: {code}" for code in CODE.findall(text) if code not in CODES]
    assert unknown == []


def test_citations_are_found():
    assert {"1.1", "4.3", "8", "18"} <= SECTIONS
    assert {"T1", "G17", "S6", "A5", "R5", "P5", "D5", "N6"} <= CODES
    assert CITED.findall("x (methods.md 4.3, T7; G3), methods.md section 8.") == [
        "methods.md 4.3, T7",
        "methods.md section 8",
    ]
    assert CODE.findall("(G99)") == ["G99"]


def test_no_code_is_given_twice():
    given = re.findall(r"^\| ([A-Z]\d+) \|", PAGE, re.MULTILINE)
    assert sorted(given) == sorted(set(given))
