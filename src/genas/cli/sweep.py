"""``genas sweep``."""

from typing import Annotated

from genas.cli import options
from genas.cli.parse import read_numbers


def sweep(
    run: options.RunWithSupernet,
    proxy: Annotated[
        str,
        options.option(options.METHOD, "--proxy", "A weighted sum, one part of which has the weight w."),
    ] = "angle + w*flatness",
    weights: Annotated[
        str | None,
        options.option(options.METHOD, "--weights", "Values of w, such as 0,1,4,16,64."),
    ] = None,
    shares: Annotated[
        str | None,
        options.option(
            options.METHOD,
            "--shares",
            "In place of weights: shares of the swept part in per cent; the weights that give them to random "
            "architectures are found first. \\[default: 0,20,43,76,89, the GeNAS poster's]",
        ),
    ] = None,
    retrain: Annotated[bool, options.option(options.METHOD, "--retrain", "Train every winner from scratch.")] = False,
    name: Annotated[
        str | None,
        options.option(options.OUTPUT, "--name", "Results lie in RUN/sweep/NAME. \\[default: from the sum]"),
    ] = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.RunDevice = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Search once for each of several weights of a sum of proxies, with the supernet of a run.

    Tells the share that the swept part has in the score: its absolute contribution over the sum of all absolute
    contributions. Every part of every architecture is scored once for all weights, on all images; races are off.
    Press Ctrl-C at any time, the same command continues; further weights may be asked for later.

    [bold]Examples[/bold]

    genas sweep runs/mine --weights 0,1,4,16,64

    genas sweep runs/c10 --proxy "accuracy + w*flatness" --shares 0,25,50,75 --retrain
    """
    with options.loading(quiet):
        from genas.cli.show_landscape import print_sweep
        from genas.workflows.sweep import sweep as search

    found = search(
        run,
        proxy=proxy,
        weights=None if weights is None else read_numbers(weights, "--weights"),
        shares=None if shares is None else read_numbers(shares, "--shares"),
        settings=options.overrides(config, assignments, {}),
        name=name,
        retrain=retrain,
        data=data,
        data_root=data_root,
        device=device,
        quiet=quiet,
    )
    options.emit(found, as_json, lambda found: print_sweep(found.to_dict()))
