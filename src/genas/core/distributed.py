"""Many processes that train as one: which images each takes, and what they have to agree on.

``torchrun`` starts the processes and `core/device.py` joins them. Every process holds the whole network
and takes its rows of every batch; gradients are *summed*, each process having weighted its loss by its share of the
batch. The sum is then the gradient of the whole batch, also where the rows do not divide evenly, which the usual
average of per-process means is not.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from genas.core.errors import GenasError

if TYPE_CHECKING:
    from genas.core.device import Fabric

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The rows of every batch that one process takes.

    A batch is cut into `pieces`, computed one after the other (gradient accumulation), and each piece into consecutive
    rows for each process. The pieces are the same for any number of processes, so batch norm sees the same images.

    Args:
        process: number of this process, from 0.
        processes: number of processes.
        pieces: pieces per batch.
    """

    process: int = 0
    processes: int = 1
    pieces: int = 1

    def parts(self, count: int) -> list[range]:
        """This process's rows of each piece of a batch of `count` images; empty where there are too few."""
        cut = [count * piece // self.pieces for piece in range(self.pieces + 1)]
        parts = []
        for first, end in itertools.pairwise(cut):
            own = [first + (end - first) * process // self.processes for process in (self.process, self.process + 1)]
            parts.append(range(*own))
        return parts

    def rows(self, count: int) -> Tensor:
        """All rows of this process, piece after piece ([N] int64)."""
        return torch.tensor([row for part in self.parts(count) for row in part], dtype=torch.int64)


def share_of(fabric: "Fabric", pieces: int = 1) -> Share:
    """The share of this process."""
    return Share(fabric.global_rank, fabric.world_size, pieces)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its sum over the processes.

    One all-reduce per type of number, over a flat copy: the networks here are small (5 M parameters are 20 MB), so that
    overlapping it with the backward pass would not pay for its complications.
    """
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_type.values():
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))


def take_buffers_of_first(module: nn.Module) -> None:
    """Gives every process the buffers (running statistics) that the first has."""
    for buffer in module.buffers():
        distributed.broadcast(buffer, src=0)


def agree(fabric: "Fabric", action: Callable[[], T]) -> T:
    """Does `action` in every process; where it fails in one, it fails in all, so that none waits for a dead one.

    Raises:
        GenasError: in the first process the error itself, its own or another process's; a bare one elsewhere.
    """
    if fabric.world_size == 1:
        return action()
    error: GenasError | None = None
    try:
        result = action()
    except GenasError as caught:
        error = caught
    errors: list[GenasError | None] = [None] * fabric.world_size
    distributed.all_gather_object(errors, error)
    failed = [one for one in errors if one is not None]
    if failed:
        raise failed[0] if fabric.global_rank == 0 else GenasError(str(failed[0]))
    return result


def on_first(fabric: "Fabric", action: Callable[[], T]) -> T:
    """Does `action` in the first process only, and gives its result to all.

    Raises:
        GenasError: it failed; in every process.
    """
    if fabric.world_size == 1:
        return action()
    outcome: list[Any] = [None, None]
    if fabric.global_rank == 0:
        try:
            outcome[0] = action()
        except GenasError as caught:
            outcome[1] = caught
    distributed.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1] if fabric.global_rank == 0 else GenasError(str(outcome[1]))
    result: T = outcome[0]
    return result
