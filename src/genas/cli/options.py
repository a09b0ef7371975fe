"""Options that several commands share, and what they mean for the configuration."""

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from genas.cli.parse import read_share
from genas.cli.setting import Setting
from genas.core.errors import ConfigError
from genas.core.progress import doing
from genas.core.settings import expand
from genas.proxies.settings import ExpressionSettings
from genas.training.standalone.settings import BaselineSettings
from genas.workflows.presets import SCALES, Scale
from genas.workflows.sections import DataSettings, RunSettings, SpaceSettings

DATA = "Data and space"
METHOD = "Method"
RUN = "Run"
MACHINE = "Machine"
OUTPUT = "Output"


def option(panel: str | None, flags: str, help: str, **more: Any) -> Any:
    """An option that is no setting: panel of the help screen, flags, help, and typer's further arguments."""
    return typer.Option(*flags.split(), help=help, rich_help_panel=panel, **more)


DATA_SET = Setting(DataSettings, "name", DATA, "--data", "data")
DATA_ROOT = Setting(DataSettings, "root", DATA, "--data-root", "data")
SPACE = Setting(SpaceSettings, "name", DATA, "--space", "space")
PROXY = Setting(ExpressionSettings, "expression", METHOD, "--proxy", "proxy")
BASELINE = Setting(BaselineSettings, "choice", METHOD, "--baseline", "baseline")
BASELINE_MACS = Setting(BaselineSettings, "equal_macs", METHOD, "--baseline-macs", "baseline", read_share)
SEED = Setting(RunSettings, "seed", RUN)
DEVICE = Setting(RunSettings, "device", MACHINE)
PRECISION = Setting(RunSettings, "precision", MACHINE)
OF_A_RUN = (DATA_SET, DATA_ROOT, SPACE, PROXY, SEED, DEVICE, PRECISION)

Device = Annotated[str | None, DEVICE.declare()]
RunDevice = Annotated[str | None, replace(DEVICE, default="the run's").declare()]
Precision = Annotated[str | None, PRECISION.declare()]
DataRoot = Annotated[str | None, DATA_ROOT.declare()]
RunData = Annotated[
    str | None,
    option(
        DATA, "--data", "Where the run's data are now, as folder:PATH or parquet:PATH. \\[default: where they were]"
    ),
]
RunDataRoot = Annotated[
    str | None, option(DATA, "--data-root", "The same, of a named data set: the folder with its files.")
]
ScaleName = Annotated[
    str | None,
    option(
        METHOD,
        "--scale",
        "How much work: quick (a first result in minutes), standard, or paper (the published settings); single "
        "settings win over it (docs/scales.md). \\[default: standard for own images of 64 pixels and more; else the "
        "published search and a short retraining; digits has a preset of its own]",
    ),
]
PlanOnly = Annotated[
    bool,
    option(
        RUN, "--plan", "Only say what the command would need: phases with their time, memory and disk. Writes nothing."
    ),
]
AsPublished = Annotated[
    bool,
    option(METHOD, "--as-published", "Behave as the official GeNAS code does, defects included: docs/as-published.md."),
]
Run = Annotated[
    Path | None,
    option(
        RUN,
        "--run",
        "Run folder. The same command continues an interrupted run. \\[default: runs/DATA-SPACE-PROXY-seedN]",
    ),
]
RunWithSupernet = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with a trained supernet.")]
Supernet = Annotated[
    Path | None,
    option(
        RUN,
        "--supernet",
        "Search again, into another folder, with the trained supernet of this run: by another proxy, strategy or "
        "limit. Its settings are those to begin with.",
    ),
]
ConfigFile = Annotated[Path | None, option(RUN, "--config", "YAML file with settings, by section.")]
Assignments = Annotated[list[str] | None, option(RUN, "--set", "One setting, as section.key=value; may be repeated.")]
Json = Annotated[bool, option(OUTPUT, "--json", "Print JSON instead of a table.")]
Quiet = Annotated[bool, option(OUTPUT, "--quiet", "No progress.")]


def parse_scale(text: str | None) -> Scale | None:
    """Reads the name of a scale; None where none is given.

    Raises:
        ConfigError: anything else.
    """
    found = [scale for scale in SCALES if scale == text]
    if text is not None and not found:
        raise ConfigError(f"Invalid --scale {text!r}: expected {', '.join(SCALES[:-1])} or {SCALES[-1]}.")
    return found[0] if found else None


@contextmanager
def loading(quiet: bool = False) -> Iterator[None]:
    """Around the imports of a command: torch takes seconds."""
    with doing("Loading torch", quiet or not is_first_process()):
        import torch  # noqa: F401

        yield


def is_first_process() -> bool:
    """Whether this process speaks: of several that torchrun started, the first alone does."""
    return os.environ.get("RANK", "0") == "0"


def overrides(
    config: Path | None,
    assignments: list[str] | None,
    given: dict[str, Any],
) -> list[dict[str, Any]]:
    """The nested mappings of the file, the named options and the assignments, later ones winning.

    Args:
        config: YAML file.
        assignments: ``section.key=value`` texts.
        given: dotted keys to values: what came by named options.
    """
    from genas.workflows.config import parse_assignment, read_yaml

    file = [] if config is None else [read_yaml(config)]
    return [*file, *(expand({key: value}) for key, value in given.items()), *map(parse_assignment, assignments or [])]


def run_and_settings(
    run: Path | None,
    layers: list[dict[str, Any]],
    as_published: bool,
    supernet: Path | None = None,
    scale: str | None = None,
) -> tuple[Path, Any]:
    """Run folder and configuration of a long command: a run's own where it exists, changed by what was given.

    Args:
        run: the run folder that was named; None for the usual one.
        layers: nested mappings of settings, later ones winning.
        as_published: the published code's behaviour was asked for.
        supernet: run folder whose trained supernet is used; its settings are then those to begin with.
        scale: the scale that was asked for.

    Raises:
        ConfigError: an unknown scale, or one where the supernet's settings hold.
    """
    from genas.workflows.config import build_config
    from genas.workflows.continuation import settings_from_supernet, settings_on

    named = parse_scale(scale)
    if named is not None and supernet is not None:
        raise ConfigError("--scale is for a new supernet; with --supernet, change single settings with --set.")
    if supernet is not None:
        settings = settings_from_supernet(supernet, run, layers, as_published)
        return run or default_run(settings), settings
    folder = run or default_run(build_config(layers, as_published=as_published))
    return folder, settings_on(folder, layers, as_published, named)


def emit(result: Any, as_json: bool, show: Callable[[Any], object]) -> None:
    """Prints what a command gave: the end of every command.

    Args:
        result: what JSON holds, or a result whose ``to_dict`` gives that.
        as_json: whether JSON was asked for.
        show: prints the result for people.
    """
    if not as_json:
        show(result)
    else:
        print(json.dumps(result if isinstance(result, dict | list) else result.to_dict(), indent=2))


def plan_shown(quiet: bool) -> Callable[[Any], None] | None:
    """What shows the plan of a long command before it begins: on a terminal only, since its timing costs seconds."""
    if quiet or not sys.stderr.isatty():
        return None
    from genas.cli.show_plan import print_run_plan

    return functools.partial(print_run_plan, on_error_stream=True)


def default_run(config: Any) -> Path:
    """The run folder when none is named: ``runs/DATA-SPACE-PROXY-seedN``."""
    text = f"{config.data.name}-{config.space.name}-{config.proxy.expression}-seed{config.seed}"
    return Path("runs") / re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")
