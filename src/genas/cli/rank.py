"""``genas rank``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from genas.cli import options
from genas.core.errors import ConfigError

WHAT = "What is ranked"


def rank(
    run: Annotated[Path, typer.Argument(help="A run folder with a trained supernet.")],
    table: Annotated[
        Path,
        typer.Option(
            "--table",
            help="The benchmark: CSV, CSV.gz or Parquet with genotypes and accuracies, the JSON file of "
            "NAS-Bench-Macro, or a NATS-Bench archive (NATS-tss-...).",
            rich_help_panel=WHAT,
        ),
    ],
    proxies: Annotated[
        str | None,
        typer.Option(
            "--proxies",
            help="Proxies, expressions and aggregated ranks, such as 'loss,angle + 16*flatness,ranks(loss,macs)'. "
            "Loss and MACs are always ranked. \\[default: loss,accuracy,angle,flatness,ranks(loss,macs)]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    architectures: Annotated[
        str,
        typer.Option(
            "--architectures",
            help="How many, drawn uniformly by --seed (a larger draw contains a smaller one), or all.",
            rich_help_panel=WHAT,
        ),
    ] = "100",
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Accuracy columns, with commas. \\[default: all]", rich_help_panel=WHAT),
    ] = None,
    genotype_column: Annotated[
        str | None,
        typer.Option(
            "--genotype-column",
            help="Column of the genotypes. \\[default: genotype, arch, architecture or arch_str]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    variants: Annotated[
        Path | None,
        typer.Option(
            "--variants",
            help="YAML file of further proxies: names with their proxy settings. Replaces the default list.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            "--repeats",
            help="Score random proxies so often, with other noise and images: measures test-retest tau.",
            min=1,
            rich_help_panel=WHAT,
        ),
    ] = 1,
    repeat_architectures: Annotated[
        int | None,
        typer.Option(
            "--repeat-architectures",
            help="Repeat on so many, the first of the draw. \\[default: all]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option(
            "--epoch",
            help="Score with the weights after that epoch (kept by supernet.keep_every); 0: the initial ones.",
            min=0,
            rich_help_panel=WHAT,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Score with the supernet's weights in this file.", rich_help_panel=WHAT),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of the proxies, such as proxy.evaluation.images=1000, or of the study, such as "
            "analysis.replicates=2000; may be repeated.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the study: results go to RUN/rank/NAME, and the same name continues or extends it. "
            "\\[default: final, or epoch-N]",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", help="Seed of the draw of architectures and of the bootstrap.", min=0, rich_help_panel=options.RUN
        ),
    ] = 0,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", help="Processes that score, with one thread each.", min=1, rich_help_panel=options.MACHINE
        ),
    ] = 1,
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.Device = None,
    plan: options.PlanOnly = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how well proxies rank the architectures of a benchmark.

    Scores architectures with a run's supernet and compares with their true accuracies: Kendall's tau, Spearman's rho,
    partial and mutual tau, regret, with bootstrap intervals. Writes rank.json, scores.csv, rank.html and figures into
    RUN/rank/NAME; every score is kept as it comes.

    [bold]Examples[/bold]

    genas rank runs/c10 --table nasbench201.csv.gz --architectures 1000

    genas rank runs/c10 --table nasbench201.csv.gz --variants flatness.yaml --repeats 3 --workers 2 --name flatness
    """
    with options.loading(quiet or as_json):
        from genas.cli.show_rank import print_rank_plan, print_ranking
        from genas.workflows.config import parse_assignment
        from genas.workflows.rank import PROXIES, plan_ranking, read_settings
        from genas.workflows.rank import rank as compare

    changes = [parse_assignment(text) for text in assignments or []]
    study = [{key: value for key, value in one.items() if key != "proxy"} for one in changes]
    proxy = [one for one in changes if "proxy" in one]
    named = {
        "architectures": _count(architectures),
        "seed": seed,
        "repeats": repeats,
        "repeat_architectures": repeat_architectures,
        "workers": workers,
    }
    found: Any = (plan_ranking if plan else compare)(
        run,
        table,
        proxies=(PROXIES if variants is None else "") if proxies is None else proxies,
        columns=_list(columns),
        genotype_column=genotype_column,
        variants=variants,
        settings=read_settings([named, *study]),
        proxy_settings=proxy,
        epoch=epoch,
        checkpoint=checkpoint,
        name=name,
        data=data,
        data_root=data_root,
        device=device,
        quiet=quiet or as_json,
    )
    show = print_rank_plan if plan else print_ranking
    options.emit(found, as_json, lambda found: show(found.to_dict()))


def _count(text: str) -> int | None:
    if text.strip().lower() == "all":
        return None
    count = options.parse_whole(text, "--architectures")
    if count < 10:
        raise ConfigError(f"Invalid --architectures {text!r}: expected a whole number of at least 10, or all.")
    return count


def _list(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ConfigError(f"Invalid --columns {text!r}: expected names with commas between them.")
    return names
