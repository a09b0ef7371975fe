"""The parts of a run's configuration that can be read without torch: the command line is made from them."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from genas.core.settings import Count, Settings, refuse_unknown
from genas.data.named import DATASETS, options_taken
from genas.training.standalone import RetrainSettings
from genas.training.standalone.settings import BaselineSettings


class DataSettings(Settings):
    """The data set; options of a custom class stand beside its name."""

    model_config = ConfigDict(extra="allow")

    name: str = "digits"
    """Data set: digits (built in), cifar10, cifar100, imagenet16-120, imagenet, ``folder:PATH``, ``parquet:PATH``, or
    your own package.module:Name."""
    root: str | None = None
    """Folder that holds the files of a named data set; None for the usual place."""
    image_size: int | None = Field(None, ge=8, le=2048)
    """Side that images are resized to; None for that of the data set."""
    resizing: Literal["fit", "crop", "crop-aliased"] | None = None
    """How images of ``folder:``, ``parquet:`` and ``imagenet`` get their size. ``fit``: the largest centred part,
    resized; ``crop``: the shorter side to 256 / 224 of the size, then the centre. ``crop-aliased``: as ``crop``, and no
    resizing has antialiasing, that of random crops included, as in the code of RLNAS and GeNAS on ImageNet. None:
    ``fit``, or ``crop`` where images are streamed."""
    check: bool = True
    """Before a run begins, look at every image once for damage and for copies in two classes or splits. For ImageNet
    that takes some minutes."""
    limit: Count | None = Field(None, ge=4)
    """Use only that many images of each half of the training set; None for all."""
    split_file: str | None = None
    """File that says which training images form the two halves, such as ``cifar-split.txt`` of NAS-Bench-201 and
    ``cifar100-split.txt`` of GeNAS: JSON with lists ``train`` and ``valid`` of places in the training set as it is
    stored, from 0. None divides every class evenly, by the seed; the published halves are fixed lists (methods.md
    4.1)."""

    @field_validator("split_file")
    @classmethod
    def _from_anywhere(cls, path: str | None) -> str | None:
        return None if path is None else str(Path(path).expanduser().absolute())  # a run continues from any folder

    @property
    def options(self) -> dict[str, Any]:
        """The options of a custom class."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _known_options(self) -> Self:
        if self.options and not DATASETS.is_custom(self.name):
            refuse_unknown(self, options_taken(self.name) if self.name in DATASETS.table else ())
        return self


class SpaceSettings(BaseModel):
    """The search space; its own options stand beside the name."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    name: str = "darts"
    """Search space: darts, nasbench201, nasbench-macro, or package.module:Name."""

    @property
    def options(self) -> dict[str, Any]:
        """The options without the name."""
        return dict(self.model_extra or {})


class RunSettings(Settings):
    """The settings of a search that can be read without torch; `genas.workflows.config.Config` has the others."""

    seed: int = Field(0, ge=0)
    """Seed of everything random."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    precision: str = "32"
    """``32``, ``tf32`` (GPU), ``bf16``, ``16`` (GPU) or ``64``."""
    data: DataSettings = Field(default_factory=DataSettings)
    space: SpaceSettings = Field(default_factory=SpaceSettings)


class RetrainConfig(Settings):
    """All settings of a run of ``genas retrain``."""

    kind: Literal["retrain"] = "retrain"
    """What tells such a run from a search."""
    origin: str
    """What was named on the command line: a genotype, a published architecture or a run."""
    genotype: str
    """The architecture to train."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """One training each, such as 0,1,2."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    precision: str = "32"
    """``32``, ``tf32`` (GPU), ``bf16``, ``16`` (GPU) or ``64``."""
    max_macs: Count | None = Field(None, ge=1)
    """Take the largest even width within so many MACs, such as 600M. In place of a width."""
    from_supernet: str | None = None
    """Run folder of a supernet to begin with."""
    from_checkpoint: str | None = None
    """Checkpoint to begin with."""
    recipe: str
    """Where the settings under `retrain` came from before they were changed by hand."""
    data: DataSettings
    space: SpaceSettings
    retrain: RetrainSettings
    baseline: BaselineSettings = Field(default_factory=lambda: BaselineSettings(choice="none"))

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be different and not negative")
        return seeds

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.from_supernet and self.from_checkpoint:
            raise ValueError("first weights come from a supernet or from a checkpoint; give one of them")
        if self.data.limit is not None:
            raise ValueError("data.limit is for searches; use --limit-batches for a dry run")
        if self.data.split_file is not None:
            raise ValueError("data.split_file is for searches; a retraining uses the whole training set")
        return self


class ReportSettings(Settings):
    """What is measured for the report page of a search."""

    noise_curves: bool = True
    """Loss under growing noise of the best, the median and the worst architecture."""
    noise_share: float = Field(0.05, gt=0, le=1)
    """Greatest cost of these curves, as a share of the passes of images that the search took (at least 16 images)."""
