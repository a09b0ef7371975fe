"""Says what was found in a data set, and looks closely at one that a run is about to begin with."""

from collections.abc import Sequence
from dataclasses import replace

from genas.core.terminal import say
from genas.data.base import Dataset, Splits
from genas.data.summary import BOTH_HALVES, SCORES, SUPERNET, TEST, DataSummary, SplitSummary


def summarise(dataset: Dataset, splits: Splits, *, quiet: bool) -> Splits:
    """Gives splits a summary where they have none, and writes it to standard error.

    Args:
        dataset: where the splits come from.
        splits: as `Dataset.splits` gave them.
        quiet: write nothing.
    """
    summary = summary_of(dataset.name, splits)
    if not quiet:
        tell(summary)
    return replace(splits, summary=summary)


def check(dataset: Dataset, splits: Splits, *, quiet: bool) -> Splits:
    """Looks at every image once (`Dataset.check`), which may take minutes for large sets.

    Args:
        dataset: where the splits come from.
        splits: as `summarise` gave them.
        quiet: write nothing.

    Returns:
        The splits with what was found added to their summary as notes.

    Raises:
        DataError: an image cannot be read.
    """
    notes = dataset.check(quiet=quiet)
    if not quiet:
        _note(notes)
    summary = summary_of(dataset.name, splits)
    return replace(splits, summary=replace(summary, notes=(*summary.notes, *notes)))


def summary_of(name: str, splits: Splits) -> DataSummary:
    """The summary that the data set made itself, or else one from its splits alone."""
    if splits.summary is not None:
        return splits.summary
    halves = len(splits.weights) + len(splits.validation) == len(splits.train)
    if halves:
        found = [SplitSummary("train", len(splits.train), BOTH_HALVES)]
    else:
        found = [
            SplitSummary("train", len(splits.weights), SUPERNET),
            SplitSummary("validation", len(splits.validation), SCORES),
        ]
    if splits.test is not None:
        found.append(SplitSummary("test", len(splits.test), TEST))
    return DataSummary(name, splits.num_classes, splits.image_shape, tuple(found))


def tell(summary: DataSummary) -> None:
    """Writes one line of what was found to standard error, and one for each note."""
    say(f"Data {summary.line()}")
    _note(summary.notes)


def _note(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"Note: {note}")
