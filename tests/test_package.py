"""What is installed: torch and torchvision fit together, and the wheel holds what the code needs."""

import zipfile
from pathlib import Path

import torch
import torchvision

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
        "genas/report/templates/page.html.j2",
        "genas/retrain/recipes/genas-imagenet.yaml",
        "genas/zoo/published.json",
        "genas/cli/app.py",
    } <= names
    assert {"genas/report/templates/style.css", "genas/retrain/templates/model_card.md.j2"} <= names
    files = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "genas").rglob("*.py")}
    assert files <= names
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert "genas = genas.cli.app:main" in zipfile.ZipFile(wheel).read(entry).decode()
