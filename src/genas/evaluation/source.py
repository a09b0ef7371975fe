"""Where a trained network's test images come from: the data set that is named, or the one of its run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genas.core.errors import ConfigError
from genas.core.run_folder import read_config
from genas.core.run_paths import RunPaths
from genas.data import Dataset, Splits
from genas.data.identity import identify
from genas.data.named import FIELDS, describe_given
from genas.data.record import check_data, check_place, locate_data
from genas.evaluation.unseen import open_splits
from genas.training.standalone.loading import ModelFacts


@dataclass(frozen=True)
class DataSource:
    """A data set by name.

    Args:
        name: as ``--data`` takes it.
        root: folder of a named data set's files.
        image_size: side that the run asked for; None for the network's.
        seed: of the run, which fixes the halves.
        run: the run whose own data they are; None where the user named any.
        options: of a custom class.
    """

    name: str
    root: Path | None = None
    image_size: int | None = None
    seed: int = 0
    run: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def splits(self, facts: ModelFacts, image_size: int | None = None) -> Splits:
        """The data set at the size of the network, or at `image_size`.

        Raises:
            DataError: the data are missing or unfit, or no longer those of the run.
        """
        if self.run is not None:
            check_place(self.name, None if self.root is None else str(self.root), self.run)
        size = image_size if image_size is not None else self.image_size
        splits = open_splits(self.name, facts, root=self.root, image_size=size, seed=self.seed, options=self.options)
        if self.run is not None:
            check_data(self.run, identify(splits), images_only=True)
        return splits


def run_folder(path: Path, weights: Path) -> Path | None:
    """The run that a network belongs to: the nearest folder above its weights that holds a ``config.yaml``."""
    folders = (path, weights.parent, *list(weights.parent.parents)[:2])
    return next((folder for folder in folders if RunPaths(folder).config.is_file()), None)


def data_source(
    path: Path, weights: Path, data: str | type[Dataset] | Dataset | None = None, root: Path | None = None
) -> DataSource:
    """The data set that was asked for, or else the one of the run that the network belongs to.

    Args:
        path: what the user named.
        weights: the file that was found there.
        data: the data set asked for: a name, a subclass of `Dataset` or an object of one.
        root: folder of a named data set's files.

    Raises:
        ConfigError: none was asked for and the network belongs to no run.
    """
    if data is not None:
        given = describe_given(data)
        if "resizing" in given:
            raise ConfigError("data has a resizing of its own; give it as a setting of the evaluation in its place.")
        name, place, size = given.pop("name"), given.pop("root", root), given.pop("image_size", None)
        return DataSource(name, None if place is None else Path(place), size, options=given)
    folder = run_folder(path, weights)
    if folder is not None:
        config = read_config(folder)
        own = config.get("data")
        if isinstance(own, Mapping) and "name" in own:
            name, place = locate_data(str(own["name"]), own.get("root"), folder, None, str(root) if root else None)
            where, seed = Path(place) if place else None, int(config.get("seed") or 0)
            options = {key: value for key, value in own.items() if key not in FIELDS}
            return DataSource(name, where, own.get("image_size"), seed, folder, options)
    raise ConfigError(f"{path} belongs to no run whose data set could be used; name one with --data.")
