"""What a ranking study found: the content of ``rank.json``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genas.core.result import Result
from genas.core.run_paths import RunPaths


@dataclass(frozen=True)
class Ranking(Result):
    """How well proxies rank the architectures of a benchmark; what ``rank.json`` holds.

    Args:
        format: of the file.
        run: the run folder.
        study: name of the folder with the results, in ``rank/`` of the run folder.
        command: what made it.
        weights: of the supernet: ``file``, ``epoch``, ``sha256``.
        table: what the benchmark's table is.
        settings: of the study.
        n: architectures that all proxies scored.
        dropped: architectures that one did not score.
        proxies: for each: what it is, ``seconds``, ``failed``, ``columns`` with its figures, ``retest``.
        mutual: agreement of the proxies with one another.
        columns: agreement of the columns of the table with one another.
        scored: architectures that were scored.
        run_settings: of the run that fix its supernet.
        environment: versions and machine.
        verdicts: sentences for each column of the table.
    """

    format: str
    run: Path
    study: str
    command: str
    weights: dict[str, Any]
    table: dict[str, Any]
    settings: dict[str, Any]
    n: int
    dropped: int
    proxies: dict[str, Any]
    mutual: dict[str, Any]
    columns: dict[str, Any]
    scored: int
    run_settings: dict[str, Any]
    environment: dict[str, Any]
    verdicts: dict[str, list[str]]

    @property
    def folder(self) -> Path:
        """Where the results lie."""
        return RunPaths(self.run).ranks / self.study
