"""What is installed: torch and torchvision fit together, and the wheel holds what the code needs."""

import ast
import importlib.metadata
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import torch
import torchvision
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def test_torchvision_operators_work():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    scores = torch.tensor([0.5, 0.9, 0.1])
    assert torchvision.ops.nms(boxes, scores, 0.5).tolist() == [1, 2]


def test_the_wheel_holds_code_template_and_types(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "genas/py.typed",
        "genas/reporting/templates/page.html.j2",
        "genas/training/standalone/recipes/genas-imagenet.yaml",
        "genas/spaces/zoo/published.json",
        "genas/cli/app.py",
    } <= names
    assert {"genas/reporting/templates/style.css", "genas/deploy/templates/model_card.md.j2"} <= names
    files = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "genas").rglob("*.py")}
    assert files <= names
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert "genas = genas.cli.app:main" in zipfile.ZipFile(wheel).read(entry).decode()


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(*, development):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = list(project["project"]["dependencies"])
    extras = [item for group in project["project"]["optional-dependencies"].values() for item in group]
    if development:
        return needed + project["dependency-groups"]["dev"] + project["build-system"]["requires"]
    return needed + extras


def test_what_the_code_imports_is_declared():
    installed = importlib.metadata.packages_distributions()
    declared = {_normal(Requirement(text).name) for text in _declared(development=False)}
    declared.add("pydantic-core")  # pydantic's own core, which it pins to the very version
    for path in (ROOT / "src" / "genas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for module in {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"genas"}:
                names = {_normal(name) for name in installed.get(module, [module])}
                assert names & declared, f"{path.relative_to(ROOT)} imports {module}: declare it in pyproject.toml"


def test_the_lock_holds_what_is_needed_and_nothing_else():
    """What no longer is a dependency leaves the lock with all that came along with it."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    locked = {_normal(line.partition("==")[0]) for line in lines}
    queue = [
        (Requirement(text), "") for text in [*_declared(development=True), "editables"]
    ]  # editables: `pip install -e`
    reached = set()
    while queue:
        requirement, extra = queue.pop()
        step = (_normal(requirement.name), tuple(sorted(requirement.extras)))
        if step in reached or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        reached.add(step)
        for text in importlib.metadata.requires(requirement.name) or []:
            queue += [(Requirement(text), name) for name in ("", *requirement.extras)]
    needed = {name for name, _ in reached} - {"pip", "setuptools"}  # they come with the environment
    elsewhere = {_normal(line.partition("==")[0]) for line in lines if ";" in line}  # needed on some systems only
    assert needed - locked == set()
    assert locked - needed - elsewhere == set()


def test_every_dependency_says_what_it_is_for():
    table = {_normal(name) for name in re.findall(r"[\w-]+", (ROOT / "docs" / "dependencies.md").read_text())}
    declared = {_normal(Requirement(text).name) for text in _declared(development=False)}
    assert declared - table == set()
    rows = [
        line.split("|")[1]
        for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    named = {
        _normal(name)
        for row in rows[1:]
        for name in re.findall(r"[\w-]+", re.sub(r"\(.*\)", "", row))
        if name.strip("-")
    }
    assert named - declared == set()
