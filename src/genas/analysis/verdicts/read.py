"""The verdicts of a run folder, from its files alone; no torch needed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genas.analysis.verdicts import Verdict
from genas.analysis.verdicts.comparison import Comparison, worth_nothing
from genas.analysis.verdicts.noise import Contender, within_noise
from genas.analysis.verdicts.parts import Spread, spreads, swamped
from genas.analysis.verdicts.scores import (
    Scores,
    at_limit,
    failures,
    fewer_than_asked,
    follows_size,
    no_improvement,
    one_function,
    ties,
)
from genas.analysis.verdicts.training import Chance, retrained_at_chance, retrained_below_supernet, supernet_not_trained
from genas.core.run_paths import RunPaths
from genas.strategies.history import History
from genas.strategies.named import STRATEGIES

PARTS = 2_000  # architectures over which the spread of a sum's parts is taken


def read_verdicts(run: Path, config: Mapping[str, Any]) -> list[Verdict]:
    """All warnings about a search, the gravest first.

    Args:
        run: the run folder, finished or not.
        config: its configuration.
    """
    found: list[Verdict | None] = []
    chance = read_chance(run)
    if chance is not None:
        found.append(supernet_not_trained(chance, config["supernet"]["epochs"]))
    if RunPaths(run).history.exists():
        with History(RunPaths(run).history, readonly=True) as history:
            found += _of_history(history, run, config)
    found += _of_retraining(run)
    return [verdict for verdict in found if verdict is not None]


def _of_history(history: History, run: Path, config: Mapping[str, Any]) -> list[Verdict | None]:
    search, scores = config["strategy"], read_scores(history)
    algorithm, custom = search["algorithm"], STRATEGIES.is_custom(search["algorithm"])
    finished = RunPaths(run).best_architecture.exists()
    asked = search["generations"] * search["population"] if finished else 0
    limits = {"macs": search.get("max_macs"), "params": search.get("max_params")}
    best = history.best(1)
    noise = read_noise(run, best[0].genotype) if best else None
    tied, sized = ties(scores), follows_size(scores)
    return [
        one_function(scores),
        tied,
        within_noise(noise["contenders"], noise["how"]) if noise and not tied else None,
        swamped(read_spreads(history)),
        None if sized is not None and counts_size(config["proxy"]["expression"]) else sized,
        no_improvement(scores, algorithm) if finished and (custom or STRATEGIES.find(algorithm).learns) else None,
        None if custom else fewer_than_asked(scores, asked),  # a custom strategy may propose fewer
        failures(scores),
        at_limit(scores, limits),
    ]


def counts_size(expression: str) -> bool:
    """Whether one of the built-in proxies of an expression is a size."""
    from genas.proxies.expression import names_of  # torch, which `genas status` does without where no score is one
    from genas.proxies.named import PROXIES

    return any(PROXIES.find(name).counts_size for name in names_of(expression) if name in PROXIES.table)


def _of_retraining(run: Path) -> list[Verdict | None]:
    result, data = read_derived(RunPaths(run).retrain.result), read_derived(RunPaths(run).data)
    if not result or not data or "top1" not in (result.get("test") or {}):
        return []
    top1, images = result["test"]["top1"], data["test"]
    noise = read_noise(run, result["genotype"])
    found = [retrained_at_chance(top1, images, len(data["classes"]))]
    if noise is not None and found[0] is None:
        supernet = noise["best"]
        found.append(retrained_below_supernet(top1, images, supernet["accuracy"], supernet["images"]))
    baseline = read_baseline(run, result["genotype"])
    if baseline is not None:
        found.append(worth_nothing(Comparison(**baseline["comparison"])))
    return list(found)


def read_baseline(run: Path, best: str) -> dict[str, Any] | None:
    """The comparison of the architecture `best` with random ones; None where there is none."""
    content = read_derived(RunPaths(run).baseline)
    return content if content is not None and content.get("best") == best else None


def read_left_out(run: Path, best: str) -> str | None:
    """Why `best` is not compared with random architectures; None where it is, or nobody decided."""
    plan = read_derived(RunPaths(run).baseline_plan)
    return plan.get("left_out") if plan is not None and plan["asked"]["best"] == best else None


def read_scores(history: History) -> Scores:
    """The numbers that the checks on scores look at."""
    rows = (
        (score, params, macs, generation)
        for generation, score, params, macs, whole, shared in history.columns()
        if whole and not shared and score is not None
    )
    table = np.fromiter(rows, dtype=np.dtype((np.float64, 4)))  # a history may hold millions
    score, params, macs, generation = table.T
    return Scores(score, params, macs, generation, len(history), history.failure_count())


def read_spreads(history: History) -> tuple[Spread, ...]:
    """The spread of each part of a weighted sum; none where the score is no sum."""
    rows = list(history.whole_parts(PARTS))
    rows = [row for row in rows if row and all(_is_part(value) for value in row.values())]
    return spreads(rows)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "contribution" in value and "weight" in value


def read_chance(run: Path) -> Chance | None:
    """How some paths of the supernet compare with chance; None where that was not measured."""
    content = read_derived(RunPaths(run).supernet.check)
    return None if content is None else Chance(**content)


def read_noise(run: Path, best: str) -> dict[str, Any] | None:
    """The noise of the best scores, with ``contenders`` as `Contender`; None where that of `best` was not measured."""
    content = read_derived(RunPaths(run).score_noise)
    if content is None or content.get("genotypes", [None])[0] != best:
        return None
    return {**content, "contenders": [Contender(**row) for row in content["contenders"]]}


def read_derived(path: Path) -> dict[str, Any] | None:
    """A file that can be made anew: a damaged one is as good as none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
