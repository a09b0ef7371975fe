"""The page of a ranking study, from ``rank.json`` and ``scores.csv`` of its folder."""

import csv
import datetime
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genas.analysis.ranking.figures import Bar, Chart, bars, matrix, scatter
from genas.analysis.ranking.measures import mean_of_ranks
from genas.core.run_folder import write_atomically
from genas.core.run_paths import RankPaths
from genas.reporting.data import EvaluationTable
from genas.reporting.page import embedded, environment, number

Content = Mapping[str, Any]
BASELINES = ("params", "macs")
COVARIATES = ("loss", "macs")
FEW = 100  # architectures under which the verdict says that they are few
ENOUGH = 20  # best architectures from which a tau among them is shown
DASH = "–"
LONGEST = 60  # letters of a name in a file's name: a column and a proxy are in one


@dataclass(frozen=True)
class ColumnPart:
    """What the page says of one column of the table; charts by their names."""

    name: str
    tables: tuple[EvaluationTable, ...]
    charts: tuple[tuple[str, str, str], ...]
    scatter: tuple[tuple[str, str], ...]


def build_ranking_page(folder: Path) -> Path:
    """Writes ``rank.html`` and ``figures/`` beside ``rank.json``.

    Args:
        folder: of the study.

    Returns:
        The page's path.
    """
    content = json.loads(RankPaths(folder).content.read_text(encoding="utf-8"))
    with RankPaths(folder).table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = charts(content, rows)
    images = {}
    for name, chart in drawn.items():
        svg = chart if isinstance(chart, str) else chart.svg()
        images[name] = embedded(svg)
        write_atomically(folder / "figures" / f"{name}.svg", svg.encode())
        if isinstance(chart, Chart):
            write_atomically(folder / "figures" / f"{name}.png", chart.png())
    page = environment().get_template("ranking_page.html.j2")
    html: str = page.render(
        title=f"Ranking of {content['n']:,} architectures of {content['run_settings']['space']['name']}",
        created=datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        content=content,
        cards=cards(content),
        facts=facts(content),
        verdicts=[(column, verdicts(content, column)) for column in content["columns"]["names"]],
        columns=[_part(content, column, drawn) for column in content["columns"]["names"]],
        proxies=proxy_table(content),
        images=images,
        record=json.dumps({key: content[key] for key in ("settings", "run_settings", "environment")}, indent=2),
        variants=json.dumps({name: _variant(one) for name, one in content["proxies"].items()}, indent=2),
        level=round(100 * content["settings"]["analysis"]["level"]),
    )
    path = RankPaths(folder).page
    write_atomically(path, html.encode())
    return path


def ranked(content: Content, column: str) -> list[tuple[str, Content]]:
    """Proxies and their figures for a column, best tau first; those without any are missing."""
    found = [(name, one["columns"][column]) for name, one in content["proxies"].items() if one["columns"]]
    return sorted(found, key=lambda pair: -(pair[1]["tau"]["value"] if pair[1]["tau"]["value"] is not None else -2))


def charts(content: Content, rows: Sequence[Mapping[str, str]]) -> dict[str, Chart | str]:
    """All charts, or their SVG, by file name without suffix.

    Args:
        content: of ``rank.json``.
        rows: of ``scores.csv``.
    """
    found: dict[str, Chart | str] = {}
    for column in content["columns"]["names"]:
        entries = ranked(content, column)
        level = round(100 * content["settings"]["analysis"]["level"])
        found[f"tau-{slug(column)}"] = bars(
            [_bar(name, one["tau"]) for name, one in entries if one["tau"]["value"] is not None],
            f"tau-b (line: {level} % interval)",
        )
        both = [(name, one["partial"].get("loss + macs")) for name, one in entries]
        partial = [_bar(name, figure) for name, figure in both if figure and figure["value"] is not None]
        if partial:
            found[f"partial-{slug(column)}"] = bars(partial, f"partial tau (line: {level} % interval)")
        for name, _ in entries:
            pairs = [(float(row[name]), float(row[f"true:{column}"])) for row in rows if row[name] != ""]
            ranks = (100 * mean_of_ranks([np.array([score for score, _ in pairs])])).tolist()
            found[f"scatter-{slug(column)}--{slug(name)}"] = scatter(ranks, [truth for _, truth in pairs], name, column)
    mutual = content["mutual"]
    found["mutual-tau"] = matrix(mutual["names"], mutual["tau"])
    again = [
        _bar(name, one["retest"]["tau"])
        for name, one in content["proxies"].items()
        if one["retest"] and one["retest"]["random"] and one["retest"]["tau"]["value"] is not None
    ]
    if again:
        again.sort(key=lambda bar: -bar.value)
        found["test-retest"] = bars(again, "tau between repetitions")
    return found


def cards(content: Content) -> list[tuple[str, str]]:
    """The best proxy of each column."""
    found = []
    for column in content["columns"]["names"]:
        name, one = ranked(content, column)[0]
        found.append((f"Best tau, {column}", f"{short(one['tau']['value'])}  {name}"))
    return found


def facts(content: Content) -> list[tuple[str, str]]:
    """What was ranked, with which weights, against what."""
    run, settings, table = content["run_settings"], content["settings"], content["table"]
    epoch = content["weights"]["epoch"]
    rows = [
        ("Run", f"{content['run']}: supernet on {run['data']['name']}, {run['space']['name']}, seed {run['seed']}"),
        ("Weights", f"{content['weights']['file']}" + ("" if epoch is None else f" (epoch {epoch})")),
        ("Table", f"{table['file']}: {table['rows']:,} architectures, columns {', '.join(table['columns'])}"),
        ("Architectures", _drawn(content)),
        (
            "Intervals",
            f"{100 * settings['analysis']['level']:g} % by the percentiles of {settings['analysis']['replicates']:,} "
            "bootstrap samples of the architectures, the same for all proxies",
        ),
        ("Repetitions", f"{settings['repeats']} per random proxy" if settings["repeats"] > 1 else "none"),
    ]
    if content["dropped"]:
        rows.append(("Left out", f"{', '.join(content['dropped'])}: failed on more than half of the architectures"))
    return rows


def verdicts(content: Content, column: str) -> list[str]:
    """What the study says about a column of the table, in sentences.

    Differences to MACs and to the loss are paired: both proxies on the same bootstrap samples.
    """
    entries = ranked(content, column)
    name, best = entries[0]
    tau = f"{value(best['tau'])} ({spread(best['tau'])})"
    said = [f"{name} ranks {column} best: tau {tau} over {content['n']:,} architectures."]
    for other, label in (("macs", "counting MACs, which costs nothing"), ("loss", "the supernet's validation loss")):
        known = dict(entries).get(other)
        if known is None:
            continue
        better = [(key, one["minus"][other]) for key, one in entries if _above(one["minus"].get(other))]
        against = f"{label} (tau {value(known['tau'])})"
        if better:
            shown = ", ".join(f"{key} (+{value(gain)}, {spread(gain)})" for key, gain in better[:3])
            more = f" and {len(better) - 3} more" if len(better) > 3 else ""
            said.append(f"Better than {against} by more than the error: {shown}{more}.")
        else:
            said.append(f"No proxy is shown to rank better than {against}.")
    adding = [key for key, one in entries if key not in COVARIATES and _above(one["partial"].get("loss + macs"))]
    if all(one in dict(entries) for one in COVARIATES):
        listed = f"{', '.join(adding[:5])}{f' and {len(adding) - 5} more' if len(adding) > 5 else ''}"
        said.append(
            f"Beside loss and MACs together, these say something more: {listed}."
            if adding
            else "Beside loss and MACs together, no proxy is shown to say anything more."
        )
    if content["n"] < FEW:
        said.append(f"{content['n']:,} architectures are few: the intervals are wide; rank more with --architectures.")
    return said


def _above(figure: Content | None) -> bool:
    """Whether a figure is above 0 by more than its error."""
    return figure is not None and figure["low"] is not None and figure["low"] > 0


def without_dashes(table: EvaluationTable) -> EvaluationTable:
    """The table without columns that say nothing in any row."""
    kept = [
        place
        for place in range(len(table.heads))
        if place == 0 or any(row[place] not in (DASH, "") for row in table.rows)
    ]
    heads = tuple(table.heads[place] for place in kept)
    return replace(table, heads=heads, rows=tuple(tuple(row[place] for place in kept) for row in table.rows))


def among_best(content: Content, one: Content) -> tuple[str, str]:
    """Tau among the best architectures by number and by share; a dash where they are all, or too few to tell."""
    settings = content["settings"]["analysis"]
    by_count = value(one["tau_best_count"]) if settings["best_count"] < content["n"] else DASH
    by_share = value(one["tau_best_share"]) if one["best_share_count"] >= ENOUGH else DASH
    return by_count, by_share


def _drawn(content: Content) -> str:
    settings, scored = content["settings"], content["scored"]
    which = "all of the table" if settings["architectures"] is None else f"drawn uniformly, seed {settings['seed']}"
    missing = scored - content["n"]
    return f"{scored:,}, {which}" + (f"; {missing:,} left out because a proxy failed on them" if missing else "")


def agreement_table(content: Content, column: str) -> EvaluationTable:
    """How the rankings agree with a column, and what picking by them loses; the best tau first."""
    entries = ranked(content, column)
    tries = list(entries[0][1]["regret"])
    settings = content["settings"]["analysis"]
    heads = (
        "Proxy",
        "tau",
        "interval",
        "rho",
        f"tau best {settings['best_count']}",
        f"tau best {100 * settings['best_share']:g} %",
        *(f"regret {one}" for one in tries),
    )
    rows = tuple(
        (
            name,
            value(one["tau"]),
            spread(one["tau"]),
            value(one["rho"]),
            *among_best(content, one),
            *(value(one["regret"][key]) for key in tries),
        )
        for name, one in entries
    )
    return without_dashes(EvaluationTable(f"Agreement with {column}", heads, rows))


def partial_table(content: Content, column: str) -> EvaluationTable:
    """What the proxies add to loss and MACs, in the order of `agreement_table`."""
    differences = ("tau − MACs'", "interval", "tau − loss's", "interval")
    heads = ("Proxy", "given MACs", "given loss", "given both", "interval", *differences)
    rows = []
    for name, one in ranked(content, column):
        partial, minus = one["partial"], one["minus"]
        both = partial.get("loss + macs")
        row = [name, value(partial.get("macs")), value(partial.get("loss")), value(both), spread(both)]
        for other in ("macs", "loss"):
            row += [value(minus.get(other)), spread(minus.get(other))]
        rows.append(tuple(row))
    return without_dashes(EvaluationTable(f"Beside loss and MACs, {column}", heads, tuple(rows)))


def proxy_table(content: Content) -> EvaluationTable:
    """Seconds, repeatability and failures of every proxy."""
    rows = []
    for name, one in content["proxies"].items():
        retest = one["retest"]
        said = DASH if retest is None else value(retest["tau"]) if retest["random"] else "not random"
        band = spread(retest["tau"]) if retest and retest["random"] else DASH
        seconds = DASH if one["seconds"] is None else number(round(one["seconds"], 4))
        rows.append((name, said, band, seconds, str(one["failed"]) if one["failed"] else DASH))
    heads = ("Proxy", "retest tau", "interval", "s per arch.", "failed")
    return without_dashes(EvaluationTable("Cost and repeatability", heads, tuple(rows)))


def _part(content: Content, column: str, drawn: Mapping[str, Chart | str]) -> ColumnPart:
    wanted = [
        (f"tau-{slug(column)}", "Agreement with the table", f"Kendall's tau of every proxy with {column}"),
        (
            f"partial-{slug(column)}",
            "What is left beside loss and MACs",
            f"Partial tau of every proxy with {column} given supernet loss and MACs",
        ),
    ]
    plots = [(f"scatter-{slug(column)}--{slug(name)}", name) for name, _ in ranked(content, column)]
    return ColumnPart(
        column,
        (agreement_table(content, column), partial_table(content, column)),
        tuple(one for one in wanted if one[0] in drawn),
        tuple(plots),
    )


def _bar(name: str, figure: Content) -> Bar:
    return Bar(name, figure["value"], figure["low"], figure["high"], name in BASELINES)


def _variant(one: Content) -> Content:
    return {key: one[key] for key in ("kind", "members", "settings", "last_failure") if one[key]}


def slug(name: str) -> str:
    """A name as part of a file name; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.").lower()
    if plain == name and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST].rstrip('-.')}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def short(figure: float | None) -> str:
    """Three decimals without a leading zero; a dash where undefined."""
    if figure is None or not math.isfinite(figure):
        return DASH
    text = f"{figure:.3f}" if abs(figure) < 100 else f"{figure:.1f}"
    return (text.replace("0.", ".", 1) if abs(figure) < 1 else text).replace("-", "−")


def value(figure: Content | None) -> str:
    """The figure itself."""
    return DASH if figure is None else short(figure["value"])


def spread(figure: Content | None) -> str:
    """Its interval."""
    if figure is None or figure["low"] is None:
        return DASH
    return f"{figure['low']:.2f} … {figure['high']:.2f}".replace("0.", ".").replace("-", "−")
