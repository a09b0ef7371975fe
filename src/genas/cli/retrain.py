"""``genas retrain``."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options
from genas.cli.parse import read_path
from genas.cli.setting import Given, Setting, add_settings
from genas.training.standalone.recipe import RetrainSettings
from genas.workflows.sections import DataSettings, RetrainConfig

RECIPE = "Recipe"
NETWORK = "Network"
START = "First weights"


_trained = partial(Setting, RetrainSettings, section="retrain", default="the recipe's")
_run = partial(Setting, RetrainConfig)


What = Annotated[
    str | None,
    typer.Argument(
        metavar="GENOTYPE|NAME|RUN",
        help="A genotype, a published architecture (genas zoo) or the run folder of a search, whose best it is.",
    ),
]
Recipe = Annotated[
    str | None,
    options.option(
        RECIPE,
        "--recipe",
        "cifar, imagenet, another name of --list-recipes, or a YAML file. \\[default: the run's own, else by "
        "space and data]",
    ),
]
Run = Annotated[
    Path | None,
    options.option(
        options.RUN,
        "--run --run-folder",  # torchrun takes --run for an abbreviation of an option of its own
        "Run folder. The same command continues an interrupted run. Under torchrun, write --run-folder. "
        "\\[default: runs/retrain-WHAT-DATA-RECIPE]",
    ),
]
Assignments = Annotated[
    list[str] | None,
    options.option(
        options.RUN, "--set", "One setting, as key=value (of the recipe) or section.key=value; may be repeated."
    ),
]


@add_settings(
    options.DATA_SET,
    options.DATA_ROOT,
    Setting(DataSettings, "image_size", options.DATA, section="data"),
    replace(options.SPACE, default="found out"),
    *(_trained(name, RECIPE) for name in ("epochs", "batch_size")),
    _trained("limit_batches", RECIPE, default=""),
    *(_trained(name, NETWORK) for name in ("cells", "channels")),
    _run("max_macs", NETWORK),
    *(_run(name, START, read=read_path) for name in ("from_supernet", "from_checkpoint")),
    replace(options.BASELINE, default="none"),
    options.BASELINE_MACS,
    _run("seeds", options.RUN),
    options.DEVICE,
    options.PRECISION,
)
def retrain(
    given: Given,
    what: What = None,
    recipe: Recipe = None,
    list_recipes: Annotated[bool, options.option(RECIPE, "--list-recipes", "Show all recipes side by side.")] = False,
    run: Run = None,
    assignments: Assignments = None,
    plan: options.PlanOnly = False,
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

    space, supernet = given.pop("space.name", None), given.pop("from_supernet", None)
    if "retrain.limit_batches" in given and "retrain.epochs" not in given:
        given["retrain.limit_epochs"] = 1
    changes = options.overrides(None, assignments, given)
    if what is None:
        settings = continued(run, recipe=recipe, from_supernet=supernet, overrides=changes)
    else:
        settings = configure(what, space=space, recipe=recipe, from_supernet=supernet, overrides=changes, run=run)
    folder = run or default_run(settings)
    if run is None and what is not None:  # of the usual folder, what is not given is as the run was begun
        settings = configure(what, space=space, recipe=recipe, from_supernet=supernet, overrides=changes, run=folder)
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
