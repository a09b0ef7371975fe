"""``genas score``."""

from pathlib import Path
from typing import Annotated

import typer

from genas.cli import options


def score(
    run: Annotated[Path, typer.Argument(help="A run folder with a trained supernet.")],
    genotypes: Annotated[
        list[str], typer.Argument(metavar="GENOTYPE...", help="Architectures in any text form, or names of genas zoo.")
    ],
    proxy: options.ProxyText = None,
    assignments: options.Assignments = None,
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Score architectures with a run's supernet, by the run's proxy or another one. Nothing is written to the run."""
    with options.loading():
        from genas.cli.show import print_scores
        from genas.config import Config, build_config, merge
        from genas.pipeline import score_genotypes
        from genas.proxy.expression import kept_options
        from genas.session import load_config

    layers = options.overrides(None, assignments, {"proxy.expression": proxy, "device": device})
    own = load_config(run, data, data_root)
    before = own.model_dump(mode="json")
    if proxy is not None:
        before["proxy"]["options"] = kept_options(own.proxy, proxy)
    settings: Config = build_config([before, *layers]) if layers else build_config([before])
    wanted = merge({}, settings.model_dump(mode="json"))
    for section in ("data", "space", "supernet", "seed"):
        if wanted[section] != before[section]:
            from genas.errors import ConfigError

            raise ConfigError(f"--set may change proxy settings only; {section} is fixed by the run {run}.")
    rows = score_genotypes(settings, run, genotypes)
    options.emit(rows, as_json, print_scores)
