"""``genas rank``."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from genas.analysis.ranking.settings import PROXIES, StudySettings
from genas.cli import options
from genas.cli.parse import read_names
from genas.cli.setting import Given, Setting, add_settings

WHAT = "What is ranked"


_field = partial(Setting, StudySettings)


Table = Annotated[
    Path,
    options.option(
        WHAT,
        "--table",
        "The benchmark: CSV, CSV.gz or Parquet with genotypes and accuracies, the JSON file of "
        "NAS-Bench-Macro, or a NATS-Bench archive (NATS-tss-...).",
    ),
]
Proxies = Annotated[
    str | None,
    options.option(
        WHAT,
        "--proxies",
        "Proxies, expressions and aggregated ranks, such as 'loss, angle + 16*flatness, ranks(loss, macs)'. "
        f"Loss and MACs are always ranked. \\[default: {PROXIES.replace(',', ', ')}]",
    ),
]
Columns = Annotated[
    str | None,
    options.option(WHAT, "--columns", "Accuracy columns, with commas. \\[default: all]"),
]
GenotypeColumn = Annotated[
    str | None,
    options.option(
        WHAT, "--genotype-column", "Column of the genotypes. \\[default: genotype, arch, architecture or arch_str]"
    ),
]
Variants = Annotated[
    Path | None,
    options.option(
        WHAT,
        "--variants",
        "YAML file of further proxies: names with their proxy settings. Replaces the default list.",
    ),
]
Epoch = Annotated[
    int | None,
    options.option(
        WHAT,
        "--epoch",
        "Score with the weights after that epoch (kept by supernet.keep_every); 0: the initial ones.",
        min=0,
    ),
]
Checkpoint = Annotated[
    Path | None,
    options.option(WHAT, "--checkpoint", "Score with the supernet's weights in this file."),
]
Assignments = Annotated[
    list[str] | None,
    options.option(
        options.RUN,
        "--set",
        "A setting of the proxies, such as proxy.evaluation.images=1000, or of the study, such as "
        "analysis.replicates=2000; may be repeated.",
    ),
]
Name = Annotated[
    str | None,
    options.option(
        options.RUN,
        "--name",
        "Name of the study: results go to RUN/rank/NAME, and the same name continues or extends it. "
        "\\[default: final, or epoch-N]",
    ),
]


@add_settings(
    *(_field(name, WHAT) for name in ("architectures", "repeats", "repeat_architectures")),
    _field("seed", options.RUN),
    _field("workers", options.MACHINE),
)
def rank(
    run: options.RunWithSupernet,
    table: Table,
    given: Given,
    proxies: Proxies = None,
    columns: Columns = None,
    genotype_column: GenotypeColumn = None,
    variants: Variants = None,
    epoch: Epoch = None,
    checkpoint: Checkpoint = None,
    assignments: Assignments = None,
    name: Name = None,
    data: options.RunData = None,
    data_root: options.RunDataRoot = None,
    device: options.RunDevice = None,
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
        from genas.workflows.rank import plan_ranking, read_settings
        from genas.workflows.rank import rank as compare

    changes = [parse_assignment(text) for text in assignments or []]
    study = [{key: value for key, value in one.items() if key != "proxy"} for one in changes]
    proxy = [one for one in changes if "proxy" in one]
    found: Any = (plan_ranking if plan else compare)(
        run,
        table,
        proxies=(PROXIES if variants is None else "") if proxies is None else proxies,
        columns=None if columns is None else read_names(columns, "--columns"),
        genotype_column=genotype_column,
        variants=variants,
        settings=read_settings([given, *study]),
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
