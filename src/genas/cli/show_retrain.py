"""Recipes, plans and results of ``genas retrain`` on the terminal."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from genas.core.progress import size
from genas.core.terminal import literal, plain

if TYPE_CHECKING:
    from genas.training.standalone import RetrainSettings
    from genas.training.standalone.plan import Plan
    from genas.training.standalone.results import Retrained
    from genas.training.standalone.weights import Match

_WRAP = 4  # recipes side by side


def list_recipes() -> dict[str, Any]:
    """The recipes that come with genas, by name: title, short names, all settings."""
    from genas.training.standalone.recipe import ALIASES, read_recipe, recipe_names, recipe_title, validated_settings

    return {
        name: {
            "title": recipe_title(name),
            "short": [short for short, full in ALIASES.items() if full == name],
            "settings": validated_settings(read_recipe(name), name).model_dump(mode="json"),
        }
        for name in recipe_names()
    }


def print_recipes(found: dict[str, Any]) -> None:
    """What the recipes set, side by side."""
    from genas.training.standalone.recipe import read_recipe

    recipes = {name: read_recipe(name) for name in found}
    console = Console(highlight=False)
    for name, recipe in found.items():
        short = "".join(f" = {alias}" for alias in recipe["short"])
        console.print(f"[bold]{name}[/bold]{short}: {recipe['title']}", soft_wrap=True)
    rows = list(dict.fromkeys(key for fields in recipes.values() for key in fields))
    names = list(recipes)
    for first in range(0, len(names), _WRAP):
        shown = names[first : first + _WRAP]
        table = Table(box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        for name in shown:
            table.add_column(name, overflow="fold")
        for key in rows:
            if any(key in recipes[name] for name in shown):
                table.add_row(key, *[_value(recipes[name].get(key, "")) for name in shown])
        console.print()
        console.print(table)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(str(entry) for entry in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def print_plan(plan: "Plan", settings: "RetrainSettings") -> None:
    """What a training is going to need, on the error stream, before it begins."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    auxiliary = f" (and {plan.auxiliary_params / 1e6:.3f} M of the auxiliary head)" if plan.auxiliary_params else ""
    width = f", first width {plan.channels}" if plan.channels else ""
    console.print(f"Network   {plan.params / 1e6:.3f} M parameters{auxiliary}, {plan.macs / 1e6:.1f} M MACs{width}")
    held = f", {plan.held_out:,} held out to choose the best epoch" if plan.held_out else ""
    console.print(f"Images    {plan.train:,} to train on{held}, {plan.test:,} to test")
    several = f" over {plan.processes} processes" if plan.processes > 1 else ""
    console.print(f"Steps     {plan.epochs} epochs of {plan.steps} batches of {settings.batch_size}{several}")
    console.print(
        f"Memory    at least {size(plan.memory_bytes)} per process: weights and momentum {size(plan.weight_bytes)}, "
        f"backward pass {size(plan.activation_bytes)}; convolution workspace and images in memory come on top"
    )
    if settings.dry:
        console.print(f"Dry run   {plan.epochs} of {settings.epochs} epochs, few batches in each: not a result")


def print_match(match: "Match") -> None:
    """What of the first weights was taken, on the error stream."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(plain(match.sentence()), markup=False)


def print_retrained(result: "Retrained") -> None:
    """Accuracies by seed, their mean and spread, and where the networks lie."""
    console = Console(highlight=False)
    if result.settings.dry:
        elsewhere = "" if result.run.name.endswith("-dry-run") else " and with another --run"
        seeds = "1 seed" if len(result.runs) == 1 else f"{len(result.runs)} seeds"
        console.print(
            f"Dry run finished: training, evaluation and files work, for {seeds}; its network "
            f"and its figures mean nothing. Train with the same command without --limit-batches{elsewhere}.",
            soft_wrap=True,
        )
        console.print(f"[bold]Folder[/bold]   {literal(result.run)}", soft_wrap=True)
        return
    table = Table(title="Test accuracy, %", title_justify="left", box=None, pad_edge=False)
    table.add_column("Seed")
    top5 = any("top5" in one.test for one in result.runs)
    chosen = any(one.best for one in result.runs)
    for head in ["Last top-1", *(["top-5"] if top5 else [])]:
        table.add_column(head, justify="right")
    if chosen:
        for head in ["Best epoch", "top-1", *(["top-5"] if top5 else [])]:
            table.add_column(head, justify="right")
    for one in result.runs:
        table.add_row(str(one.seed), *_accuracies(one.test, top5), *(_best(one.best, top5) if chosen else []))
    if len(result.runs) > 1 and "last" in result.summary:
        last = _means(result.summary["last"], top5)
        best = ["", *_means(result.summary["best"], top5)] if chosen and "best" in result.summary else []
        table.add_row("mean ± sd", *last, *best)
    console.print(table)
    if chosen:
        console.print(_chosen_by(result.settings.best), soft_wrap=True)
    if not result.runs[0].test:
        console.print("The data set has no test set: nothing was measured.", soft_wrap=True)
    console.print(
        f"[bold]Network[/bold]  {result.plan.params / 1e6:.3f} M parameters, {result.plan.macs / 1e6:.1f} M MACs, "
        f"recipe {literal(result.recipe)}",
        soft_wrap=True,
    )
    if result.baseline is not None:
        from genas.cli.show import print_baseline

        print_baseline(console, result.baseline)
    console.print(f"[bold]Folder[/bold]   {literal(result.run)}", soft_wrap=True)


def print_retrain_status(state: dict[str, Any]) -> None:
    """How far a retraining is."""
    console = Console(highlight=False)
    active = f"process {state['active']} is working on it" if state["active"] else "no process is working on it"
    console.print(f"[bold]{literal(state['run'])}[/bold]: {state['phase']}; {active}", soft_wrap=True)
    for seed, (done, wanted) in state["retrain_epochs"].items():
        console.print(f"{seed:>16}  {done} of {wanted} epochs")
    console.print(plain(state["genotype"]), markup=False, soft_wrap=True)


def _chosen_by(best: str) -> str:
    if best == "test":
        return (
            "Best: the epoch of the best test accuracy, as the published code reports it. That figure is optimistic: "
            "the test set chose it."
        )
    return "Best: the epoch that was best on the held-out part of the training set; the test set chose nothing."


def _accuracies(test: dict[str, float], top5: bool) -> list[str]:
    return [f"{100 * test[key]:.2f}" if key in test else "-" for key in ["top1", *(["top5"] if top5 else [])]]


def _best(best: dict[str, Any], top5: bool) -> list[str]:
    return [str(best.get("epoch", "-")), *_accuracies(best.get("test", {}), top5)]


def _means(summary: dict[str, dict[str, float | None]], top5: bool) -> list[str]:
    cells = []
    for key in ["top1", *(["top5"] if top5 else [])]:
        mean, spread = summary[key]["mean"], summary[key]["std"]
        cells.append(f"{100 * (mean or 0.0):.2f} ± {100 * (spread or 0.0):.2f}")
    return cells
