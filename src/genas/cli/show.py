"""Tables on the terminal."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from genas.core.terminal import literal

if TYPE_CHECKING:
    from genas.workflows.search import SearchResult


def print_result(result: "SearchResult") -> None:
    """The best architectures of a finished search, the test result and the report's path."""
    from genas.reporting.status import status

    console = Console(highlight=False)
    state = status(result.run, count=5).to_dict()
    console.print(_best_table(state["best"], "Best architectures"))
    console.print(f"[bold]Best[/bold]    {literal(result.genotype)}", soft_wrap=True)
    console.print(f"[bold]Score[/bold]   {result.score:.6g}")
    console.print(f"[bold]Size[/bold]    path in the supernet: {_size(result.params, result.macs)}")
    if result.network:
        console.print(f"        retrained network: {_size(**result.network)}")
    if result.test:
        console.print(
            f"[bold]Test[/bold]    top-1 {100 * result.test['top1']:.2f} %   loss {result.test['loss']:.4f}   "
            "(retrained from scratch, last epoch)"
        )
    if result.baseline is not None:
        print_baseline(console, result.baseline)
    console.print(f"[bold]Report[/bold]  {literal(result.report)}", soft_wrap=True)
    for warning in result.warnings:
        console.print(f"[bold yellow]Warning[/bold yellow] {literal(warning.sentence)}")


def _size(params: int, macs: int) -> str:
    return f"{params / 1e6:.3f} M parameters, {macs / 1e6:.2f} M MACs"


def print_baseline(console: Console, baseline: dict[str, Any]) -> None:
    """The comparison with random architectures of the same training."""
    console.print(f"[bold]Random[/bold]  {literal(baseline['sentence'])}")
    if baseline["equal_macs_missed"]:
        console.print(
            f"        {baseline['equal_macs_missed']} of them have other MACs than asked for, the nearest that were "
            "drawn: allow more with --baseline-macs."
        )


def print_profile(phases: list[dict[str, Any]]) -> None:
    """Seconds by phase, and the operators that the traced steps spent their time in."""
    table = Table(title="Where the time went", title_justify="left", box=None, pad_edge=False)
    table.add_column("Phase")
    table.add_column("Seconds", justify="right")
    table.add_column("Steps", justify="right")
    table.add_column("Operators of the first steps", overflow="fold")
    for row in phases:
        shares = ", ".join(f"{one['name']} {100 * one['share']:.0f} %" for one in row["operators"][:4])
        table.add_row(row["phase"], f"{row['seconds']:.1f}", str(row["steps"]), shares or "nothing was left to do")
    Console(highlight=False).print(table)


def print_scores(rows: list[dict[str, Any]]) -> None:
    """Scores of architectures named by hand."""
    table = Table(title="Sizes: path in the supernet", title_justify="left", box=None, pad_edge=False)
    table.add_column("Score", justify="right")
    table.add_column("Params M", justify="right")
    table.add_column("MACs M", justify="right")
    table.add_column("Genotype", overflow="fold")
    for row in rows:
        table.add_row(
            f"{row['score']:.6g}", f"{row['params'] / 1e6:.3f}", f"{row['macs'] / 1e6:.2f}", literal(row["genotype"])
        )
    Console(highlight=False).print(table)


def print_status(state: dict[str, Any]) -> None:
    """How far a run is."""
    console = Console(highlight=False)
    active = f"process {state['active']} is working on it" if state["active"] else "no process is working on it"
    console.print(f"[bold]{literal(state['run'])}[/bold]: {state['phase']}; {active}", soft_wrap=True)
    for label, key in (
        ("supernet epochs", "supernet_epochs"),
        ("architectures", "architectures"),
        ("retrain epochs", "retrain_epochs"),
        ("baselines", "baselines"),
    ):
        if key == "baselines" and not state[key][1]:
            continue
        done, of = state[key]
        said = f"{done} of {of}" if of else f"none: no part of {state['proxy']} needs a trained supernet"
        console.print(f"{label:>16}  {said}")
    if state["failed"]:
        console.print(f"{'failed':>16}  {state['failed']}")
    if state["best"]:
        console.print(_best_table(state["best"], "Best so far"))


def _best_table(best: list[dict[str, Any]], title: str) -> Table:
    from genas.spaces.text import short

    table = Table(title=f"{title} (sizes: path in the supernet)", title_justify="left", box=None, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("Score", justify="right")
    table.add_column("Params M", justify="right")
    table.add_column("MACs M", justify="right")
    table.add_column("Gen", justify="right")
    table.add_column("Genotype", overflow="fold")
    for rank, record in enumerate(best, 1):
        equal = f"  (and {record['equal']} of the same function)" if record["equal"] else ""
        table.add_row(
            str(rank),
            f"{record['score']:.6g}",
            f"{record['params'] / 1e6:.3f}",
            f"{record['macs'] / 1e6:.2f}",
            str(record["generation"] + 1),
            literal(short(record["genotype"])) + equal,
        )
    return table
