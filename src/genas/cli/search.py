"""``genas search``."""

import json
from functools import partial
from typing import Annotated

from genas.cli import options
from genas.cli.setting import Given, Setting, add_settings
from genas.core.run_paths import ProfilePaths, RunPaths
from genas.strategies.settings import SearchSettings

_field = partial(Setting, SearchSettings, panel=options.METHOD, section="strategy")


@add_settings(
    *options.OF_A_RUN,
    _field("algorithm", flag="--strategy", former="--search"),
    *map(_field, ("budget", "max_macs", "max_params")),
    options.BASELINE,
    options.BASELINE_MACS,
)
def search(
    given: Given,
    scale: options.ScaleName = None,
    as_published: options.AsPublished = False,
    retrain: Annotated[
        bool,
        options.option(
            options.METHOD, "--retrain/--no-retrain", "Train the best architecture from scratch at the end."
        ),
    ] = True,
    run: options.Run = None,
    plan: options.PlanOnly = False,
    supernet: options.Supernet = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    profile: Annotated[
        bool,
        options.option(
            options.MACHINE,
            "--profile",
            "Show where the time goes, and write traces of torch's profiler into the run folder.",
        ),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Search an architecture: train the supernet, score architectures, retrain the best, write a report.

    The run folder keeps everything. Press Ctrl-C at any time; the same command continues where it stopped and ends with
    the very result of an uninterrupted run. On an existing run folder all other options may be left out: the run's own
    settings hold, and those that are given change it where nothing was made with them yet. More generations continue a
    finished search. Another proxy, strategy or limit needs a new folder but no new supernet: --supernet RUN --run NEW.

    [bold]Examples[/bold]

    genas search

    genas search --data parquet:cifar10 --space nasbench201 --proxy "angle + 16*flatness" --run runs/c10

    genas search --supernet runs/c10 --proxy accuracy --max-macs 20M --run runs/c10-accuracy

    genas search --data folder:photos --set supernet.epochs=50 --max-macs 30M
    """
    with options.loading(quiet):
        from genas.cli.show import print_profile, print_result
        from genas.cli.show_plan import print_run_plan
        from genas.workflows.search import run_pipeline

    layers = options.overrides(config, assignments, given)
    folder, settings = options.run_and_settings(run, layers, as_published, supernet, scale)
    if plan:
        from genas.workflows.planning import plan_run

        expected = plan_run(settings, folder, supernet=supernet, quiet=quiet, with_retrain=retrain)
        options.emit(expected, as_json, print_run_plan)
        return
    result = run_pipeline(
        settings,
        folder,
        with_retrain=retrain,
        quiet=quiet,
        profile=profile,
        supernet=supernet,
        on_plan=options.plan_shown(quiet),
    )
    if profile and not as_json:
        print_profile(json.loads((ProfilePaths(RunPaths(folder).profile).summary).read_text())["phases"])
    options.emit(result, as_json, print_result)
