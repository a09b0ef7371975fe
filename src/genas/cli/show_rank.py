"""What the terminal shows of a ranking study."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from genas.core.progress import duration
from genas.core.run_paths import RankPaths, RunPaths
from genas.core.terminal import literal, plain


def print_rank_plan(content: Mapping[str, Any]) -> None:
    """How long a study will take, and what to give for less."""
    console = Console(highlight=False, soft_wrap=True)
    each = duration(content["seconds"] * content["workers"] / content["architectures"])
    console.print(f"[bold]Plan[/bold]      about {duration(content['seconds'])}, from the first architecture")
    console.print(f"scores    {content['architectures']:,} architectures on {content['images']:,} images, {each} each")
    if content["advice"]:
        console.print(f"for less: {literal(content['advice'])}")


def print_ranking(content: Mapping[str, Any]) -> None:
    """The verdict and a table per column, one of cost and repeatability; everything else is on the page."""
    from genas.analysis.ranking.page import (
        among_best,
        facts,
        proxy_table,
        ranked,
        short,
        spread,
        value,
        verdicts,
        without_dashes,
    )
    from genas.reporting.data import EvaluationTable

    console = Console(highlight=False)
    for name, text in facts(content):
        console.print(f"[bold]{name:<15}[/bold]", end="")
        console.print(plain(text), markup=False, soft_wrap=True)
    share = f"best {content['settings']['analysis']['best_share']:.0%}".replace("%", " %")
    for column in content["columns"]["names"]:
        console.print()
        console.print(" ".join(verdicts(content, column)), markup=False)
        entries = ranked(content, column)
        tries = [one for one in entries[0][1]["regret"] if one != "all"] or ["all"]
        rows = tuple(
            (
                name,
                value(one["tau"]),
                spread(one["tau"]),
                value(one["rho"]),
                among_best(content, one)[1],
                short(one["regret"][tries[-1]]["value"]),
                value(one["partial"].get("loss + macs")),
            )
            for name, one in entries
        )
        heads = ("Proxy", "tau", "interval", "rho", share, f"regret@{tries[-1]}", "partial")
        shown = without_dashes(EvaluationTable(column, heads, rows))
        table = _table(column, shown.heads[1:])
        for row in shown.rows:
            table.add_row(*map(literal, row))
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
    folder = RunPaths(content["run"]).ranks / content["study"]
    console.print(plain(RankPaths(folder).page), markup=False, soft_wrap=True)


def _table(title: str, heads: tuple[str, ...]) -> Table:
    table = Table(title=literal(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("Proxy", overflow="fold")
    for head in heads:
        table.add_column(literal(head), justify="right", no_wrap=True)
    return table
