"""Images that a data set holds more than once where that does harm: in two classes, in two splits, or twice in train.

Only images of the same size in bytes are compared, by a digest of their bytes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genas.core.executors import Threads
from genas.core.progress import Bar
from genas.data.decoding import worker_count
from genas.data.summary import shown

#: More bytes than this are not read for the comparison.
MOST_BYTES = 4 * 2**30
_MOMENT = 2**28  # bytes
_ORDER = ("train", "validation", "test")


class Contents(Protocol):
    """Numbered images as they are stored."""

    def sizes(self) -> NDArray[np.int64]:
        """Size in bytes of every image, [N]."""
        ...

    def stored(self, index: int) -> tuple[Path | bytes, str]:
        """The file or the bytes of one image, and what to call it."""
        ...


def find_copies(
    images: Contents, labels: Sequence[int], parts: Mapping[str, Sequence[int]], *, quiet: bool = True
) -> tuple[str, ...]:
    """Warnings about images that lie in two classes, in two splits, or twice in the train split.

    Args:
        images: the images.
        labels: of all images.
        parts: numbers of the images of each split: ``train``, ``validation``, ``test``.
        quiet: no progress; there is none for sets that take a moment.

    Returns:
        One sentence for each kind of harm and pair of splits, with a count and the first pair.
    """
    split_of = {int(number): name for name, numbers in parts.items() for number in numbers}
    order = np.array(sorted(split_of), dtype=np.int64)
    sizes = images.sizes()[order]
    _, group, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    alike = order[counts[group] > 1]
    total = int(sizes[counts[group] > 1].sum())
    if total > MOST_BYTES:
        return (
            f"{len(alike):,} images of equal sizes ({total / 1e9:,.0f} GB) were not compared: copies in two classes or "
            "splits are not looked for in sets as large as this.",
        )

    def digest(index: int) -> bytes:
        file = images.stored(int(index))[0]
        return hashlib.blake2b(file if isinstance(file, bytes) else file.read_bytes(), digest_size=16).digest()

    digests = []
    with Bar("Comparing images", len(alike), unit="image", quiet=quiet or total < _MOMENT) as bar:
        for found in Threads(worker_count()).map(digest, alike):
            digests.append(found)
            bar.step()
    groups: dict[bytes, list[int]] = {}
    for number, found in zip(alike.tolist(), digests, strict=True):
        groups.setdefault(found, []).append(number)
    conflicts: dict[str, list[tuple[int, int]]] = {}
    for members in groups.values():
        for name, pair in _conflicts(members, labels, split_of):
            conflicts.setdefault(name, []).append(pair)
    return tuple(
        f"{len(pairs):,} image{'s are' if len(pairs) > 1 else ' is'} in {name}, such as "
        f"{shown(images.stored(pairs[0][0])[1])} and {shown(images.stored(pairs[0][1])[1])}."
        for name, pairs in conflicts.items()
    )


def _conflicts(
    members: Sequence[int], labels: Sequence[int], split_of: Mapping[int, str]
) -> list[tuple[str, tuple[int, int]]]:
    """The ways in which copies of one image contradict each other, each with the first two that do."""
    found = []
    first = members[0]
    other = next((number for number in members if labels[number] != labels[first]), None)
    if other is not None:
        found.append(("more than one class", (first, other)))
    again = [number for number in members if split_of[number] == "train" and labels[number] == labels[first]]
    if len(again) > 1:  # supernet and scores would share it
        found.append(("the train split more than once", (again[0], again[1])))
    by_split: dict[str, int] = {}
    for number in members:
        by_split.setdefault(split_of[number], number)
    names = sorted(by_split, key=_ORDER.index)  # one sentence for a pair of splits, whichever image comes first
    for place, name in enumerate(names):
        for later in names[place + 1 :]:
            found.append((f"both the {name} and the {later} split", (by_split[name], by_split[later])))
    return found
