"""The ONNX graph of a stand-alone network in evaluation mode, built directly from its trace.

`torch.fx` records the calls of one forward pass, which is where an architecture's choice of operations ends; a table
says once for each operation which ONNX operators compute it. Sides are fixed, the batch is free. Nothing is exported
by torch, and the graph holds names of weights, not the weights: `Graph.model` takes their present values, so that one
graph serves every noise on them.

Where several forms compute the same function, the one is written that ONNX Runtime keeps in its blocked layout: a
strided pair as one 2x2 convolution, the mean over a map as a global average pool.
"""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from genas.core.errors import ConfigError
from genas.core.registry import blame
from genas.spaces.operations import dilated_depthwise_or_plain, pad_to_even, pool_3x3, strided_pair, strided_pointwise

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OPSET = 17
IR_VERSION = 9  # ONNX Runtime refuses files of a later version than its own
BATCH = -1  # the free first axis in shapes
IMAGES, LOGITS = "images", "logits"


class UnsupportedNetwork(ConfigError):
    """A network that no graph can be built of."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Args:
        name: its name in the graph.
        shape: of a weight or constant; of an activation with `BATCH` first.
    """

    name: str
    shape: tuple[int, ...]


class Graph:
    """The ONNX operators of a network's evaluation mode, and the names of the weights that they take.

    Args:
        network: in evaluation mode; [B, C, H, W] to logits [B, classes]. Its weights are read by `model`, at any time.
        image_shape: C, H, W.

    Raises:
        UnsupportedNetwork: it cannot be traced, or calls something that the table does not hold.
    """

    def __init__(self, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
        self.network, self.image_shape = network, image_shape
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Tensor] = {}
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        self._tensors: dict[str, Tensor] = tensors
        self._used: dict[str, None] = {}
        self.classes = self._build()

    @property
    def weights(self) -> dict[str, Tensor]:
        """The network's parameters and buffers that enter the graph, by name; the network's own tensors."""
        return {name: self._tensors[name] for name in self._used}

    def add(self, kind: str, inputs: Sequence[Value], shape: tuple[int, ...], **attributes: Any) -> Value:
        """Adds an operator with one output of that shape."""
        from onnx import helper

        value = Value(f"value{len(self.nodes)}", shape)
        self.nodes.append(helper.make_node(kind, [one.name for one in inputs], [value.name], **attributes))
        return value

    def weight(self, name: str) -> Value:
        """A parameter or buffer of the network."""
        self._used[name] = None
        return Value(name, tuple(self._tensors[name].shape))

    def constant(self, content: Tensor) -> Value:
        """A tensor that does not depend on the network's weights."""
        name = f"constant{len(self.constants)}"
        self.constants[name] = content
        return Value(name, tuple(content.shape))

    def model(self) -> "ModelProto":
        """The ONNX model with the network's present weights."""
        from onnx import TensorProto, helper, numpy_helper

        def described(name: str, shape: Sequence[int | str]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

        initializers = [
            numpy_helper.from_array(one.detach().contiguous().numpy(), name)
            for name, one in {**self.constants, **self.weights}.items()
        ]
        inputs, outputs = described(IMAGES, ("batch", *self.image_shape)), described(LOGITS, ("batch", self.classes))
        graph = helper.make_graph(self.nodes, "path", [inputs], [outputs], initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _build(self) -> int:
        try:
            traced = fx.Tracer().trace(self.network)
        except Exception as error:
            called = type(self.network).__name__
            raise UnsupportedNetwork(
                f"expected a network whose forward pass torch.fx can trace, got {called}: {blame(error)}; "
                "use proxy.evaluation.engine=fast."
            ) from error
        known: dict[fx.Node, Any] = {}
        for node in traced.nodes:
            if node.op == "placeholder":
                known[node] = Value(IMAGES, (BATCH, *self.image_shape)) if not known else None
            elif node.op == "get_attr":
                known[node] = self.weight(str(node.target))
            elif node.op == "output":
                out = known.get(node.args[0]) if isinstance(node.args[0], fx.Node) else None
                if not isinstance(out, Value) or len(out.shape) != 2:
                    raise UnsupportedNetwork(f"expected one tensor of logits, got {node.args[0]} of {self._called}.")
                from onnx import helper

                self.nodes.append(helper.make_node("Identity", [out.name], [LOGITS]))
                return out.shape[1]
            else:
                known[node] = self._call(node, known)
        raise AssertionError("a trace without output")

    @property
    def _called(self) -> str:
        return type(self.network).__name__

    def _call(self, node: fx.Node, known: Mapping[fx.Node, Any]) -> Any:
        args = fx.map_arg(node.args, lambda one: known[one])
        kwargs = fx.map_arg(node.kwargs, lambda one: known[one])
        target: Any = node.target
        prefix: tuple[Any, ...] = ()
        if node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            target, prefix = type(module), (module, str(node.target))
        written = OPERATORS.get(target)
        if written is not None:
            try:
                inspect.signature(written).bind(self, *prefix, *args, **kwargs)
                return written(self, *prefix, *args, **kwargs)
            except (TypeError, _Unfit) as error:
                raise self._unsupported(node) from error
        raise self._unsupported(node)

    def _unsupported(self, node: fx.Node) -> UnsupportedNetwork:
        name = getattr(node.target, "__name__", str(node.target))
        return UnsupportedNetwork(
            f"expected a network of operations that genas.spaces.graph knows, got {name!r} ({node.format_node()}) in "
            f"{self._called}; use proxy.evaluation.engine=fast."
        )


class _Unfit(Exception):
    """A form of an operation that the table does not hold."""


def _needs(holds: bool) -> None:
    if not holds:
        raise _Unfit


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    first, second = size
    return int(first), int(second)


def _sides(
    x: Value, kernel: tuple[int, int], stride: tuple[int, int], pads: Sequence[int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Height and width behind a window; `pads` as ONNX orders them: top, left, bottom, right."""
    height, width = (
        (x.shape[2 + axis] + pads[axis] + pads[2 + axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    )
    return height, width


def _convolution(
    graph: Graph,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    end: tuple[int, int] = (0, 0),
) -> Value:
    """A convolution; `end` pads by further zeros at the bottom and at the right."""
    _needs(not isinstance(padding, str))
    strides, dilations, (top, left) = _pair(stride), _pair(dilation), _pair(padding)
    pads = [top, left, top + end[0], left + end[1]]
    kernel = (weight.shape[2], weight.shape[3])
    shape = (BATCH, weight.shape[0], *_sides(x, kernel, strides, pads, dilations))
    return graph.add(
        "Conv",
        [x, weight] if bias is None else [x, weight, bias],
        shape,
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=pads,
        dilations=list(dilations),
        group=groups,
    )


def _conv2d(graph: Graph, module: nn.Conv2d, name: str, x: Value) -> Value:
    _needs(module.padding_mode == "zeros")
    bias = None if module.bias is None else graph.weight(f"{name}.bias")
    return _convolution(
        graph,
        x,
        graph.weight(f"{name}.weight"),
        bias,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
    )


def _dilated(graph: Graph, x: Value, weight: Value, bias: Value | None, stride: int) -> Value:
    return _convolution(graph, x, weight, bias, stride, 2 * (weight.shape[2] // 2), 2, weight.shape[0])


def _strided_pointwise(graph: Graph, x: Value, weight: Value, bias: Value | None) -> Value:
    return _convolution(graph, x, weight, bias, 2)


def _pad_to_even(graph: Graph, x: Value) -> Value:
    height, width = x.shape[2] % 2, x.shape[3] % 2
    if not height and not width:
        return x
    return _padded(graph, x, [0, 0, height, width])


def _padded(graph: Graph, x: Value, pads: Sequence[int]) -> Value:
    """Zeros around the last two axes: top, left, bottom, right."""
    top, left, bottom, right = pads
    amounts = graph.constant(torch.tensor([0, 0, top, left, 0, 0, bottom, right]))
    shape = (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
    return graph.add("Pad", [x, amounts], shape)


def _strided_pair(
    graph: Graph, x: Value, even: Value, even_bias: Value | None, odd: Value, odd_bias: Value | None
) -> Value:
    """See `genas.spaces.kernels.shifted_pair`."""
    parts = [_padded(graph, even, (0, 0, 1, 1)), _padded(graph, odd, (1, 1, 0, 0))]
    total = even.shape[0] + odd.shape[0]
    weight = graph.add("Concat", parts, (total, even.shape[1], 2, 2), axis=0)
    bias = None
    if even_bias is not None and odd_bias is not None:
        bias = graph.add("Concat", [even_bias, odd_bias], (total,), axis=0)
    return _convolution(graph, x, weight, bias, 2)


def _pool(graph: Graph, x: Value, kind: str, kernel: Any, stride: Any, pads: Sequence[int]) -> Value:
    """``max``, or ``avg`` that does not count the padding."""
    size, step = _pair(kernel), _pair(stride)
    counted = {"count_include_pad": 0} if kind == "avg" else {}
    shape = (*x.shape[:2], *_sides(x, size, step, pads))
    name = "AveragePool" if kind == "avg" else "MaxPool"
    return graph.add(name, [x], shape, kernel_shape=list(size), strides=list(step), pads=list(pads), **counted)


def _pool_3x3(graph: Graph, x: Value, kind: str, stride: int) -> Value:
    return _pool(graph, x, kind, 3, stride, (1, 1, 1, 1))


def _avg_pool2d(graph: Graph, module: nn.AvgPool2d, name: str, x: Value) -> Value:
    (top, left), kernel, stride = _pair(module.padding), _pair(module.kernel_size), _pair(module.stride)
    _needs(module.divisor_override is None and (not module.count_include_pad or (top, left) == (0, 0)))
    pads = [top, left, top, left]
    if module.ceil_mode:  # as padding at the end that is not counted
        _needs((top, left) == (0, 0) and kernel == stride)
        pads[2], pads[3] = -x.shape[2] % stride[0], -x.shape[3] % stride[1]
    return _pool(graph, x, "avg", kernel, stride, pads)


def _max_pool2d(graph: Graph, module: nn.MaxPool2d, name: str, x: Value) -> Value:
    _needs(not module.ceil_mode and _pair(module.dilation) == (1, 1) and not module.return_indices)
    top, left = _pair(module.padding)
    return _pool(graph, x, "max", module.kernel_size, module.stride, (top, left, top, left))


def _batch_norm(graph: Graph, module: nn.BatchNorm2d, name: str, x: Value) -> Value:
    _needs(module.running_mean is not None)
    affine = module.weight is not None
    scale = graph.weight(f"{name}.weight") if affine else graph.constant(torch.ones(module.num_features))
    shift = graph.weight(f"{name}.bias") if affine else graph.constant(torch.zeros(module.num_features))
    mean, variance = graph.weight(f"{name}.running_mean"), graph.weight(f"{name}.running_var")
    return graph.add("BatchNormalization", [x, scale, shift, mean, variance], x.shape, epsilon=module.eps)


def _linear(graph: Graph, module: nn.Linear, name: str, x: Value) -> Value:
    weight = graph.weight(f"{name}.weight")
    bias = [] if module.bias is None else [graph.weight(f"{name}.bias")]
    return graph.add("Gemm", [x, weight, *bias], (BATCH, module.out_features), transB=1)


def _adaptive_pool(graph: Graph, module: nn.AdaptiveAvgPool2d, name: str, x: Value) -> Value:
    _needs(module.output_size in (1, (1, 1)))
    return graph.add("GlobalAveragePool", [x], (*x.shape[:2], 1, 1))


def _mean(graph: Graph, x: Value, dim: Sequence[int], keepdim: bool = False) -> Value:
    _needs(isinstance(dim, tuple | list) and sorted(axis % 4 for axis in dim) == [2, 3] and len(x.shape) == 4)
    pooled = graph.add("GlobalAveragePool", [x], (*x.shape[:2], 1, 1))
    return pooled if keepdim else _flatten(graph, pooled, 1)


def _flatten(graph: Graph, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    _needs(start_dim == 1 and end_dim in (-1, len(x.shape) - 1))
    return graph.add("Flatten", [x], (BATCH, int(torch.Size(x.shape[1:]).numel())), axis=1)


def _relu(graph: Graph, x: Value, inplace: bool = False) -> Value:
    return graph.add("Relu", [x], x.shape)


def _add(graph: Graph, x: Value, y: Value) -> Value:
    _needs(isinstance(x, Value) and isinstance(y, Value) and x.shape == y.shape)
    return graph.add("Add", [x, y], x.shape)


def _cat(graph: Graph, tensors: Sequence[Value], dim: int = 0) -> Value:
    _needs(dim == 1)
    return graph.add("Concat", tensors, (BATCH, sum(one.shape[1] for one in tensors), *tensors[0].shape[2:]), axis=1)


def _zeros_like(graph: Graph, x: Value) -> Value:
    return graph.add("ConstantOfShape", [graph.add("Shape", [x], (len(x.shape),))], x.shape)


def _of_module(function: Callable[..., Value]) -> Callable[..., Value]:
    """The writer of a module without settings of interest."""
    return lambda graph, module, name, x: function(graph, x)


OPERATORS: dict[Any, Callable[..., Value]] = {
    nn.Conv2d: _conv2d,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: _linear,
    nn.ReLU: _of_module(_relu),
    nn.Identity: _of_module(lambda graph, x: x),
    nn.Dropout: _of_module(lambda graph, x: x),
    nn.AvgPool2d: _avg_pool2d,
    nn.MaxPool2d: _max_pool2d,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.Flatten: lambda graph, module, name, x: _flatten(graph, x, module.start_dim, module.end_dim),
    dilated_depthwise_or_plain: _dilated,
    strided_pointwise: _strided_pointwise,
    strided_pair: _strided_pair,
    pad_to_even: _pad_to_even,
    pool_3x3: _pool_3x3,
    torch.relu: _relu,
    torch.relu_: _relu,
    functional.relu: _relu,
    "relu": _relu,
    torch.cat: _cat,
    torch.flatten: _flatten,
    "flatten": _flatten,
    "mean": _mean,
    torch.mean: _mean,
    torch.zeros_like: _zeros_like,
    torch.add: _add,
    operator.add: _add,
    operator.iadd: _add,
}
"""What writes each operation: by function, by the name of a tensor's method, or by the class of a module."""
