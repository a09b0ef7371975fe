"""Builds the report page of a run from what its folder holds."""

import datetime
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genas.analysis.verdicts.parts import Spread
from genas.analysis.verdicts.read import read_baseline, read_left_out, read_spreads, read_verdicts
from genas.core.arithmetic import ceil_div
from genas.core.errors import RunError
from genas.core.progress import duration
from genas.core.run_folder import check_writable, read_config, read_rows, write_atomically
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.evaluation.page import collect_evaluation
from genas.reporting.cell_drawing import cell_graphs, draw_cell
from genas.reporting.data import Candidate, NoiseCurve, Progress, ReportData, TrainingCurve
from genas.reporting.page import charts, render
from genas.reporting.status import supernet_skipped
from genas.spaces.text import short
from genas.strategies.history import History, Record

POINTS = 2_000  # at most about that many scores are drawn: a chart of a million points is no clearer and 150 MB
FAILURES = 50  # failed architectures that are listed
BEST = 10  # functions in the table of the best


def build_report(run: Path, out: Path | None = None) -> Path:
    """Writes ``report.html`` and ``figures/`` of a run folder.

    Args:
        run: the run folder, finished or not.
        out: the folder to write them into; None for the run folder.

    Returns:
        The page's path.

    Raises:
        RunError: no run folder.
    """
    report = collect(run)
    place = run if out is None else out
    check_writable(place, "--out")
    path = RunPaths(place).report
    for graph in report.cells:
        name = graph.title.lower().replace(" ", "-")
        write_atomically(place / "figures" / f"{name}.svg", draw_cell(graph).encode())
    for name, svg in charts(report).items():
        write_atomically(place / "figures" / f"{name}.svg", svg.encode())
    write_atomically(path, render(report).encode())
    return path


def collect(run: Path) -> ReportData:
    """What the report shows."""
    config = read_config(run)
    if config.get("kind") == "retrain":
        raise RunError(
            f"{run} is a run of genas retrain; the report page is of searches. Its results: {run}/result.json"
        )
    found = _read_history(run)
    best = found.best
    data = _json(RunPaths(run).data) or {}
    retrained = _json(RunPaths(run).retrain.result) or {}
    test = retrained.get("test")
    return ReportData(
        title=f"Search on {config['data']['name']} in {config['space']['name']} by {config['proxy']['expression']}",
        created=datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        command=RunPaths(run).command.read_text(encoding="utf-8").strip() if RunPaths(run).command.exists() else "",
        summary=_summary(run, config, data, found),
        config=config,
        environment=_json(RunPaths(run).environment) or {},
        history=found.points,
        scored=found.scored,
        failed=found.failed,
        failed_count=found.failed_count,
        best=best,
        cells=cell_graphs(best[0].genotype, config["space"]) if best else (),
        noise_curves=tuple(
            NoiseCurve(
                curve["label"],
                curve["genotype"],
                tuple(curve["sigmas"]),
                tuple(curve["losses"]),
                tuple(curve["spread"]),
            )
            for curve in _json(RunPaths(run).noise_curves) or []
        ),
        supernet_curve=_curve("Supernet", RunPaths(run).supernet.metrics),
        retrain_curve=_curve("Retraining", RunPaths(run).retrain.metrics),
        network={key: retrained[key] for key in ("params", "macs")} if "params" in retrained else None,
        test=test or None,
        next_steps=_next_steps(run, best[0].genotype if best else None, bool(test)),
        warnings=tuple(read_verdicts(run, config)),
        spreads=found.spreads,
        baseline=read_baseline(run, best[0].genotype) if best else None,
        left_out=read_left_out(run, best[0].genotype) if best else None,
        evaluation=collect_evaluation(run),
    )


@dataclass(frozen=True)
class _Found:
    """What the history tells; of a long one, a sample of the scores (`POINTS`) and of the failures (`FAILURES`)."""

    points: tuple[Progress, ...] = ()
    best: tuple[Candidate, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    scored: int = 0
    failed_count: int = 0
    stopped: int = 0
    seconds: float = 0.0
    spreads: tuple[Spread, ...] = ()


def _read_history(run: Path) -> _Found:
    if not RunPaths(run).history.exists():
        return _Found()
    with History(RunPaths(run).history, readonly=True) as history:
        failed_count = history.failure_count()
        scored = len(history) - failed_count
        return _Found(
            _points(history, scored),
            tuple(_candidate(rank, *group) for rank, group in enumerate(history.best_functions(BEST), 1)),
            tuple((record.genotype, record.failed or "") for record in history.failures(FAILURES)),
            scored,
            failed_count,
            history.stopped_count(),
            history.seconds(),
            read_spreads(history),
        )


def _points(history: History, scored: int) -> tuple[Progress, ...]:
    """Scores in the order of scoring: every k-th of a long search, and all that were the best so far."""
    step = ceil_div(scored, POINTS) or 1
    drawn: dict[int, Progress] = {}
    improved: list[Progress] = []
    index = 0
    for generation, score, *_ in history.columns():
        if score is None:
            continue
        point = Progress(generation, index, score)
        if index % step == 0:
            drawn[index] = point
        if not improved or score > improved[-1].score:
            improved.append(point)
        index += 1
    kept = improved[:: ceil_div(len(improved), POINTS) or 1] + improved[-1:]
    return tuple(point for _, point in sorted((drawn | {point.index: point for point in kept}).items()))


def _candidate(rank: int, record: Record, equal: int) -> Candidate:
    return Candidate(
        rank,
        record.genotype,
        short(record.genotype),
        record.score or 0.0,
        record.parts,
        record.params or 0,
        record.macs or 0,
        record.generation,
        equal,
    )


def _supernet(run: Path, config: dict[str, Any]) -> str:
    """How the supernet was trained, and by which run."""
    folder = RunPaths(run).supernet.path
    if supernet_skipped(run):
        return "not trained: no part of the proxy needs it"
    epochs = config["supernet"]["epochs"]
    said = f"{epochs:,} epoch{'' if epochs == 1 else 's'}, {config['supernet']['labels']} labels"
    origin = _json(TrainingPaths(folder).origin) or {}
    return said + (f", trained by {origin['run']}" if "run" in origin else "")


def _summary(run: Path, config: dict[str, Any], data: dict[str, Any], found: _Found) -> tuple[tuple[str, str], ...]:
    shape = " x ".join(str(side) for side in data.get("image_shape", []))
    limits = [f"{key} {config['strategy'][key]:,}" for key in ("max_macs", "max_params") if config["strategy"].get(key)]
    options = ", ".join(f"{key} {value}" for key, value in config["space"].items() if key != "name")
    images = (
        f"{data.get('weights', 0):,} for weights, {data.get('validation', 0):,} for scores, "
        f"{data.get('test', 0):,} for the final test"
    )
    return (
        ("Data set", f"{config['data']['name']}: {len(data.get('classes', []))} classes, images {shape}"),
        ("Images", images),
        *_found_in_data(data),
        ("Space", f"{config['space']['name']} ({options})"),
        ("Supernet", _supernet(run, config)),
        ("Proxy", str(config["proxy"]["expression"])),
        (
            "Search",
            f"{config['strategy']['algorithm']}: {found.scored + found.failed_count:,} architectures scored in "
            f"{duration(found.seconds)}"
            + (f", {found.stopped:,} of them stopped early by races" if found.stopped else "")
            + (f"; limits: {', '.join(limits)}" if limits else ""),
        ),
        ("Seed", str(config["seed"])),
        ("Device", f"{config['device']}, precision {config['precision']}"),
    )


def _found_in_data(data: dict[str, Any]) -> list[tuple[str, str]]:
    """What was found in the data when the run began, and what there is to say of it."""
    found = data.get("found")
    if not isinstance(found, dict):
        return []  # a run from before this was recorded
    return [
        ("Found", str(found.get("line", ""))),
        *(("Note on the data", str(note)) for note in found.get("notes", [])),
    ]


def _curve(title: str, path: Path) -> TrainingCurve | None:
    rows = read_rows(path)
    if not rows:
        return None
    columns: dict[str, tuple[float, ...]] = {
        key: tuple(float(row[key]) for row in rows) for key in ("loss", "accuracy", "learning_rate") if key in rows[0]
    }
    return TrainingCurve(title, tuple(int(row["epoch"]) for row in rows), columns)


def _next_steps(run: Path, genotype: str | None, retrained: bool) -> tuple[tuple[str, str], ...]:
    where = shlex.quote(str(run))
    if genotype is None:
        return (("Continue the run", f"genas search --run {where}"),)
    steps = []
    if retrained:
        steps.append(
            (
                "Load the trained network in Python",
                f"import genas\n\nnetwork = genas.load({str(run)!r})  # network.preprocess(image) prepares a PIL image",
            )
        )
        steps.append(("Measure its calibration and robustness", f"genas evaluate {where} --shift corruptions"))
        steps.append(("Export it, to be loaded without genas", f"genas export {where} --out exported"))
    steps.append(
        ("Score another architecture with the same supernet", f'genas score {where} "GENOTYPE" --proxy accuracy')
    )
    steps.append(("Draw the loss around the best architecture", f"genas landscape {where}"))
    steps.append(("The best architecture", genotype))
    return tuple(steps)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
