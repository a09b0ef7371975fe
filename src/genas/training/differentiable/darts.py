"""DARTS (Liu et al., ICLR 2019; methods.md 9): softmax over the operations of every edge, first or second order.

First order: the architecture parameters a move along the gradient of L_val(w, a). Second order: of L_val(w', a), where
w' is one step of the weights ahead,

    w' = w - xi (m b + grad_w L_train(w, a) + d w),    xi = learning rate, m b = momentum buffer, d = weight decay

whose gradient is ``grad_a L_val(w', a) - xi * (grad_a L_train(w+, a) - grad_a L_train(w-, a)) / 2R`` with
``w+- = w +- R v``, ``v = grad_w' L_val(w', a)`` and ``R = 0.01 / |v|``.

Deviations from the published code: the derivation follows the last epoch (T3); architecture parameters are in the
checkpoint (T4); the validation split is walked through, not begun anew for every step (T5).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from genas.spaces.base import Space
from genas.spaces.edges import Mix
from genas.training.differentiable.base import GradientMethod, GradientSettings, Step
from genas.training.differentiable.mixture import add_weighted, share_of_operations


class DartsSettings(GradientSettings):
    """DARTS on CIFAR-10 (methods.md 9)."""

    order: Literal["first", "second"] = "first"
    """``second``: the validation loss one step of the weights ahead; a step costs about three times as much."""
    difference: float = Field(0.01, gt=0)
    """Length of the step of the second order's finite differences (methods.md 9: 0.01)."""


class Darts(GradientMethod):
    """DARTS on any space with edges."""

    name: ClassVar[str] = "darts"
    settings: DartsSettings

    def __init__(self, space: Space, settings: DartsSettings | None = None) -> None:
        super().__init__(space, settings or DartsSettings())

    def mix(self, parameters: Mapping[str, Tensor]) -> Mix:
        """The sum of all operations, weighted by the softmax of the edge's alpha."""
        shares = [row.unbind() for row in share_of_operations(parameters["alpha"], self.edges)]

        def mixed(edge: int, operations: nn.ModuleDict, x: Tensor, /) -> Tensor:
            names = self.edges[edge].operations
            return add_weighted(operations, names, shares[edge][: len(names)], x)

        return mixed

    def gradient(self, step: Step) -> tuple[Tensor, Sequence[Tensor]]:
        """See `GradientMethod.gradient`."""
        if self.settings.order == "first":
            return super().gradient(step)
        return second_order(step, self.settings.difference)


def second_order(step: Step, difference: float) -> tuple[Tensor, Sequence[Tensor]]:
    """The validation loss one step of the weights ahead, and its gradient; see the module.

    Args:
        step: the step at work.
        difference: R |v|.
    """
    weights = dict(step.network.named_parameters())
    (group,) = step.optimizer.param_groups
    rate, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
    ahead: dict[str, Tensor] = {}
    slopes = torch.autograd.grad(step.loss(step.training), list(weights.values()), materialize_grads=True)
    for (name, weight), slope in zip(weights.items(), slopes, strict=True):
        move = slope + decay * weight.detach()
        buffer = step.optimizer.state[weight].get("momentum_buffer") if weight in step.optimizer.state else None
        if buffer is not None:
            move = move + momentum * buffer
        ahead[name] = (weight.detach() - rate * move).requires_grad_()
    loss = step.loss(step.validation, ahead)
    found = torch.autograd.grad(loss, [*step.parameters, *ahead.values()], materialize_grads=True)
    direct, along = found[: len(step.parameters)], found[len(step.parameters) :]
    length = torch.stack([one.square().sum() for one in along]).sum().sqrt()
    radius = difference / float(length) if float(length) > 0 else 0.0
    if not radius:
        return loss.detach(), direct
    both = []
    for sign in (1, -1):
        moved = {
            name: weight.detach() + sign * radius * slope
            for (name, weight), slope in zip(weights.items(), along, strict=True)
        }
        both.append(torch.autograd.grad(step.loss(step.training, moved), step.parameters))
    mixed = [(plus - minus) / (2 * radius) for plus, minus in zip(*both, strict=True)]
    return loss.detach(), [one - rate * implicit for one, implicit in zip(direct, mixed, strict=True)]
