"""From scores and true accuracies to figures: agreement, intervals, partial and mutual correlations, repeatability.

An architecture that a proxy failed on is left out of everything, so that all proxies are compared on the same ones; a
proxy that failed on more than half of them is left out instead.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np

from genas.analysis.ranking.measures import (
    Floats,
    Weights,
    best_weights,
    bootstrap_weights,
    interval,
    kendall,
    kendall_matrix,
    once,
    partial_kendall,
    picked,
    spearman,
)
from genas.analysis.ranking.settings import AnalysisSettings
from genas.analysis.ranking.variants import COVARIATES
from genas.core.errors import DataError

LEAST = 10  # architectures that must be left


def analyse(
    scores: Mapping[str, Floats],
    columns: Mapping[str, Floats],
    repeats: Mapping[str, Sequence[Floats]],
    settings: AnalysisSettings,
    seed: int,
) -> dict[str, Any]:
    """All figures of a study.

    Args:
        scores: by proxy: [n], NaN where it failed. ``loss`` and ``macs`` are the covariates where they are there.
        columns: by column of the table: [n] accuracies.
        repeats: by proxy: its repetitions, [R][m], as `genas.analysis.ranking.study.Outcome.repeats`.
        settings: what is computed.
        seed: of the bootstrap.

    Returns:
        ``n``, ``dropped`` (proxies left out), ``proxies`` (by name: ``columns`` and ``retest``), ``mutual`` and
        ``columns`` (names, tau, low, high). A figure is an object of value, low and high; null where undefined.

    Raises:
        DataError: fewer than 10 architectures were scored by all proxies.
    """
    dropped = [name for name, values in scores.items() if 2 * int(np.isnan(values).sum()) > len(values)]
    names = [name for name in scores if name not in dropped]
    kept = np.isfinite([scores[name] for name in names]).all(axis=0) if names else np.zeros(0, dtype=bool)
    count = int(kept.sum())
    if count < LEAST:
        raise DataError(
            f"{count} architectures were scored by all proxies, at least {LEAST} are needed; the reasons of the "
            "failures are in scores.csv."
        )
    figures = _Figures({name: scores[name][kept] for name in names}, _chosen(columns, kept), settings, seed)
    retest = {name: _retest(rows, settings, seed) for name, rows in repeats.items() if name not in dropped}
    return {
        "n": count,
        "dropped": dropped,
        "proxies": {
            name: {"columns": {column: figures.of(name, column) for column in columns}, "retest": retest.get(name)}
            for name in names
        },
        "mutual": figures.matrix("proxy", names),
        "columns": figures.matrix("column", list(columns)),
    }


def _chosen(columns: Mapping[str, Floats], kept: Any) -> dict[str, Floats]:
    return {name: values[kept] for name, values in columns.items()}


class _Figures:
    """The bootstrap of one set of architectures, the same for all proxies and columns."""

    def __init__(
        self, scores: Mapping[str, Floats], columns: Mapping[str, Floats], settings: AnalysisSettings, seed: int
    ) -> None:
        self.scores, self.truth, self.settings = scores, columns, settings
        self.count = len(next(iter(columns.values())))
        self.once, self.many = once(self.count), bootstrap_weights(self.count, settings.replicates, seed)
        self.places = {("proxy", name): place for place, name in enumerate(scores)}
        self.places |= {("column", name): len(scores) + place for place, name in enumerate(columns)}
        variables = [*scores.values(), *columns.values()]
        self.tau, self.taus = kendall_matrix(variables, self.once), kendall_matrix(variables, self.many)
        self._best: dict[tuple[str, int, bool], Weights] = {}
        self._reached: dict[str, tuple[Floats, ...]] = {}

    def figure(self, value: Floats, many: Floats) -> dict[str, float | None]:
        low, high = interval(many, self.settings.level)
        return {"value": _plain(value[0]), "low": _plain(low), "high": _plain(high)}

    def matrix(self, kind: Literal["proxy", "column"], names: Sequence[str]) -> dict[str, Any]:
        """Tau between proxies, or between columns; a column may have the name of a proxy."""
        places = [self.places[kind, name] for name in names]
        cells = [[self.figure(self.tau[one, other], self.taus[one, other]) for other in places] for one in places]
        return {"names": list(names)} | {
            label: [[cell[key] for cell in row] for row in cells]
            for label, key in (("tau", "value"), ("low", "low"), ("high", "high"))
        }

    def of(self, name: str, column: str) -> dict[str, Any]:
        """Everything about one proxy and one column."""
        x, y = self.places["proxy", name], self.places["column", column]
        settings = self.settings
        share = round(settings.best_share * self.count)
        return {
            "tau": self.figure(self.tau[x, y], self.taus[x, y]),
            "rho": self._both(spearman, name, column),
            "tau_best_count": self._among_best(name, column, settings.best_count),
            "tau_best_share": self._among_best(name, column, share),
            "best_share_count": share,
            "regret": self._regret(name, column),
            "partial": {
                " + ".join(given): self._partial(x, y, given)
                for given in ((COVARIATES[1],), (COVARIATES[0],), COVARIATES)
                if all(("proxy", one) in self.places for one in given)
            },
            "minus": {
                other: self._difference(x, y, self.places["proxy", other])
                for other in COVARIATES
                if ("proxy", other) in self.places and other != name
            },
        }

    def _both(self, measure: Any, name: str, column: str) -> dict[str, float | None]:
        first, second = self.scores[name], self.truth[column]
        return self.figure(measure(first, second, self.once), measure(first, second, self.many))

    def _regret(self, name: str, column: str) -> dict[str, dict[str, float | None]]:
        sizes = [size for size in self.settings.tries if size < self.count]
        truth = self.truth[column]
        if column not in self._reached:
            self._reached[column] = tuple(
                picked(truth, truth, weights, [*sizes, self.count]) for weights in (self.once, self.many)
            )
        lost = [
            best - picked(self.scores[name], truth, weights, [*sizes, self.count])
            for best, weights in zip(self._reached[column], (self.once, self.many), strict=True)
        ]
        names = [*map(str, sizes), "all"]
        return {one: self.figure(value, many) for one, value, many in zip(names, *lost, strict=True)}

    def _partial(self, x: int, y: int, given: Sequence[str]) -> dict[str, float | None] | None:
        places = [self.places["proxy", one] for one in given]
        if x in places:
            return None
        return self.figure(partial_kendall(self.tau, x, y, places), partial_kendall(self.taus, x, y, places))

    def _difference(self, x: int, y: int, other: int) -> dict[str, float | None]:
        return self.figure(self.tau[x, y] - self.tau[other, y], self.taus[x, y] - self.taus[other, y])

    def _among_best(self, name: str, column: str, best: int) -> dict[str, float | None] | None:
        """None where there is nothing to choose, or fewer than five are left."""
        if not 5 <= best < self.count:
            return None
        values = []
        for weights, many in ((self.once, False), (self.many, True)):
            key = (column, best, many)
            if key not in self._best:
                self._best[key] = best_weights(self.truth[column], weights, best)
            values.append(kendall(self.scores[name], self.truth[column], self._best[key]))
        return self.figure(*values)


def _retest(rows: Sequence[Floats], settings: AnalysisSettings, seed: int) -> dict[str, Any] | None:
    """Mean tau over the pairs of repetitions; 1 by definition where nothing is random."""
    if len(rows) == 1:
        return {"random": False, "repeats": 1, "n": len(rows[0]), "tau": {"value": 1.0, "low": 1.0, "high": 1.0}}
    kept = np.isfinite(rows).all(axis=0)
    count = int(kept.sum())
    if count < LEAST:
        return None
    chosen = [row[kept] for row in rows]
    many = bootstrap_weights(count, settings.replicates, seed)
    value, values = (
        np.mean([kendall(first, second, weights) for first, second in combinations(chosen, 2)], axis=0)
        for weights in (once(count), many)
    )
    low, high = interval(values, settings.level)
    tau = {"value": _plain(value[0]), "low": _plain(low), "high": _plain(high)}
    return {"random": True, "repeats": len(rows), "n": count, "tau": tau}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
