"""The page itself: a Jinja2 template filled with values and embedded images; nothing is loaded from elsewhere."""

import base64
import json
import math
from typing import Any

from genas.analysis.verdicts.parts import Spread
from genas.core.display import visible
from genas.reporting import figures
from genas.reporting.cell_drawing import cell_graphs, draw_cell
from genas.reporting.data import EvaluationData, ReportData
from genas.reporting.glossary import explain
from genas.spaces.text import short


def charts(report: ReportData) -> dict[str, str]:
    """The charts that the data allow, by file name without suffix, as SVG."""
    found = {}
    if report.history:
        found["search-progress"] = figures.search_progress(report.history)
    if len(report.best) > 1:
        found["score-and-size"] = figures.score_and_size(report.best)
    if report.noise_curves:
        from genas.proxies.expression import flatness_of  # torch: a page without scores does without it

        proxy = report.config.get("proxy", {})
        settings = proxy.get(flatness_of(proxy.get("expression", "")).section_name(), {})
        measured, scale = tuple(settings.get("sigmas", ())), settings.get("scale", "absolute")
        found["loss-under-noise"] = figures.noise(report.noise_curves, measured, scale)
    for name, curve in (("supernet-training", report.supernet_curve), ("retraining", report.retrain_curve)):
        if curve is not None:
            found[name] = figures.training(curve)
    if report.evaluation is not None:
        found |= evaluation_charts(report.evaluation)
    return found


def evaluation_charts(evaluation: EvaluationData) -> dict[str, str]:
    """The charts of an evaluation, by file name without suffix, as SVG."""
    found = {}
    if evaluation.corruptions:
        found["accuracy-under-corruption"] = figures.corruption(evaluation.corruptions)
    if evaluation.bins:
        found["reliability"] = figures.reliability(evaluation.bins)
    for scale, curves in evaluation.noise.items():
        found[f"trained-loss-under-{scale}-noise"] = figures.trained_noise(curves, scale)
    return found


_TITLES = {
    "accuracy-under-corruption": (
        "Accuracy on corrupted images",
        "Test accuracy by severity of the corruption",
        "Severity 0 is the clean image. Bold: mean of a group; thin: each corruption. The severities are genas's own "
        "and not those of ImageNet-C.",
    ),
    "reliability": (
        "Reliability",
        "Accuracy by confidence of the prediction",
        "Of a calibrated network the points lie on the diagonal. Every point stands for the same number of images, its "
        "bar is the 95 % interval of their accuracy.",
    ),
    "trained-loss-under-absolute-noise": (
        "Loss under weight noise",
        "Loss of the trained network at growing weight noise",
        "Noise of the same standard deviation on every weight. Band: one standard deviation over noise draws.",
    ),
    "trained-loss-under-relative-noise": (
        "Loss under noise relative to the filters",
        "Loss of the trained network at growing noise relative to the filters' norms",
        "Noise in proportion to each filter's norm: comparable between networks of different scales. Band: one "
        "standard deviation over noise draws.",
    ),
}


def render_evaluation(title: str, created: str, evaluation: EvaluationData) -> str:
    """The HTML of the page of an evaluation alone."""
    charts = evaluation_charts(evaluation)
    page = environment().get_template("evaluation_page.html.j2")
    html: str = page.render(title=title, created=created, **_evaluation_values(evaluation, charts))
    return html


def _evaluation_values(evaluation: EvaluationData, charts: dict[str, str]) -> dict[str, Any]:
    return {
        "evaluation": evaluation,
        "evaluation_charts": [(name, *_TITLES[name]) for name in charts if name in _TITLES],
        "charts": {name: embedded(svg) for name, svg in charts.items()},
    }


def render(report: ReportData) -> str:
    """The HTML of the page."""
    drawn = charts(report)
    values: dict[str, Any] = {"evaluation": None, "charts": {name: embedded(svg) for name, svg in drawn.items()}}
    if report.evaluation is not None:
        values = _evaluation_values(report.evaluation, drawn)
    html: str = (
        environment()
        .get_template("page.html.j2")
        .render(
            **values,
            report=report,
            baselines=_baselines(report),
            glossary=explain(report.best[0].parts, report.config.get("proxy", {}).get("expression", ""))
            if report.best
            else [],
            best=report.best[0] if report.best else None,
            cells=[(graph.title, embedded(draw_cell(graph)), _alt(graph.title)) for graph in report.cells],
            config=json.dumps(report.config, indent=2),
            environment=json.dumps(report.environment, indent=2),
            parts=_parts(report.best[0].parts) if report.best else [],
            summands=_summands(report.best[0].parts, report.spreads) if report.best else [],
        )
    )
    return html


def _baselines(report: ReportData) -> list[tuple[str, str, str, str]]:
    """The searched architecture and the random ones: name, parameters, MACs and test accuracy, best accuracy first."""
    found = report.baseline
    if found is None:
        return []
    rows = [("searched", found["params"], found["macs"], found["comparison"]["accuracy"], found["best"])]
    rows += [("random", one["params"], one["macs"], one["top1"], one["genotype"]) for one in found["architectures"]]
    rows.sort(key=lambda row: -row[3])
    return [
        (f"{kind}: {short(text)}", count(params), count(macs), percent(top1)) for kind, params, macs, top1, text in rows
    ]


def environment() -> Any:
    """Jinja2 with the templates of the reports and their filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("genas.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    made.filters.update(number=number, count=count, percent=percent)
    return made


def _alt(title: str) -> str:
    return f"{title} of the best architecture: nodes on a line, operations as arcs"


def embedded(svg: str) -> str:
    """The address of an image that lies in the page itself."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def cell_images(genotype: str, owner: str) -> list[tuple[str, str]]:
    """The cells of an architecture: address of each image, and a text for those who do not see it."""
    return [
        (embedded(draw_cell(graph)), f"{graph.title} of {owner}: nodes on a line, operations as arcs")
        for graph in cell_graphs(genotype)
    ]


def letter(place: int) -> str:
    """A to Z, then numbers from 27."""
    return chr(ord("A") + place) if place < 26 else str(place + 1)


def _parts(parts: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in parts.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {inner}", text) for inner, text in _parts(value)]
        else:
            rows.append((name.replace("_", " "), _listed(value)))
    return rows


def _summands(parts: dict[str, Any], spreads: tuple[Spread, ...]) -> list[dict[str, Any]]:
    """The parts of a weighted sum, the greatest share first; none where the score is no sum."""
    terms = {name: value for name, value in parts.items() if name != "shared_with"}
    if not all(isinstance(value, dict) and "contribution" in value for value in terms.values()):
        return []
    known = {one.name: one.share for one in spreads}
    rows = [{"name": name, **value, "spread": known.get(name)} for name, value in terms.items()]
    return sorted(rows, key=lambda row: -row["share"])


def _listed(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return number(value)
    nested = any(isinstance(item, list | tuple) for item in value)
    return ("; " if nested else ", ").join(_listed(item) for item in value)


def number(value: Any) -> str:
    """Five significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.5g}"


def count(value: int) -> str:
    """A large count, such as 1.53 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return str(value)


def percent(value: float) -> str:
    """A fraction in percent."""
    return f"{100 * value:.2f} %"
