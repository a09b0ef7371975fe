"""Loss under growing weight noise of three architectures of a search, for its report (``noise_curves.json``).

The best, the median and the worst are measured on a random part of the validation images, so that the curves cost at
most a stated share of what the search cost. Every draw is kept as it comes: a stopped run goes on with the next one.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from genas.core.errors import RunError
from genas.core.interrupt import StopRequest
from genas.core.progress import Bar
from genas.core.run_folder import RunFolder, write_json
from genas.core.run_paths import RunPaths
from genas.proxies import Scoring, needs_training
from genas.proxies.expression import flatness_of, names_of
from genas.proxies.flatness import Flatness
from genas.strategies import History, Record
from genas.workflows.config import Config
from genas.workflows.session import Session, load_config

DRAWS = 3  # at least
LEAST = 16  # images; they take less than a second and a share of a tiny search would be none


def write_noise_curves(run: Path, history: History, scoring: Scoring, config: Config, quiet: bool = False) -> None:
    """Measures what is missing of the curves.

    Args:
        run: the run folder, locked.
        history: the scored architectures.
        scoring: of the run's supernet.
        config: the run's settings.
        quiet: no progress.

    Raises:
        Interrupted: Ctrl-C; the draws that are done are kept.
    """
    chosen = _chosen(history)
    measure, sigmas = _measure(scoring, config, history)
    curves = _begun(RunPaths(run).noise_curves, chosen, sigmas, measure)
    rows_each = measure.settings.draws * (2 if measure.settings.antithetic else 1)
    missing = sum(max(rows_each - len(curve["rows"]), 0) for curve in curves if "rows" in curve)
    if not missing:
        return
    with StopRequest() as stop, Bar("noise curves", missing, 0, "draw", quiet) as bar:
        for curve in curves:
            architecture = scoring.space.parse(curve["genotype"])
            for row in measure.losses_from(architecture, sigmas, len(curve["rows"])):
                curve["rows"].append(row)
                rows = torch.tensor(curve["rows"], dtype=torch.float64)
                curve["losses"] = rows.mean(0).tolist()
                curve["spread"] = rows.std(0, correction=min(len(rows) - 1, 1)).tolist()
                write_json(RunPaths(run).noise_curves, [one for one in curves if one["rows"]])
                bar.step(note=f"{curve['label']} architecture, {curve['images']:,} images")
                stop.stepped()
                stop.check()


def make_noise_curves(run: Path, quiet: bool = False) -> None:
    """Measures the curves of a run whose search is over: what ``genas report --noise-curves`` does.

    Raises:
        RunError: nothing was scored, or no supernet was trained.
    """
    config = load_config(run)
    if not needs_training(config.proxy) or not RunPaths(run).best_architecture.exists():
        raise RunError(
            f"{run} has no curves of the loss under noise: they need a trained supernet and a finished search."
        )
    session = Session(config, run, quiet=quiet)
    scoring = session.scoring(run)
    with RunFolder(run), History(RunPaths(run).history, readonly=True) as history:
        write_noise_curves(run, history, scoring, config, quiet)


def images_for(share: float, history: History, whole: int, passes: int, needed: int) -> int:
    """Images that the curves may look at.

    Args:
        share: of the search's passes.
        history: the scored architectures; a shared score cost nothing.
        whole: images of a full evaluation.
        passes: of every image in the search's score.
        needed: passes of every image in the curves.
    """
    scored = [record for record in history if record.failed is None and "shared_with" not in record.parts]
    spent = passes * sum(record.images or whole for record in scored)
    return max(min(LEAST, whole), min(whole, int(share * spent / needed)))


def _chosen(history: History) -> dict[str, Record]:
    ranked = [record for record in history if record.failed is None]
    ranked.sort(key=lambda record: (-(record.score or 0.0), record.number))
    return {"best": history.best(1)[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}


def _measure(scoring: Scoring, config: Config, history: History) -> tuple[Flatness, tuple[float, ...]]:
    kind = flatness_of(config.proxy.expression)
    settings = config.proxy.of(kind)
    top = settings.sigmas[-1]
    sigmas = tuple(sorted({0.0, *settings.sigmas, top * 1.5, top * 2}))
    dealt = settings.draw_images == "dealt"  # the spread shown is that of the noise alone: each on the same images
    draws = DRAWS if dealt else max(DRAWS, settings.draws)
    changed = {"noise": "direct", "draws": draws, "common_noise": True, "draw_images": "all"}
    flat = kind.name in names_of(config.proxy.expression)
    passes = len(settings.sigmas) * (1 if dealt else settings.draws) if flat else 1
    needed = 3 * len(sigmas) * draws * (2 if settings.antithetic else 1)
    count = images_for(config.report.noise_share, history, scoring.validation_count, passes, needed)
    return Flatness(scoring.limited(count), settings.model_copy(update=changed)), sigmas


def _begun(path: Path, chosen: dict[str, Record], sigmas: Sequence[float], measure: Flatness) -> list[dict[str, Any]]:
    """The curves as far as they are measured; those of other architectures, images or strengths begin anew."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    wanted = [record.genotype for record in chosen.values()]
    if [curve["genotype"] for curve in known] == wanted and not any("rows" in curve for curve in known):
        return known  # whole curves of an earlier version
    facts = {"sigmas": list(sigmas), "images": measure.scoring.validation_count}
    found = {(curve["label"], curve["genotype"]): curve for curve in known if facts.items() <= curve.items()}
    return [
        found.get((label, record.genotype)) or {"label": label, "genotype": record.genotype, **facts, "rows": []}
        for label, record in chosen.items()
    ]
