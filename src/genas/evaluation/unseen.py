"""Images that a trained network is judged on, brought to the form that it was trained on.

Whatever the data set's own normalisation is, the network gets its own: batches are taken back to pixel values in
[0, 1], where corruptions act, and normalised with the network's figures. Of 8-bit images this is exact, so the
accuracy measured here equals the one that retraining recorded.

Classes are matched by name, not by place. A set with some of the classes only (ImageNet-A, -R) restricts the logits to
those; the folders of ImageNet-V2, which are numbered, are matched by number.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genas.core.errors import ConfigError, DataError
from genas.data import Dataset, Splits, open_dataset
from genas.data.base import LabelledImages, Normalisation
from genas.data.decoding import RESIDENT_BYTES, load_all, sample_numbers
from genas.data.loader import ResidentImages
from genas.data.named import takes_size
from genas.data.preprocessing import with_channels
from genas.data.streaming import StreamedImages
from genas.data.summary import listed
from genas.data.vision import undivided
from genas.training.standalone.loading import ModelFacts


@dataclass(frozen=True)
class ClassMatch:
    """Which outputs of a network the classes of a data set are.

    Args:
        columns: [K] the outputs in use, ascending.
        targets: [classes of the data set] place in `columns`; -1 for a class that the network does not know.
        unmatched: names of those.
        by: ``name`` or ``number``.
    """

    columns: Tensor
    targets: Tensor
    unmatched: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class Unseen:
    """Labelled images in the form that a network wants.

    Args:
        name: of the data set.
        images: the images, normalised by `own`.
        own: the data set's normalisation.
        class_names: of the data set, in the order of its labels.
        facts: of the network.
        numbers: [N] the images' numbers in the whole set: what random numbers depend on.
        notes: conversions that were needed, as sentences.
    """

    name: str
    images: LabelledImages
    own: Normalisation
    class_names: tuple[str, ...]
    facts: ModelFacts
    numbers: Tensor
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Sequence[int] | Tensor) -> "Unseen":
        """The images at `indices`; they keep their numbers."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return replace(self, images=self.images.subset(chosen), numbers=self.numbers[chosen])

    def thinned(self, most: int | None) -> "Unseen":
        """At most `most` images, evenly spaced over the set; None for all."""
        if most is None or most >= len(self):
            return self
        return self.subset(sample_numbers(len(self), most))

    def pixels(self, batch_size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Walks through the images once, in the stored order.

        Yields:
            images [B, C, H, W] in [0, 1] with the network's number of channels; labels [B]; numbers [B] (on the CPU).
        """
        mean, std = (_column(part, device) * 255 for part in (self.own.mean, self.own.std))
        eight_bits = isinstance(self.images, ResidentImages | StreamedImages)
        for number, (images, labels) in enumerate(self.images.batches(batch_size, device)):
            levels = images * std + mean
            levels = levels.round() if eight_bits else levels
            levels = levels.clamp(0, 255) / 255
            here = self.numbers[number * batch_size : number * batch_size + len(labels)]
            yield with_channels(levels, self.facts.image_shape[0]), labels, here

    def batches(self, batch_size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """As `pixels`, normalised for the network and without the numbers."""
        for images, labels, _ in self.pixels(batch_size, device):
            yield self.normalised(images), labels

    def normalised(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] as the network wants them."""
        mean, std = (_column(part, images.device) * 255 for part in (self.facts.mean, self.facts.std))
        return images.mul(255).sub_(mean).div_(std)


def open_splits(
    name: str,
    facts: ModelFacts,
    *,
    root: Path | None,
    image_size: int | None,
    seed: int,
    options: Mapping[str, Any] | None = None,
) -> Splits:
    """A data set whose images come at the network's size where the data set can bring them to a size.

    Args:
        name: as ``--data`` takes it.
        facts: of the network.
        root: folder of a named data set's files.
        image_size: side in pixels; None for the network's.
        seed: of the halves (the test set does not depend on it).
        options: of a custom class.

    Raises:
        ConfigError: an unknown name, or a size for a data set that has only one.
        DataError: the data are missing, unreadable or unfit.
    """
    size = facts.image_shape[1] if image_size is None and takes_size(name) else image_size
    # as the network's own images: whether a set is streamed must not change what the network sees
    resizing = facts.rule().resizing if facts.preprocessing and takes_size(name) else None
    dataset: Dataset = open_dataset(name, root=root, image_size=size, resizing=resizing, **(options or {}))
    return dataset.splits(seed)


def own_test_set(
    name: str, splits: Splits, facts: ModelFacts, *, image_size: int | None = None, classes: str = "name"
) -> Unseen:
    """The test set of `splits`, with labels in the order of the network's outputs.

    Args:
        name: of the data set, for the record.
        splits: the data.
        facts: of the network.
        image_size: the side that was asked for; None for the network's.
        classes: ``name``, or ``order`` to trust the order where names differ.

    Raises:
        DataError: no test set, other classes, or images of another size.
    """
    if splits.test is None:
        raise DataError(f"{name} has no test set to evaluate on; give a data set that has one with --data.")
    unseen = _fitted(name, splits.test, splits.normalisation, splits.class_names, facts, image_size)
    ours, theirs = facts.class_names, splits.class_names
    if theirs == ours or (classes == "order" and len(theirs) == len(ours)):
        return replace(unseen, class_names=ours)
    if len(theirs) != len(ours):
        raise DataError(
            f"{name} has {len(theirs)} classes ({_listed(theirs)}), the network was trained on {len(ours)} "
            f"({_listed(ours)}); give the data set that it was trained on, or a folder with some of its classes as "
            "--shift folder:PATH."
        )
    match = match_classes(theirs, ours, name)
    if match.by != "name" or match.unmatched:
        missing = match.unmatched or theirs
        raise DataError(
            f"{name} has classes that the network does not know ({_listed(missing)}; it knows {_listed(ours)}); give "
            "the data set that it was trained on, or --classes order if only the names differ."
        )
    labels = match.columns[match.targets[unseen.images.labels]]
    return replace(unseen, images=unseen.images.with_labels(labels), class_names=ours)


def shifted_set(name: str, facts: ModelFacts, like: Unseen, *, image_size: int | None = None) -> Unseen:
    """Images of another source: ``folder:PATH`` (all of it), or the test set of any other data set.

    Args:
        name: as ``--shift`` and ``--ood`` take it.
        facts: of the network.
        like: the network's test set; the images are cut as its images are.
        image_size: side in pixels; None for the network's.

    Raises:
        DataError: missing, empty or unreadable.
    """
    kind, colon, path = name.partition(":")
    if kind != "folder" or not colon:
        splits = open_splits(name, facts, root=None, image_size=image_size, seed=0)
        if splits.test is None:
            raise DataError(f"{name} has no test set; give a folder of images as folder:PATH.")
        return _fitted(name, splits.test, splits.normalisation, splits.class_names, facts, image_size)
    if not path:
        raise ConfigError(f"{name!r} names no path; write folder:PATH.")
    files, labels, names, ignored = undivided(Path(path))
    size = image_size or facts.image_shape[1]
    plain = Normalisation((0.0,) * 3, (1.0,) * 3, "none")
    images: LabelledImages
    if isinstance(like.images, StreamedImages) or len(files) * 3 * size * size > RESIDENT_BYTES:
        images = StreamedImages(files, labels, plain, size, resizing=like.images.resizing)
    else:
        images = ResidentImages(load_all(files.__getitem__, len(files), size, like.images.resizing), labels, plain)
    fitted = _fitted(name, images, plain, names, facts, image_size)
    return replace(fitted, notes=(*fitted.notes, f"ignored {listed(ignored)}")) if ignored else fitted


def match_classes(theirs: Sequence[str], ours: Sequence[str], name: str) -> ClassMatch:
    """Finds the network's outputs for the classes of a data set.

    The same name, or else one that differs in case, spaces, hyphens and underscores only. Where no name is found and
    all are numbers below the number of classes (ImageNet-V2), the numbers are the outputs.

    Args:
        theirs: of the data set.
        ours: of the network.
        name: of the data set, for errors.

    Raises:
        DataError: none is found, or two are the same class.
    """
    exact = {text: place for place, text in enumerate(ours)}
    alike = {_plain(text): place for place, text in reversed(list(enumerate(ours)))}
    found = [exact.get(text, alike.get(_plain(text), -1)) for text in theirs]
    by = "name"
    if all(place < 0 for place in found) and all(text.isdecimal() and int(text) < len(ours) for text in theirs):
        found, by = [int(text) for text in theirs], "number"
    known = [place for place in found if place >= 0]
    if not known:
        raise DataError(
            f"None of the classes of {name} ({_listed(theirs)}) is one of the network's ({_listed(ours)}); class "
            "folders must be named as the network's classes."
        )
    twice = next((place for place in known if known.count(place) > 1), None)
    if twice is not None:
        names = [text for text, place in zip(theirs, found, strict=True) if place == twice]
        raise DataError(f"{name} has the class {ours[twice]} several times ({_listed(names)}); put them together.")
    columns = torch.tensor(sorted(known))
    targets = torch.tensor([int((columns == place).nonzero()) if place >= 0 else -1 for place in found])
    unmatched = tuple(text for text, place in zip(theirs, found, strict=True) if place < 0)
    return ClassMatch(columns, targets, unmatched, by)


def _fitted(
    name: str,
    images: LabelledImages,
    own: Normalisation,
    class_names: tuple[str, ...],
    facts: ModelFacts,
    image_size: int | None,
) -> Unseen:
    channels, height, width = images.image_shape
    wanted = facts.image_shape
    size = (image_size, image_size) if image_size is not None else wanted[1:]
    if (height, width) != size:
        raise DataError(
            f"The images of {name} are {height} x {width}, the network was trained on {wanted[1]} x {wanted[2]}; "
            f"give --image-size {height} to evaluate it at that size all the same."
        )
    notes = []
    if channels != wanted[0]:
        if {channels, wanted[0]} != {1, 3}:
            raise DataError(
                f"The images of {name} have {channels} channels, the network was trained on {wanted[0]}; only grey "
                "and RGB can be turned into each other."
            )
        notes.append("grey images repeated in three channels" if channels == 1 else "coloured images turned grey")
    if (height, width) != wanted[1:]:
        notes.append(f"evaluated at {height} x {width}, trained at {wanted[1]} x {wanted[2]}")
    return Unseen(name, images, own, class_names, facts, torch.arange(len(images)), tuple(notes))


def _plain(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)  # systems store accents in two ways
    return "".join(character for character in composed.casefold() if character not in " -_")


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)


def _listed(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
