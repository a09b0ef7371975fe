"""``genas search``."""

import json
from typing import Annotated

import typer

from genas.cli import options
from genas.core.run_paths import ProfilePaths, RunPaths


def search(
    data: options.Data = None,
    data_root: options.DataRoot = None,
    space: options.SpaceName = None,
    proxy: options.ProxyText = None,
    algorithm: options.Algorithm = None,
    budget: options.Budget = None,
    max_macs: options.MaxMacs = None,
    max_params: options.MaxParams = None,
    scale: options.ScaleName = None,
    as_published: options.AsPublished = False,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain/--no-retrain",
            help="Train the best architecture from scratch at the end.",
            rich_help_panel=options.METHOD,
        ),
    ] = True,
    baseline: options.Baseline = None,
    baseline_macs: options.BaselineMacs = None,
    run: options.Run = None,
    plan: options.PlanOnly = False,
    supernet: options.Supernet = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    seed: options.Seed = None,
    device: options.Device = None,
    precision: options.Precision = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Show where the time goes, and write traces of torch's profiler into the run folder.",
            rich_help_panel=options.MACHINE,
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

    limits = {
        "search.max_macs": options.parse_count(max_macs, "--max-macs") if max_macs else None,
        "search.max_params": options.parse_count(max_params, "--max-params") if max_params else None,
    }
    named = {
        "data.name": data,
        "data.root": data_root,
        "space.name": space,
        "proxy.expression": proxy,
        "search.algorithm": algorithm,
        "search.budget": budget,
        "baseline.choice": baseline,
        "baseline.equal_macs": options.parse_share(baseline_macs, "--baseline-macs") if baseline_macs else None,
        **limits,
        "seed": seed,
        "device": device,
        "precision": precision,
    }
    layers = options.overrides(config, assignments, named)
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
