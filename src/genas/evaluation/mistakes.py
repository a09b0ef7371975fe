"""Which classes a network confuses, and the images that it gets wrong."""

import base64
import io
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from genas.core.arithmetic import ceil_div
from genas.evaluation.unseen import Unseen

MATRIX = 20  # classes up to which the whole matrix is kept
PAIRS = 20  # most confused pairs of classes
SHOWN = 24  # images of mistakes
SIDE = (64, 112)  # least and greatest side of their thumbnails in pixels


def confusion(logits: Tensor, labels: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    """Which classes are taken for which.

    Args:
        logits: [N, K] float32.
        labels: [N] int64.
        names: [K].

    Returns:
        ``mistakes`` (their number), ``pairs`` (the most frequent `PAIRS`: ``true``, ``predicted``, ``count``, ``share``
        of the images of the true class) and, of up to `MATRIX` classes, ``matrix`` [K, K]: rows are true classes.
    """
    classes = logits.shape[1]
    predicted = logits.argmax(1)
    wrong = predicted != labels
    codes, counts = torch.unique(labels[wrong] * classes + predicted[wrong], return_counts=True)
    order = torch.argsort(counts, descending=True, stable=True)[:PAIRS]
    totals = torch.bincount(labels, minlength=classes)
    pairs = []
    for code, count in zip(codes[order].tolist(), counts[order].tolist(), strict=True):
        true, other = divmod(code, classes)
        share = count / int(totals[true])
        pairs.append({"true": names[true], "predicted": names[other], "count": count, "share": share})
    found: dict[str, Any] = {"mistakes": int(wrong.sum()), "pairs": pairs}
    if classes <= MATRIX:
        found["matrix"] = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, -1).tolist()
    return found


def mistakes(logits: Tensor, labels: Tensor, test: Unseen) -> tuple[list[dict[str, Any]], list[str]]:
    """The mistakes that the network was surest of.

    Args:
        logits: [N, K] float32.
        labels: [N] int64.
        test: the N images, in this order.

    Returns:
        At most `SHOWN` objects with ``number`` (place in the test set, from 0), ``true``, ``predicted`` and
        ``probability``, and their thumbnails: JPEG files in base64.
    """
    probability, predicted = logits.double().softmax(1).max(1)
    wrong = (predicted != labels).nonzero().flatten()
    chosen = wrong[torch.argsort(probability[wrong], descending=True, stable=True)][:SHOWN]
    if not len(chosen):
        return [], []
    names = test.class_names
    rows = [
        {
            "number": int(test.numbers[place]),
            "true": names[int(labels[place])],
            "predicted": names[int(predicted[place])],
            "probability": float(probability[place]),
        }
        for place in chosen.tolist()
    ]
    thumbnails = [
        thumbnail(image)
        for images, _, _ in test.subset(chosen).pixels(len(chosen), torch.device("cpu"))
        for image in images
    ]
    return rows, thumbnails


def thumbnail(image: Tensor) -> str:
    """A small JPEG file in base64 of an image [C, H, W] in [0, 1]; images of few pixels are enlarged."""
    from PIL import Image

    height, width = image.shape[-2:]
    if max(height, width) < SIDE[0]:
        factor = ceil_div(SIDE[0], max(height, width))
        image = image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    elif max(height, width) > SIDE[1]:
        scale = SIDE[1] / max(height, width)
        size = [max(1, round(side * scale)) for side in (height, width)]
        image = functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    grey = pixels.shape[2] != 3
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(out, "JPEG", quality=85, subsampling=0)
    return base64.b64encode(out.getvalue()).decode()
