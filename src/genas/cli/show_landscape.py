"""Tables of landscapes and sweeps on the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genas.core.terminal import literal


def print_landscape(found: dict[str, Any]) -> None:
    """Rise, curvature and width of each network, the loss under the strongest noise, and the page's path."""
    console, settings = Console(highlight=False), found["settings"]
    labels = {row["name"]: row["label"] for row in found["networks"]}
    table = Table(title="Medians over directions [10 %, 90 %]", title_justify="left", box=None, pad_edge=False)
    table.add_column("Network")
    table.add_column("Data")
    for head in ("Loss", f"Rise at {settings['radius']:g}", "Curvature", "Width"):
        table.add_column(head, justify="right")
    if settings["sigmas"]:
        table.add_column(f"At noise {settings['sigmas'][-1]:g}", justify="right")
    for row in found["results"]:
        line = row["line"]
        medians = [_number(line[key]["median"]) for key in ("curvature", "width")]
        cells = [f"{row['loss']:.4f}", _spread(line["rise"]), *medians]
        if "noise" in row:
            cells.append(_number(row["noise"]["mean"][-1]))
        table.add_row(literal(labels[row["network"]]), row["data"], *(literal(cell) for cell in cells))
    console.print(table)
    for row in found["networks"]:
        what = row["genotype"] if row["weights"] == "supernet" else f"{row['weights']}: {row['genotype']}"
        console.print(f"[bold]{literal(row['label'])}[/bold]  {literal(what)}", soft_wrap=True)
    console.print(f"[bold]Page[/bold]  {literal(str(Path(found['folder']) / 'landscape.html'))}", soft_wrap=True)


def _spread(entry: dict[str, Any]) -> str:
    return f"{_number(entry['median'])} [{_number(entry['low'])}, {_number(entry['high'])}]"


def _number(value: float | None) -> str:
    return "inf" if value is None else f"{value:.3g}"


def print_sweep(found: dict[str, Any]) -> None:
    """Weight, share, and the winner's figures; the winners; the page's path."""
    console = Console(highlight=False)
    table = Table(
        title=f"{literal(found['expression'])}: share in the {found['kept']} best and in the winner "
        "(sizes: path in the supernet)",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    tested = any(row.get("test") for row in found["weights"])
    for head in ("w", "Share %", "Winner %", "Score", "Params M", "MACs M", "Angle", "Flatness", "Loss"):
        table.add_column(head, justify="right")
    if tested:
        table.add_column("Test %", justify="right")
    for row in found["weights"]:
        cells = [
            f"{row['weight']:g}",
            f"{100 * row['share']['kept']:.1f}",
            f"{100 * row['share']['winner']:.1f}",
            f"{row['score']:.4g}",
            f"{row['params'] / 1e6:.3f}",
            f"{row['macs'] / 1e6:.2f}",
            *("" if row[key] is None else f"{row[key]:.3g}" for key in ("angle", "flatness", "loss")),
        ]
        table.add_row(*cells, *([f"{100 * row['test']['top1']:.2f}"] if row.get("test") else []))
    console.print(table)
    for row in found["weights"]:
        console.print(f"[bold]w = {row['weight']:g}[/bold]  {literal(row['genotype'])}", soft_wrap=True)
    console.print(f"[bold]Page[/bold]  {literal(str(Path(found['folder']) / 'sweep.html'))}", soft_wrap=True)
