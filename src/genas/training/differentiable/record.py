"""What is recorded of the architecture parameters after every epoch: ``architecture.json`` beside the checkpoint."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genas.core.errors import RunError
from genas.core.run_folder import write_json
from genas.spaces.architecture import Architecture
from genas.spaces.edges import NONE, SKIPS, Edge, EdgeSpace

DIGITS = 6  # of a weight in the record


@dataclass(frozen=True)
class EpochRecord:
    """The architecture parameters after an epoch.

    Args:
        epoch: from 1.
        genotype: the architecture that they favour.
        skips: skip connections among its operations, by type of cell.
        entropy: mean over the edges of the entropy of their operations' weights, in nats.
        weights: one row per edge, one number per operation: what the derivation ranks.
        validation_loss: mean loss of the batches that moved the architecture parameters; None where none did.
    """

    epoch: int
    genotype: str
    skips: dict[str, int]
    entropy: float
    weights: list[list[float]]
    validation_loss: float | None


class ArchitectureRecord:
    """The records of a training, one per epoch.

    Args:
        file: ``architecture.json``.
        space: says what the weights belong to.
    """

    def __init__(self, file: Path, space: EdgeSpace) -> None:
        self._file, self._space = file, space
        self.epochs: list[EpochRecord] = []

    def resume(self, epoch: int) -> None:
        """Reads the records of the first `epoch` epochs.

        Raises:
            RunError: the file is damaged.
        """
        found = read_records(self._file)
        if len(found) < epoch:
            raise RunError(
                f"{self._file} holds {len(found)} epochs, expected the {epoch} of the checkpoint beside it; delete "
                "both to start the training again."
            )
        self.epochs = found[:epoch]

    def add(self, record: EpochRecord) -> None:
        """Keeps the record of an epoch, in place of that of an earlier try of it."""
        self.epochs = [*self.epochs[: record.epoch - 1], record]
        edges = [{**asdict(edge), "operations": list(edge.operations)} for edge in self._space.edges()]
        write_json(self._file, {"edges": edges, "epochs": [asdict(one) for one in self.epochs]})


def read_records(file: Path) -> list[EpochRecord]:
    """The records of a training; none where there is no file.

    Raises:
        RunError: the file is damaged.
    """
    if not file.is_file():
        return []
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return [EpochRecord(**one) for one in content["epochs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{file} is damaged ({error}): expected the records of a training's epochs; delete it with the checkpoint "
            "beside it to start the training again."
        ) from error


def mean_entropy(weights: Sequence[Sequence[float]]) -> float:
    """Mean over rows of the entropy of their shares, in nats; rows that sum to something else are scaled to 1."""
    entropies = []
    for row in weights:
        total = sum(row)
        entropies.append(-sum(one / total * math.log(one / total) for one in row if one > 0))
    return sum(entropies) / len(entropies)


def count_skips(space: EdgeSpace, architecture: Architecture) -> dict[str, int]:
    """Skip connections among the operations of an architecture, by type of cell."""
    counts = dict.fromkeys((edge.cell for edge in space.edges()), 0)
    for edge, name in zip(space.edges(), space.operations_of(architecture), strict=True):
        counts[edge.cell] += name in SKIPS
    return counts


def collapsed_cells(space: EdgeSpace, architecture: Architecture) -> dict[str, tuple[int, int]]:
    """Types of cells that are skip connections by half or more: the skips and all operations used, by type."""
    used = dict.fromkeys((edge.cell for edge in space.edges()), 0)
    for edge, name in zip(space.edges(), space.operations_of(architecture), strict=True):
        used[edge.cell] += name != NONE
    skips = count_skips(space, architecture)
    return {cell: (skips[cell], used[cell]) for cell in used if used[cell] > 1 and 2 * skips[cell] >= used[cell]}


def own_rows(edges: Sequence[Edge], weights: Sequence[Sequence[float]]) -> list[list[float]]:
    """The weights of each edge's own operations, rounded for the record."""
    return [
        [round(one, DIGITS) for one in row[: len(edge.operations)]] for edge, row in zip(edges, weights, strict=True)
    ]
