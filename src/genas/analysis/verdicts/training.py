"""Whether trainings taught anything: the supernet and the retrained network against chance and against each other.

What knows nothing of an image can do no better than the shares of the classes: accuracy that of the largest class, loss
their entropy (ln K and 1/K where all are alike). The supernet counts as trained where its gain in loss over that is
more than luck (a one-sided test over the images, each with the average over several paths) and more than a trace of
what there is to gain; or, for one that is right but too sure of what is wrong, where its accuracy is clearly better.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genas.analysis.verdicts import Verdict

Floats = NDArray[np.float64]
LUCK = 3.09  # standard errors: one-sided 0.1 %
TRACE = 0.05  # of the way from the loss of chance to none
CLEARLY = 0.2  # of the way from the accuracy of chance to all


@dataclass(frozen=True)
class Chance:
    """Some paths of a supernet against chance.

    Args:
        paths: number of paths.
        images: validation images, the same for all paths.
        classes: K.
        loss: mean cross-entropy over paths and images.
        accuracy: mean top-1 accuracy.
        chance_loss: entropy of the classes' shares among the images.
        chance_accuracy: share of the largest class.
        loss_errors: gain over the loss of chance in standard errors.
        accuracy_errors: gain over the accuracy of chance in standard errors.
        above: paths whose own accuracy or loss is better than chance.
    """

    paths: int
    images: int
    classes: int
    loss: float
    accuracy: float
    chance_loss: float
    chance_accuracy: float
    loss_errors: float
    accuracy_errors: float
    above: int

    @property
    def trained(self) -> bool:
        """Whether the gain is more than luck and more than a trace."""
        loss = self.loss_errors > LUCK and self.chance_loss - self.loss > TRACE * self.chance_loss
        room = 1 - self.chance_accuracy
        right = self.accuracy_errors > LUCK and self.accuracy - self.chance_accuracy > CLEARLY * room
        return loss or right


def against_chance(losses: Floats, right: Floats, labels: NDArray[np.int64], classes: int) -> Chance:
    """Compares paths with what knows nothing of the images.

    Args:
        losses: [P, N] cross-entropy of every path and image.
        right: [P, N] 1 where the path classifies the image rightly, else 0.
        labels: [N] classes of the images.
        classes: K.
    """
    counts = np.bincount(labels, minlength=classes)
    shares = counts / counts.sum()
    # the loss of an image under the constant prediction that is best for these labels, and whether that is right
    known = -np.log(shares[labels])
    hit = (labels == counts.argmax()).astype(np.float64)
    return Chance(
        paths=len(losses),
        images=len(labels),
        classes=classes,
        loss=float(losses.mean()),
        accuracy=float(right.mean()),
        chance_loss=float(known.mean()),
        chance_accuracy=float(shares.max()),
        loss_errors=_errors(known - losses.mean(0)),
        accuracy_errors=_errors(right.mean(0) - hit),
        above=sum(max(_errors(known - one), _errors(two - hit)) > LUCK for one, two in zip(losses, right, strict=True)),
    )


def _errors(gains: Floats) -> float:
    """The mean in units of its standard error; 0 where nothing differs."""
    if len(gains) < 2:
        return 0.0
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    mean = float(gains.mean())
    if error == 0:
        return 0.0 if mean == 0 else math.copysign(math.inf, mean)
    return mean / error


def supernet_not_trained(found: Chance, epochs: int) -> Verdict | None:
    """The supernet knows nothing, so no score that it gives means anything.

    Args:
        found: from `against_chance`.
        epochs: that it was trained for.
    """
    if found.trained:
        return None
    lucky = found.loss_errors <= LUCK and found.accuracy_errors <= LUCK
    what = "is not shown to be better than chance" if lucky else "has learnt next to nothing"
    return Verdict(
        "supernet-not-trained",
        f"The supernet {what} after {epochs} epoch{'s' if epochs != 1 else ''}: over {found.paths} random paths its "
        f"loss on {found.images:,} validation images is {found.loss:.4f} (chance {found.chance_loss:.4f}), its "
        f"accuracy {100 * found.accuracy:.1f} % (chance {100 * found.chance_accuracy:.1f} %), and {found.above} of "
        f"{found.paths} paths are better than chance at all. Scores from it mean nothing: train longer (--set "
        f"supernet.epochs={4 * epochs}), at a higher learning rate, or on more images.",
    )


def retrained_at_chance(top1: float, images: int, classes: int) -> Verdict | None:
    """The retrained network is not better than guessing.

    Args:
        top1: test accuracy as a fraction.
        images: test images.
        classes: K.
    """
    guess = 1 / classes
    if images < 1 or top1 - guess > LUCK * math.sqrt(guess * (1 - guess) / images):
        return None
    return Verdict(
        "retrained-at-chance",
        f"The retrained network has {100 * top1:.1f} % on {images:,} test images, no more than guessing among "
        f"{classes} classes: train it longer (--set retrain.epochs=...), or at another learning rate.",
    )


def retrained_below_supernet(top1: float, images: int, supernet: float, validation: int) -> Verdict | None:
    """The retrained network is worse than the same architecture with the supernet's weights.

    Args:
        top1: test accuracy of the retrained network.
        images: test images.
        supernet: validation accuracy of the architecture with the supernet's weights.
        validation: validation images.
    """
    if images < 1 or validation < 1:
        return None
    error = math.sqrt(top1 * (1 - top1) / images + supernet * (1 - supernet) / validation)
    if supernet - top1 <= LUCK * error:
        return None
    return Verdict(
        "retrained-below-supernet",
        f"The retrained network has {100 * top1:.1f} % on the test images, the same architecture with the supernet's "
        f"weights {100 * supernet:.1f} % on the validation images: the retraining is too short (--set "
        "retrain.epochs=...) or the test images are of another kind.",
    )
