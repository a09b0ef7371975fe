"""A run that searches with the trained supernet of another run.

It keeps files of its own (hard links where the file system has them, which take no room): both runs may be moved or
removed, and neither writes into a file of the other, because every file is written under another name and renamed.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from genas.errors import RunError
from genas.runs import digest_of, explain, write_json
from genas.supernet.stored import find_supernet, read_supernet

ORIGIN = "origin.json"
_FILES = ("initial.safetensors", "metrics.csv", "checkpoint.safetensors")  # the last one makes it trained


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
    if not (run / "config.yaml").is_file():
        return
    origin = read_origin(run)
    if not origin and (run / "supernet" / "checkpoint.safetensors").exists():
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
    folder = run / "supernet"
    if (folder / "checkpoint.safetensors").exists():
        return
    digest = digest_of(source / "supernet" / "checkpoint.safetensors")
    write_json(folder / ORIGIN, {"run": os.path.abspath(source), "digest": digest})
    for name in _FILES:
        if (source / "supernet" / name).exists():
            _link(source / "supernet" / name, folder / name)


def unfinished_adoption(run: Path) -> Path | None:
    """The run whose supernet `run` was to get when its process was killed; None where nothing is missing."""
    origin = read_origin(run)
    missing = "run" in origin and not (run / "supernet" / "checkpoint.safetensors").exists()
    return Path(origin["run"]) if missing else None


def read_origin(run: Path) -> dict[str, Any]:
    """Where the supernet of a run came from: ``run`` and ``digest``; empty where the run trained its own."""
    path = run / "supernet" / ORIGIN
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
