"""``genas supernet``."""

from genas.cli import options
from genas.cli.setting import Given, add_settings


@add_settings(*options.OF_A_RUN)
def supernet(
    given: Given,
    scale: options.ScaleName = None,
    as_published: options.AsPublished = False,
    run: options.Run = None,
    plan: options.PlanOnly = False,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the supernet only; continue later with [bold]genas search[/bold] or score with [bold]genas score[/bold].

    On an existing run folder the settings may be left out: the run's own hold.
    """
    with options.loading(quiet):
        from genas.cli.show_plan import print_run_plan
        from genas.workflows.supernet import train_supernet_of

    folder, settings = options.run_and_settings(
        run, options.overrides(config, assignments, given), as_published, scale=scale
    )
    if plan:
        from genas.workflows.planning import plan_run

        expected = plan_run(settings, folder, quiet=quiet, with_retrain=False, with_search=False)
        options.emit(expected, as_json, print_run_plan)
        return
    found = train_supernet_of(settings, folder, quiet)
    options.emit(found, as_json, lambda found: print(found.checkpoint))
