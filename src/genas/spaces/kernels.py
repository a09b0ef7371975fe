"""The same functions, computed in ways that the CPU is faster at.

Each function here equals the torch call it stands for up to rounding (tested, gradients too). What rounds more coarsely
in that layout is torch's own batch norm in training (``benchmarks/rounding.py``). They apply to images on
the CPU in the channels-last layout only (`suits`); the layout is therefore the switch: ``supernet.layout=contiguous``
and ``proxy.evaluation.engine=plain`` compute with torch's own operators. ``benchmarks/kernels.py`` measures each beside
the call it stands for.

All of them are written so that TorchScript can compile them, those within `fast_gradients` excepted.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

_fast_gradients: ContextVar[bool] = ContextVar("fast_gradients", default=False)


@contextmanager
def fast_gradients(*, on: bool = True) -> Iterator[None]:
    """What is computed inside gets its gradients in faster ways that round differently: `supernet.gradients`."""
    token = _fast_gradients.set(on)
    try:
        yield
    finally:
        _fast_gradients.reset(token)


def is_traced(x: object) -> bool:
    """Whether `x` stands for a value that is not known yet: `torch.fx` is tracing."""
    return isinstance(x, fx.Proxy)


def suits(x: Tensor) -> bool:
    """Whether `x`, [B, C, H, W], is on the CPU, in channels-last layout and in that only."""
    return x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def has_fast_gradient(x: Tensor) -> bool:
    """Whether the gradient of a function of `x` is to be computed in a faster way; see `fast_gradients`."""
    return _fast_gradients.get() and torch.is_grad_enabled() and suits(x)


def dilated_depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """A depthwise convolution of dilation 2, odd kernel and "same" padding, as undilated ones on every second pixel.

    With stride 2 only the pixels of even rows and columns are read; with stride 1 the four phases of the image are
    four images of half the side. oneDNN's gradient of the dilated form is the slow one.

    Args:
        x: [B, C, H, W].
        weight: [C, 1, K, K].
        bias: [C], or None.
        stride: 1 or 2.

    Returns:
        [B, C, ceil(H/stride), ceil(W/stride)].
    """
    groups, padding = weight.shape[0], weight.shape[2] // 2
    if stride == 2:
        return functional.conv2d(x[:, :, ::2, ::2], weight, bias, 1, padding, 1, groups)
    out = functional.conv2d(_phases(x), weight, bias, 1, padding, 1, groups)
    return _of_phases(out, x)


def _phases(x: Tensor) -> Tensor:
    """[B, C, H, W] to [4B, C, ceil(H/2), ceil(W/2)]: even and odd rows and columns as images of their own."""
    count, channels, height, width = x.shape
    if height % 2 == 1 or width % 2 == 1:
        x = functional.pad(x, [0, width % 2, 0, height % 2])  # zeros, as the padding of the convolution itself
    rows, columns = x.shape[2] // 2, x.shape[3] // 2
    phases = x.permute(0, 2, 3, 1).reshape(count, rows, 2, columns, 2, channels).permute(2, 4, 0, 1, 3, 5)
    return phases.reshape(4 * count, rows, columns, channels).permute(0, 3, 1, 2)


def _of_phases(phases: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_phases`; `like` has the height and width of the result."""
    channels, rows, columns = phases.shape[1], phases.shape[2], phases.shape[3]
    count, height, width = like.shape[0], like.shape[2], like.shape[3]
    out = phases.permute(0, 2, 3, 1).reshape(2, 2, count, rows, columns, channels).permute(2, 3, 0, 4, 1, 5)
    out = out.reshape(count, 2 * rows, 2 * columns, channels).permute(0, 3, 1, 2)
    return out[:, :, :height, :width] if height % 2 == 1 or width % 2 == 1 else out


def wide_depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """A depthwise 5x5 convolution without bias and with "same" padding, whose weight gradient is computed in two parts.

    oneDNN has a fast one of kernels up to three columns wide: five are three and, shifted by two, three more.

    Args:
        x: [B, C, H, W].
        weight: [C, 1, 5, 5].
        stride: 1 or 2.
        dilation: 1 or 2.

    Returns:
        [B, C, ceil(H/stride), ceil(W/stride)].
    """
    if dilation == 1:
        return _wide_depthwise(x, weight, stride)
    if stride == 2:  # only the pixels of even rows and columns are read, see `dilated_depthwise`
        return _wide_depthwise(x[:, :, ::2, ::2], weight, 1)
    return _of_phases(_wide_depthwise(_phases(x), weight, 1), x)


def _wide_depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    out: Tensor = _WideDepthwise.apply(x, weight, stride)
    return out


class _WideDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, None, stride, 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors

        def part(x: Tensor, weight: Tensor, columns: int, wanted: int) -> Tensor:
            found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
                gradient,
                x,
                weight,
                None,
                [ctx.stride] * 2,
                [2, columns],
                [1, 1],
                False,
                [0, 0],
                weight.shape[0],
                [wanted == 0, wanted == 1, False],
            )
            return found[wanted]

        of_x = part(x, weight, 2, 0) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None, None
        left, right = (part(functional.pad(x, sides), weight[..., :3], 0, 1) for sides in ([2, 0], [0, 2]))
        return of_x, torch.cat([left[..., :2], right], 3), None


def concatenate(parts: Sequence[Tensor]) -> Tensor:
    """`torch.cat` along the channels, with gradients that lie densely in memory.

    Those of `torch.cat` are views of one wide tensor. torch's batch norm takes such a gradient channel by channel, 6 to
    10 times as slowly on one thread and up to 30 times on two.

    Args:
        parts: each [B, C, H, W].
    """
    out: Tensor = _Concatenation.apply(*parts)
    return out


class _Concatenation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.widths = [part.shape[1] for part in parts]
        return torch.cat(parts, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        views = torch.split(gradients[0], ctx.widths, 1)
        return tuple(view.contiguous(memory_format=torch.channels_last) for view in views)


def shifted_pair(x: Tensor, even: Tensor, even_bias: Tensor | None, odd: Tensor, odd_bias: Tensor | None) -> Tensor:
    """Two 1x1 stride-2 convolutions, the second one pixel aside, side by side: one 2x2 convolution with zeros.

    Args:
        x: [B, Cin, H, W], H and W even.
        even: weight of the first, [C1, Cin, 1, 1].
        even_bias: [C1]; both have a bias (folded batch norm) or neither has.
        odd: weight of the second, [C2, Cin, 1, 1].
        odd_bias: [C2], or None.

    Returns:
        [B, C1 + C2, H/2, W/2].
    """
    weight = torch.cat([functional.pad(even, [0, 1, 0, 1]), functional.pad(odd, [1, 0, 1, 0])])
    bias = None if even_bias is None or odd_bias is None else torch.cat([even_bias, odd_bias])
    return functional.conv2d(x, weight, bias, stride=2)


def average_pool(x: Tensor, stride: int) -> Tensor:
    """3x3 average that does not count the padding, as a depthwise convolution and a correction at the border.

    Args:
        x: [B, C, H, W].
        stride: 1 or 2.

    Returns:
        [B, C, ceil(H/stride), ceil(W/stride)].
    """
    channels = x.shape[1]
    sums = functional.conv2d(x, x.new_ones([channels, 1, 3, 3]), None, stride, 1, 1, channels)
    counts = functional.conv2d(x.new_ones([1, 1, x.shape[2], x.shape[3]]), x.new_ones([1, 1, 3, 3]), None, stride, 1)
    return sums.mul_(counts.reciprocal_())


def max_pool(x: Tensor, stride: int) -> Tensor:
    """3x3 maximum along rows, then along columns; bit-identical, for use without gradients. Shapes: `average_pool`."""
    for axis in (2, 3):
        out = _every(x, axis, 0, stride).clone(memory_format=torch.channels_last)
        after, before = _every(x, axis, 1, stride), _every(x, axis, stride - 1, stride)
        start = out.narrow(axis, 0, after.shape[axis])
        torch.maximum(start, after, out=start)
        rest = out.narrow(axis, 1, out.shape[axis] - 1)
        torch.maximum(rest, before.narrow(axis, 0, rest.shape[axis]), out=rest)
        x = out
    return x


def _every(x: Tensor, axis: int, first: int, stride: int) -> Tensor:
    """Every `stride`-th row (axis 2) or column (axis 3) of `x` from the `first` on."""
    return x[:, :, first::stride] if axis == 2 else x[:, :, :, first::stride]
