"""What a gradient method is: how it mixes operations, how its architecture parameters move, what is derived from them.

A bilevel search alternates: architecture parameters move on a batch of the validation split, then weights on one of the
train split (DARTS, methods.md 9). The network is that of the space (`genas.spaces.edges`).
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from genas.core.errors import ConfigError
from genas.core.seeding import torch_rng
from genas.core.settings import Settings
from genas.spaces.architecture import Architecture
from genas.spaces.base import Space
from genas.spaces.edges import EdgeSpace, Mix, MixedNetwork
from genas.training.differentiable.mixture import share_of_operations
from genas.training.differentiable.record import EpochRecord

INITIAL_SCALE = 1e-3
"""Standard deviation of the architecture parameters at first (methods.md 9)."""

Batch = tuple[Tensor, Tensor]
"""Images [B, C, H, W] and labels [B]."""


class GradientSettings(Settings):
    """How weights and architecture parameters are trained; the defaults are those of DARTS on CIFAR-10."""

    epochs: int = Field(50, ge=1)
    """Epochs over the train split (methods.md 9: 50)."""
    batch_size: int = Field(64, ge=2)
    """Images per batch, of either split (methods.md 9: 64)."""
    learning_rate: float = Field(0.025, gt=0)
    """First learning rate of the weights' cosine (methods.md 9: 0.025)."""
    final_learning_rate: float = Field(0.001, ge=0)
    """What the cosine falls to (methods.md 9: 0.001)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum of the weights (methods.md 9: 0.9)."""
    weight_decay: float = Field(3e-4, ge=0)
    """Decay of the weights (methods.md 9: 3e-4)."""
    clip: float | None = Field(5.0, gt=0)
    """Greatest gradient norm of the weights (methods.md 9: 5)."""
    architecture_learning_rate: float = Field(3e-4, gt=0)
    """Adam's rate for the architecture parameters (methods.md 9: 3e-4); its betas are 0.5 and 0.999."""
    architecture_weight_decay: float = Field(1e-3, ge=0)
    """Decay of the architecture parameters (methods.md 9: 1e-3)."""
    architecture_from: int = Field(0, ge=0)
    """First epoch, counted from 0, in which the architecture parameters move (methods.md 9: 0)."""
    architecture_clip: float | None = Field(None, gt=0)
    """Greatest gradient norm of the architecture parameters (methods.md 9: no limit)."""
    stop_at_skips: int | None = Field(None, ge=1)
    """End the search after the first epoch whose derived architecture has that many skip connections in a cell; None
    never ends it early. Early stopping against the collapse to skip connections is due to DARTS+."""
    shifted_schedule: bool = False
    """Use the learning rate of the next epoch, as the published scripts do under PyTorch >= 1.1 (methods.md T1)."""
    layout: Literal["channels-last", "contiguous"] = "channels-last"
    """Memory layout of images and weights; see the supernet's."""
    gradients: Literal["plain", "fast"] = "plain"
    """``fast``: gradients that a CPU computes faster; see the supernet's."""
    checkpoint_seconds: float = Field(300.0, gt=0)
    """Least seconds between two checkpoints inside an epoch."""


class Losses(Protocol):
    """The loss of a batch under the present architecture parameters."""

    def __call__(self, batch: Batch, weights: Mapping[str, Tensor] | None = None, /) -> Tensor:
        """Mean cross-entropy.

        Args:
            batch: images and labels.
            weights: parameters of the network by name, in place of its own; None for its own.
        """


@dataclass(frozen=True)
class Step:
    """One step of the architecture parameters.

    Args:
        loss: of a batch.
        parameters: the architecture parameters, which `loss` depends on.
        network: the network, whose weights are not to be changed.
        optimizer: of its weights; not to be used.
        training: the batch that will move the weights next.
        validation: the batch that moves the architecture parameters.
    """

    loss: Losses
    parameters: tuple[Tensor, ...]
    network: MixedNetwork
    optimizer: torch.optim.SGD
    training: Batch
    validation: Batch


class GradientMethod(ABC):
    """A method; its architecture parameters are tensors by name, which it neither keeps nor changes.

    Args:
        space: must declare its edges.
        settings: hyper-parameters.

    Raises:
        ConfigError: the space declares no edges.
    """

    name: ClassVar[str]
    one_level: ClassVar[bool] = False
    """Weights and architecture parameters learn from the same batch of the whole training set, in one backward pass."""
    channel_share: int = 1
    """K: the operations are built for 1/K of the channels."""

    def __init__(self, space: Space, settings: GradientSettings) -> None:
        if not isinstance(space, EdgeSpace):
            raise ConfigError(
                f"the method {self.name!r} needs a space that declares its edges: expected an EdgeSpace, got "
                f"{type(space).__name__}; derive it from genas.spaces.EdgeSpace, or use a one-shot method."
            )
        self.space, self.settings, self.edges = space, settings, space.edges()

    def initial(self, seed: int) -> dict[str, Tensor]:
        """The architecture parameters before training: ``alpha``, [E, O], 1e-3 * N(0, 1).

        O is the greatest number of operations of an edge; columns beyond an edge's own are 0 and stay so.
        """
        alpha = torch.zeros(len(self.edges), max(len(edge.operations) for edge in self.edges))
        drawn = INITIAL_SCALE * torch.randn(alpha.shape, generator=torch_rng(seed, "architecture.init"))
        for row, values, edge in zip(alpha, drawn, self.edges, strict=True):
            row[: len(edge.operations)] = values[: len(edge.operations)]
        return {"alpha": alpha}

    def draw(self, rng: random.Random, epoch: int) -> dict[str, Tensor]:
        """What is drawn for one forward pass of an epoch, counted from 0; nothing by default."""
        return {}

    def restrict(self, network: MixedNetwork, image_shape: tuple[int, int, int]) -> MixedNetwork:
        """The new network itself, without operations that the method does not use; by default it uses all.

        Args:
            network: changed in place.
            image_shape: C, H, W.
        """
        return network

    @abstractmethod
    def mix(self, parameters: Mapping[str, Tensor]) -> Mix:
        """Computes the edges of one forward pass.

        Args:
            parameters: the architecture parameters, and what `draw` gave.
        """

    def gradient(self, step: Step) -> tuple[Tensor, Sequence[Tensor]]:
        """The loss that a bilevel method lowers, and a gradient for each of the architecture parameters.

        The default is the first order: the validation loss at the present weights.
        """
        loss = step.loss(step.validation)
        return loss.detach(), torch.autograd.grad(loss, step.parameters)

    def movable(self, drawn: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Masks of what Adam may move after a step of a one-level method, by parameter; all of it without a mask."""
        return {}

    def settle(
        self, before: Mapping[str, Tensor], parameters: Mapping[str, Tensor], drawn: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """New values of some parameters after a step of a one-level method; none by default.

        Args:
            before: the parameters before the step.
            parameters: after it.
            drawn: what `draw` gave for it.
        """
        return {}

    def ranked(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """What the derivation ranks, [E, O]: by default the operations' shares."""
        return share_of_operations(parameters["alpha"], self.edges)

    @torch.no_grad()
    def derive(self, parameters: Mapping[str, Tensor]) -> Architecture:
        """The architecture that the parameters favour."""
        return self.space.derive(self.ranked(parameters).tolist())


@dataclass(frozen=True)
class Derived:
    """What a gradient method found.

    Args:
        architecture: derived after the last epoch.
        weights: one row per edge, one number per operation: what it was derived from.
        network: the mixed network, trained.
        epochs: the record of every epoch.
    """

    architecture: Architecture
    weights: list[list[float]]
    network: MixedNetwork
    epochs: tuple[EpochRecord, ...]
