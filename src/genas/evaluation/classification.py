"""How well a network classifies, and how well it knows what it does not know.

From logits alone: accuracy, negative log-likelihood, calibration, accuracy per class, and the detection of images
that belong to no class.

The expected calibration error is that of Naeini et al. (AAAI 2015) and Guo et al. (ICML 2017, arXiv:1706.04599):
``sum_b (n_b / N) |accuracy_b - confidence_b|`` over equally wide bins of the confidence, the largest softmax
probability. Detection scores: the largest softmax probability (Hendrycks and Gimpel, ICLR 2017, arXiv:1610.02136) and
the energy ``logsumexp(logits)`` (Liu et al., NeurIPS 2020, arXiv:2010.03759); the greater, the more in-distribution.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.core.device import Fabric
from genas.evaluation.settings import BINS

LEAST = 50  # images of a bin of the calibration curve: the standard error of an accuracy of 90 % is then 4 points


@torch.no_grad()
def predict(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], fabric: Fabric) -> tuple[Tensor, Tensor]:
    """Logits and labels of all batches.

    Args:
        network: in evaluation mode afterwards.
        batches: images [B, C, H, W], normalised, and labels [B].
        fabric: precision.

    Returns:
        [N, classes] float32 and [N] int64, on the CPU.
    """
    network.eval()
    logits, labels = [], []
    for images, wanted in batches:
        with fabric.autocast():
            out = network(images)
        logits.append(out.float().cpu())
        labels.append(wanted.cpu())
    return torch.cat(logits), torch.cat(labels)


def figures(logits: Tensor, labels: Tensor, bins: int = BINS) -> dict[str, Any]:
    """The figures of a set: fractions and nats.

    Args:
        logits: [N, K] float32.
        labels: [N] int64.
        bins: of the calibration error.

    Returns:
        ``images``, ``top1`` with its binomial ``top1_standard_error``, ``top5`` (more than five classes only),
        ``nll``, ``ece``, ``confidence`` (mean).
    """
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error  # 3 s

    count, classes = logits.shape
    exact = logits.double()
    top1 = float((logits.argmax(1) == labels).double().mean())
    found: dict[str, Any] = {
        "pictures": count,
        "top1": top1,
        "top1_standard_error": math.sqrt(top1 * (1 - top1) / count),
    }
    if classes > 5:
        found["top5"] = float(multiclass_accuracy(logits, labels, classes, average="micro", top_k=5))
    probabilities = exact.softmax(1)
    found["nll"] = float(functional.cross_entropy(exact, labels))
    found["ece"] = float(multiclass_calibration_error(probabilities, labels, classes, bins))
    found["confidence"] = float(probabilities.amax(1).mean())
    return found


def reliability(logits: Tensor, labels: Tensor, bins: int = BINS) -> list[dict[str, float]]:
    """Confidence and accuracy by bin of the confidence; empty bins have neither.

    Args:
        logits: [N, K] float32.
        labels: [N] int64.
        bins: equally wide, over [0, 1].

    Returns:
        ``low``, ``high``, ``count`` per bin and, where the bin is not empty, ``confidence`` and ``accuracy`` (means).
    """
    confidence, chosen = logits.double().softmax(1).max(1)
    right = (chosen == labels).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    # a confidence on a border belongs to the upper bin, as torchmetrics counts it; one of 1 to the last bin
    place = (torch.bucketize(confidence, edges, right=True) - 1).clamp(0, bins - 1)
    rows: list[dict[str, float]] = []
    for number in range(bins):
        inside = place == number
        row: dict[str, float] = {
            "low": float(edges[number]),
            "high": float(edges[number + 1]),
            "count": int(inside.sum()),
        }
        if row["count"]:
            row |= {"confidence": float(confidence[inside].mean()), "accuracy": float(right[inside].mean())}
        rows.append(row)
    return rows


def calibration_curve(logits: Tensor, labels: Tensor, bins: int = BINS, least: int = LEAST) -> list[dict[str, float]]:
    """Confidence and accuracy in bins of equally many images, so that no point of a curve is the luck of a few.

    Args:
        logits: [N, K] float32.
        labels: [N] int64.
        bins: at most so many.
        least: images of a bin, unless there are fewer in all.

    Returns:
        By rising confidence ``count``, ``confidence`` and ``accuracy`` (means), and the 95 % interval of the accuracy
        (Wilson, JASA 22, 1927): ``low``, ``high``.
    """
    confidence, chosen = logits.double().softmax(1).max(1)
    order = torch.argsort(confidence, stable=True)
    right = (chosen == labels).double()
    rows = []
    for places in torch.tensor_split(order, max(1, min(bins, len(order) // least))):
        accuracy = float(right[places].mean())
        low, high = wilson(accuracy, len(places))
        mean = float(confidence[places].mean())
        rows.append({"count": len(places), "confidence": mean, "accuracy": accuracy, "low": low, "high": high})
    return rows


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` images (Wilson)."""
    z = 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def per_class(logits: Tensor, labels: Tensor, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Per class its ``name``, ``count`` of images and ``accuracy`` (absent without images).

    Args:
        logits: [N, K] float32.
        labels: [N] int64.
        names: [K].
    """
    right = logits.argmax(1) == labels
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        inside = labels == number
        row: dict[str, Any] = {"name": name, "count": int(inside.sum())}
        if row["count"]:
            row["accuracy"] = float(right[inside].double().mean())
        rows.append(row)
    return rows


def detection(inside: Tensor, outside: Tensor) -> dict[str, dict[str, float]]:
    """How well a score of the logits tells images of the classes from images of none.

    Args:
        inside: [N, K] logits of images of the network's classes.
        outside: [M, K] logits of images of none of them.

    Returns:
        For ``max_softmax`` and ``energy``: ``auroc``; ``aupr_out`` (the precision-recall area with the outsiders as
        positives, which depends on their share, ``base_rate_out``) and ``aupr_in``; ``fpr_at_95``, the share of
        outsiders that pass where 95 % of the insiders do.
    """
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision  # 3 s

    belongs = torch.cat([torch.ones(len(inside)), torch.zeros(len(outside))]).long()
    both = torch.cat([inside, outside]).double()
    scores = {"max_softmax": both.softmax(1).amax(1), "energy": both.logsumexp(1)}
    found = {}
    for name, score in scores.items():
        # Ranks in place of scores: torchmetrics would squash scores beyond [0, 1] by a sigmoid, which makes ties.
        rank = torch.unique(score, return_inverse=True)[1].double()
        rank = rank / max(1.0, float(rank.max()))
        threshold = torch.quantile(rank[: len(inside)], 0.05, interpolation="lower")
        found[name] = {
            "auroc": float(binary_auroc(rank, belongs)),
            "aupr_out": float(binary_average_precision(1 - rank, 1 - belongs)),
            "aupr_in": float(binary_average_precision(rank, belongs)),
            "fpr_at_95": float((rank[len(inside) :] >= threshold).double().mean()),
            "base_rate_out": len(outside) / len(both),
        }
    return found
