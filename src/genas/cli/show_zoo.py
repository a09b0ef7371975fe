"""The published architectures on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from genas.core.terminal import literal
from genas.spaces.darts.encoding import Cell
from genas.spaces.names import DARTS_OPERATIONS
from genas.spaces.zoo.costs import published_at
from genas.spaces.zoo.entry import Published, ZooEntry, load

_COUNTED = {"macs": "", "macs_thop": " t", "macs_bn_relu": " b", None: " ?"}


def print_zoo(rows: list[dict[str, Any]]) -> None:
    """One line for each ImageNet network."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Name", no_wrap=True)
    for title in (
        *("C", "Params\nM", "MACs\nM", "as\nthop", "with BN,\nReLU"),
        *("publ.\nparams", "publ.\nFLOPs", "publ.\ntop-1"),
    ):
        table.add_column(title, justify="right")
    for row in rows:
        published = published_at(load(row["name"]), row["channels"])
        table.add_row(
            row["name"],
            str(row["channels"]),
            f"{row['params'] / 1e6:.2f}",
            *(f"{row[key] / 1e6:.1f}" for key in ("macs", "macs_thop", "macs_bn_relu")),
            _given(published, "params_m"),
            _flops(published),
            _given(published, "top1"),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "ImageNet networks: 14 cells, C channels, 224x224. Published FLOPs agree with our count of MACs, or with the "
        "one as thop counts (t), or with batch norm and ReLU (b), or with none (?)."
    )


def print_entry(entry: ZooEntry, rows: list[dict[str, Any]]) -> None:
    """Everything about one architecture."""
    console = Console(highlight=False)
    console.print(f"[bold]{entry.name}[/bold]  from {literal(entry.origin)}, searched on {literal(entry.searched_on)}")
    for label, cell in (("normal", entry.architecture.normal), ("reduce", entry.architecture.reduce)):
        console.print(f"{label:>8}  {literal(_text(cell))}", soft_wrap=True)
    console.print(f"{'genotype':>8}  {literal(entry.genotype)}\n", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Network")
    for title in ("C", "Params", "MACs M", "as thop", "with BN, ReLU"):
        table.add_column(title, justify="right")
    shown = [("ImageNet, 14 cells", row) for row in rows] + [("CIFAR, 20 cells", rows[0]["cifar"])]
    for label, row in shown:
        counts = (f"{row[key] / 1e6:.1f}" for key in ("macs", "macs_thop", "macs_bn_relu"))
        table.add_row(label, str(row["channels"]), f"{row['params']:,}", *counts)
    console.print(table)
    console.print("\n[bold]Published[/bold]" + ("" if entry.published else "  nothing"))
    for record in entry.published:
        console.print(f"  {literal(_sentence(record))}", soft_wrap=True)


def _text(cell: Cell) -> str:
    nodes = (", ".join(f"({DARTS_OPERATIONS[number]}, {source})" for number, source in node) for node in cell)
    return " | ".join(nodes)


def _given(record: dict[str, Any], key: str) -> str:
    return str(record[key]) if key in record else ""


def _flops(record: dict[str, Any]) -> str:
    return f"{record['flops_m']}{_COUNTED[record.get('counted_as')]}" if "flops_m" in record else ""


def _sentence(record: Published) -> str:
    parts = [f"{record.dataset}, C = {record.channels}:"]
    spread = "" if record.error_spread is None else f" +- {record.error_spread}"
    detail = f" (50: {record.ap50}, 75: {record.ap75}, S/M/L: {record.ap_small}/{record.ap_medium}/{record.ap_large})"
    for value, text in (
        (record.top1, f"top-1 {record.top1} %"),
        (record.top5, f"top-5 {record.top5} %"),
        (record.error, f"error {record.error}{spread} %"),
        (record.ap, f"AP {record.ap}{detail}"),
        (record.params_m, f"{record.params_m} M parameters"),
        (record.flops_m, f"FLOPs {record.flops_m} M"),
        (record.search_gpu_days, f"search {record.search_gpu_days} GPU days"),
    ):
        if value is not None:
            parts.append(text + ",")
    return f"{' '.join(parts).rstrip(',')} [{record.source}]" + (f" ({record.note})" if record.note else "")
