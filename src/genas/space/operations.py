"""The operations of the spaces (methods.md 1.2, 13.1, 14). No convolution has a bias.

`none` has no module: its edge is skipped.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from genas.space.kernels import average_pool, dilated_depthwise, max_pool, shifted_pair, suits

Folds = tuple[tuple[tuple[str, ...], str], ...]  # see genas.proxy.folding


class ReluConvBn(nn.Module):
    """ReLU, convolution, batch norm: [B, Cin, H, W] to [B, Cout, H/stride, W/stride]."""

    folds: ClassVar[Folds] = ((("conv",), "bn"),)

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor, rectified: bool = False) -> Tensor:
        """Applies the three in turn; the ReLU is left out of an input that is `rectified` already."""
        out: Tensor = self.bn(self.conv(x if rectified else torch.relu(x)))
        return out


class _Separable(nn.Module):
    """ReLU, depthwise, pointwise, batch norm."""

    folds: ClassVar[Folds] = ((("pointwise",), "bn"),)

    def __init__(self, width: int, kernel: int, stride: int, dilation: int, affine: bool) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.depthwise = nn.Conv2d(width, width, kernel, stride, padding, dilation=dilation, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width, affine=affine)

    def forward(self, x: Tensor, rectified: bool = False) -> Tensor:
        """Applies the four in turn; `rectified` as in `ReluConvBn`."""
        if not rectified:
            x = torch.relu(x)
        # the dilated forward pass is fast enough; it is the gradient that is slow
        slow = self.depthwise.dilation[0] == 2 and torch.is_grad_enabled() and suits(x)
        out: Tensor = self.bn(self.pointwise(dilated_depthwise(x, self.depthwise) if slow else self.depthwise(x)))
        return out


class DilConv(_Separable):
    """Dilated separable convolution (dilation 2)."""

    def __init__(self, width: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__(width, kernel, stride, 2, affine)


class SepConv(nn.Module):
    """Separable convolution, twice; the stride is the first's."""

    def __init__(self, width: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.first = _Separable(width, kernel, stride, 1, affine)
        self.second = _Separable(width, kernel, 1, 1, affine)

    def forward(self, x: Tensor, rectified: bool = False) -> Tensor:
        """[B, C, H, W] to [B, C, H/stride, W/stride]; `rectified` as in `ReluConvBn`."""
        out: Tensor = self.second(torch.relu_(self.first(x, rectified)), rectified=True)
        return out


class StridedPointwise(nn.Conv2d):
    """A 1x1 convolution of stride 2 without bias.

    On the CPU it reads every second pixel of fewer than 16 channels as a stride-1 convolution, which is the same
    function: oneDNN's gradient of the strided one writes past its memory there in the channels-last layout
    (uxlfoundation/oneDNN issue 6035).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] to [B, Cout, ceil(H/2), ceil(W/2)]."""
        if self.in_channels < 16 and x.device.type == "cpu" and torch.is_grad_enabled():
            return nn.functional.conv2d(x[:, :, ::2, ::2], self.weight, self.bias)
        return super().forward(x)


class FactorizedReduce(nn.Module):
    """ReLU, two 1x1 stride-2 convolutions (the second one pixel aside), concatenation, batch norm.

    Odd widths are split as C//2 and C - C//2 (ABS's rule, methods.md A4); odd sides are padded by one pixel at the end.
    """

    folds: ClassVar[Folds] = ((("even", "odd"), "bn"),)

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__()
        self.even = StridedPointwise(inputs, outputs // 2)
        self.odd = StridedPointwise(inputs, outputs - outputs // 2)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor, rectified: bool = False) -> Tensor:
        """[B, Cin, H, W] to [B, Cout, ceil(H/2), ceil(W/2)]; `rectified` as in `ReluConvBn`."""
        x = x if rectified else torch.relu(x)
        if x.shape[2] % 2 or x.shape[3] % 2:
            x = nn.functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        if torch.is_grad_enabled() and suits(x):
            both = shifted_pair(x, self.even, self.odd)
        else:
            both = torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1)
        out: Tensor = self.bn(both)
        return out


class Pool(nn.Module):
    """3x3 pooling (the average does not count the padding), with batch norm where asked for."""

    def __init__(self, kind: str, width: int, stride: int, with_bn: bool, affine: bool) -> None:
        super().__init__()
        self.stride = stride
        self.pool: nn.Module = (
            nn.MaxPool2d(3, stride, 1) if kind == "max" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        )
        self.bn: nn.Module = nn.BatchNorm2d(width, affine=affine) if with_bn else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H/stride, W/stride]."""
        if not suits(x):
            pooled = self.pool(x)
        elif isinstance(self.pool, nn.AvgPool2d):
            pooled = average_pool(x, self.stride)
        elif torch.is_grad_enabled():  # where values tie, the gradient of the other form would be shared
            pooled = self.pool(x)
        else:
            pooled = max_pool(x, self.stride)
        out: Tensor = self.bn(pooled)
        return out


class MBConv(nn.Module):
    """Pointwise convolution to `expansion` times the width, depthwise convolution, pointwise convolution.

    Each with batch norm, the first two with ReLU; the input is added where it has the shape of the output.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * inputs
        self.shortcut = stride == 1 and inputs == outputs
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor, factor: Tensor | None = None) -> Tensor:
        """[B, Cin, H, W] to [B, Cout, H/stride, W/stride]; `factor`, [B, 1, 1, 1], is drop-path's for the branch."""
        out: Tensor = self.branch(x)
        if factor is not None:
            out = out * factor
        return x + out if self.shortcut else out


def darts_operation(name: str, width: int, stride: int, affine: bool, pool_bn: bool) -> nn.Module:
    """An operation of the DARTS space, `none` excepted."""
    match name:
        case "max_pool_3x3" | "avg_pool_3x3":
            return Pool(name[:3], width, stride, pool_bn, affine)
        case "skip_connect":
            return nn.Identity() if stride == 1 else FactorizedReduce(width, width, affine)
        case "sep_conv_3x3" | "sep_conv_5x5":
            return SepConv(width, int(name[-1]), stride, affine)
        case "dil_conv_3x3" | "dil_conv_5x5":
            return DilConv(width, int(name[-1]), stride, affine)
    raise AssertionError(name)


def nasbench201_operation(name: str, width: int, affine: bool) -> nn.Module:
    """An operation of NAS-Bench-201, `none` excepted."""
    match name:
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1" | "nor_conv_3x3":
            return ReluConvBn(width, width, int(name[-1]), affine=affine)
        case "avg_pool_3x3":
            return Pool("avg", width, 1, with_bn=False, affine=affine)
    raise AssertionError(name)


def nasbench_macro_operation(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    """An operation of NAS-Bench-Macro; an identity that has to halve the side is a 1x1 convolution with batch norm."""
    match name:
        case "identity" if stride == 1:
            return nn.Identity()
        case "identity":
            return nn.Sequential(StridedPointwise(inputs, outputs), nn.BatchNorm2d(outputs))
        case "mbconv_k3_e3" | "mbconv_k5_e6":
            return MBConv(inputs, outputs, int(name[8]), int(name[-1]), stride)
    raise AssertionError(name)
