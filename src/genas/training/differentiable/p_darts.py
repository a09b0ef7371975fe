"""P-DARTS (Chen et al., ICCV 2019; methods.md 11): first-order DARTS in stages that grow deeper with fewer operations.

Every stage trains a new, deeper network with new weights and new alphas. At its end the weakest operations of every
edge are dropped, ``none`` like any other. Elements of the output of an identity skip are dropped with a rate that falls
during the stage; with the stage's rate p, E epochs and alphas that move from epoch a on,

    rate(e) = p (E - 1 - e) / E    for e < a,        rate(e) = p exp(-0.2 (e - a))    from then on

(the jump back to p at epoch a is that of the published code, methods.md D1). Of the final architecture, the normal cell
keeps at most M skip connections: while it has more, the weakest gives way to its edge's next operation.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genas.core.device import Fabric
from genas.core.errors import ConfigError
from genas.core.seeding import derive
from genas.data.base import Splits
from genas.spaces.architecture import Architecture
from genas.spaces.base import Space
from genas.spaces.edges import SKIPS, EdgeSpace, Mix, MixedNetwork
from genas.spaces.named import reopen
from genas.training.differentiable.base import Derived, GradientMethod, GradientSettings
from genas.training.differentiable.mixture import add_weighted, columns_in_use
from genas.training.differentiable.train import check_training, train_architecture

DECAY = 0.2
"""By how much the logarithm of the dropout rate falls per epoch (methods.md 11.1)."""


class PDartsSettings(GradientSettings):
    """P-DARTS on CIFAR-10 (methods.md 11.1)."""

    epochs: int = Field(25, ge=1)
    """Epochs of each stage (methods.md 11.1: 25)."""
    batch_size: int = Field(96, ge=2)
    """Images per batch, of either split (methods.md 11.1: 96)."""
    final_learning_rate: float = Field(0.0, ge=0)
    """What the cosine of each stage falls to (methods.md 11.1: 0)."""
    architecture_learning_rate: float = Field(6e-4, gt=0)
    """Adam's rate for the architecture parameters (methods.md 11.1: 6e-4); its betas are 0.5 and 0.999."""
    architecture_from: int = Field(10, ge=0)
    """First epoch of a stage, counted from 0, in which the architecture parameters move (methods.md 11.1: 10)."""
    architecture_clip: float | None = Field(5.0, gt=0)
    """Greatest gradient norm of the architecture parameters (methods.md 11.1: 5)."""
    cells: tuple[int, ...] = Field((5, 11, 17), min_length=1)
    """Cells of each stage's network (methods.md 11.1: 5, 11, 17)."""
    added_channels: tuple[int, ...] = (0, 0, 0)
    """Channels added to the space's in each stage (methods.md 11.1: none)."""
    dropped: tuple[int, ...] = (3, 2)
    """Operations that every edge loses after each stage but the last (methods.md 11.1: 3, 2)."""
    skip_dropout: tuple[float, ...] = (0.0, 0.4, 0.7)
    """First dropout rate on identity skips, by stage (methods.md 11.1: 0, 0.4, 0.7; the published README's command has
    0.1 for the first, D2)."""
    skip_limit: int | None = Field(2, ge=0)
    """M: most skip connections of the final normal cell (methods.md 11.1: 2); None: no limit."""

    @model_validator(mode="after")
    def _check_stages(self) -> "PDartsSettings":
        stages = len(self.cells)
        for name, values, count in (
            ("added_channels", self.added_channels, stages),
            ("dropped", self.dropped, stages - 1),
            ("skip_dropout", self.skip_dropout, stages),
        ):
            if len(values) != count:
                raise ValueError(f"{name} has {len(values)} values; expected {count} for {stages} stages of cells")
        if any(not 0 <= rate < 1 for rate in self.skip_dropout):
            raise ValueError(f"skip_dropout is {self.skip_dropout}; expected rates from 0 to below 1")
        return self


class PDartsStage(GradientMethod):
    """One stage of P-DARTS.

    Args:
        space: at the stage's size.
        settings: of all stages.
        stage: its number, from 0.
        kept: [E, O] bool, the operations that are left; None for all.
    """

    name: ClassVar[str] = "p-darts"
    settings: PDartsSettings

    def __init__(self, space: Space, settings: PDartsSettings, stage: int, kept: Tensor | None = None) -> None:
        super().__init__(space, settings)
        self.stage = stage
        self.kept = columns_in_use(self.edges) if kept is None else kept

    def initial(self, seed: int) -> dict[str, Tensor]:
        """``alpha`` as in DARTS; 0 for operations that are no longer there."""
        return {"alpha": super().initial(seed)["alpha"] * self.kept}

    def draw(self, rng: random.Random, epoch: int) -> dict[str, Tensor]:
        """The seed and the rate of the dropout on skips in one step."""
        settings = self.settings
        rate = skip_dropout(epoch, settings.epochs, settings.architecture_from, settings.skip_dropout[self.stage])
        return {"dropout_seed": torch.tensor(rng.getrandbits(62)), "dropout_rate": torch.tensor(rate)}

    def restrict(self, network: MixedNetwork, image_shape: tuple[int, int, int]) -> MixedNetwork:
        """The network without the operations that are no longer there."""

        def prune(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
            for name, kept in zip(self.edges[edge].operations, self.kept[edge].tolist(), strict=False):
                if not kept and name in operations:
                    del operations[name]
            out: Tensor = next(iter(operations.values()))(x)
            return out

        with torch.no_grad():
            network.eval().forward_mixed(torch.zeros(1, *image_shape), prune)
        return network

    def mix(self, parameters: Mapping[str, Tensor]) -> Mix:
        """The sum of the operations that are left, weighted by the softmax among them; skips with dropout."""
        rows = [row.unbind() for row in self.ranked(parameters)]
        used = self.kept.tolist()
        rate = float(parameters.get("dropout_rate", torch.zeros(())))
        generators: dict[torch.device, torch.Generator] = {}

        def dropped(operation: nn.Module, out: Tensor) -> Tensor:
            if not rate or not isinstance(operation, nn.Identity):
                return out
            if out.device not in generators:
                generators[out.device] = torch.Generator(out.device).manual_seed(int(parameters["dropout_seed"]))
            drawn = torch.rand(out.shape, generator=generators[out.device], device=out.device)
            return out * ((drawn >= rate) / (1 - rate)).to(out.dtype)

        def mixed(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
            numbers = [number for number, own in enumerate(used[edge]) if own]
            names = [self.edges[edge].operations[number] for number in numbers]
            return add_weighted(operations, names, [rows[edge][number] for number in numbers], x, dropped)

        return mixed

    def ranked(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The softmax among the operations that are left; 0 for the others."""
        alpha = parameters["alpha"]
        return torch.softmax(alpha.masked_fill(~self.kept.to(alpha.device), -torch.inf), 1)


def skip_dropout(epoch: int, epochs: int, moves_from: int, first: float) -> float:
    """The dropout rate on identity skips; see the module.

    Args:
        epoch: of the stage, from 0.
        epochs: E.
        moves_from: a.
        first: p.
    """
    if epoch < moves_from:
        return first * (epochs - 1 - epoch) / epochs
    return first * math.exp(-DECAY * (epoch - moves_from))


def drop_weakest(kept: Tensor, weights: Sequence[Sequence[float]], count: int) -> Tensor:
    """The mask without the `count` weakest operations that every edge has left; of equal ones the first goes.

    Args:
        kept: [E, O] bool.
        weights: [E][O].
        count: how many.
    """
    left = kept.clone()
    for row, shares in zip(left, weights, strict=True):
        present = [number for number, own in enumerate(row.tolist()) if own]
        for number in sorted(present, key=lambda number: shares[number])[:count]:
            row[number] = False
    return left


def limit_skips(space: EdgeSpace, weights: Sequence[Sequence[float]], limit: int | None) -> Architecture:
    """The derived architecture whose first type of cell (the normal one) has at most `limit` skip connections.

    Edges on which nothing else has a weight above 0 keep theirs.

    Args:
        space: the space.
        weights: [E][O], of the last stage.
        limit: M; None for no limit.
    """
    rows, edges = [list(row) for row in weights], space.edges()
    while True:
        found = space.derive(rows)
        skips = [
            (rows[number][edge.operations.index(name)], number, edge.operations.index(name))
            for number, (edge, name) in enumerate(zip(edges, space.operations_of(found), strict=True))
            if edge.cell == edges[0].cell and name in SKIPS
        ]
        others = [one for one in skips if one[0] > 0]  # of the others, nothing stronger is there to take their place
        if limit is None or len(skips) <= limit or not others:
            return found
        _, number, place = min(others)
        rows[number][place] = 0.0


def space_of_stage(space: Space, settings: PDartsSettings, stage: int) -> Space:
    """The space with the cells and channels of a stage.

    Raises:
        ConfigError: it has no option for them.
    """
    option = str(getattr(space, "cells_option", "cells"))
    options = space.option_names()
    if option not in options or "channels" not in options:
        raise ConfigError(
            f"p-darts makes the space {space.name!r} deeper stage by stage: expected a space with the options {option} "
            f"and channels, got {', '.join(options) or 'no options'}; use darts or pc-darts."
        )
    described = space.describe()
    channels = int(described["channels"]) + settings.added_channels[stage]
    return reopen({**described, option: settings.cells[stage], "channels": channels})


def check_stages(space: Space, settings: PDartsSettings, splits: Splits, fabric: Fabric) -> None:
    """Makes sure that all stages can be trained.

    Raises:
        ConfigError: the space does not fit, or would have fewer than two operations left on an edge.
        DataError: a split has fewer images than a batch.
    """
    for stage in range(len(settings.cells)):
        method = PDartsStage(space_of_stage(space, settings, stage), settings, stage)
        check_training(method, splits, fabric)
        fewest = min(len(edge.operations) for edge in method.edges)
        if fewest - sum(settings.dropped) < 2:
            raise ConfigError(
                f"p-darts drops {sum(settings.dropped)} operations of every edge: expected at least 2 left, got "
                f"{fewest - sum(settings.dropped)} of {fewest}; set dropped lower."
            )


def search_in_stages(
    folder: Path,
    space: Space,
    settings: PDartsSettings,
    splits: Splits,
    fabric: Fabric,
    seed: int,
    *,
    quiet: bool = False,
) -> Derived:
    """Runs or continues all stages.

    Args:
        folder: gets a folder ``stage-1``, ... for every stage, each as `train_architecture` writes it.
        space: its cells and channels are those of the first stage's options.
        settings: of all stages.
        splits: the data, as for DARTS.
        fabric: device and precision.
        seed: the run's seed.
        quiet: no progress and no warning.

    Returns:
        What the last stage found, its architecture within the limit of skip connections.

    Raises:
        ConfigError: see `check_stages`.
        DataError: see `check_stages`.
        Interrupted: Ctrl-C; the state is saved.
    """
    check_stages(space, settings, splits, fabric)
    kept: Tensor | None = None
    for stage in range(len(settings.cells)):
        method = PDartsStage(space_of_stage(space, settings, stage), settings, stage, kept)
        place, own_seed = folder / f"stage-{stage + 1}", derive(seed, "p-darts.stage", stage)
        found = train_architecture(place, method, splits, fabric, own_seed, quiet=quiet)
        if stage < len(settings.dropped):
            kept = drop_weakest(method.kept, found.weights, settings.dropped[stage])
    return replace(found, architecture=limit_skips(method.space, found.weights, settings.skip_limit))
