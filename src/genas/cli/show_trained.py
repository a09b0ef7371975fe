"""What the terminal shows of trained networks: their evaluation and their export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genas.core.run_paths import EvaluationPaths
from genas.core.terminal import literal, plain


def print_evaluation(content: Mapping[str, Any], path: Path) -> None:
    """Everything but the accuracy by class, which ``evaluation-per-class.csv`` holds."""
    from genas.evaluation.page import describe

    console = Console(highlight=False)
    evaluation = describe(content)
    for name, value in evaluation.facts:
        console.print(f"[bold]{name:<24}[/bold]", end="")
        console.print(plain(value), markup=False, soft_wrap=True)
    for table in evaluation.tables:
        if table.folded:
            continue
        console.print()
        console.print(_table(table.title, table.heads, table.rows))
        if table.remark:
            console.print(plain(table.remark), style="dim", markup=False)
    console.print()
    folder = path.parent if path.is_file() else path
    console.print("[bold]Written[/bold]  ", end="")
    console.print(plain(EvaluationPaths(folder).page), markup=False, soft_wrap=True)


def _table(title: str, heads: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(literal(head), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(literal(cell) for cell in row))
    return table


def print_export(content: Mapping[str, Any]) -> None:
    """What ``genas export`` wrote and how it was checked."""
    console = Console(highlight=False)
    rows = [
        ("Written", f"{content['folder']}: {', '.join(content['files'])}"),
        ("Checked", f"the same logits as the trained network on {content['checked_on']}"),
    ]
    if content["onnx_difference"] is not None:
        rows.append(("ONNX", f"greatest difference of a logit {content['onnx_difference']:.1e}"))
    if content["pushed"]:
        rows.append(("Pushed", content["pushed"]))
    for name, value in rows:
        console.print(f"[bold]{name:<8}[/bold] ", end="")
        console.print(plain(value), markup=False, soft_wrap=True)
