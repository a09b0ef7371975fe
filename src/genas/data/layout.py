"""How a data set lies in its files: which folders or Parquet files are the train, validation and test splits.

One rule for folders and Parquet files. The words are ``train`` and ``training``; ``val``, ``valid`` and
``validation``; ``test`` and ``testing``, in any case. A validation split scores architectures where there is a test
split too; alone it is the test split.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genas.core.errors import DataError
from genas.data.files import folders_in, images_in, is_hidden
from genas.data.summary import named

_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_BEGINNINGS = ("train", "val", "test")  # of names such as trainset
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class FolderLayout:
    """Where the class folders lie.

    Args:
        train: holds the class folders of the train split.
        validation: those of the validation split; None without one.
        test: those of the test split; None without one.
        unused: names of the folders beside the splits.
        alike: names of the folders that all class folders hold, where these hold nothing else: perhaps the classes.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    unused: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParquetLayout:
    """Which Parquet files are which split; each list in the order of the paths.

    Args:
        train: of the train split.
        validation: of the validation split.
        test: of the test split.
        unused: files that belong to none of them.
    """

    train: tuple[Path, ...]
    validation: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    unused: tuple[Path, ...] = ()


def split_of(name: str) -> tuple[str, str] | None:
    """The split that a name contains as a separate word, and the rest of the name; None without exactly one."""
    parts = re.split(r"([^a-z]+)", name.lower())
    places = [place for place, part in enumerate(parts) if part in _WORDS]
    if len(places) != 1:
        return None
    word = parts.pop(places[0])
    return _WORDS[word], "".join(parts)


def folder_layout(root: Path) -> FolderLayout:
    """Finds the splits of a folder.

    Folders are splits where one of them is named as the train split and holds class folders, or where two of them are
    named alike but for the split (``seg_train``, ``seg_test``). They may lie in a folder of their own.

    Raises:
        DataError: splits that cannot be told apart, lack their class folders, lie within the class folders, or come
            without a train split.
    """
    names = folders_in(root)
    found = _splits_among(root, names)
    if not found and len(names) == 1:  # an archive that holds one folder
        inner = folders_in(root / names[0])
        deeper = _splits_among(root / names[0], inner)
        if "train" in deeper:
            root, names, found = root / names[0], inner, deeper
    if not found:
        return FolderLayout(root, alike=_alike(root, names))
    if "train" not in found:
        lonely = named(sorted(part for parts in found.values() for part in parts))
        raise DataError(
            f"{root.absolute()} holds the split {lonely} and no train split beside it: put the class folders of the "
            "training images into a folder named train."
        )
    roots = {split: _one(root, split, parts) for split, parts in found.items()}
    train = _class_root(roots["train"], ())
    classes = folders_in(train)
    if not classes:
        return FolderLayout(train)
    others = {split: _class_root(path, classes) for split, path in roots.items() if split != "train"}
    present = {split: path for split, path in others.items() if folders_in(path)}
    loose = [path for split, path in others.items() if split not in present and images_in(path)]
    if loose and not present:
        raise DataError(
            f"{loose[0].absolute()} holds images but no class folders: put the images of each class into its own "
            "folder, or move the folder elsewhere to have a fifth of the train split held out."
        )
    used = {roots[split].name for split in ("train", *present)}
    unused = tuple(name for name in names if name not in used)
    if "test" in present:
        return FolderLayout(train, present.get("validation"), present["test"], unused)
    return FolderLayout(train, None, present.get("validation"), unused)


def _splits_among(root: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Folders that are splits, by split; empty where the folders are classes."""
    words = [(name, *found) for name in names if (found := split_of(name)) is not None]
    exact = [(name, split) for name, split, rest in words if not rest]
    if any(split == "train" and folders_in(root / name) for name, split in exact):
        return _by_split(exact)
    for stem in dict.fromkeys(rest for _, _, rest in words):
        alike = [(name, split) for name, split, rest in words if rest == stem]
        splits = {split for _, split in alike}
        if len(splits) > 1 and ("train" in splits or len(alike) == len(names)):
            return _by_split(alike)
    others = {name for name in names if name not in {name for name, _ in exact}}
    for name, _ in exact:
        inner = set(folders_in(root / name))
        # A class may be called "test"; beside folders of the very classes that it holds it is none.
        if inner and (inner & others or not others):
            return _by_split(exact)
    return {}


def _alike(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The folders that all class folders hold, where these hold no images beside them; none for one class folder.

    Raises:
        DataError: class folders hold splits, or are splits by names that say it in other words.
    """
    inner = {name: folders_in(root / name) for name in names}
    for name, parts in inner.items():
        exact = {found[0]: part for part in parts if (found := split_of(part)) is not None and not found[1]}
        if "train" in exact and len(exact) > 1:
            raise DataError(
                f"The folder {name} of {root.absolute()} holds splits ({named(sorted(exact.values()))}), and would be "
                f"a class: expected the splits outside, such as {exact['train']}/{name}; move them, or give "
                f"folder:{root / name} if it is a data set of its own."
            )
    first = next(iter(inner.values()), [])
    if (
        len(names) < 2
        or len(first) < 2
        or any(parts != first or images_in(root / name) for name, parts in inner.items())
    ):
        return ()
    if any(name.lower().startswith(_BEGINNINGS) or split_of(name) is not None for name in names):
        raise DataError(
            f"The folders {named(names)} of {root.absolute()} hold the same folders ({named(first)}), and would be the "
            "classes: if they are splits, name them train, val and test."
        )
    return tuple(first)


def _by_split(words: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, split in words:
        found.setdefault(split, []).append(name)
    return found


def _one(root: Path, split: str, names: Sequence[str]) -> Path:
    if len(names) > 1:  # perhaps only one of them holds anything
        names = [name for name in names if folders_in(root / name)] or names
    if len(names) > 1:
        raise DataError(
            f"{root.absolute()} has several {split} splits ({', '.join(names)}): expected one; rename or remove the "
            "others."
        )
    return root / names[0]


def _class_root(split: Path, known: Sequence[str]) -> Path:
    """The folder that holds the class folders of a split: itself, or the only folder in it (``train/train/cat``)."""
    inner = folders_in(split)
    if len(inner) == 1 and inner[0] not in known and not images_in(split / inner[0]):
        deeper = folders_in(split / inner[0])
        if len(deeper) > 1:
            return split / inner[0]
    return split


def parquet_layout(root: Path) -> ParquetLayout:
    """Finds the Parquet files of a folder and their splits.

    Files directly in the folder or in its ``data`` come first; where there are none, those of deeper folders, which
    must belong to one data set (``default/train/0000.parquet``).

    Raises:
        DataError: no such file or folder, no Parquet files, those of several data sets, or no train split.
    """
    if root.is_file():
        return ParquetLayout((root,))
    if not root.is_dir():
        raise DataError(f"There is no file or folder {root.absolute()}: give the path of a folder of Parquet files.")
    every = _parquet_files(root)
    files = [file for file in every if file.relative_to(root).parts[:-1] in ((), ("data",))]
    if not files:
        files = every
        sets = sorted({_set_of(file.relative_to(root)) for file in files})
        if len(sets) > 1:
            raise DataError(
                f"{root.absolute()} holds several data sets ({named(sets)}): "
                f"give one of them, such as parquet:{root / sets[0]}."
            )
    if not files:
        raise DataError(f"No *{_SUFFIX} files in {root.absolute()}: give the folder that holds them.")
    by_split: dict[str | None, list[Path]] = {}
    for file in files:
        by_split.setdefault(_file_split(file.relative_to(root)), []).append(file)
    if set(by_split) == {None}:
        return ParquetLayout(tuple(files), unused=tuple(file for file in every if file not in files))
    train, validation, test = (tuple(by_split.get(split, ())) for split in ("train", "validation", "test"))
    if not train:
        raise DataError(
            f"No training files in {root.absolute()} ({named([file.name for file in files])}): expected a file or "
            "folder with the word train in its name."
        )
    used = {*train, *validation, *test}
    unused = tuple(file for file in every if file not in used)
    return ParquetLayout(train, validation if test else (), test or validation, unused)


def _parquet_files(root: Path) -> list[Path]:
    found = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        found += [Path(folder, name) for name in files if name.lower().endswith(_SUFFIX) and not is_hidden(name)]
    return sorted(found)


def _file_split(path: Path) -> str | None:
    """The split that a Parquet file's name says, else the nearest folder's."""
    stem = path.name.lower()
    for word, split in (("train", "train"), ("test", "test"), ("val", "validation")):
        if stem.startswith(word):
            return split
    for part in (path.stem, *reversed(path.parts[:-1])):
        found = split_of(part)
        if found is not None:
            return found[0]
    return None


def _set_of(path: Path) -> str:
    """The folders of a Parquet file that name neither a split nor ``data``."""
    parts = [part for part in path.parts[:-1] if part != "data" and split_of(part) is None]
    return "/".join(parts) or "."
