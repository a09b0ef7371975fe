"""``genas score``."""

from dataclasses import replace
from typing import Annotated

import typer

from genas.cli import options
from genas.cli.setting import Given, add_settings


@add_settings(replace(options.PROXY, default="the run's"))
def score(
    run: options.RunWithSupernet,
    genotypes: Annotated[
        list[str], typer.Argument(metavar="GENOTYPE", help="Architectures in any text form, or names of genas zoo.")
    ],
    given: Given,
    assignments: options.Assignments = None,
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.RunDevice = None,
    as_json: options.Json = False,
) -> None:
    """Score architectures with a run's supernet, by the run's proxy or another one. Nothing is written to the run."""
    with options.loading():
        from genas.cli.show import print_scores
        from genas.workflows.score import score as measure

    layers = options.overrides(None, assignments, given)
    found = measure(run, genotypes, settings=layers, data=data, data_root=data_root, device=device)
    options.emit(found.to_dict()["architectures"], as_json, print_scores)
