"""Stand-alone networks with the weights before training, of the supernet's size or of another."""

from collections.abc import Mapping

import torch
from torch import Tensor

from genas.spaces import copy_path
from genas.spaces.base import Architecture, Network, Space
from genas.training.supernet import initialise

Size = tuple[int | None, int | None]  # cells and channels; None is the supernet's


class Untrained:
    """Makes untrained networks whose common operations have common weights.

    Args:
        space: the search space.
        initial: the supernet's weights before training, by name.
        num_classes: of the logits.
        image_channels: of the images.
        seed: decides the weights of networks of another size than the supernet's.
    """

    def __init__(
        self, space: Space, initial: Mapping[str, Tensor], num_classes: int, image_channels: int, seed: int
    ) -> None:
        self.num_classes, self.image_channels, self.seed = num_classes, image_channels, seed
        self._sizes: dict[Size, tuple[Space, Mapping[str, Tensor]]] = {(None, None): (space, initial)}

    def network(self, architecture: Architecture, size: Size = (None, None)) -> Network:
        """The network of an architecture in training mode, on the CPU.

        A network of another size has the weights that a supernet of that size (`Space.final`) would begin with.

        Raises:
            ConfigError: a size that the space cannot have.
        """
        if size not in self._sizes:
            space = self._sizes[None, None][0].final(*size)
            supernet = initialise(space, self.num_classes, self.image_channels, self.seed)
            self._sizes[size] = space, dict(supernet.state_dict())
        space, weights = self._sizes[size]
        with torch.random.fork_rng(devices=[]):
            network = space.network(self.num_classes, architecture, self.image_channels)
        copy_path(weights, network)
        return network.train()
