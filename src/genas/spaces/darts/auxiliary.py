"""The auxiliary head of the DARTS line's final networks (methods.md 2.1, 2.2).

ReLU, average pool, 1x1 convolution to 128, BN, ReLU, 2x2 convolution to 768, BN, ReLU, linear. Published for maps of
8x8 (CIFAR: pool 5, stride 3) and of 7x7 (ImageNet: pool 5, stride 2); both pools give 2x2. The ImageNet heads of
DARTS, PC-DARTS, RLNAS and GeNAS lack the second BN (an accident of DARTS that the others kept); those of P-DARTS and
ABS have it.

Deviation: any size of map. A map of side n is pooled by two windows of side ceil(n/2) + 1, at most n - 1, that begin at
its two ends: the published pools at n = 8 and n = 7, the identity at n = 2; the one pixel of n = 1 counts twice.
"""

from typing import ClassVar

import torch
from torch import Tensor, fx, nn

from genas.core.arithmetic import ceil_div
from genas.spaces.operations import Folds

HIDDEN, WIDE = 128, 768


def windows(side: int) -> tuple[int, int]:
    """Side and distance of the two pooling windows on a map of `side` pixels."""
    window = max(1, min(ceil_div(side, 2) + 1, side - 1))
    return window, max(1, side - window)


@fx.wrap
def pool_to_two(x: Tensor) -> Tensor:
    """Averages over the windows of each side: [B, C, H, W] to [B, C, 2, 2]."""
    high, down = windows(x.shape[2])
    wide, across = windows(x.shape[3])
    # no padding, so the published "padding not counted" needs no option here
    x = nn.functional.avg_pool2d(x, [high, wide], [down, across])
    return x.expand(-1, -1, 2, 2)  # repeats the only pixel of an axis of one; changes nothing else


class AuxiliaryHead(nn.Module):
    """Logits from the output of the second reduction cell, for a second loss in training.

    Args:
        inputs: channels of the map.
        num_classes: outputs.
        last_bn: batch norm after the 2x2 convolution (2 x 768 parameters).
    """

    folds: ClassVar[Folds] = ((("conv_a",), "bn_a"), (("conv_b",), "bn_b"))

    def __init__(self, inputs: int, num_classes: int, last_bn: bool) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(inputs, HIDDEN, 1, bias=False)
        self.bn_a = nn.BatchNorm2d(HIDDEN)
        self.conv_b = nn.Conv2d(HIDDEN, WIDE, 2, bias=False)
        self.bn_b: nn.Module = nn.BatchNorm2d(WIDE) if last_bn else nn.Identity()
        self.classifier = nn.Linear(WIDE, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, num_classes]."""
        x = torch.relu(self.bn_a(self.conv_a(pool_to_two(torch.relu(x)))))
        logits: Tensor = self.classifier(torch.relu(self.bn_b(self.conv_b(x))).flatten(1))
        return logits
