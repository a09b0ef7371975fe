"""What gradient methods (DARTS and its successors) need of a space: its edges, and a network that mixes operations.

A cell is a graph whose edges each offer some operations. A one-shot method runs one operation of an edge; a gradient
method runs all of them and adds the outputs with weights. The network class is the same: its cells call a `Mix` at
every edge in the place of the architecture's operation. A custom space takes part by

1. deriving from `EdgeSpace` and giving `edges`, `operations_of` and `derive` (a `ChoiceSpace` has all three);
2. a network that derives from `MixedNetwork` and calls ``mix(edge, operations, x)`` for every edge:

       def forward_mixed(self, images, mix):
           x = self.stem(images)
           for layer, operations in enumerate(self.layers):  # a ModuleDict of the layer's operations by name
               x = mix(layer, operations, x)
           return self.classifier(x.mean((2, 3)))
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from genas.core.errors import ConfigError
from genas.spaces.architecture import Architecture
from genas.spaces.base import Network, Space

NONE = "none"
"""The operation without a module: zeros."""
SKIPS = frozenset({"skip_connect", "identity"})
"""Operations that pass their input on; a search that collapses chooses little else."""

WITHOUT_WEIGHTS = SKIPS | {NONE, "max_pool_3x3", "avg_pool_3x3"}
"""Operations without weights (where a skip connection has some, to halve the side, it counts as one of these)."""


@dataclass(frozen=True)
class Edge:
    """One edge whose operation is searched; all cells of its type share its weights.

    Args:
        cell: the type of the cell, such as ``normal``.
        source: number of the node that the edge starts from, within the cell.
        node: number of the node that it leads to.
        operations: names, in the order of the weights; ``none`` among them where the space has it.
    """

    cell: str
    source: int
    node: int
    operations: tuple[str, ...]


class Mix(Protocol):
    """What a mixed network calls at every edge of every cell."""

    def __call__(self, edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
        """The edge's output.

        Args:
            edge: its number in `EdgeSpace.edges`.
            operations: the modules of the cell at hand by name; ``none`` has none.
            x: [B, C, H, W], the state of the source node, which must not be changed.

        Returns:
            [B, C, H/stride, W/stride].
        """


class MixedNetwork(Network, ABC):
    """A network that can run all operations of every edge at once."""

    @abstractmethod
    def forward_mixed(self, images: Tensor, mix: Mix) -> Tensor:
        """Logits of the supernet, every edge computed by `mix`.

        Args:
            images: [B, C, H, W] float32, normalised.
            mix: computes an edge.

        Returns:
            [B, num_classes].
        """


class EdgeSpace(Space, ABC):
    """A space that declares its edges, so that gradient methods work on it."""

    @abstractmethod
    def edges(self) -> tuple[Edge, ...]:
        """All edges, in the order of the numbers that the network gives to a `Mix`."""

    @abstractmethod
    def operations_of(self, architecture: Architecture) -> tuple[str, ...]:
        """The architecture's operation on every edge, in the order of `edges`; ``none`` on those that it leaves out."""

    @abstractmethod
    def derive(self, weights: Sequence[Sequence[float]]) -> Architecture:
        """The legal architecture that the weights favour.

        Args:
            weights: one row per edge, one number of at least 0 per operation.
        """

    def mixed_network(self, num_classes: int, image_channels: int = 3, channel_share: int = 1) -> MixedNetwork:
        """The network whose weights a gradient method trains, with PyTorch's default initialisation.

        Args:
            num_classes: outputs.
            image_channels: channels of the images.
            channel_share: K of PC-DARTS: operations are built for 1/K of the channels. The default has K = 1 only.

        Raises:
            ConfigError: the space has no such network.
        """
        if channel_share != 1:
            raise ConfigError(
                f"the space {self.name!r} builds operations for all channels only: expected channel_share 1, got "
                f"{channel_share}; override EdgeSpace.mixed_network, or use a method without partial channels."
            )
        return as_mixed(self.network(num_classes, image_channels=image_channels))


def as_mixed(network: Network) -> MixedNetwork:
    """The network, which must be able to mix operations.

    Raises:
        ConfigError: it does not define `MixedNetwork.forward_mixed`.
    """
    if not isinstance(network, MixedNetwork):
        raise ConfigError(
            f"gradient methods need a network that mixes operations: expected a MixedNetwork, got "
            f"{type(network).__name__}; derive it from genas.spaces.MixedNetwork and define forward_mixed."
        )
    return network


def width_of_share(width: int, channel_share: int) -> int:
    """Channels that the operations of an edge are built for.

    Args:
        width: channels C of the edge.
        channel_share: K.

    Raises:
        ConfigError: K does not divide C.
    """
    if width % channel_share:
        raise ConfigError(
            f"partial channels of 1/{channel_share} need a width that {channel_share} divides, got {width}; change "
            "space.channels or channel_share."
        )
    return width // channel_share


def strongest(weights: Sequence[float]) -> int:
    """Number of the greatest weight, the first of equal ones."""
    return max(range(len(weights)), key=weights.__getitem__)
