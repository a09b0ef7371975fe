"""What a training loop asks of a second set of parameters that is trained beside the network."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Companion(Protocol):
    """What is trained beside the network, such as the architecture parameters of a gradient method."""

    def before_step(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> None:
        """Moves, before the network's weights are moved by the same batch.

        Args:
            images: the batch, as `Trainer.run` got it.
            labels: its labels.
            epoch: number of the epoch, from 0.
            step: number of the step within it, from 0.
        """

    def after_step(self) -> None:
        """Moves, or not, after the network's weights were moved; gradients of the step are there."""

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over a state that `tensors` gave."""
