"""The part of the report that shows what `genas evaluate` measured; also a page of its own."""

import datetime
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genas.core.run_folder import write_atomically
from genas.core.run_paths import EvaluationPaths
from genas.reporting.data import (
    CalibrationBin,
    Confusion,
    CorruptionCurve,
    EvaluationData,
    EvaluationTable,
    Mistake,
    NoiseCurve,
)
from genas.reporting.page import count, number, percent, render_evaluation

Result = Mapping[str, Any]
CONFUSED = 10  # pairs of classes in the table
LEAST = 30  # images of a bin of an evaluation that was made before there were bins of equally many


def build_evaluation_page(folder: Path) -> Path:
    """Writes ``evaluation.html`` beside ``evaluation.json``.

    Args:
        folder: holds ``evaluation.json``.

    Returns:
        The page's path.
    """
    evaluation = collect_evaluation(folder)
    assert evaluation is not None
    path = EvaluationPaths(folder).page
    created = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
    write_atomically(path, render_evaluation(f"Evaluation of {folder.name}", created, evaluation).encode())
    return path


def collect_evaluation(folder: Path) -> EvaluationData | None:
    """What ``evaluation.json`` of a folder tells; None without that file."""
    file, beside = EvaluationPaths(folder).content, EvaluationPaths(folder).mistakes
    if not file.exists():
        return None
    try:
        thumbnails = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        thumbnails = []  # an evaluation from before, or a damaged file: the page does without
    return describe(json.loads(file.read_text(encoding="utf-8")), thumbnails)


def describe(content: Mapping[str, Any], thumbnails: Sequence[str] = ()) -> EvaluationData:
    """What `genas.evaluate` returned, as texts, tables and curves.

    Args:
        content: of ``evaluation.json``.
        thumbnails: of the first network's mistakes, JPEG files in base64.
    """
    models, summary = content["models"], content["summary"]
    noise: dict[str, tuple[NoiseCurve, ...]] = {}
    for scale in ("absolute", "relative"):
        curves = tuple(
            NoiseCurve(
                one["name"],
                one["model"]["genotype"],
                *(tuple(one["flatness"]["noise"][scale][key]) for key in ("sigmas", "losses", "spread")),
            )
            for one in models
            if scale in one.get("flatness", {}).get("noise", {})
        )
        if curves:
            noise[scale] = curves
    return EvaluationData(
        networks=tuple(one["name"] for one in models),
        facts=_facts(models, summary, content["machine"]),
        cards=_cards(models[0], summary),
        bins=_bins(models),
        corruptions=_corruptions(models),
        noise=noise,
        tables=_tables(models),
        confusion=_confusion(models),
        mistakes=tuple(
            Mistake(one["true"], one["predicted"], one["probability"], one["number"], f"data:image/jpeg;base64,{file}")
            for one, file in zip(models[0]["clean"].get("mistakes", ()), thumbnails, strict=False)
            if re.fullmatch(r"[A-Za-z0-9+/=]+", str(file))
        ),
    )


def with_spread(entry: Mapping[str, float], show: Any) -> str:
    """A mean, with its standard deviation over networks where there are several."""
    text: str = show(entry["mean"])
    return f"{text} ± {show(entry['std'])}" if "std" in entry else text


def _facts(models: Sequence[Result], summary: Result, machine: Result) -> tuple[tuple[str, str], ...]:
    first = models[0]
    data, clean = first["data"], first["clean"]
    rows = [
        (
            "Images",
            f"{data['pictures']:,} test images of {data['name']}" + "".join(f"; {n}" for n in data["notes"]),
        ),
        ("Trained network", f"{count(first['model']['params'])} parameters, {count(first['model']['macs'])} MACs"),
        ("Top-1 accuracy", with_spread(summary["clean.top1"], percent) + _error(models, clean)),
    ]
    if "clean.top5" in summary:
        rows.append(("Top-5 accuracy", with_spread(summary["clean.top5"], percent)))
    rows += [
        ("Negative log-likelihood", with_spread(summary["clean.nll"], number)),
        ("Calibration error", with_spread(summary["clean.ece"], percent) + f" ({len(clean['reliability'])} bins)"),
    ]
    if "corruptions" in first:
        rows.append(
            (
                "On corrupted images",
                f"{with_spread(summary['corruptions.mean_corruption_accuracy'], percent)} on average over corruptions "
                "and severities"
                + (
                    f"; relative drop {with_spread(summary['corruptions.relative_drop'], percent)}"
                    if "corruptions.relative_drop" in summary
                    else ""
                ),
            )
        )
    if len(models) > 1:
        rows.append(("Networks", f"{len(models)} seeds; ± is the standard deviation over them"))
    rows.append(("Device", f"{_device(machine)}, precision {machine['precision']}"))
    return tuple(rows)


def _error(models: Sequence[Result], clean: Result) -> str:
    return f" (standard error {percent(clean['top1_standard_error'])})" if len(models) == 1 else ""


def _device(machine: Result) -> str:
    name, device = machine["device_name"], machine["device"]
    return str(name) if name == device else f"{name} ({device})"


def _cards(first: Result, summary: Result) -> tuple[tuple[str, str], ...]:
    cards = [
        ("Test accuracy", percent(summary["clean.top1"]["mean"])),
        ("Parameters, trained network", count(first["model"]["params"])),
    ]
    cards.append(("Calibration error", percent(summary["clean.ece"]["mean"])))
    if "corruptions" in first:
        cards.append(("Corruption accuracy", percent(summary["corruptions.mean_corruption_accuracy"]["mean"])))
    return tuple(cards)


def _bins(models: Sequence[Result]) -> tuple[CalibrationBin, ...]:
    curves = [one["clean"].get("calibration_curve") for one in models]
    if not all(curves):
        return _merged_bins(models)
    return tuple(_pooled(together) for together in zip(*curves, strict=False))


def _pooled(rows: Sequence[Result]) -> CalibrationBin:
    """Bins of several networks as one; the interval is that of all their images."""
    count = sum(row["count"] for row in rows)
    confidence, accuracy = (sum(row["count"] * row[key] for row in rows) / count for key in ("confidence", "accuracy"))
    if len(rows) == 1 and "low" in rows[0]:
        return CalibrationBin(confidence, accuracy, rows[0]["low"], rows[0]["high"], count)
    error = 1.96 * math.sqrt(accuracy * (1 - accuracy) / count)
    return CalibrationBin(confidence, accuracy, max(0.0, accuracy - error), min(1.0, accuracy + error), count)


def _merged_bins(models: Sequence[Result]) -> tuple[CalibrationBin, ...]:
    """Equally wide bins, neighbours together until each holds enough images."""
    found: list[CalibrationBin] = []
    waiting: list[Result] = []
    for together in zip(*(one["clean"]["reliability"] for one in models), strict=True):
        waiting += [row for row in together if row["count"]]
        if sum(row["count"] for row in waiting) >= LEAST:
            found.append(_pooled(waiting))
            waiting = []
    return (*found, *([_pooled(waiting)] if waiting else []))


def _corruptions(models: Sequence[Result]) -> tuple[CorruptionCurve, ...]:
    found = [one["corruptions"] for one in models if "corruptions" in one]
    if not found:
        return ()
    curves = []
    for name in found[0]["accuracy"]:
        rows = [[one["clean_top1"], *one["accuracy"][name]] for one in found]
        means = tuple(sum(column) / len(column) for column in zip(*rows, strict=True))
        curves.append(CorruptionCurve(name, found[0]["groups"][name], means))
    return tuple(curves)


def _tables(models: Sequence[Result]) -> tuple[EvaluationTable, ...]:
    tables = []
    curves = _corruptions(models)
    if curves:
        rows = [
            (curve.name, *(percent(value) for value in curve.accuracies[1:]), percent(_mean(curve.accuracies[1:])))
            for curve in curves
        ]
        found = models[0]["corruptions"]
        left_out = found["left_out"]
        tables.append(
            EvaluationTable(
                "Accuracy by corruption and severity",
                ("corruption", "1", "2", "3", "4", "5", "mean"),
                tuple(rows),
                f"On {found['pictures']:,} test images; {percent(curves[0].accuracies[0])} of them are recognised "
                "when clean."
                + (f" Left out, as they do nothing to grey images: {', '.join(left_out)}." if left_out else ""),
            )
        )
    tables += [table for table in (_shifts(models), _outside(models), _sharpness(models), _latency(models)) if table]
    tables += [table for table in (_confused(models),) if table]
    tables.append(_classes(models))
    return tuple(tables)


def _shifts(models: Sequence[Result]) -> EvaluationTable | None:
    rows = [
        (
            _set_name(one["name"]) + (f", {model['name']}" if len(models) > 1 else ""),
            f"{one['pictures']:,}",
            str(one["classes"]) + (f" ({len(one['unmatched'])} unknown)" if one["unmatched"] else ""),
            percent(one["top1"]),
            percent(one["same_classes_top1"]) if "same_classes_top1" in one else "",
            number(one["nll"]),
            percent(one["ece"]),
        )
        for model in models
        for one in model.get("shifts", ())
    ]
    heads = ("set", "images", "classes", "top-1", "top-1 of the test set", "NLL", "calibration error")
    remark = (
        "Logits are restricted to the classes of the set; the test set's accuracy is given under the same restriction."
    )
    return EvaluationTable("Other test sets", heads, tuple(rows), remark) if rows else None


def _outside(models: Sequence[Result]) -> EvaluationTable | None:
    rows = [
        (
            f"{_set_name(one['name'])}, {label}" + (f", {model['name']}" if len(models) > 1 else ""),
            f"{one['pictures']:,}",
            *(percent(one[score][key]) for key in ("auroc", "aupr_out", "aupr_in", "fpr_at_95")),
        )
        for model in models
        for one in model.get("ood", ())
        for score, label in (("max_softmax", "largest probability"), ("energy", "energy"))
    ]
    heads = ("set and score", "images", "AUROC", "AUPR out", "AUPR in", "FPR at 95 %")
    remark = (
        "AUPR: area under the precision-recall curve with the outside or the inside images as positives. "
        "FPR at 95 %: share of the outside images that pass where 95 % of the test images do."
    )
    return EvaluationTable("Detecting images of unknown classes", heads, tuple(rows), remark) if rows else None


def _sharpness(models: Sequence[Result]) -> EvaluationTable | None:
    steps: dict[tuple[str, float], list[float]] = defaultdict(list)
    for model in models:
        for row in model.get("flatness", {}).get("sharpness", ()):
            steps[(row["kind"], row["rho"])].append(row["increase"])
    rows = [
        (f"{kind} step, rho {number(rho)}", *(number(value) for value in values))
        for (kind, rho), values in steps.items()
    ]
    if not rows:
        return None
    found = models[0]["flatness"]
    remark = (
        f"Increase of the loss after one normalised ascent step, on {found['pictures']:,} {found['on']} images "
        f"(loss {number(found['loss'])} before it). The adaptive step does not change when weights are rescaled "
        "without changing the function."
    )
    heads = ("step", *(model["name"] for model in models if "flatness" in model))
    return EvaluationTable("Sharpness", heads, tuple(rows), remark)


def _latency(models: Sequence[Result]) -> EvaluationTable | None:
    rows = [
        (
            str(one["batch_size"]) + (f", {model['name']}" if len(models) > 1 else ""),
            *(f"{1e3 * one[key]:.3g} ms" for key in ("median", "q05", "q95")),
            f"{one['throughput']:,.0f}",
        )
        for model in models
        for one in model.get("latency", ())
    ]
    heads = ("images per pass", "median", "5 %", "95 %", "images / s")
    return EvaluationTable("Time of a forward pass", heads, tuple(rows)) if rows else None


def _classes(models: Sequence[Result]) -> EvaluationTable:
    rows = []
    for together in zip(*(one["clean"]["per_class"] for one in models), strict=True):
        values = [row["accuracy"] for row in together if "accuracy" in row]
        rows.append((together[0]["name"], f"{together[0]['count']:,}", percent(_mean(values)) if values else ""))
    return EvaluationTable("Accuracy by class", ("class", "images", "accuracy"), tuple(rows), folded=len(rows) > 12)


def _confusion(models: Sequence[Result]) -> Confusion | None:
    found = [one["clean"].get("confusion", {}).get("matrix") for one in models]
    if not all(found):
        return None
    names = tuple(row["name"] for row in models[0]["clean"]["per_class"])
    summed = tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*found, strict=True))
    return Confusion(names, summed)


def _confused(models: Sequence[Result]) -> EvaluationTable | None:
    """The pairs of classes that the first network confuses most."""
    found = models[0]["clean"].get("confusion")
    if not found or not found["pairs"]:
        return None
    pairs = found["pairs"][:CONFUSED]
    rows = tuple((one["true"], one["predicted"], f"{one['count']:,}", percent(one["share"])) for one in pairs)
    whose = f" Of {models[0]['name']}." if len(models) > 1 else ""
    remark = (
        f"The most frequent of {found['mistakes']:,} mistakes; the share is of the images of the true class.{whose}"
    )
    return EvaluationTable("Most confused classes", ("true class", "taken for", "images", "share"), rows, remark)


def _set_name(name: str) -> str:
    """The end of a path is enough to tell sets apart in a table."""
    return name if len(name) <= 24 else "/".join(name.rstrip("/").split("/")[-2:])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
