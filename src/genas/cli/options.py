"""Options that several commands share, and what they mean for the configuration."""

import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from genas.core.errors import ConfigError
from genas.core.progress import doing
from genas.workflows.presets import SCALES, Scale

DATA = "Data and space"
METHOD = "Method"
RUN = "Run"
MACHINE = "Machine"
OUTPUT = "Output"
_LONGEST = 19  # digits of a whole number; more is none of ours

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Data set: digits (built in), cifar10, cifar100, imagenet16-120, imagenet, folder:PATH, parquet:PATH, or "
        "your own package.module:Name. \\[default: digits]",
        rich_help_panel=DATA,
    ),
]
DataRoot = Annotated[
    str | None,
    typer.Option("--data-root", help="Folder that holds the files of a named data set.", rich_help_panel=DATA),
]
RunData = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Where the run's data are now, as folder:PATH or parquet:PATH. \\[default: where they were]",
        rich_help_panel=DATA,
    ),
]
RunDataRoot = Annotated[
    str | None,
    typer.Option("--data-root", help="The same, of a named data set: the folder with its files.", rich_help_panel=DATA),
]
SpaceName = Annotated[
    str | None,
    typer.Option(
        "--space",
        help="Search space: darts, nasbench201, nasbench-macro, or package.module:Name. \\[default: darts]",
        rich_help_panel=DATA,
    ),
]
ProxyText = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        help="What is maximised: flatness, angle, accuracy, loss, macs, synflow, sharpness and others "
        "(docs/proxies.md), or a weighted sum such as 'angle + 16*flatness'. \\[default: flatness]",
        rich_help_panel=METHOD,
    ),
]
Algorithm = Annotated[
    str | None,
    typer.Option(
        "--search", help="evolution, random, or package.module:Name. \\[default: evolution]", rich_help_panel=METHOD
    ),
]
MaxMacs = Annotated[
    str | None,
    typer.Option(
        "--max-macs",
        help="Hard limit on MACs at the supernet's size, such as 30M (counts: docs/proxies.md).",
        rich_help_panel=METHOD,
    ),
]
MaxParams = Annotated[
    str | None,
    typer.Option(
        "--max-params", help="Hard limit on parameters at the supernet's size, such as 1.5M.", rich_help_panel=METHOD
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="racing: stop scoring an architecture once it can hardly be among the best that the search keeps; exact: "
        "score every architecture on all validation images. \\[default: racing]",
        rich_help_panel=METHOD,
    ),
]
ScaleName = Annotated[
    str | None,
    typer.Option(
        "--scale",
        help="How much work: quick (a first result in minutes), standard, or paper (the published settings); single "
        "settings win over it (docs/scales.md). \\[default: standard for own images of 64 pixels and more; "
        "else the published search and a short retraining; digits has a preset of its own]",
        rich_help_panel=METHOD,
    ),
]
PlanOnly = Annotated[
    bool,
    typer.Option(
        "--plan",
        help="Only say what the command would need: phases with their time, memory, disk. Writes nothing.",
        rich_help_panel=RUN,
    ),
]
AsPublished = Annotated[
    bool,
    typer.Option(
        "--as-published",
        help="Behave as the official GeNAS code does, defects included (docs/as-published.md).",
        rich_help_panel=METHOD,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Run folder. The same command continues an interrupted run. \\[default: runs/DATA-SPACE-PROXY-seedN]",
        rich_help_panel=RUN,
    ),
]
Supernet = Annotated[
    Path | None,
    typer.Option(
        "--supernet",
        help="Search again, into another folder, with the trained supernet of this run: by another proxy, strategy or "
        "limit. Its settings are those to begin with.",
        rich_help_panel=RUN,
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings, by section.", rich_help_panel=RUN)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, as section.key=value; may be repeated.", rich_help_panel=RUN),
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Seed of everything random. \\[default: 0]", min=0, rich_help_panel=RUN)
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda. \\[default: auto]", rich_help_panel=MACHINE)
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="32, tf32, bf16, 16 or 64. \\[default: 32]", rich_help_panel=MACHINE)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=OUTPUT)]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        help="Train random architectures as the best one is, to see whether the search was worth anything: random:3 "
        "(any number), none, or auto: three where that takes at most 90 seconds or a tenth of the time so far.",
        rich_help_panel=METHOD,
    ),
]
BaselineMacs = Annotated[
    str | None,
    typer.Option(
        "--baseline-macs",
        help="Only random architectures whose MACs differ from those of the best by at most that much, such as 10%.",
        rich_help_panel=METHOD,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.", rich_help_panel=OUTPUT)]


def parse_count(text: str, option: str) -> int:
    """Reads ``600M``, ``1.5M``, ``30000``.

    Raises:
        ConfigError: anything else.
    """
    from genas.core.settings import parse_count as parse

    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"Invalid {option} {text!r}: {error}.") from error


def parse_share(text: str, option: str) -> float:
    """Reads ``10%`` or ``0.1``.

    Raises:
        ConfigError: anything else.
    """
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})\s*(%?)\s*", text)
    share = float(match.group(1)) / (100 if match.group(2) else 1) if match else 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"Invalid {option} {text!r}: expected a share above 0 and up to 1, such as 10% or 0.1.")
    return share


def parse_seeds(text: str) -> list[int]:
    """Reads ``0,1,2``.

    Raises:
        ConfigError: anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < _LONGEST for part in parts):
        raise ConfigError(f"Invalid --seeds {text!r}: expected whole numbers with commas between them, such as 0,1,2.")
    return [int(part) for part in parts]


def parse_numbers(text: str, option: str) -> list[float]:
    """Reads ``0,1.5,16``.

    Raises:
        ConfigError: anything else.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or "_" in text or not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"Invalid {option} {text!r}: expected numbers with commas between them, such as 0,1.5,16.")
    return numbers


def parse_whole(text: str, option: str) -> int:
    """Reads ``1024``.

    Raises:
        ConfigError: anything else.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < _LONGEST) or int(text) < 1:
        raise ConfigError(f"Invalid {option} {text!r}: expected a whole number above 0, or all.")
    return int(text)


def either_or_both(text: str, first: str, second: str, option: str) -> list[str]:
    """Reads one of two words, or ``both``.

    Raises:
        ConfigError: anything else.
    """
    if text == "both":
        return [first, second]
    if text not in (first, second):
        raise ConfigError(f"Invalid {option} {text!r}: expected {first}, {second} or both.")
    return [text]


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
    named: dict[str, Any],
) -> list[dict[str, Any]]:
    """The nested mappings of the file, the named options and the assignments, later ones winning.

    Args:
        config: YAML file.
        assignments: ``section.key=value`` texts.
        named: dotted keys to values; None means not given.
    """
    from genas.workflows.config import parse_assignment, read_yaml

    layers: list[dict[str, Any]] = []
    if config is not None:
        layers.append(read_yaml(config))
    for key, value in named.items():
        if value is not None:
            nested: Any = value
            for part in reversed(key.split(".")):
                nested = {part: nested}
            layers.append(nested)
    layers.extend(parse_assignment(text) for text in assignments or [])
    return layers


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
