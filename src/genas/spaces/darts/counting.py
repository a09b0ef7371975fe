"""Costs of the DARTS space's stand-alone networks from shapes alone: milliseconds, and no torch (methods.md 17).

Papers count differently what they call FLOPs. Three ways are kept apart:

* MACs: multiply-accumulates of convolutions and the classifier, as everywhere in genas;
* as thop counts: MACs with ``2 * inputs - 1`` for every output of the classifier (the counter of ABS, RLNAS and GeNAS);
* with batch norm and ReLU: MACs, two for every output of a batch norm, one for every output of a ReLU. No paper states
  it; it gives the published figures of PC-DARTS and P-DARTS to the last digit.

ReLUs are counted as published networks have them: one at the beginning of every operation that has one, although
genas computes those of the same input once. The auxiliary head is left out.
"""

from dataclasses import dataclass
from math import prod

from genas.core.arithmetic import ceil_div
from genas.spaces.darts.encoding import NODES, Cell, DartsArchitecture
from genas.spaces.names import DARTS_OPERATIONS

Sides = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Count:
    """What a network has and does for one image.

    Args:
        params: trainable parameters.
        macs: multiply-accumulates.
        macs_thop: as thop counts.
        macs_bn_relu: MACs, twice the outputs of batch norms, once those of ReLUs.
    """

    params: int
    macs: int
    macs_thop: int
    macs_bn_relu: int


def count_network(
    architecture: DartsArchitecture,
    *,
    cells: int,
    channels: int,
    num_classes: int,
    image_shape: tuple[int, int, int],
    stem: str = "cifar",
    bn_affine: bool = True,
    pool_bn: bool = False,
) -> Count:
    """Counts the stand-alone network of `architecture`; see `DartsNetwork` for the arguments.

    Args:
        architecture: its two cells.
        cells: number of cells L.
        channels: width C of the first cell.
        num_classes: outputs.
        image_shape: channels, height, width.
        stem: ``cifar`` or ``imagenet``.
        bn_affine: batch norm of the cells has scale and shift.
        pool_bn: batch norm after pools.
    """
    tally = _Tally(bn_affine, pool_bn)
    image_channels, *sides = image_shape
    side = (sides[0], sides[1])
    if stem == "imagenet":
        side = tally.convolution(image_channels, channels // 2, 3, side, 2, affine=True)
        tally.activate(channels // 2, side)
        before = tally.convolution(channels // 2, channels, 3, side, 2, affine=True)
        tally.activate(channels, before)
        side = tally.convolution(channels, channels, 3, before, 2, affine=True)
        before_last = last = channels
    else:
        before = side = tally.convolution(image_channels, 3 * channels, 3, side, 1, affine=True)
        before_last = last = 3 * channels
    width, after_reduction = channels, stem == "imagenet"
    for position in range(cells):
        reduction = position in (cells // 3, 2 * cells // 3)
        width *= 2 if reduction else 1
        tally.relu_convolution(before_last, width, before, 2 if after_reduction else 1)
        tally.relu_convolution(last, width, side, 1)
        tally.cell(architecture.reduce if reduction else architecture.normal, width, side, reduction)
        before, side = side, _strided(side, 2 if reduction else 1)
        before_last, last, after_reduction = last, NODES * width, reduction
    params = tally.params + (last + 1) * num_classes
    macs = tally.macs + last * num_classes
    return Count(params, macs, tally.macs + (2 * last - 1) * num_classes, macs + 2 * tally.normed + tally.relu)


class _Tally:
    """Running sums over the layers: parameters, MACs, outputs of batch norms, outputs of ReLUs."""

    def __init__(self, affine: bool, pool_bn: bool) -> None:
        self.affine, self.pool_bn = affine, pool_bn
        self.params = self.macs = self.normed = self.relu = 0

    def norm(self, width: int, side: Sides, affine: bool) -> None:
        self.params += 2 * width if affine else 0
        self.normed += width * prod(side)

    def activate(self, width: int, side: Sides) -> None:
        self.relu += width * prod(side)

    def convolution(self, inputs: int, outputs: int, kernel: int, side: Sides, stride: int, affine: bool) -> Sides:
        """A convolution that pads to ceil(side / stride), and its batch norm."""
        side = _strided(side, stride)
        self.params += inputs * outputs * kernel**2
        self.macs += inputs * outputs * kernel**2 * prod(side)
        self.norm(outputs, side, affine)
        return side

    def relu_convolution(self, inputs: int, outputs: int, side: Sides, stride: int) -> Sides:
        """ReLU, 1x1 convolution, batch norm; the two halves of a factorised reduction cost the same as one."""
        self.activate(inputs, side)
        return self.convolution(inputs, outputs, 1, side, stride, self.affine)

    def separable(self, width: int, kernel: int, side: Sides, stride: int) -> Sides:
        """ReLU, depthwise and pointwise convolution, batch norm."""
        self.activate(width, side)
        side = _strided(side, stride)
        self.params += width * kernel**2
        self.macs += width * kernel**2 * prod(side)
        return self.convolution(width, width, 1, side, 1, self.affine)

    def cell(self, cell: Cell, width: int, side: Sides, reduction: bool) -> None:
        """The operations of one cell whose inputs are `side` large."""
        for pairs in cell:
            for number, source in pairs:
                stride = 2 if reduction and source < 2 else 1
                here = _strided(side, 2) if reduction and source >= 2 else side
                match DARTS_OPERATIONS[number]:
                    case "max_pool_3x3" | "avg_pool_3x3":
                        if self.pool_bn:
                            self.norm(width, _strided(here, stride), self.affine)
                    case "skip_connect":
                        if stride == 2:
                            self.relu_convolution(width, width, here, 2)
                    case "sep_conv_3x3" | "sep_conv_5x5" as name:
                        here = self.separable(width, int(name[-1]), here, stride)
                        self.separable(width, int(name[-1]), here, 1)
                    case name:
                        self.separable(width, int(name[-1]), here, stride)


def _strided(side: Sides, stride: int) -> Sides:
    return ceil_div(side[0], stride), ceil_div(side[1], stride)
