"""How an architecture is trained from scratch: the settings, and the published recipes by name.

A recipe is a YAML file with fields of `RetrainSettings`. The published ones (methods.md 2.3, 13.2, 14) lie in
``recipes/`` beside this file; their first line is their title.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from genas.core.errors import ConfigError, suggest
from genas.core.settings import Settings, expand, validate


class RetrainSettings(Settings):
    """How a network is trained. The defaults are those of the short retraining that ends a search.

    Defaults other than `epochs` are DARTS on CIFAR-10 (methods.md 2.3) without what only pays over 600 epochs (cutout,
    auxiliary head, drop-path).
    """

    epochs: int = Field(20, ge=1)
    """Epochs over the whole training set. 20 is a short check of the result; publications use 600."""
    batch_size: int = Field(96, ge=2)
    """Images per batch, over all processes (methods.md 2.3: 96)."""
    accumulate: int = Field(1, ge=1)
    """Pieces in which a batch is computed one after the other, for less memory. The gradient is that of the whole
    batch, but batch norm sees one piece at a time."""
    batch_norm: Literal["shared", "per-process"] = "shared"
    """What batch norm takes its statistics over. ``shared``: all rows, whatever the number of processes.
    ``per-process``: the rows of each process for themselves, as the published code does on several GPUs (RLNAS and
    GeNAS: 128 of 1,024 rows on each of 8; P-DARTS, PC-DARTS and ABS alike); evaluation and results then use the running
    statistics of the first process. One process comes to the same weights with that many pieces (`accumulate`)."""
    learning_rate: float = Field(0.025, gt=0)
    """First learning rate (methods.md 2.3: 0.025)."""
    final_learning_rate: float = Field(0.0, ge=0)
    """What the cosine falls to (methods.md 2.3: 0)."""
    schedule: Literal["cosine", "exponential", "linear"] = "cosine"
    """How the learning rate falls from epoch to epoch; formulas in `genas.training.standalone.schedule`
    (methods.md 2.3)."""
    decay: float = Field(0.97, gt=0, le=1)
    """Factor per epoch of the exponential schedule (methods.md 2.3, DARTS on ImageNet: 0.97)."""
    tail_epochs: int = Field(5, ge=0)
    """Last epochs of the linear schedule, which fall to 0 more slowly (methods.md 2.3: 5)."""
    tail: Literal["falling", "rising"] = "falling"
    """How those epochs go. ``rising``: with the same rates in opposite order, as the code of P-DARTS has it, whose
    formula counts up; that of PC-DARTS, ABS, RLNAS and GeNAS falls."""
    shifted_schedule: bool = False
    """Cosine and exponential use the rate of the next epoch, as the published scripts do under PyTorch >= 1.1 (T1)."""
    warmup_epochs: int = Field(0, ge=0)
    """Epochs of linear warm-up (methods.md 2.3: 5 on ImageNet); 0 for none."""
    warmup_from: Literal["schedule", "first"] = "schedule"
    """What the warm-up scales: the schedule's own value, or the first rate (methods.md 2.3, PC-DARTS)."""
    warmup_above_batch: int = Field(0, ge=0)
    """Warm up only where the batch is larger than this (methods.md 2.3: 256 for P-DARTS and PC-DARTS)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum (methods.md 2.3: 0.9)."""
    nesterov: bool = False
    """Nesterov momentum (methods.md 2.3: no; NAS-Bench-201, 13.2: yes)."""
    weight_decay: float = Field(3e-4, ge=0)
    """Decay of all parameters (methods.md 2.3: 3e-4)."""
    clip: float | None = Field(5.0, gt=0)
    """Greatest gradient norm (methods.md 2.3: 5)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Label smoothing (methods.md 2.3: none on CIFAR, 0.1 on ImageNet)."""
    auxiliary_weight: float = Field(0.0, ge=0)
    """Weight of the auxiliary head's loss; 0 builds no such head (methods.md 2.3: 0.4)."""
    auxiliary_bn: bool | None = None
    """Batch norm after the 2x2 convolution of that head. None: with the ``cifar`` stem only, as in the code of DARTS,
    PC-DARTS, RLNAS and GeNAS (methods.md 2.2); the code of P-DARTS and ABS has it on ImageNet too."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Drop-path probability p; epoch e of E uses p e / E (methods.md 2.1; 2.3: 0.2 or 0.3 on CIFAR)."""
    crop: Literal["data-set", "padded", "resized", "square", "none"] = "data-set"
    """Random crop of training images. ``data-set``: what the data set does; ``padded``: a window of the padded
    image (of images streamed from disk: ``resized``); ``resized``: a window of 8 to 100 % of the area and of aspect
    3/4 to 4/3, resized (methods.md 2.3, the DARTS line on ImageNet); ``square``: the same without a change of aspect
    (methods.md 2.3, RLNAS); ``none``."""
    flip: bool | None = None
    """Mirror training images at random; None as the data set does."""
    cutout: int = Field(0, ge=0)
    """Side of the square that cutout erases, in pixels; 0 for none (methods.md 2.3: 16, at 600 epochs)."""
    colour_jitter: tuple[float, float, float, float] | None = None
    """Brightness, contrast, saturation and hue, each up to that much (methods.md 2.3: 0.4, 0.4, 0.4, 0.2 in the DARTS
    line on ImageNet); None for none."""
    lighting: float = Field(0.0, ge=0)
    """Standard deviation of the colour noise along ImageNet's principal components (methods.md 2.3: 0.1 in RLNAS)."""
    lighting_8bit: bool = False
    """Cut the images to 8-bit levels behind that noise, as the code of RLNAS and GeNAS does: below 0 and above 255 is
    clipped, fractions are dropped. False keeps the sum as it is."""
    normalise: bool = True
    """Subtract the mean and divide by the standard deviation; false feeds pixels in [0, 1], in the test too (RLNAS)."""
    cells: int | None = Field(None, ge=1)
    """Cells of the network (per stage in NAS-Bench-201); None as in the supernet."""
    channels: int | None = Field(None, ge=1)
    """First width of the network; None as in the supernet."""
    stem: Literal["cifar", "imagenet"] | None = None
    """First layers of a network of the DARTS space (methods.md 2.1, 2.2); None as in the supernet."""
    pool_bn: bool | None = None
    """Batch norm after pools in a network of the DARTS space; None as published: without (methods.md 2.1; DropNAS has
    it)."""
    layout: Literal["contiguous", "channels-last"] = "contiguous"
    """Memory layout of images and weights: the same computation up to rounding, at another speed. On the CPU, batch
    norm in training rounds 8 to 130 times as coarsely with ``channels-last`` (relative error of its output up to 1e-5
    instead of 1e-7; ``benchmarks/rounding.py``)."""
    gradients: Literal["plain", "fast"] = "plain"
    """As `SupernetSettings.gradients`: ``fast`` is faster on a CPU with ``layout=channels-last``, equal up to
    rounding."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Keep an exponential moving average of the weights with this decay per step, and judge and store that; None for
    none (methods.md 2.3: none)."""
    best: Literal["none", "held-out", "test"] = "none"
    """What the best epoch is chosen by. ``held-out``: accuracy on a part of the training set that is not trained on.
    ``test``: test accuracy, as the published code does; the figure it gives is optimistic. ``none`` keeps the last
    epoch only."""
    held_out: float = Field(0.05, gt=0, lt=1)
    """Share of every class that ``held-out`` keeps from training."""
    limit_batches: int | None = Field(None, ge=1)
    """A dry run: at most that many batches per epoch and evaluation (as an option: of one epoch); no result."""
    limit_epochs: int | None = Field(None, ge=1)
    """End after that many epochs of the schedule: a dry run, not a result."""
    checkpoint_seconds: float = Field(300.0, gt=0)
    """Least seconds between two checkpoints inside an epoch."""

    @property
    def dry(self) -> bool:
        """Whether this is a dry run, whose figures are no result."""
        return self.limit_batches is not None or self.limit_epochs is not None

    @property
    def trained_epochs(self) -> int:
        """Epochs that are trained; the schedule is that of all `epochs`."""
        return self.epochs if self.limit_epochs is None else min(self.epochs, self.limit_epochs)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.schedule == "linear" and self.epochs <= self.tail_epochs:
            raise ValueError(
                f"the linear schedule ends with {self.tail_epochs} epochs of a slower fall and needs more epochs than "
                f"that, but epochs is {self.epochs}; set tail_epochs lower (0 for a straight line)"
            )
        if self.schedule == "linear" and self.shifted_schedule:
            raise ValueError("the linear schedule is never shifted; set shifted_schedule to false")
        if self.tail == "rising" and self.schedule != "linear":
            raise ValueError(f"a rising tail belongs to the linear schedule, not to {self.schedule}; leave tail out")
        if self.lighting_8bit and not self.lighting:
            raise ValueError("lighting_8bit needs a lighting above 0")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.colour_jitter is not None:
            *_, hue = self.colour_jitter
            if min(self.colour_jitter) < 0 or hue > 0.5:
                raise ValueError(
                    f"colour_jitter is {self.colour_jitter}; no entry may be negative, and the hue is at most 0.5"
                )
        return self


ALIASES = {"cifar": "darts-cifar10", "imagenet": "genas-imagenet"}
"""Short names of recipes."""


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with genas, without the short names."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith("yaml"))
    )


def is_published(name: str) -> bool:
    """Whether `name` is a recipe that comes with genas, and no file of somebody's own."""
    return ALIASES.get(name, name) in recipe_names()


def recipe_title(name: str) -> str:
    """The title of a recipe that comes with genas: its first line."""
    text: str = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ").rstrip(".")


def read_recipe(name: str) -> dict[str, Any]:
    """The fields that a recipe sets.

    Args:
        name: one of `recipe_names`, a short name, or the path of a YAML file.

    Raises:
        ConfigError: no such recipe, no YAML, an unknown field or a wrong value; every fault is named.
    """
    known = recipe_names()
    if (chosen := ALIASES.get(name, name)) in known:
        text, where = (_folder() / f"{chosen}.yaml").read_text(encoding="utf-8"), f"the recipe {chosen}"
    else:
        path = Path(name)
        if not path.is_file():
            names = (*ALIASES, *known)
            raise ConfigError(
                f"there is no recipe {name!r}; known are {', '.join(names)}, or give the path of a YAML file."
                f"{suggest(name, names)}"
            )
        try:
            text, where = path.read_text(encoding="utf-8"), f"the recipe {path}"
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the recipe {path} cannot be read ({error}).") from error
    try:
        content = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{where} holds a {type(content).__name__}: expected a mapping of settings.")
    try:
        content = expand(content)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; give it once.") from error
    # A section "retrain", as in a configuration file, is understood as well.
    if set(content) == {"retrain"} and isinstance(content["retrain"], dict):
        content = content["retrain"]
    validated_settings(content, where)
    return content


def validated_settings(content: Mapping[str, Any], where: str) -> RetrainSettings:
    """The settings of a mapping of fields.

    Args:
        content: fields of `RetrainSettings`.
        where: what they are, for the message.

    Raises:
        ConfigError: an unknown field or a wrong value; every fault is named.
    """
    return validate(RetrainSettings, content, f"{where} is wrong")


def _folder() -> Any:
    return files("genas.training.standalone") / "recipes"
