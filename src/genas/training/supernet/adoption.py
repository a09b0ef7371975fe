"""A run that searches with the trained supernet of another run.

It keeps files of its own (hard links where the file system has them, which take no room): both runs may be moved or
removed, and neither writes into a file of the other, because every file is written under another name and renamed.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from genas.core.errors import RunError
from genas.core.run_folder import digest_of, explain, write_json
from genas.core.run_paths import RunPaths
from genas.training.supernet.stored import find_supernet, read_supernet


def check_adoption(source: Path, run: Path) -> None:
    """Makes sure that `run` can use, or already uses, the supernet of `source`.

    Args:
        source: run folder of a search.
        run: run folder that is to use its supernet; it need not exist.

    Raises:
        RunError: the supernet is not trained to its end, or `run` has another one.
        CheckpointError: the supernet is damaged.
    """
    if os.path.abspath(source) == os.path.abspath(run):
        raise RunError(f"{run} cannot take the supernet from itself: expected another folder with --run.")
    read_supernet(source)
    if not RunPaths(run).config.is_file():
        return
    origin = read_origin(run)
    if not origin and RunPaths(run).supernet.checkpoint.exists():
        raise RunError(f"{run} has trained a supernet of its own; choose another folder with --run.")
    if origin and origin.get("digest") != digest_of(find_supernet(source)):
        raise RunError(
            f"{run} uses another supernet, that of {origin.get('run')}; leave --supernet out to continue it, or choose "
            "another folder with --run."
        )


def adopt_supernet(source: Path, run: Path) -> None:
    """Takes the supernet of `source` into `run`, which is locked; see `check_adoption`.

    Raises:
        RunError: a file cannot be written.
    """
    own, theirs = RunPaths(run).supernet, RunPaths(source).supernet
    if own.checkpoint.exists():
        return
    write_json(own.origin, {"run": os.path.abspath(source), "digest": digest_of(theirs.checkpoint)})
    for file in (theirs.initial, theirs.metrics, theirs.checkpoint):  # the last one makes it trained
        if file.exists():
            _link(file, own.path / file.name)


def unfinished_adoption(run: Path) -> Path | None:
    """The run whose supernet `run` was to get when its process was killed; None where nothing is missing."""
    origin = read_origin(run)
    missing = "run" in origin and not RunPaths(run).supernet.checkpoint.exists()
    return Path(origin["run"]) if missing else None


def read_origin(run: Path) -> dict[str, Any]:
    """Where the supernet of a run came from: ``run`` and ``digest``; empty where the run trained its own."""
    path = RunPaths(run).supernet.origin
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise RunError(f"{path} is damaged: expected JSON ({error}).") from error
    return content if isinstance(content, dict) else {}


def _link(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)  # another file system, or one without links
        temporary.replace(target)
    except OSError as error:
        raise explain(error, target) from error
