"""The operations of the spaces (methods.md 1.2, 13.1, 14). No convolution has a bias.

`none` has no module: its edge is skipped.

What depends on sizes, layout or gradients is decided in functions that `torch.fx` takes as one step (`fx.wrap`), so
that a traced network decides as the network itself does whenever it runs.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from genas.spaces.kernels import (
    average_pool,
    concatenate,
    dilated_depthwise,
    has_fast_gradient,
    is_traced,
    max_pool,
    shifted_pair,
    suits,
    wide_depthwise,
)

Folds = tuple[tuple[tuple[str, ...], str], ...]  # see genas.proxies.folding


def relu_over(x: Tensor, source: nn.Module) -> Tensor:
    """ReLU in place of the output `x` of `source`, unless somebody else may look at it: a traced network or a hook."""
    return torch.relu(x) if is_traced(x) or source._forward_hooks else torch.relu_(x)


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Concatenates along the channels."""
    fast = not is_traced(parts[0]) and has_fast_gradient(parts[0])
    return concatenate(parts) if fast else torch.cat(list(parts), 1)


def has_fast_form(own: nn.Conv2d, x: Tensor) -> bool:
    """Whether the weight gradient of a convolution of `x` is to be computed in the faster way of `wide_depthwise`."""
    wide = own.kernel_size == (5, 5) and own.groups == own.in_channels and own.bias is None
    return wide and not is_traced(x) and has_fast_gradient(x)


@fx.wrap
def dilated_depthwise_or_plain(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """A depthwise convolution of dilation 2; [B, C, H, W] to [B, C, ceil(H/stride), ceil(W/stride)]."""
    # the dilated forward pass is fast enough; it is the gradient that is slow
    if torch.is_grad_enabled() and suits(x):
        return dilated_depthwise(x, weight, bias, stride)
    return functional.conv2d(x, weight, bias, stride, 2 * (weight.shape[2] // 2), 2, weight.shape[0])


@fx.wrap
def strided_pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """See `StridedPointwise`; `weight` is [Cout, Cin, 1, 1]."""
    if weight.shape[1] < 16 and x.device.type == "cpu" and torch.is_grad_enabled():
        return functional.conv2d(x[:, :, ::2, ::2], weight, bias)
    return functional.conv2d(x, weight, bias, 2)


@fx.wrap
def strided_pair(x: Tensor, even: Tensor, even_bias: Tensor | None, odd: Tensor, odd_bias: Tensor | None) -> Tensor:
    """Two 1x1 stride-2 convolutions, the second one pixel aside, side by side; sides of `x` are even."""
    if torch.is_grad_enabled() and suits(x):
        return shifted_pair(x, even, even_bias, odd, odd_bias)
    aside = x[:, :, 1:, 1:]
    return torch.cat([strided_pointwise(x, even, even_bias), strided_pointwise(aside, odd, odd_bias)], 1)


@fx.wrap
def pad_to_even(x: Tensor) -> Tensor:
    """Odd sides get one pixel of zeros at the end."""
    height, width = x.shape[2], x.shape[3]
    return functional.pad(x, [0, width % 2, 0, height % 2]) if height % 2 == 1 or width % 2 == 1 else x


@fx.wrap
def pool_3x3(x: Tensor, kind: str, stride: int) -> Tensor:
    """3x3 pooling, ``max`` or ``avg`` (which does not count the padding), with a padding of 1."""
    fast = suits(x)
    if kind == "avg":
        return average_pool(x, stride) if fast else functional.avg_pool2d(x, 3, stride, 1, False, False)
    # where values tie, the gradient of the fast form would be shared
    return max_pool(x, stride) if fast and not torch.is_grad_enabled() else functional.max_pool2d(x, 3, stride, 1)


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
        own = self.depthwise
        if has_fast_form(own, x):
            x = wide_depthwise(x, own.weight, own.stride[0], own.dilation[0])
        elif own.dilation[0] == 2 and (is_traced(x) or (torch.is_grad_enabled() and suits(x))):
            x = dilated_depthwise_or_plain(x, own.weight, own.bias, own.stride[0])
        else:  # the module itself, for hooks that count or observe it
            x = own(x)
        out: Tensor = self.bn(self.pointwise(x))
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
        out: Tensor = self.second(relu_over(self.first(x, rectified), self.first), rectified=True)
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
        return strided_pointwise(x, self.weight, self.bias)


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
        x = pad_to_even(x if rectified else torch.relu(x))
        if is_traced(x) or (torch.is_grad_enabled() and suits(x)):
            both = strided_pair(x, self.even.weight, self.even.bias, self.odd.weight, self.odd.bias)
        else:  # the modules themselves, for hooks that count or observe them
            both = torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1)
        out: Tensor = self.bn(both)
        return out


class Pool(nn.Module):
    """3x3 pooling (the average does not count the padding), with batch norm where asked for."""

    def __init__(self, kind: str, width: int, stride: int, with_bn: bool, affine: bool) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride
        self.bn: nn.Module = nn.BatchNorm2d(width, affine=affine) if with_bn else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H/stride, W/stride]."""
        out: Tensor = self.bn(pool_3x3(x, self.kind, self.stride))
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
        out: Tensor
        depthwise = self.branch[3]
        if isinstance(depthwise, nn.Conv2d) and has_fast_form(depthwise, x):
            out = wide_depthwise(self.branch[:3](x), depthwise.weight, depthwise.stride[0], 1)
            out = self.branch[4:](out)
        else:
            out = self.branch(x)
        if factor is not None:
            out = out * factor
        return x + out if self.shortcut else out


WITH_RELU = (ReluConvBn, DilConv, SepConv, FactorizedReduce)
"""Operations that begin with a ReLU, and take its result in place of their input: ``rectified``."""


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
