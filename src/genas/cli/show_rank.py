"""What the terminal shows of a ranking study."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genas.terminal import literal, plain


def print_ranking(content: Mapping[str, Any]) -> None:
    """One table per column, one of cost and repeatability; everything else is on the page."""
    from genas.report.ranking import facts, proxy_table, ranked, short, spread, value

    console = Console(highlight=False)
    for name, text in facts(content):
        console.print(f"[bold]{name:<15}[/bold]", end="")
        console.print(plain(text), markup=False, soft_wrap=True)
    share = f"{content['settings']['analysis']['best_share']:.0%}".replace("%", " %")
    for column in content["columns"]["names"]:
        entries = ranked(content, column)
        tries = [one for one in entries[0][1]["regret"] if one != "all"] or ["all"]
        heads = ("tau", "interval", "rho", f"best {share}", f"regret@{tries[-1]}", "partial")
        table = _table(column, heads)
        for name, one in entries:
            table.add_row(
                literal(name),
                value(one["tau"]),
                spread(one["tau"]),
                value(one["rho"]),
                value(one["tau_best_share"]),
                short(one["regret"][tries[-1]]["value"]),
                value(one["partial"].get("loss + macs")),
            )
        console.print()
        console.print(table)
    console.print("Partial: tau given supernet loss and MACs. Best: tau among the best by truth.", style="dim")
    console.print()
    costs = proxy_table(content)
    table = _table(costs.title, costs.heads[1:])
    for row in costs.rows:
        table.add_row(*map(literal, row))
    console.print(table)
    console.print()
    console.print("[bold]Written[/bold]  ", end="")
    console.print(plain(Path(content["run"]) / "rank" / content["study"] / "rank.html"), markup=False, soft_wrap=True)


def _table(title: str, heads: tuple[str, ...]) -> Table:
    table = Table(title=literal(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("Proxy", overflow="fold")
    for head in heads:
        table.add_column(literal(head), justify="right", no_wrap=True)
    return table
