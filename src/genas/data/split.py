"""Class-balanced divisions of a labelled set, fixed by a seed.

The search trains the supernet on one half of the training set and scores architectures on the other; both halves hold
every class in the same share, unless a list says otherwise (`divided_by`). A fixed part is held out for sets that bring
no test set.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from genas.core.errors import DataError
from genas.core.seeding import torch_rng
from genas.data.augment import Augmentation
from genas.data.base import LabelledImages, Normalisation, Splits
from genas.data.summary import DataSummary, with_halves

#: The share of images held out as the test set where a data set brings none.
TEST_SHARE = 0.2


def check_labels(labels: Tensor, num_classes: int, class_names: Sequence[str], *, least: int = 2) -> None:
    """Checks that labels are fit for training.

    Args:
        labels: [N] int64.
        num_classes: number of classes.
        class_names: one name per class, for the error.
        least: smallest number of images in a class.

    Raises:
        DataError: fewer than two classes, a label out of range, an empty class, or a class with fewer than `least`
            images; the error names the class.
    """
    if num_classes < 2:
        named = f" ({class_names[0]})" if class_names else ""
        raise DataError(
            f"The data have {num_classes} class{'' if num_classes == 1 else 'es'}{named}; at least 2 are needed."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        wrong = labels[(labels < 0) | (labels >= num_classes)][0].item()
        raise DataError(f"A label is {wrong}; with {num_classes} classes it must lie between 0 and {num_classes - 1}.")
    counts = torch.bincount(labels, minlength=num_classes).tolist()
    empty = [class_names[i] for i, count in enumerate(counts) if count == 0]
    if empty:
        raise DataError(f"No training images in {_listed(empty)}: add images or remove the class.")
    few = [class_names[i] for i, count in enumerate(counts) if count < least]
    if few:
        raise DataError(f"Fewer than {least} training images in {_listed(few)}: each class needs at least {least}.")


def class_balanced_halves(
    labels: Tensor, num_classes: int, seed: int, class_names: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Divides images into two halves that hold every class in the same share.

    Classes of odd size give their odd image to either half in turn, so that the halves' sizes differ by one at most.

    Args:
        labels: [N] int64.
        num_classes: number of classes.
        seed: fixes the division.
        class_names: one name per class, for errors.

    Returns:
        The two halves' image numbers, each ascending, int64.

    Raises:
        DataError: see `check_labels`.
    """
    check_labels(labels, num_classes, class_names)
    rng = torch_rng(seed, "data.halves")
    extra_first = bool(torch.randint(0, 2, (1,), generator=rng))
    halves: tuple[list[Tensor], list[Tensor]] = ([], [])
    for members in _shuffled_classes(labels, num_classes, rng):
        cut = len(members) // 2
        if len(members) % 2:
            cut += extra_first
            extra_first = not extra_first
        halves[0].append(members[:cut])
        halves[1].append(members[cut:])
    first, second = (torch.cat(half).sort().values for half in halves)
    return first, second


def hold_out_test(labels: Tensor, num_classes: int, class_names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Holds out a fifth of every class as the test set; the same for every run, whatever its seed.

    Args:
        labels: [N] int64.
        num_classes: number of classes.
        class_names: one name per class, for errors.

    Returns:
        Image numbers for training and for the test, each ascending, int64.

    Raises:
        DataError: see `check_labels`; a class needs three images here.
    """
    check_labels(labels, num_classes, class_names, least=3)
    train, test = [], []
    for members in _shuffled_classes(labels, num_classes, torch_rng(0, "data.test")):
        cut = max(1, round(len(members) * TEST_SHARE))
        test.append(members[:cut])
        train.append(members[cut:])
    return torch.cat(train).sort().values, torch.cat(test).sort().values


def class_balanced_part(
    labels: Tensor, num_classes: int, share: float, class_names: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Takes a share of every class apart, at least one image of each; the same for every run, whatever its seed.

    Args:
        labels: [N] int64.
        num_classes: number of classes.
        share: of each class, above 0 and below 1.
        class_names: one name per class, for errors.

    Returns:
        Image numbers of the rest and of the part, each ascending, int64.

    Raises:
        DataError: see `check_labels`.
    """
    check_labels(labels, num_classes, class_names)
    rest, part = [], []
    for members in _shuffled_classes(labels, num_classes, torch_rng(0, "data.part")):
        cut = min(max(1, round(len(members) * share)), len(members) - 1)
        part.append(members[:cut])
        rest.append(members[cut:])
    return torch.cat(rest).sort().values, torch.cat(part).sort().values


def make_splits(
    train: LabelledImages,
    test: LabelledImages | None,
    seed: int,
    *,
    normalisation: Normalisation,
    class_names: Sequence[str],
    augmentation: Augmentation,
    validation: LabelledImages | None = None,
    summary: DataSummary | None = None,
) -> Splits:
    """Puts a `Splits` together from the training and test sets.

    Args:
        train: the whole training set; both halves are subsets of it where there is no validation set.
        test: the test set, passed through.
        seed: fixes the halves.
        normalisation: passed through.
        class_names: one name per class, in label order.
        augmentation: passed through.
        validation: scores architectures; the whole training set then trains the supernet. None for the halves.
        summary: passed through.

    Raises:
        DataError: the training labels are unfit, see `check_labels`.
    """
    if validation is None:
        halves = class_balanced_halves(train.labels, len(class_names), seed, class_names)
        weights, scores = (train.subset(half) for half in halves)
    else:
        check_labels(train.labels, len(class_names), class_names)
        weights, scores = train, validation
    return Splits(
        weights=weights,
        validation=scores,
        train=train,
        test=test,
        normalisation=normalisation,
        class_names=tuple(class_names),
        augmentation=augmentation,
        summary=summary,
    )


def divided_by(splits: Splits, path: Path) -> Splits:
    """The same data with the halves of a published list.

    Args:
        splits: the data; their whole training set is divided anew.
        path: JSON with ``train`` (trains the supernet) and ``valid`` (scores architectures), each a list of places in
            the training set, from 0, plain or as NAS-Bench-201 writes it: ``["int", ["12", "7", ...]]``. Images in
            neither are left out.

    Raises:
        DataError: no such file, another form, a place outside the set, in both lists or twice, or an empty list.
    """
    halves = _read_lists(path)
    count = len(splits.train)
    for name, places in halves.items():
        if not places:
            raise DataError(f"The list {name!r} of {path} is empty; expected places of training images.")
        if (outside := next((place for place in places if not 0 <= place < count), None)) is not None:
            raise DataError(
                f"{path} names the training image {outside}, but there are {count}, numbered from 0; give the list of "
                "this data set."
            )
    twice = [place for place, times in Counter([*halves["train"], *halves["valid"]]).items() if times > 1]
    if twice:
        raise DataError(f"{path} names the training image {twice[0]} twice; every image belongs to one half at most.")
    weights, validation = (splits.train.subset(halves[name]) for name in ("train", "valid"))
    summary = splits.summary
    if summary is not None:
        summary = with_halves(summary, len(weights), len(validation), path.name)
    return replace(splits, weights=weights, validation=validation, summary=summary)


def _read_lists(path: Path) -> dict[str, list[int]]:
    wanted = 'expected JSON such as {"train": [0, 1], "valid": [2, 3]}'
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"The split file {path.absolute()} does not exist; {wanted}.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"The split file {path} cannot be read ({' '.join(str(error).split())}); {wanted}.") from error
    halves = {}
    for name in ("train", "valid"):
        places = content.get(name) if isinstance(content, dict) else None
        if isinstance(places, list) and len(places) == 2 and places[0] == "int" and isinstance(places[1], list):
            places = places[1]
        try:
            if not isinstance(places, list) or any(isinstance(one, float | bool) for one in places):
                raise TypeError
            halves[name] = [int(one) for one in places]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} has no list {name!r} of whole numbers; {wanted}.") from error
    return halves


def _shuffled_classes(labels: Tensor, num_classes: int, rng: torch.Generator) -> list[Tensor]:
    classes = []
    for label in range(num_classes):
        members = (labels == label).nonzero().flatten()
        classes.append(members[torch.randperm(len(members), generator=rng)])
    return classes


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"class{'es' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"
