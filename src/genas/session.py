"""What a configuration names, opened: data, space, device, the run folder, the finished supernet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from genas.checkpoint import load_checkpoint
from genas.config import Config, completed
from genas.data import Dataset, Splits, open_dataset
from genas.data.inspection import inspect
from genas.data.split import divided_by
from genas.device import Fabric, describe_machine, open_fabric
from genas.errors import RunError, SearchError
from genas.proxy import Scoring, parse_expression
from genas.runs import RunFolder, environment, read_config, write_json
from genas.seeding import python_rng
from genas.space import Architecture, Cost, Network, Space, architecture_cost, open_space
from genas.strategy import SearchSettings, open_search
from genas.supernet import initial_weights, initialise

LIMIT_DRAWS = 200  # random architectures that must hold one within the limits before a run begins


class Session:
    """The components that a configuration names, opened: data, space, device."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.space: Space = open_space(config.space.name, **config.space.options)
        parse_expression(config.proxy.expression)  # faults show before anything is loaded
        self.space.final(config.proxy.zero_cost.cells, config.proxy.zero_cost.channels)
        self.fabric: Fabric = open_fabric(config.device, config.precision)
        data = config.data
        root = Path(data.root) if data.root else None
        self.dataset: Dataset = open_dataset(data.name, root=root, image_size=data.image_size)
        open_search(self.space, config.search, self.within_limits)
        self._splits: Splits | None = None

    @property
    def splits(self) -> Splits:
        """The data, loaded at first use."""
        if self._splits is None:
            splits = self.dataset.splits(self.config.seed)
            if self.config.data.split_file is not None:
                splits = divided_by(splits, Path(self.config.data.split_file))
            if self.config.data.limit is not None:
                splits = _limited(splits, self.config.data.limit)
            self._splits = splits
        return self._splits

    def inspect(self, *, check: bool, quiet: bool) -> None:
        """Says what was found in the data; `check` looks at every image once, before a run begins."""
        self._splits = inspect(self.dataset, self.splits, check=check, quiet=quiet)

    def cost(self, architecture: Architecture) -> Cost:
        """Parameters and MACs of the stand-alone network at the supernet's size."""
        return architecture_cost(self.space, architecture, self.splits.num_classes, self.splits.image_shape)

    def within_limits(self, architecture: Architecture) -> bool:
        """Whether the search's hard limits allow `architecture`."""
        limits = self.config.search
        if limits.max_macs is None and limits.max_params is None:
            return True
        return _within(self.cost(architecture), limits)

    def check_limits(self) -> None:
        """Draws some architectures, so that impossible limits show before the supernet is trained.

        Raises:
            SearchError: none of them is within the limits.
        """
        limits = self.config.search
        if limits.max_macs is None and limits.max_params is None:
            return
        rng = python_rng(self.config.seed, "limits")
        costs = []
        for _ in range(LIMIT_DRAWS):
            costs.append(self.cost(self.space.sample(rng)))
            if _within(costs[-1], limits):
                return
        least = f"{min(cost.macs for cost in costs):,} MACs and {min(cost.params for cost in costs):,} parameters"
        raise SearchError(
            f"none of {LIMIT_DRAWS} random architectures is within the limits (max_macs {limits.max_macs}, max_params "
            f"{limits.max_params}); the smallest had {least}: raise the limits, or take fewer cells or channels."
        )

    def scoring(self, run: Path) -> Scoring:
        """The finished supernet of a run folder, ready to score.

        Raises:
            RunError: the supernet is not trained to its end.
        """
        folder = run / "supernet"
        if not (folder / "checkpoint.safetensors").exists():
            raise RunError(f"{run} has no supernet yet; train it with: genas supernet --run {run}")
        tensors, facts = load_checkpoint(folder / "checkpoint.safetensors")
        if facts["epoch"] < self.config.supernet.epochs:
            raise RunError(
                f"the supernet of {run} has trained {facts['epoch']} of {self.config.supernet.epochs} epochs; "
                f"continue it with: genas supernet --run {run}"
            )
        network = initialise(self.space, self.splits.num_classes, self.splits.image_shape[0], self.config.seed)
        network.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
        return self.scoring_of(network.to(self.fabric.device).eval(), run)

    def scoring_of(self, network: Network, run: Path) -> Scoring:
        """Scoring with a trained supernet that is at hand."""
        return Scoring(
            self.space,
            network,
            initial_weights(run / "supernet"),
            self.splits,
            self.fabric,
            self.config.seed,
            self.config.proxy.batchnorm,
            self.config.proxy.evaluation,
        )


def _within(cost: Cost, limits: SearchSettings) -> bool:
    return (limits.max_macs is None or cost.macs <= limits.max_macs) and (
        limits.max_params is None or cost.params <= limits.max_params
    )


def _limited(splits: Splits, limit: int) -> Splits:
    weights = splits.weights.subset(range(min(limit, len(splits.weights))))
    validation = splits.validation.subset(range(min(limit, len(splits.validation))))
    return replace(splits, weights=weights, validation=validation)


def frozen(config: Config, fabric: Fabric, space: Space) -> dict[str, Any]:
    """The configuration as the run folder keeps it: every default written out, the device decided."""
    content = config.model_dump(mode="json")
    content["device"] = fabric.device.type
    content["space"] = space.describe()
    return content


def load_config(run: Path) -> Config:
    """The configuration that a run was begun with."""
    content = read_config(run)
    if content.get("kind") == "retrain":
        raise RunError(f"{run} is a run of genas retrain, not of a search; continue it with: genas retrain --run {run}")
    return Config.model_validate(content)


@contextmanager
def begun(config: Config, run: Path, *, quiet: bool = False) -> Iterator[Session]:
    """Opens the components and the locked, frozen run folder, for as long as the context lasts.

    A fresh folder is made only after the data are loaded, so that a wrong name or an unreadable picture leaves nothing.
    """
    session = Session(config)
    fresh = not (run / "config.yaml").exists()
    if fresh:
        session.check_limits()
    session.inspect(check=fresh, quiet=quiet)
    with RunFolder(run) as folder:
        folder.freeze(frozen(config, session.fabric, session.space), completed)
        if not (run / "environment.json").exists():
            write_json(run / "environment.json", environment(describe_machine(session.fabric.device)))
        if not (run / "data.json").exists():
            write_json(run / "data.json", describe_data(session.splits))
        yield session


def describe_data(splits: Splits) -> dict[str, Any]:
    """Counts, classes and normalisation for the record."""
    return {
        "classes": list(splits.class_names),
        "image_shape": list(splits.image_shape),
        "weights": len(splits.weights),
        "validation": len(splits.validation),
        "train": len(splits.train),
        "test": len(splits.test) if splits.test is not None else 0,
        "mean": list(splits.normalisation.mean),
        "std": list(splits.normalisation.std),
        "normalisation": splits.normalisation.source,
        "found": splits.summary.as_dict() if splits.summary is not None else None,
    }
