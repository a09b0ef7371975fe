"""Opens a trained network (or one per seed) and its data, measures, writes the results down: `genas evaluate`."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genas.core.deprecation import formerly
from genas.core.device import describe_machine, open_fabric
from genas.core.errors import ConfigError
from genas.core.result import Result
from genas.core.run_folder import check_writable, flatten, write_csv, write_json
from genas.core.run_paths import EvaluationPaths, RunPaths
from genas.core.settings import combine, validate
from genas.data import Dataset
from genas.data.inspection import summary_of, tell
from genas.data.named import takes_size
from genas.evaluation.measure import check_shifts, evaluate_model
from genas.evaluation.page import build_evaluation_page
from genas.evaluation.settings import EvaluateSettings
from genas.evaluation.source import data_source
from genas.reporting.build import build_report
from genas.training.standalone.loading import TrainedModel, find_models, load_model

FORMAT = "genas-evaluation-1"


@dataclass(frozen=True)
class Evaluation(Result):
    """What was measured on a trained network, or on one per seed; what ``evaluation.json`` holds.

    Args:
        format: of the file.
        models: one mapping per network, see `genas.evaluation.measure.evaluate_model`.
        summary: by the dotted name of a figure: ``mean`` and, of several networks, ``std`` (of the sample).
        settings: what was asked for.
        machine: what it was measured on, and in which precision.
    """

    format: str
    models: list[dict[str, Any]]
    summary: dict[str, dict[str, float]]
    settings: dict[str, Any]
    machine: dict[str, Any]


@formerly("path", "data")
def evaluate(
    path: str | Path,
    *,
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    precision: str = "32",
    settings: EvaluateSettings | Mapping[str, Any] | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Measures a trained network: accuracy, calibration, robustness, latency, flatness.

    Args:
        path: a run folder of ``genas search``, a folder of ``genas retrain`` (also of several seeds), an exported
            folder, or a file of weights beside its ``model.json``.
        data: a data set's name, a `Dataset` subclass or an object of one; None for the one of the run.
        data_root: folder that holds the files of a named data set.
        out: where ``evaluation.json``, ``evaluation.html`` and the tables go; None for `path` itself.
        precision: ``32``, ``bf16`` or ``16``; flatness is measured in 32 in any case.
        settings: what to measure, `EvaluateSettings` or a mapping of its fields.
        device: ``auto``, ``cpu`` or ``cuda``; None for ``auto``.
        quiet: no progress.

    Returns:
        The figures of each network, and their means.

    Raises:
        GenasError: no such network, unfit data, unknown shifts, one sentence each.
    """
    asked = settings if isinstance(settings, EvaluateSettings) else read_settings([settings or {}])
    path = Path(path)
    weights = find_models(path)
    place = Path(out) if out is not None else (path.parent if path.is_file() else path)
    check_writable(place, "--out")
    if precision.startswith("64"):
        raise ConfigError("precision is 64; a trained network is measured in 32, bf16 or 16.")
    fabric = open_fabric(device or "auto", precision)
    first = _opened(weights[0], asked)
    check_shifts(asked, first.facts.image_shape[0])
    source = data_source(path, weights[0], data, Path(data_root) if data_root else None)
    if asked.resizing is not None and not takes_size(source.name):
        raise ConfigError(f"resizing does not apply to {source.name!r}: its images have one size; leave it out.")
    splits = source.splits(first.facts, asked.image_size)
    if not quiet:
        tell(summary_of(source.name, splits))
    results = []
    for number, file in enumerate(weights):
        model: TrainedModel = first if number == 0 else _opened(file, asked)
        results.append({"name": _name(file), **evaluate_model(model, source.name, splits, asked, fabric, quiet)})
    thumbnails = [result.pop("thumbnails") for result in results]
    machine = {**describe_machine(fabric.device), "precision": precision}
    found = Evaluation(FORMAT, results, summarise(results), asked.model_dump(mode="json"), machine)
    write(place, found.to_dict(), thumbnails[0])
    return found


def read_settings(layers: Sequence[Mapping[str, Any]]) -> EvaluateSettings:
    """The settings from nested mappings, later ones winning.

    Raises:
        ConfigError: an unknown key or an impossible value; every fault is named.
    """
    return validate(EvaluateSettings, combine(EvaluateSettings, layers), "the settings of the evaluation are wrong")


def summarise(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over the networks of every figure that all of them have.

    Returns:
        By dotted name: ``mean`` and, of several networks, ``std`` (of the sample).
    """
    columns = [
        {
            key: value
            for key, value in flatten({part: one[part] for part in _SUMMED if part in one}).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for one in results
    ]
    summary = {}
    for key in columns[0]:
        values = [float(column[key]) for column in columns if key in column]
        if len(values) == len(columns):
            summary[key] = {"mean": statistics.fmean(values)}
            if len(values) > 1:
                summary[key]["std"] = statistics.stdev(values)
    return summary


_SUMMED = ("clean", "corruptions", "flatness")


def write(folder: Path, content: Mapping[str, Any], thumbnails: Sequence[str] = ()) -> None:
    """Writes ``evaluation.json``, the tables as CSV, ``evaluation.html``, and a search's report anew.

    Args:
        folder: where they go.
        content: of ``evaluation.json``.
        thumbnails: of the first network's mistakes, JPEG files in base64; they lie in ``evaluation-mistakes.json``.
    """
    write_json(EvaluationPaths(folder).content, content)
    write_json(EvaluationPaths(folder).mistakes, list(thumbnails))
    write_csv(EvaluationPaths(folder).per_class, per_class_rows(content["models"]))
    rows = corruption_rows(content["models"])
    if rows:
        write_csv(EvaluationPaths(folder).corruptions, rows)
    else:
        EvaluationPaths(folder).corruptions.unlink(missing_ok=True)  # of an earlier evaluation
    build_evaluation_page(folder)
    if RunPaths(folder).config.is_file() and RunPaths(folder).report.is_file():
        build_report(folder)


def corruption_rows(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy by network, corruption and severity; severity 0 is the clean image."""
    rows = []
    for one in results:
        found = one.get("corruptions")
        if not found:
            continue
        rows.append({"model": one["name"], "corruption": "none", "severity": 0, "top1": found["clean_top1"]})
        for name, accuracies in found["accuracy"].items():
            rows += [
                {"model": one["name"], "corruption": name, "severity": severity, "top1": accuracy}
                for severity, accuracy in zip(found["severities"], accuracies, strict=True)
            ]
    return rows


def per_class_rows(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy by network and class."""
    return [
        {"model": one["name"], "class": row["name"], "count": row["count"], "top1": row.get("accuracy", "")}
        for one in results
        for row in one["clean"]["per_class"]
    ]


def _opened(weights: Path, settings: EvaluateSettings) -> TrainedModel:
    """A network, with the way of resizing that was asked for in place of its own."""
    model = load_model(weights)
    if settings.resizing is None:
        return model
    record = replace(model.facts.rule(), resizing=settings.resizing).record()
    return replace(model, facts=model.facts.model_copy(update={"preprocessing": record}))


def _name(weights: Path) -> str:
    folder = weights.parent.name
    return folder if folder.startswith("seed-") else weights.stem
