"""Everything that is measured on a trained network.

Clean accuracy and calibration on the test set always; robustness to corruptions, other test sets, detection of images
of no class, latency and flatness as asked for. The result is one JSON-able object; `genas.evaluation` opens what is
needed, writes it down and shows it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genas.core.arithmetic import ceil_div
from genas.core.device import Fabric
from genas.core.errors import DataError, unknown_name
from genas.core.progress import Bar
from genas.data import Splits
from genas.data.named import DATASETS
from genas.evaluation.classification import calibration_curve, detection, figures, per_class, predict, reliability
from genas.evaluation.corruptions import CORRUPTIONS, EVERYTHING, GROUPS, SEVERITIES, is_corruption, open_corruptions
from genas.evaluation.flatness import measure_flatness
from genas.evaluation.latency import measure_latency
from genas.evaluation.mistakes import confusion, mistakes
from genas.evaluation.settings import EvaluateSettings
from genas.evaluation.unseen import Unseen, match_classes, own_test_set, shifted_set
from genas.spaces.cost import architecture_cost
from genas.training.standalone.loading import TrainedModel


def check_shifts(settings: EvaluateSettings, channels: int) -> None:
    """Refuses unknown names before anything is loaded.

    Raises:
        ConfigError: an unknown name, or a corruption that does nothing to images of `channels` channels.
    """
    known = (EVERYTHING, *GROUPS, *CORRUPTIONS, *DATASETS.names, "package.module:Name")
    for name in (*settings.shifts, *settings.ood):
        if not (DATASETS.entry(name) or DATASETS.is_custom(name) or (name in settings.shifts and is_corruption(name))):
            raise unknown_name("shift", name, known)
    open_corruptions([name for name in settings.shifts if is_corruption(name)], channels)


def evaluate_model(
    model: TrainedModel,
    data: str,
    splits: Splits,
    settings: EvaluateSettings,
    fabric: Fabric,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measures one network.

    Args:
        model: the network; moved to the device, its weights left bit-identical.
        data: name of the data set, for the record.
        splits: the data set.
        settings: what to measure.
        fabric: device and precision.
        quiet: no progress.

    Returns:
        ``model``, ``data``, ``clean`` (with ``reliability``, ``calibration_curve``, ``per_class``, ``confusion`` and
        ``mistakes``), ``thumbnails`` (of the mistakes, JPEG in base64) and, as asked for, ``corruptions``, ``shifts``,
        ``ood``, ``latency``, ``flatness``.

    Raises:
        DataError: unfit data.
        ConfigError: unknown shifts.
    """
    facts = model.facts
    check_shifts(settings, facts.image_shape[0])
    whole = own_test_set(data, splits, facts, image_size=settings.image_size, classes=settings.classes)
    test = whole.thinned(settings.limit)
    others = [
        (name, shifted_set(name, facts, whole, image_size=settings.image_size))
        for name in settings.shifts
        if not is_corruption(name)
    ]
    outsiders = [outside_set(name, whole, settings) for name in settings.ood]
    network = model.network.to(fabric.device)
    logits, labels = predict(network, test.batches(settings.batch_size, fabric.device), fabric)
    found: dict[str, Any] = {
        "model": describe_model(model),
        "data": {"name": data, "pictures": len(test), "image_shape": _shape(test), "notes": list(test.notes)},
        "clean": {
            **figures(logits, labels, settings.bins),
            "reliability": reliability(logits, labels, settings.bins),
            "calibration_curve": calibration_curve(logits, labels, settings.bins),
            "per_class": per_class(logits, labels, facts.class_names),
            "confusion": confusion(logits, labels, facts.class_names),
        },
    }
    found["clean"]["mistakes"], found["thumbnails"] = mistakes(logits, labels, test)
    names = [name for name in settings.shifts if is_corruption(name)]
    if names:
        found["corruptions"] = corrupted(network, test, names, settings, fabric, quiet)
    if others:
        found["shifts"] = [shifted(network, other, logits, labels, settings, fabric) for _, other in others]
    if outsiders:
        found["ood"] = [
            {
                "name": other.name,
                "pictures": len(other),
                "notes": list(other.notes),
                **detection(logits, predict(network, other.batches(settings.batch_size, fabric.device), fabric)[0]),
            }
            for other in outsiders
        ]
    if settings.with_latency:
        found["latency"] = measure_latency(network, _shape(test), fabric, settings.latency)
    if settings.with_flatness:
        found["flatness"] = flatness_of(network, data, splits, test, settings, fabric)
    return found


def describe_model(model: TrainedModel) -> dict[str, Any]:
    """What was measured: file, architecture, size, and how it was trained as far as the description tells."""
    facts = model.facts
    space = facts.open_space()
    cost = architecture_cost(space, space.parse(facts.genotype), facts.classes, facts.image_shape)
    extra: dict[str, Any] = {key: facts.extra[key] for key in ("seed", "recipe") if key in facts.extra}
    return {
        "weights": model.weights.name,
        "sha256": hashlib.sha256(model.weights.read_bytes()).hexdigest(),
        "space": facts.space,
        "genotype": facts.genotype,
        "classes": facts.classes,
        "image_shape": list(facts.image_shape),
        "params": cost.params,
        "macs": cost.macs,
        **extra,
    }


@torch.no_grad()
def corrupted(
    network: nn.Module,
    test: Unseen,
    names: Sequence[str],
    settings: EvaluateSettings,
    fabric: Fabric,
    quiet: bool = False,
) -> dict[str, Any]:
    """Accuracy on corrupted test images.

    Args:
        network: on the device, in evaluation mode.
        test: clean images.
        names: of corruptions, of groups, or ``corruptions``.
        settings: batch size, number of images, seed.
        fabric: device and precision.
        quiet: no progress.

    Returns:
        ``images``, ``severities``, ``left_out`` (corruptions that do nothing to such images), ``groups`` (by name),
        ``clean_top1`` on the same images, ``accuracy`` (by name, one per severity), ``mean`` (by name),
        ``mean_corruption_accuracy`` (over all), ``relative_drop`` = 1 - mean corruption accuracy / clean accuracy.
    """
    corruptions, left_out = open_corruptions(names, test.facts.image_shape[0])
    images_used = test.thinned(settings.corruption_images)
    right = torch.zeros((len(corruptions), len(SEVERITIES)), dtype=torch.float64)
    clean = 0
    steps = ceil_div(len(images_used), settings.batch_size) * len(corruptions)

    def count_right(images: Tensor, labels: Tensor) -> int:
        with fabric.autocast():
            logits = network(test.normalised(images))
        return int((logits.argmax(1) == labels).sum())

    with Bar("corruptions", steps, quiet=quiet) as bar:
        # All corruptions of a batch together: images that are decoded from disk are decoded once.
        for images, labels, numbers in images_used.pixels(settings.batch_size, fabric.device):
            clean += count_right(images, labels)
            for row, corruption in enumerate(corruptions):
                for column, severity in enumerate(SEVERITIES):
                    spoilt = corruption(images, severity, numbers.tolist(), settings.seed)
                    right[row, column] += count_right(spoilt, labels)
                bar.step(note=corruption.name)
    accuracy = right / len(images_used)
    mean, clean_top1 = float(accuracy.mean()), clean / len(images_used)
    return {
        "pictures": len(images_used),
        "severities": list(SEVERITIES),
        "left_out": left_out,
        "groups": {one.name: one.group for one in corruptions},
        "clean_top1": clean_top1,
        "accuracy": {one.name: row for one, row in zip(corruptions, accuracy.tolist(), strict=True)},
        "mean": {one.name: row for one, row in zip(corruptions, accuracy.mean(1).tolist(), strict=True)},
        "mean_corruption_accuracy": mean,
        "relative_drop": 1 - mean / clean_top1 if clean_top1 else None,
    }


def shifted(
    network: nn.Module, other: Unseen, logits: Tensor, labels: Tensor, settings: EvaluateSettings, fabric: Fabric
) -> dict[str, Any]:
    """Figures on another test set of the same classes or of some of them.

    Args:
        network: on the device.
        other: the set.
        logits: [N, K] of the network's own test set.
        labels: [N] of it.
        settings: batch size and bins.
        fabric: device and precision.

    Returns:
        The figures with the logits restricted to the set's classes; ``classes`` in use, ``unmatched`` names,
        ``matched_by``, and ``same_classes_top1``: accuracy on the own test set with the same restriction.

    Raises:
        DataError: no class of the set is known to the network, or none has an image.
    """
    match = match_classes(other.class_names, other.facts.class_names, other.name)
    theirs, places = predict(network, other.batches(settings.batch_size, fabric.device), fabric)
    targets = match.targets[places]
    known = targets >= 0
    if not bool(known.any()):
        raise DataError(f"No image of {other.name} is of a class that the network knows; fill the class folders.")
    own_targets = torch.full((logits.shape[1],), -1)
    own_targets[match.columns] = torch.arange(len(match.columns))
    own = own_targets[labels] >= 0
    result = {
        "name": other.name,
        "classes": len(match.columns),
        "matched_by": match.by,
        "unmatched": list(match.unmatched),
        "pictures_left_out": int((~known).sum()),
        "notes": list(other.notes),
        **figures(theirs[known][:, match.columns], targets[known], settings.bins),
    }
    if bool(own.any()):
        same = figures(logits[own][:, match.columns], own_targets[labels[own]], settings.bins)
        result["same_classes_top1"] = same["top1"]
    return result


def outside_set(name: str, test: Unseen, settings: EvaluateSettings) -> Unseen:
    """Images of none of the network's classes.

    Raises:
        DataError: a class of theirs is one of the network's.
    """
    other = shifted_set(name, test.facts, test, image_size=settings.image_size)
    shared = sorted(set(other.class_names) & set(test.facts.class_names))
    if shared:
        raise DataError(
            f"{name} has the class {shared[0]}, which is one of the network's; images of known classes are not out "
            "of distribution: remove that folder, or give the set as --shift."
        )
    return other


def flatness_of(
    network: nn.Module, data: str, splits: Splits, test: Unseen, settings: EvaluateSettings, fabric: Fabric
) -> dict[str, Any]:
    """Flatness around the weights, with what it was measured on (``on``, ``images``)."""
    used = test
    if settings.flatness.on == "train":
        as_test = replace(splits, test=splits.train)
        used = own_test_set(data, as_test, test.facts, image_size=settings.image_size, classes=settings.classes)
    used = used.thinned(settings.flatness.images)
    kept_batches = list(used.batches(settings.batch_size, fabric.device))  # they are walked through dozens of times
    measured = measure_flatness(network, lambda: iter(kept_batches), settings.flatness, settings.seed)
    return {"on": settings.flatness.on, "pictures": len(used), **measured}


def _shape(test: Unseen) -> tuple[int, int, int]:
    return (test.facts.image_shape[0], *test.images.image_shape[1:])
