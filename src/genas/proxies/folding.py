"""Batch norm folded into the convolutions before it: fewer operations for the very function of evaluation mode.

In evaluation mode a batch norm is a scale and a shift per channel, both of which a convolution can take over:
``w' = w * gamma / sqrt(var + eps)`` and ``b' = beta - mean * gamma / sqrt(var + eps)``. The result equals the network's
up to rounding (tested), and it is computed anew from the network's weights for every evaluation, so noise may be put on
the network's own parameters.

A module says which of its convolutions end in which batch norm by a class attribute ``folds`` (see
`genas.spaces.operations`); in an `nn.Sequential`, a convolution directly before a batch norm is found by itself.
Whatever is not found stays as it is.
"""

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn


class Folded:
    """A copy of a network with its batch norms folded.

    Args:
        source: the network whose weights `refresh` takes; never changed.
        layout: memory layout of the copy.
    """

    def __init__(self, source: nn.Module, layout: torch.memory_format = torch.channels_last) -> None:
        self.source = source
        self.network = copy.deepcopy(source).eval()
        self._pairs: list[tuple[list[nn.Conv2d], nn.BatchNorm2d, list[nn.Conv2d]]] = []
        taken: set[str] = set()
        for prefix, module in source.named_modules():
            for names, norm_name in _folds(module):
                convolutions = [module.get_submodule(name) for name in names]
                norm = module.get_submodule(norm_name)
                if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
                    continue
                own = [one for one in convolutions if isinstance(one, nn.Conv2d)]
                if len(own) < len(convolutions):
                    continue
                parent = self.network.get_submodule(prefix)
                copies = []
                for name in names:
                    twin = parent.get_submodule(name)
                    assert isinstance(twin, nn.Conv2d)
                    if twin.bias is None:
                        twin.bias = nn.Parameter(twin.weight.new_zeros(twin.out_channels))
                    copies.append(twin)
                    taken.update(f"{prefix}.{name}.{kind}".lstrip(".") for kind in ("weight", "bias"))
                setattr(parent, norm_name, nn.Identity())
                self._pairs.append((own, norm, copies))
        self.network.to(memory_format=layout)
        theirs = {**dict(source.named_parameters()), **dict(source.named_buffers())}
        mine = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        self._plain: list[tuple[Tensor, Tensor]] = [
            (theirs[name], tensor) for name, tensor in mine.items() if name not in taken
        ]

    @torch.no_grad()
    def refresh(self) -> nn.Module:
        """The folded network with the source's present weights and statistics."""
        for theirs, mine in self._plain:
            mine.copy_(theirs)
        for convolutions, norm, copies in self._pairs:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = torch.rsqrt(norm.running_var + norm.eps)
            if norm.weight is not None:
                scale = scale * norm.weight
            shift = -norm.running_mean * scale
            if norm.bias is not None:
                shift = shift + norm.bias
            first = 0
            for convolution, twin in zip(convolutions, copies, strict=True):
                here = slice(first, first + convolution.out_channels)
                first += convolution.out_channels
                twin.weight.copy_(convolution.weight * scale[here, None, None, None])
                assert twin.bias is not None
                twin.bias.copy_(shift[here])
                if convolution.bias is not None:
                    twin.bias.add_(convolution.bias * scale[here])
        return self.network


def _folds(module: nn.Module) -> Iterator[tuple[tuple[str, ...], str]]:
    """(convolutions side by side, the batch norm of their concatenated outputs), as names inside `module`."""
    yield from getattr(module, "folds", ())
    if isinstance(module, nn.Sequential):
        children = list(module.named_children())
        for (first, convolution), (second, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield (first,), second
