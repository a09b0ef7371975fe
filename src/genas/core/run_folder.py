"""A run folder: the only state of a run.

It holds the frozen configuration (``config.yaml``), the environment, a lock, metrics, checkpoints, the history and the
report. Every file is written under a temporary name and renamed, so that a reader, or a process that comes after
a kill, sees the old file or the new one and nothing between.
"""

import csv
import errno
import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from genas.core.display import visible
from genas.core.errors import GenasError, RunError
from genas.core.run_paths import RunPaths
from genas.core.terminal import warn

HELD = (errno.EWOULDBLOCK, errno.EACCES)  # what locking says when another process holds the lock


def explain(error: OSError, path: Path) -> GenasError:
    """Turns an operating-system error on `path` into one clear sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"The disk is full: {path} could not be written; free some space and give the same command.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RunError(f"No permission to write {path}; choose another folder with --run.")
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return RunError(f"{path} cannot be a run folder: a file stands in its way; choose another with --run.")
    return RunError(f"{path} could not be written ({error.strerror or error}).")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes `content` to `path` whole or not at all.

    Raises:
        RunError: full disk, no permission and the like.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise explain(error, path) from error


def check_writable(folder: Path, option: str) -> None:
    """Makes sure that files can be written into `folder`, before long work whose results go there.

    Args:
        folder: may be missing; nothing is left behind.
        option: of the command line, that names another one.

    Raises:
        RunError: they cannot.
    """
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        handle, name = tempfile.mkstemp(dir=there, prefix=".probe.", suffix=".part")
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written to ({error.strerror or error}); name another folder with {option}."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=False) + "\n").encode())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with the columns of the first, atomically."""
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_atomically(path, buffer.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics file; none where it is missing."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level with dotted keys."""
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            flat.update(flatten(entry, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = entry
    return flat


def environment(machine: Mapping[str, Any], further: Sequence[str] = ()) -> dict[str, Any]:
    """Versions, machine and, in a git checkout, the commit.

    Args:
        machine: what `genas.core.device.describe_machine` gave.
        further: packages that this run uses beyond those that every run does.
    """
    packages = {}
    for name in ("genas", "torch", "torchvision", "numpy", "safetensors", "datasets", *further):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    source = Path(__file__).resolve().parents[1]
    commit = None
    if (source.parent.parent / ".git").exists():
        command = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
            commit = answer.stdout.strip() or None
        except (OSError, subprocess.TimeoutExpired):
            commit = None  # a machine without git: the versions above still identify the code
    return {**machine, "packages": packages, "commit": commit}


class RunFolder:
    """An open, locked run folder; use it as a context manager.

    Args:
        path: the folder; made where it is missing.

    Raises:
        RunError: another process holds the folder, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_file: io.TextIOWrapper | None = None

    def __enter__(self) -> Self:
        if os.fsencode(self.path).decode(errors="replace") != str(self.path):
            raise RunError(f"The path {visible(self.path)} is not valid UTF-8: choose another folder with --run.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock_file = RunPaths(self.path).lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise explain(error, self.path) from error
        try:
            if os.environ.get("GENAS_LOCK") != "off":
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in HELD:
                lock_file.close()
                raise RunError(
                    f"the file system of {self.path} has no locks ({error.strerror or error}), so nothing would keep "
                    "two processes apart: choose a folder on a local disk with --run, or set GENAS_LOCK=off and make "
                    "sure that one process at a time works there."
                ) from error
            lock_file.seek(0)
            holder = lock_file.read().strip() or "unknown"
            lock_file.close()
            raise RunError(
                f"{self.path} is in use by process {holder}; wait for it to end or choose another folder with --run."
            ) from error
        try:
            lock_file.truncate(0)
            lock_file.write(f"{os.getpid()} on {platform.node()}")
            lock_file.flush()
        except OSError as error:
            raise explain(error, RunPaths(self.path).lock) from error
        self._lock_file = lock_file
        for leftover in self.path.rglob(".*.part"):
            leftover.unlink(missing_ok=True)  # a killed process left it; nobody else writes here under the lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock_file is not None:
            self._lock_file.close()  # closing releases the lock
            self._lock_file = None

    def freeze(self, config: Mapping[str, Any]) -> None:
        """Writes the configuration of a new run, every setting with defaults written out.

        Raises:
            RunError: the folder holds other things.
        """
        others = [entry.name for entry in self.path.iterdir() if entry.name != "lock"]
        if others:
            raise RunError(
                f"{self.path} is not empty and not a run folder (it holds {', '.join(sorted(others)[:3])}); "
                "choose another folder with --run."
            )
        write_config(self.path, config)


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Writes the configuration of a run."""
    write_atomically(RunPaths(run).config, yaml.safe_dump(dict(config), sort_keys=False).encode())


def keep_environment(run: Path, now: Mapping[str, Any]) -> None:
    """Writes ``environment.json``, or warns of what differs from the environment that the run was begun in.

    Args:
        run: the run folder, locked.
        now: what `environment` gave, perhaps with ``processes``.
    """
    path = RunPaths(run).environment
    if not path.exists():
        write_json(path, dict(now))
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        found = environment_changes(before, now)
    except (ValueError, AttributeError, TypeError):
        return  # a record for people, which nothing is computed from
    if found:
        warn(
            f"{run} was begun with {', '.join(f'{name} {was}' for name, was, _ in found)}; now it is "
            f"{', '.join(f'{name} {is_now}' for name, _, is_now in found)}. Results may differ from those of an "
            "uninterrupted run by rounding."
        )


_DECIDES_ROUNDING = ("torch", "torchvision", "numpy", "onnxruntime")


def environment_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What of two environments differs and may change results: name, value before, value now."""
    found = []
    for name in _DECIDES_ROUNDING:
        found.append((name, before.get("packages", {}).get(name), now.get("packages", {}).get(name)))
    words = {"machine": "machine", "device_name": "device", "threads": "threads", "processes": "processes"}
    found += [(word, before.get(key), now.get(key)) for key, word in words.items()]
    return [(name, was, is_now) for name, was, is_now in found if None not in (was, is_now) and was != is_now]


def digest_of(path: Path) -> str:
    """What tells the content of a file from others: a hash of 24 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two nested configurations, one text for each dotted key."""
    first, second = flatten(before), flatten(now)
    return [change_of(key, first, second) for key in changed_keys(first, second)]


def changed_keys(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ between two flat configurations, sorted."""
    keys = sorted(first.keys() | second.keys())
    return [key for key in keys if first.get(key, "absent") != second.get(key, "absent")]


def change_of(key: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """How one key differs, for a sentence."""
    was, now = (repr(values[key]) if key in values else "not set" for values in (first, second))
    return f"{key} (was {was}, now {now})"


def no_run(path: Path | str) -> str:
    """The sentence for a `path` that is no run folder."""
    if not os.path.exists(path):
        return f"There is no {path}: expected the folder of a run."
    return f"{path} is not a run folder: it has no config.yaml."


FORMER_SECTIONS: dict[str, str] = {"search": "strategy"}
"""Former names of sections of ``config.yaml``, each with the one of today."""


def read_config(path: Path) -> dict[str, Any]:
    """The frozen configuration of the run folder `path`.

    Raises:
        RunError: it is no run folder.
    """
    file = RunPaths(path).config
    if not file.is_file():
        raise RunError(no_run(path))
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{file} is damaged: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise RunError(f"{file} is damaged: it holds no mapping.")
    return {FORMER_SECTIONS.get(str(key), str(key)): section for key, section in content.items()}
