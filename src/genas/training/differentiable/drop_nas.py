"""DropNAS (Hong et al., IJCAI 2020; methods.md 12): one-level search with grouped dropout of operations.

Weights and architecture parameters learn from the same batch of the whole training set, from one backward pass. In
every step each operation of an edge is dropped with probability ``r^(1/4)``, but never a whole group (operations with
weights, operations without). The others are weighted by a softmax among themselves. After the step one number is added
to the alphas of the kept operations of an edge, so that their share rho of the full softmax is what it was:

    k = ln(rho / (1 - rho) * S_dropped / S_kept),    S = sum of exp(alpha) after the step

Decay applies to what the step used. Deviations from the published code: the decay is part of the one step and has its
stated value (methods.md N1, N2: there twice the value, in a step of its own that moves the momentum again); dropped
operations are known by the mask and keep weights, alphas and Adam's averages (N3, N4: a zero gradient moves them).
"""

import math
import random
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from genas.spaces.base import Space
from genas.spaces.edges import NONE, WITHOUT_WEIGHTS, Edge, Mix
from genas.training.differentiable.base import GradientMethod, GradientSettings
from genas.training.differentiable.mixture import add_weighted, columns_in_use, share_of_operations

GROUP_SIZE = 4
"""Operations of a group in the DARTS space; the published rate r is that of a group without survivors."""
KEPT = "kept"
"""Name of the drawn mask, [E, O]."""


class DropNasSettings(GradientSettings):
    """DropNAS on CIFAR-10 (methods.md 12.1)."""

    epochs: int = Field(76, ge=1)
    """Epochs over the whole training set (methods.md 12.1: 76)."""
    batch_size: int = Field(96, ge=2)
    """Images per batch (methods.md 12.1: 96)."""
    learning_rate: float = Field(0.0375, gt=0)
    """First learning rate of the weights' cosine (methods.md 12.1: 0.0375)."""
    final_learning_rate: float = Field(0.0015, ge=0)
    """What the cosine falls to (methods.md 12.1: 0.0015)."""
    clip: float | None = Field(3.0, gt=0)
    """Greatest gradient norm of the weights (methods.md 12.1: 3)."""
    group_drop_rate: float = Field(3e-5, ge=0, lt=1)
    """r: an operation is dropped with probability r^(1/4) (methods.md 12.1: 3e-5, that is 0.0740)."""
    ranking: Literal["alpha", "share"] = "alpha"
    """What ranks the edges of a node: ``alpha`` as published, or ``share``, the softmax of the edge (methods.md N6)."""


class DropNas(GradientMethod):
    """DropNAS on any space with edges."""

    name: ClassVar[str] = "drop-nas"
    one_level: ClassVar[bool] = True
    settings: DropNasSettings

    def __init__(self, space: Space, settings: DropNasSettings | None = None) -> None:
        super().__init__(space, settings or DropNasSettings())

    def draw(self, rng: random.Random, epoch: int) -> dict[str, Tensor]:
        """The operations that a step keeps: ``kept``, [E, O] bool; all cells of a type share it."""
        rate = drop_probability(self.settings.group_drop_rate)
        kept = torch.zeros(len(self.edges), max(len(edge.operations) for edge in self.edges), dtype=torch.bool)
        for row, edge in zip(kept, self.edges, strict=True):
            for number in kept_operations(edge, rate, rng):
                row[number] = True
        return {KEPT: kept}

    def mix(self, parameters: Mapping[str, Tensor]) -> Mix:
        """The sum of the kept operations, weighted by the softmax among them; dropped ones are not computed."""
        kept = parameters.get(KEPT, columns_in_use(self.edges))
        shares = torch.softmax(parameters["alpha"].masked_fill(~kept.to(parameters["alpha"].device), -torch.inf), 1)
        rows, used = [row.unbind() for row in shares], kept.tolist()

        def mixed(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
            numbers = [number for number, own in enumerate(used[edge]) if own]
            names = [self.edges[edge].operations[number] for number in numbers]
            return add_weighted(operations, names, [rows[edge][number] for number in numbers], x)

        return mixed

    def movable(self, drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The alphas of the kept operations."""
        return {"alpha": drawn[KEPT]}

    def settle(
        self, before: Mapping[str, Tensor], parameters: Mapping[str, Tensor], drawn: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The alphas of the kept operations shifted, so that their share of the full softmax is what it was."""
        return {"alpha": keep_share(before["alpha"], parameters["alpha"], drawn[KEPT], columns_in_use(self.edges))}

    def ranked(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """``exp(alpha)`` up to a factor, which ranks as alpha does, or the operations' shares."""
        alpha = parameters["alpha"]
        if self.settings.ranking == "share":
            return share_of_operations(alpha, self.edges)
        return (alpha - alpha.max()).exp() * columns_in_use(self.edges).to(alpha)


def drop_probability(group_drop_rate: float) -> float:
    """Probability with which one operation is dropped: r^(1/4)."""
    return math.pow(group_drop_rate, 1 / GROUP_SIZE)


def kept_operations(edge: Edge, probability: float, rng: random.Random) -> list[int]:
    """Numbers of the operations that one step keeps on an edge.

    Args:
        edge: the edge.
        probability: with which each operation is dropped, independently.
        rng: where the numbers come from.

    Returns:
        At least one of each group that the edge has, and one that is not ``none``.
    """
    groups = [
        [number for number, name in enumerate(edge.operations) if (name in WITHOUT_WEIGHTS) == free]
        for free in (False, True)
    ]
    while True:
        kept: list[int] = []
        for group in groups:
            survivors: list[int] = []
            while group and not survivors:
                survivors = [number for number in group if rng.random() >= probability]
            kept += survivors
        if any(edge.operations[number] != NONE for number in kept):
            return sorted(kept)


def keep_share(before: Tensor, after: Tensor, kept: Tensor, used: Tensor) -> Tensor:
    """`after`, the kept entries of each row shifted by k (see the module).

    Args:
        before: [E, O], alphas before the step.
        after: [E, O], alphas after it.
        kept: [E, O] bool.
        used: [E, O] bool, the columns that an edge has operations for.

    Returns:
        [E, O]; rows without a dropped operation as they are.
    """
    kept, used = kept.to(after.device), used.to(after.device)
    dropped = used & ~kept

    def log_sum(alpha: Tensor, of: Tensor) -> Tensor:
        return alpha.masked_fill(~of, -torch.inf).logsumexp(1, keepdim=True)

    # ln rho - ln(1 - rho) is the difference of the logarithms of the sums before the step
    shift = log_sum(before, kept) - log_sum(before, dropped) + log_sum(after, dropped) - log_sum(after, kept)
    return torch.where(kept & dropped.any(1, keepdim=True), after + shift, after)
