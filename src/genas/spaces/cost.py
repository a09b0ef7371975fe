"""Parameters and multiply-accumulates, counted by running the network on the meta device (shapes only).

MACs are half the FLOPs of PyTorch's own formulas (`torch.utils.flop_counter`): matrix products, convolutions and
attention, whichever module or function asks for them. By the convention of publications nothing else counts:
elementwise operators, normalisation, pooling, reductions, softmax, interpolation, and what makes or rearranges tensors
(`_FREE`). An operator of neither kind is an error, not a silent zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genas.core.errors import CostError
from genas.spaces.base import Architecture, Network, Space
from genas.spaces.width import largest_even

_FREE_NAMES = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
    _batch_norm_with_update _batch_norm_no_update native_layer_norm native_group_norm _fused_rms_norm
    linalg_vector_norm norm
    hardswish log_sigmoid_forward _prelu_kernel rrelu_with_noise glu _softmax _log_softmax _safe_softmax
    avg_pool1d avg_pool2d avg_pool3d max_pool2d max_pool2d_with_indices max_pool3d_with_indices
    adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d
    fractional_max_pool2d
    mean sum prod amax amin aminmax max min argmax argmin any all var var_mean std std_mean logsumexp cumsum cumprod
    topk sort
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
    upsample_bicubic2d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    cat stack constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle im2col col2im roll flip
    repeat index index_select index_put index_put_ gather scatter scatter_ masked_fill masked_fill_ embedding
    select_scatter slice_scatter tril triu _unsafe_view _reshape_alias clone copy copy_ _to_copy lift_fresh
    _assert_async _local_scalar_dense
    empty empty_strided empty_like new_empty new_empty_strided zeros zeros_like new_zeros zero_ ones ones_like new_ones
    full full_like new_full fill_ arange linspace scalar_tensor eye rand rand_like randn randn_like bernoulli bernoulli_
    uniform_ normal_ native_dropout
"""
_FREE = frozenset(f"aten.{name}" for name in _FREE_NAMES.split())
"""Operators that cost nothing by convention, beside views and those that PyTorch itself calls pointwise."""


def _convolution_flops(x: Tensor, weight: Tensor, *others: Any, out_val: Tensor, **_: Any) -> int:
    """As PyTorch's formula, without its slow detour over the shapes of all arguments."""
    transposed = others[4]
    return 2 * (x if transposed else out_val).numel() * weight[0].numel()


_FORMULAS: Mapping[Any, Callable[..., int]] = {  # FLOPs of products that PyTorch's table lacks, or counts slowly
    torch.ops.aten.convolution: _convolution_flops,
    torch.ops.aten.mv: lambda matrix, vector, **_: 2 * matrix.numel(),
    torch.ops.aten.addmv: lambda bias, matrix, vector, **_: 2 * matrix.numel(),
    torch.ops.aten.dot: lambda first, second, **_: 2 * first.numel(),
}


@dataclass(frozen=True)
class Cost:
    """Size and work of a network.

    Args:
        params: number of trainable parameters, auxiliary heads excepted.
        macs: multiply-accumulates of matrix products, convolutions and attention for one image.
    """

    params: int
    macs: int


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's base has no annotations
    """Adds up the FLOPs of every operator that runs inside it."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = getattr(func, "_overloadpacket", func)
        formula = _FORMULAS.get(packet) or flop_registry.get(packet)
        if formula is None and not _is_free(func):
            raise CostError(
                f"the MACs of the operator {func} are not known: expected matrix products, convolutions, attention and "
                "what costs nothing by convention; give it a formula with "
                "torch.utils.flop_counter.register_flop_formula (two FLOPs for a MAC; 0 where it costs nothing)."
            )
        out = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        return out


@lru_cache(maxsize=4096)
def _is_free(operator: Any) -> bool:
    """Whether an operator costs nothing by convention."""
    if not isinstance(operator, torch._ops.OpOverload):
        return False
    return operator.is_view or torch.Tag.pointwise in operator.tags or str(operator._overloadpacket) in _FREE


def count(network: nn.Module, image_shape: tuple[int, int, int]) -> Cost:
    """Counts a network that lies on the meta device.

    Args:
        network: called with one image.
        image_shape: channels, height, width.

    Raises:
        CostError: the network runs an operator whose MACs are not known.
    """
    counter, training = _FlopCounter(), network.training
    try:
        with torch.no_grad(), counter:
            network.eval()(torch.empty((1, *image_shape), device="meta"))
    finally:
        network.train(training)
    return Cost(sum(parameter.numel() for parameter in network.parameters()), counter.flops // 2)


def architecture_cost(
    space: Space, architecture: Architecture, num_classes: int, image_shape: tuple[int, int, int]
) -> Cost:
    """The cost of the stand-alone network of `architecture` at the space's sizes.

    Args:
        space: the space with its sizes.
        architecture: one of it.
        num_classes: outputs.
        image_shape: channels, height, width.

    Raises:
        CostError: the network runs an operator whose MACs are not known.
    """
    return _cached(space, architecture, num_classes, tuple(image_shape))


def largest_width(
    space: Space,
    architecture: Architecture,
    num_classes: int,
    image_shape: tuple[int, int, int],
    max_macs: int,
    cells: int | None = None,
    **options: Any,
) -> int:
    """The largest even width with which the network to retrain has at most `max_macs` MACs.

    Args:
        space: the space.
        architecture: one of it.
        num_classes: outputs.
        image_shape: channels, height, width.
        max_macs: the limit for one image.
        cells: as for `Space.final`.
        options: further options of `Space.final`.

    Raises:
        ConfigError: even the narrowest network needs more, or the space's width cannot be chosen.
    """

    def macs(width: int) -> int:
        size = space.final(cells, width, **options)
        return architecture_cost(size, architecture, num_classes, image_shape).macs

    return largest_even(macs, max_macs)


@lru_cache(maxsize=65536)
def _cached(space: Space, architecture: Architecture, num_classes: int, image_shape: tuple[int, int, int]) -> Cost:
    with torch.device("meta"):
        network: Network = space.network(num_classes, architecture, image_shape[0])
    for name in network.training_only:
        if hasattr(network, name):
            delattr(network, name)
    params = sum(parameter.numel() for parameter in network.parameters())
    for module in list(network.modules()):  # batch norm keeps shapes, and is what takes the time on the meta device
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return Cost(params, count(network, image_shape).macs)
