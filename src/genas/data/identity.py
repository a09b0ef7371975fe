"""What tells the data of a run from others: class names in order, images per class and split, and digests.

A run records the identity of its data when it begins (``identity`` in ``data.json``), and every command that opens them
again compares. The place of the files is no part of it: data that were moved are the same data.

A digest covers one fingerprint per image (`LabelledImages.fingerprints`) in stored order. Of files that is the name,
the size and, in sets of at most `SAMPLED` files, both ends of the content, so that nothing depends on how an image is
decoded; of images in memory it is their pixels. Digests are kept by class, so that a difference can be named.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from genas.data.base import Splits

SAMPLED = 20_000  # files of a set whose content is looked at; of larger ones name and size count
ENDS = 8192  # bytes of either end of a file that are looked at
_MOST_NAMED = 3  # differences that a sentence names
HALVES = "halves"  # of an identity: digest of the file that divides the training images, where there is one
_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


@runtime_checkable
class Fingerprinted(Protocol):
    """A source of images that tells them apart without decoding."""

    def fingerprints(self) -> NDArray[np.uint64]:
        """One number per image, [N]."""
        ...


def fingerprint(*parts: bytes) -> int:
    """A number of 64 bits for some bytes."""
    whole = hashlib.blake2b(digest_size=8)
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return int.from_bytes(whole.digest(), "little")


def file_fingerprints(paths: Sequence[Path | str]) -> NDArray[np.uint64]:
    """One number per file: of its name, its size and, in small sets, both ends of its content; [N].

    The folder that a file lies in is no part of it. A file that cannot be read has the size 0 here: whoever decodes it
    says what is wrong.
    """
    look = len(paths) <= SAMPLED
    return np.array([_of_file(os.fspath(path), look) for path in paths], dtype=np.uint64)


def _of_file(path: str, look: bool) -> int:
    name = os.fsencode(os.path.basename(path))
    try:
        if not look:
            return fingerprint(name, str(os.stat(path).st_size).encode())
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(ENDS)
            file.seek(max(size - ENDS, 0))
            return fingerprint(name, str(size).encode(), first, file.read(ENDS))
    except OSError:
        return fingerprint(name, b"0")


def identify(splits: "Splits") -> dict[str, Any]:
    """The identity of a data set, for ``data.json``.

    Args:
        splits: the whole data set, before `data.limit`. How its training images are divided does not matter; validation
            images that are not among them are a part of their own.

    Returns:
        ``classes``; ``counts`` and ``digests``, one per class, over all splits and whatever their order;
        ``image_shape``; and ``splits``, of which each has ``count`` and ``digest``, which covers labels and order too.
    """
    parts = {"train": splits.train}
    if len(splits.weights) + len(splits.validation) != len(splits.train):
        parts["validation"] = splits.validation
    if splits.test is not None:
        parts["test"] = splits.test
    labels = {name: images.labels.cpu().numpy() for name, images in parts.items()}
    prints = {name: images.fingerprints() for name, images in parts.items()}
    all_labels, all_prints = (np.concatenate(list(values.values())) for values in (labels, prints))
    order = np.lexsort((all_prints, all_labels))
    counts = np.bincount(all_labels, minlength=splits.num_classes)
    by_class = np.split(all_prints[order], np.cumsum(counts)[:-1])
    return {
        "classes": list(splits.class_names),
        "counts": counts.tolist(),
        "digests": [_digest(part) for part in by_class],
        "image_shape": list(splits.image_shape),
        "splits": {name: {"count": len(labels[name]), "digest": _digest(labels[name], prints[name])} for name in parts},
    }


def _digest(*columns: NDArray[Any]) -> str:
    whole = hashlib.blake2b(digest_size=8)
    for column in columns:
        whole.update(column.astype("<u8").tobytes())
    return whole.hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any], *, images_only: bool = False) -> list[str]:
    """What differs between two identities, one text each; nothing where the data are the same.

    Args:
        before: what was recorded: an identity, or the counts of a ``data.json`` from before identities were.
        now: an identity.
        images_only: classes and images count, but not their size nor how they are divided into splits.
    """
    found = _classes(before, now)
    if "splits" in before:
        found += _images(before, now)
        if not found and not images_only:
            found += _splits(before["splits"], now["splits"])
            if before.get(HALVES, now.get(HALVES)) != now.get(HALVES):
                found.append("the file of data.split_file divides the training images otherwise")
    else:
        counts = [(name, before[name], now["splits"].get(name, {"count": 0})["count"]) for name in ("train", "test")]
        found += [
            f"there are {is_now:,} {_SPLITS[name]} images, there were {was:,}"
            for name, was, is_now in counts
            if was != is_now
        ]
    if not images_only and list(before["image_shape"]) != list(now["image_shape"]):
        shapes = [" x ".join(map(str, shape["image_shape"])) for shape in (now, before)]
        found.append(f"images are {shapes[0]}, they were {shapes[1]}")
    return found


def listed(found: Sequence[str]) -> str:
    """Differences as the end of a sentence."""
    more = len(found) - _MOST_NAMED
    return "; ".join(found[:_MOST_NAMED]) + (
        f"; and {more} more difference{'s' if more > 1 else ''}" if more > 0 else ""
    )


def _classes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    missing = [name for name in before["classes"] if name not in now["classes"]]
    new = [name for name in now["classes"] if name not in before["classes"]]
    found = []
    for name in list(missing):
        same = next((other for other in new if "splits" in before and _of(before, name) == _of(now, other)), None)
        if same is not None:
            found.append(f"the class {name!r} is now named {same!r}")
            missing.remove(name)
            new.remove(same)
    found += [f"the class {name!r} is missing" for name in missing]
    found += [f"the class {name!r} is new" for name in new]
    if not found and list(before["classes"]) != list(now["classes"]):
        found.append("the classes come in another order")
    return found


def _of(identity: Mapping[str, Any], name: str) -> tuple[int, str]:
    """Count and digest of one class."""
    place = list(identity["classes"]).index(name)
    return identity["counts"][place], identity["digests"][place]


def _images(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name in before["classes"]:
        if name in now["classes"]:
            (was, was_digest), (is_now, digest) = _of(before, name), _of(now, name)
            if was != is_now:
                found.append(f"the class {name!r} has {is_now:,} images, it had {was:,}")
            elif was_digest != digest:
                found.append(f"among the {was:,} images of the class {name!r} are others than before")
    return found


def _splits(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs in how the same images are divided."""
    found = []
    for name, kind in _SPLITS.items():
        was, is_now = (part.get(name, {"count": 0, "digest": ""}) for part in (before, now))
        if was["count"] != is_now["count"]:
            found.append(f"there are {is_now['count']:,} {kind} images, there were {was['count']:,}")
        elif was["digest"] != is_now["digest"]:
            found.append(f"the {kind} images are others of the same data set, or come in another order")
    return found
