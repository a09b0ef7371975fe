"""What a recipe makes of a data set: what is trained on, what chooses the best epoch, and the random transforms."""

from dataclasses import dataclass

from genas.core.errors import ConfigError, DataError
from genas.data.augment import Augmentation
from genas.data.base import LabelledImages, Normalisation, Splits
from genas.data.split import class_balanced_part
from genas.training.loop import steps_per_epoch
from genas.training.standalone.recipe import RetrainSettings


@dataclass(frozen=True)
class Parts:
    """The images of a retraining.

    Args:
        train: trained on.
        judge: chooses the best epoch; None where the last one is taken.
        test: judged once, at the end; None where the data set has none.
        augmentation: random transforms of the training images.
        normalisation: of all three.
    """

    train: LabelledImages
    judge: LabelledImages | None
    test: LabelledImages | None
    augmentation: Augmentation
    normalisation: Normalisation


def parts_of(splits: Splits, settings: RetrainSettings, processes: int = 1) -> Parts:
    """Divides and prepares a data set for a recipe.

    The held-out part is the same for every seed of the training, so that seeds differ in the training alone.

    Args:
        splits: the data set.
        settings: the recipe.
        processes: processes that are to divide each batch.

    Raises:
        DataError: fewer images than a batch, or too few of a class to hold some out.
        ConfigError: more processes than images in a piece of a batch; or the best epoch is to be chosen by a test set
            that the data do not have.
    """
    if processes > settings.batch_size // settings.accumulate:
        raise ConfigError(
            f"{processes} process(es) cannot divide a batch of {settings.batch_size} images in {settings.accumulate} "
            "piece(s): each needs at least one image of every piece; set accumulate lower or batch_size higher."
        )
    train, test, judge = splits.train, splits.test, None
    normalisation = splits.normalisation
    if not settings.normalise:
        channels = splits.image_shape[0]
        normalisation = Normalisation((0.0,) * channels, (1.0,) * channels, "none: pixels in [0, 1]")
        train = train.with_normalisation(normalisation)
        test = None if test is None else test.with_normalisation(normalisation)
    least = least_rows(settings, processes)
    if settings.batch_norm == "per-process" and settings.batch_size < least:
        raise ConfigError(
            f"batch norm of each process for itself needs two images in every piece, so {least} in a batch, not "
            f"{settings.batch_size}; set batch_size higher or batch_norm to shared."
        )
    if settings.best == "held-out":
        kept, held_out = class_balanced_part(train.labels, splits.num_classes, settings.held_out, splits.class_names)
        train, judge = train.subset(kept), train.subset(held_out)
    elif settings.best == "test":
        if test is None:
            raise ConfigError("retrain.best is 'test', but the data set has no test set; use held-out or none.")
        judge = test
    if len(train) < settings.batch_size:
        raise DataError(
            f"The training set has {len(train)} images, fewer than one batch of {settings.batch_size}; "
            "give more images or set retrain.batch_size lower."
        )
    return Parts(train, judge, test, _augmentation(splits, settings), normalisation)


def least_rows(settings: RetrainSettings, processes: int) -> int:
    """Rows that a batch needs at least: two wherever batch norm takes statistics."""
    return 2 * processes * settings.accumulate if settings.batch_norm == "per-process" else 2


def steps_of(images: int, settings: RetrainSettings, processes: int) -> int:
    """Batches of an epoch, no more than the recipe's limit."""
    steps = steps_per_epoch(images, settings.batch_size, least_rows(settings, processes))
    return steps if settings.limit_batches is None else min(steps, settings.limit_batches)


def _augmentation(splits: Splits, settings: RetrainSettings) -> Augmentation:
    """The data set's usual transforms, with what the recipe changes."""
    own = splits.augmentation
    changes: dict[str, object] = {"colour_jitter": settings.colour_jitter, "lighting": settings.lighting}
    changes["lighting_8bit"] = settings.lighting_8bit
    match settings.crop:
        case "padded":
            changes |= {"crop": "padded", "crop_padding": own.crop_padding or max(1, splits.image_shape[1] // 8)}
        case "resized" | "square":
            changes |= {"crop": settings.crop}
        case "none":
            changes |= {"crop": "padded", "crop_padding": 0}
    if settings.flip is not None:
        changes["flip"] = settings.flip
    if settings.cutout:
        changes["cutout"] = settings.cutout
    return own.model_copy(update=changes)
