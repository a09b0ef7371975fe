"""Says what was found in a data set, and looks closely at one that a run is about to begin with."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from genas.data.base import Dataset, Splits
from genas.data.summary import DataSummary, shown, summary_of


def inspect(dataset: Dataset, splits: Splits, *, check: bool, quiet: bool) -> Splits:
    """Says what was found in a data set, and looks at it more closely where a run is about to begin.

    Args:
        dataset: where the splits come from.
        splits: as `Dataset.splits` gave them.
        check: look at every image once (`Dataset.check`), which may take minutes for large sets.
        quiet: say nothing.

    Returns:
        The splits with a summary, to which the check's notes are added.

    Raises:
        DataError: the check found an image that cannot be read.
    """
    summary = summary_of(dataset.name, splits)
    if not quiet:
        tell(summary)
    if check:
        notes = dataset.check(quiet=quiet)
        if not quiet:
            _note(notes)
        summary = replace(summary, notes=(*summary.notes, *notes))
    return replace(splits, summary=summary)


def tell(summary: DataSummary) -> None:
    """Writes one line of what was found to standard error, and one for each note."""
    sys.stderr.write(f"Data {summary.line()}\n")
    _note(summary.notes)


def _note(notes: Sequence[str]) -> None:
    sys.stderr.writelines(f"Note: {shown(note)}\n" for note in notes)
    sys.stderr.flush()
