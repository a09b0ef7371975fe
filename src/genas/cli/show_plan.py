"""What the terminal shows of a plan."""

from typing import TYPE_CHECKING

from rich.console import Console

from genas.core.progress import duration, size
from genas.core.terminal import literal

if TYPE_CHECKING:
    from genas.workflows.planning import RunPlan


def print_run_plan(plan: "RunPlan", *, on_error_stream: bool = False) -> None:
    """Phases with their time, memory, disk, and what to change if that is too much."""
    console = Console(stderr=on_error_stream, highlight=False, soft_wrap=True)
    unknown = any(phase.seconds is None for phase in plan.phases)
    more = " and what could not be timed" if unknown else ""
    console.print(
        f"[bold]Plan[/bold]      about {duration(plan.seconds)}{more}, from a few timed steps on this machine"
    )
    if not on_error_stream:
        console.print(f"data      {literal(plan.data)}")
    for phase in plan.phases:
        spent = "not timed" if phase.seconds is None else duration(phase.seconds)
        each = "" if phase.step is None else f" ({_each(phase.step)} each)"
        console.print(f"{phase.name:<9} {spent}: {literal(phase.work)}{each}")
    free = "" if plan.memory_free is None else f" of {size(plan.memory_free)} free"
    console.print(f"memory    about {size(plan.memory_bytes)}{free}")
    console.print(f"disk      about {size(plan.disk_bytes)} of {size(plan.disk_free)} free")
    for place, advice in enumerate(plan.advice):
        console.print(f"{'for less:' if place == 0 else '':<9} {literal(advice)}")


def _each(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.3g} s"
