"""What only an open run can measure for the verdicts: some paths against chance, and the noise of the best scores.

Both are small beside the search: a few paths on at most `IMAGES` images, and at most a twelfth of its scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genas.analysis.verdicts.noise import Contender
from genas.analysis.verdicts.read import read_derived
from genas.analysis.verdicts.training import Chance, against_chance
from genas.core.arithmetic import ceil_div
from genas.core.interrupt import StopRequest
from genas.core.progress import Bar
from genas.core.registry import blame
from genas.core.run_folder import write_json
from genas.core.run_paths import RunPaths
from genas.core.seeding import python_rng, torch_rng
from genas.core.terminal import warn
from genas.proxies.base import Proxy, as_score
from genas.proxies.expression import checked_score
from genas.proxies.scoring import Scoring
from genas.spaces.base import Architecture
from genas.spaces.text import function_of
from genas.strategies.history import History, Record
from genas.strategies.measure import NOT_THE_ARCHITECTURES_FAULT

PATHS = 4  # random paths of the supernet that are compared with chance
IMAGES = 1024  # validation images of that comparison
COMPARED = 5  # architectures whose noise is measured, the median among them
FEW = 4  # compared architectures from which repetitions tell a noise
SHARE = 12  # at most one for so many scored architectures
REPLICATES = 256  # resamples of the images
AT_ONCE = 32  # of them in memory


def check_supernet(scoring: Scoring, run: Path) -> Chance:
    """Some random paths of the trained supernet against chance; written to and read from ``supernet/check.json``.

    Args:
        scoring: with the trained supernet.
        run: the run folder.
    """
    known = read_derived(RunPaths(run).supernet.check)
    if known is not None:
        return Chance(**known)
    # as many images as there are up to a bound, however few a score looks at: few images show nothing
    whole = scoring.evaluation.model_copy(update={"images": None, "subset": 0})
    scoring = scoring.reseeded(scoring.seed, whole)
    size = whole.batch_size
    part = slice(0, max(1, ceil_div(min(IMAGES, scoring.validation_count), size)))
    labels = torch.cat([labels.cpu() for _, labels in scoring.validation_batches(part)])
    losses, right = [], []
    for number in range(PATHS):
        path = scoring.space.sample(python_rng(scoring.seed, "supernet.check", number))
        found = scoring.image_losses(scoring.prepared(path), part)
        losses.append(found[0].double().numpy())
        right.append(found[1].double().numpy())
    chance = against_chance(np.stack(losses), np.stack(right), labels.numpy(), scoring.splits.num_classes)
    write_json(RunPaths(run).supernet.check, asdict(chance))
    return chance


def measure_noise(
    proxy: Proxy,
    again: Callable[[], Proxy],
    scoring: Scoring,
    history: History,
    run: Path,
    quiet: bool = False,
) -> None:
    """Compares the best scores by their noise; writes ``score_noise.json`` unless it is there for the same best.

    Args:
        proxy: that the search used.
        again: opens the same proxy with other seeds; asked where the score is no function of means over images.
        scoring: with the trained supernet.
        history: of the finished search.
        run: the run folder.
        quiet: no progress.

    Raises:
        Interrupted: Ctrl-C; the search is complete, the measurement begins anew.
    """
    chosen = _chosen(history)
    names = [record.genotype for _, record in chosen]
    if (
        len(chosen) < (2 if proxy.raceable else FEW)
        or (read_derived(RunPaths(run).score_noise) or {}).get("genotypes") == names
    ):
        return
    architectures = [scoring.space.parse(name) for name in names]
    other = None if proxy.raceable else again()
    found: list[tuple[float, Tensor]] = []
    try:
        with StopRequest() as stop, Bar("score noise", len(chosen), 0, "architecture", quiet) as bar:
            for architecture, (_, record) in zip(architectures, chosen, strict=True):
                if other is None:
                    found.append(_resampled(proxy, architecture, scoring))
                else:
                    value = checked_score(other, architecture).value
                    found.append((record.score or 0.0, torch.tensor([value], dtype=torch.float64)))
                bar.step()
                stop.check()
        best = scoring.evaluate(scoring.prepared(architectures[0]))
    except NOT_THE_ARCHITECTURES_FAULT:
        raise
    except Exception as error:  # a proxy that fails where it is asked once more leaves the search complete
        warn(f"the noise of the best scores is not known: scoring them again failed with {blame(error)}.", quiet)
        return
    errors = _resampling(found) if other is None else _repeated(found)
    rows = [
        Contender(place, record.genotype, found[0][0] - value, error)
        for (place, record), (value, _), error in zip(chosen[1:], found[1:], errors, strict=True)
    ]
    count = scoring.validation_count
    content = {
        "genotypes": names,
        "how": f"resampling {count:,} validation images" if other is None else "scoring them again with other seeds",
        "contenders": [asdict(row) for row in rows],
        "best": {"loss": best.loss, "accuracy": best.accuracy, "images": count},
    }
    write_json(RunPaths(run).score_noise, content)


def _chosen(history: History) -> list[tuple[int, Record]]:
    """The best architectures of different functions with their places, and the median of all with place 0."""
    scored = len(history) - history.failure_count()
    groups = history.best_functions(min(COMPARED, max(2, scored // SHARE)))
    best = [(place, record) for place, (record, _) in enumerate(groups, 1)]
    middle = history.at_rank(scored // 2)
    if len(best) < 2 or middle is None:
        return []
    known = {function_of(str(record.parts.get("shared_with", record.genotype))) for _, record in best}
    if function_of(str(middle.parts.get("shared_with", middle.genotype))) in known:
        return best
    return [*(best[:-1] if len(best) > 2 else best[:1]), (0, middle)] if scored >= SHARE else [*best[:1], (0, middle)]


def _resampled(proxy: Proxy, architecture: Architecture, scoring: Scoring) -> tuple[float, Tensor]:
    """The score, and under resampled images: [REPLICATES] float64, the same resamples for every architecture."""
    statistics = proxy.statistics(architecture, slice(0, scoring.batch_count))
    generator = torch_rng(scoring.seed, "verdicts.noise")
    means = []
    for _ in range(REPLICATES // AT_ONCE):
        weights = torch.poisson(torch.ones(AT_ONCE, len(statistics), dtype=torch.float64), generator)
        means.append(weights @ statistics / weights.sum(1, keepdim=True))
    value = proxy.score_of_means(architecture, statistics.mean(0))
    return as_score(value).value, proxy.values_of_means(architecture, torch.cat(means))


def _resampling(found: Sequence[tuple[float, Tensor]]) -> list[float]:
    """The standard error of the difference between the first and each of the others."""
    return [float((found[0][1] - values).std()) for _, values in found[1:]]


def _repeated(found: Sequence[tuple[float, Tensor]]) -> list[float]:
    """As `_resampling`, from one repetition of all: what their changes have in common is no noise of differences."""
    changes = torch.tensor([float(values[0]) - value for value, values in found], dtype=torch.float64)
    # a change has the noise of two scores, and so has the difference of two scores
    return [float(changes.std())] * (len(found) - 1)
