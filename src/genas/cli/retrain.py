"""``genas retrain``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options

RECIPE = "Recipe"
NETWORK = "Network"
START = "First weights"


def retrain(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="GENOTYPE|NAME|RUN",
            help="A genotype, a published architecture (genas zoo) or the run folder of a search, whose best it is.",
        ),
    ] = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", help="Side that images are resized to.", rich_help_panel=options.DATA),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", help="Space of the genotype. \\[default: found out]", rich_help_panel=options.DATA),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="cifar, imagenet, another name of --list-recipes, or a YAML file. \\[default: the run's own, else by "
            "space and data]",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    list_recipes: Annotated[
        bool, typer.Option("--list-recipes", help="Show all recipes side by side.", rich_help_panel=RECIPE)
    ] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs.", rich_help_panel=RECIPE)] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Images per batch, over all processes.", rich_help_panel=RECIPE),
    ] = None,
    limit_batches: Annotated[
        int | None,
        typer.Option(
            "--limit-batches",
            help="A dry run: one epoch, with at most that many batches per epoch and evaluation; no result.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    cells: Annotated[int | None, typer.Option("--cells", help="Cells.", rich_help_panel=NETWORK)] = None,
    channels: Annotated[int | None, typer.Option("--channels", help="First width.", rich_help_panel=NETWORK)] = None,
    max_macs: Annotated[
        str | None,
        typer.Option(
            "--max-macs", help="Take the largest even width within so many MACs, such as 600M.", rich_help_panel=NETWORK
        ),
    ] = None,
    from_supernet: Annotated[
        Path | None,
        typer.Option("--from-supernet", help="Run folder of a supernet to begin with.", rich_help_panel=START),
    ] = None,
    from_checkpoint: Annotated[
        Path | None,
        typer.Option("--from-checkpoint", help="Checkpoint to begin with.", rich_help_panel=START),
    ] = None,
    baseline: options.Baseline = None,
    baseline_macs: options.BaselineMacs = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            "--run-folder",  # torchrun takes --run for an abbreviation of an option of its own
            help="Run folder. The same command continues an interrupted run. Under torchrun, write --run-folder. "
            "\\[default: runs/retrain-WHAT-DATA-RECIPE]",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="One training each, such as 0,1,2. \\[default: 0]", rich_help_panel=options.RUN),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="One setting, as key=value (of the recipe) or section.key=value; may be repeated.",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    plan: options.PlanOnly = False,
    device: options.Device = None,
    precision: options.Precision = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train an architecture from scratch by a published recipe, and measure it on the test set.

    Keeps the last epoch's network and the best by a part of the training set that is held out. Press Ctrl-C at any
    time; the same command continues. Several GPUs: [bold]torchrun --nproc-per-node 8 -m genas retrain ...[/bold]

    [bold]Examples[/bold]

    genas retrain genas_fbs_c100 --data cifar10 --recipe cifar --seeds 0,1,2

    genas retrain runs/c10 --recipe imagenet --data imagenet --max-macs 600M --precision bf16

    genas retrain "|nor_conv_3x3~0|+|..." --data folder:photos --epochs 50
    """
    from genas.cli import show_retrain

    if list_recipes:
        options.emit(show_retrain.list_recipes(), as_json, show_retrain.print_recipes)
        return
    with options.loading(quiet or as_json):
        from genas.workflows.retrain import retrain_run
        from genas.workflows.retraining_settings import configure, continued, default_run

    named = {
        "data.name": data,
        "data.root": data_root,
        "data.image_size": image_size,
        "retrain.epochs": epochs,
        "retrain.batch_size": batch_size,
        "retrain.limit_batches": limit_batches,
        "retrain.limit_epochs": 1 if limit_batches is not None and epochs is None else None,
        "retrain.cells": cells,
        "retrain.channels": channels,
        "max_macs": options.parse_count(max_macs, "--max-macs") if max_macs else None,
        "baseline.choice": baseline,
        "baseline.equal_macs": options.parse_share(baseline_macs, "--baseline-macs") if baseline_macs else None,
        "from_checkpoint": None if from_checkpoint is None else str(from_checkpoint),
        "seeds": None if seeds is None else options.parse_seeds(seeds),
        "device": device,
        "precision": precision,
    }
    given = options.overrides(None, assignments, named)
    supernet = None if from_supernet is None else str(from_supernet)
    if what is None:
        settings = continued(run, recipe=recipe, from_supernet=supernet, overrides=given)
    else:
        settings = configure(what, space=space, recipe=recipe, from_supernet=supernet, overrides=given, run=run)
    folder = run or default_run(settings)
    if run is None and what is not None:  # of the usual folder, what is not given is as the run was begun
        settings = configure(what, space=space, recipe=recipe, from_supernet=supernet, overrides=given, run=folder)
    if plan:
        from genas.cli.show_plan import print_run_plan
        from genas.workflows.retrain import plan_retraining

        options.emit(plan_retraining(settings, folder, quiet=quiet), as_json, print_run_plan)
        return
    result = retrain_run(
        settings,
        folder,
        quiet=quiet,
        on_plan=None if quiet else show_retrain.print_plan,
        on_match=None if quiet else show_retrain.print_match,
        on_time=options.plan_shown(quiet),
    )
    if not options.is_first_process():
        return
    options.emit(result, as_json, show_retrain.print_retrained)
