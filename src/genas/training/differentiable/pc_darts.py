"""PC-DARTS (Xu et al., ICLR 2020; methods.md 10): first-order DARTS on 1/K of the channels, with edge normalisation.

On every edge the first C/K channels go through the operations, the others pass by; then channels are shuffled. Every
edge has a second parameter beta, and a node sums its edges weighted by the softmax of their betas:

    node = sum_j softmax(beta)_j * mixed_j

The derivation ranks softmax(alpha) * softmax(beta). Deviations from the published code: as of DARTS.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genas.core.seeding import torch_rng
from genas.spaces.base import Space
from genas.spaces.edges import Mix
from genas.training.differentiable.base import INITIAL_SCALE, GradientMethod, GradientSettings
from genas.training.differentiable.mixture import add_weighted_share, share_of_inputs, share_of_operations


class PcDartsSettings(GradientSettings):
    """PC-DARTS on CIFAR-10 (methods.md 10.1)."""

    batch_size: int = Field(256, ge=2)
    """Images per batch, of either split (methods.md 10.1: 256)."""
    learning_rate: float = Field(0.1, gt=0)
    """First learning rate of the weights' cosine (methods.md 10.1: 0.1)."""
    final_learning_rate: float = Field(0.0, ge=0)
    """What the cosine falls to (methods.md 10.1: 0)."""
    architecture_learning_rate: float = Field(6e-4, gt=0)
    """Adam's rate for the architecture parameters (methods.md 10.1: 6e-4); its betas are 0.5 and 0.999."""
    architecture_from: int = Field(15, ge=0)
    """First epoch, counted from 0, in which the architecture parameters move (methods.md 10.1: 15)."""
    channel_share: int = Field(4, ge=1)
    """K: the operations see 1/K of the channels (methods.md 10.1: 4; methods.md 10.2, ImageNet: 2)."""
    edge_normalisation: bool = True
    """Weigh the edges of a node by a softmax (methods.md 10.1: yes)."""


class PcDarts(GradientMethod):
    """PC-DARTS on any space with edges; K above 1 needs a space that builds operations for a share of the channels."""

    name: ClassVar[str] = "pc-darts"
    settings: PcDartsSettings

    def __init__(self, space: Space, settings: PcDartsSettings | None = None) -> None:
        settings = settings or PcDartsSettings()
        super().__init__(space, settings)
        self.channel_share = settings.channel_share

    def initial(self, seed: int) -> dict[str, Tensor]:
        """``alpha`` as in DARTS, and ``beta``, [E], 1e-3 * N(0, 1), with edge normalisation."""
        parameters = super().initial(seed)
        if self.settings.edge_normalisation:
            drawn = torch.randn(len(self.edges), generator=torch_rng(seed, "architecture.init.edges"))
            parameters["beta"] = INITIAL_SCALE * drawn
        return parameters

    def mix(self, parameters: Mapping[str, Tensor]) -> Mix:
        """The weighted sum on a share of the channels, weighted again by the edge."""
        shares = [row.unbind() for row in share_of_operations(parameters["alpha"], self.edges)]
        normalised = self.settings.edge_normalisation
        of_edges = share_of_inputs(parameters["beta"], self.edges).unbind() if normalised else ()

        def mixed(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
            names = self.edges[edge].operations
            out = add_weighted_share(operations, names, shares[edge][: len(names)], x, self.channel_share)
            return out * of_edges[edge].to(out.dtype) if normalised else out

        return mixed

    def ranked(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The operations' shares, multiplied by the edge's."""
        shares = super().ranked(parameters)
        return shares * share_of_inputs(parameters["beta"], self.edges)[:, None] if "beta" in parameters else shares
