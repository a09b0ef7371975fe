"""The report page of a run, written anew: what ``genas report`` does."""

from dataclasses import dataclass
from pathlib import Path

from genas.core.result import Result
from genas.reporting.build import build_report


@dataclass(frozen=True)
class Report(Result):
    """The report of a run.

    Args:
        report: the page.
    """

    report: Path


def report(
    run: str | Path, *, out: str | Path | None = None, noise_curves: bool = False, quiet: bool = False
) -> Report:
    """Writes the report page of a run anew, from what the run folder holds.

    Args:
        run: the run folder, finished or not.
        out: folder for the page; None for the run folder.
        noise_curves: first measure the loss under growing noise of the best, the median and the worst architecture,
            where it is missing.
        quiet: no progress.

    Raises:
        RunError: no run folder.
        Interrupted: Ctrl-C; the measurements that are done are kept.
    """
    if noise_curves:
        from genas.workflows.noise_curves import make_noise_curves  # loads torch, which the page does without

        make_noise_curves(Path(run), quiet)
    return Report(build_report(Path(run), None if out is None else Path(out)))
