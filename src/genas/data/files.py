"""Which files of a folder are images: one rule for every data set that lies in files.

Hidden files and folders, and folders that operating systems and storage devices make, are left out at every level. An
image is a file whose suffix Pillow can read (`suffixes`). Every real file of a class counts once, however many links
lead to it; links that lead back end there.
"""

import os
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from genas.core.errors import DataError

#: Formats that Pillow knows and that are not read here: they need other programs, or hold no image of fixed pixels.
_NOT_READ = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"))
_SYSTEM_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information"))
HIDDEN = "hidden"
NO_FILE = "devices or pipes"
LINKS = "linked again"
OUTSIDE = "outside class folders"

Key = tuple[int, int]
"""Device and number of a folder or file: what a link leads to."""


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of image files, in lower case with the dot: all that the installed Pillow can decode."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset((".mpo", *(end for end, kind in known if kind in Image.OPEN and kind not in _NOT_READ)))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def is_image(name: str) -> bool:
    """Whether a file of this name is an image."""
    return os.path.splitext(name)[1].lower() in suffixes()


def folders_in(root: Path) -> list[str]:
    """Names of the folders in a folder that are not hidden, sorted.

    Raises:
        DataError: the folder cannot be read.
    """
    return sorted(entry.name for entry in _entries(root) if not is_hidden(entry.name) and _is_folder(entry))


def images_in(root: Path) -> int:
    """Number of images that lie directly in a folder.

    Raises:
        DataError: the folder cannot be read.
    """
    return sum(is_image(entry.name) and not is_hidden(entry.name) and not _is_folder(entry) for entry in _entries(root))


def key_of(path: Path | str) -> Key | None:
    """What a path leads to; None where that does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def above(root: Path) -> set[Key]:
    """A folder and all that it lies in."""
    real = Path(os.path.realpath(root))
    return {key for folder in (real, *real.parents) if (key := key_of(folder)) is not None}


class Walk:
    """Finds the images below folders.

    Args:
        known: folders that links do not lead into, because they are walked for themselves or hold those that are.
    """

    def __init__(self, known: Iterable[Key] = ()) -> None:
        self._known = set(known)
        self.ignored: Counter[str] = Counter()

    def images(self, folder: Path) -> list[str]:
        """Paths of the images below a folder, sorted; what is left out is counted in `ignored`.

        Raises:
            DataError: a folder cannot be read.
        """
        found: list[str] = []
        seen: set[Key] = set()  # files; folders are in `folders`
        folders = set(self._known)
        links = self._walk(os.fspath(folder), found, seen, folders, linked=False)
        while links:  # after all real files, so that a link never takes the place of what it leads to
            path = links.pop(0)
            key = key_of(path)
            is_folder = os.path.isdir(path)
            if key is not None and key in (folders if is_folder else seen):
                self.ignored[LINKS] += 1
            elif is_folder:
                links = sorted(links + self._walk(path, found, seen, folders, linked=True))
            elif key is not None and not os.path.isfile(path):
                self.ignored[NO_FILE] += 1
            elif self._counts(os.path.basename(path)):
                found.append(path)  # a link that leads nowhere too: decoding it names it
                seen.update(() if key is None else (key,))
        return sorted(found)

    def _walk(self, top: str, found: list[str], seen: set[Key], folders: set[Key], *, linked: bool) -> list[str]:
        """Adds what lies below `top` without following links; returns the links, sorted."""
        links = []
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            key = key_of(folder)
            if key is not None:
                if linked and key in folders:
                    continue
                folders.add(key)
            for entry in _entries(Path(folder)):
                if is_hidden(entry.name):
                    self.ignored[HIDDEN] += 1
                elif entry.is_symlink():
                    links.append(entry.path)
                elif entry.is_dir():
                    waiting.append(entry.path)
                elif not entry.is_file():
                    self.ignored[NO_FILE] += 1
                elif self._counts(entry.name):
                    file = (key[0] if key else 0, entry.inode())
                    if linked and file in seen:
                        self.ignored[LINKS] += 1
                        continue
                    seen.add(file)
                    found.append(entry.path)
        return sorted(links)

    def _counts(self, name: str) -> bool:
        if is_image(name):
            return True
        self.ignored[os.path.splitext(name)[1].lower() or "without suffix"] += 1
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder} ({error.strerror}).") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
