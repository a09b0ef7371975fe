"""What a training is going to need, said before it begins: parameters, MACs, steps and memory.

Memory is counted, not guessed: two small batches run through the very network on the device, and the tensors that
autograd keeps for the backward pass are added up. Their number of bytes is linear in the number of images. On top
come weights, gradients, momentum and the moving average. What is not in the sum: the workspace of convolution
kernels, the allocator's gaps, and the data set itself where it is kept in memory.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.core.arithmetic import ceil_div
from genas.core.device import Fabric
from genas.data.base import Splits
from genas.spaces.base import Architecture, Network, Space
from genas.spaces.cost import architecture_cost
from genas.training.standalone.data import Parts, steps_of
from genas.training.standalone.network import without_auxiliary
from genas.training.standalone.recipe import RetrainSettings


@dataclass(frozen=True)
class Plan:
    """Figures of a training.

    Args:
        params: parameters of the network that is kept.
        auxiliary_params: those of the auxiliary head, for training only.
        macs: multiply-accumulates of one image, without the auxiliary head.
        channels: first width; None where the space has no such thing.
        train: images trained on.
        held_out: images that choose the best epoch, not trained on; 0 for none.
        test: images judged at the end.
        epochs: epochs.
        steps: batches per epoch.
        processes: processes that divide each batch.
        weight_bytes: weights, gradients, momentum and moving average, per process.
        activation_bytes: what the backward pass needs of the pieces of the largest batch, per process.
    """

    params: int
    auxiliary_params: int
    macs: int
    channels: int | None
    train: int
    held_out: int
    test: int
    epochs: int
    steps: int
    processes: int
    weight_bytes: int
    activation_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Least memory per process, without convolution workspace."""
        return self.weight_bytes + self.activation_bytes

    def as_dict(self) -> dict[str, Any]:
        """For the run's record."""
        return {**asdict(self), "memory_bytes": self.memory_bytes}


def plan_of(
    space: Space, architecture: Architecture, splits: Splits, parts: Parts, settings: RetrainSettings, fabric: Fabric
) -> Plan:
    """Counts what a training needs.

    Args:
        space: the space at the size of the network to train.
        architecture: what to train.
        splits: the data.
        parts: what the recipe makes of them.
        settings: the recipe.
        fabric: device, precision and processes.
    """
    cost = architecture_cost(without_auxiliary(space), architecture, splits.num_classes, splits.image_shape)
    with torch.random.fork_rng(devices=[]):  # its random weights must not move anybody's generator
        network = space.network(splits.num_classes, architecture, splits.image_shape[0])
    params = sum(parameter.numel() for parameter in network.parameters())
    fabric.precision.convert_module(network.to(fabric.device))
    if settings.layout == "channels-last":
        network.to(memory_format=torch.channels_last)
    number = next(network.parameters()).element_size()
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())
    copies = 3 if settings.momentum else 2
    averaged = settings.ema_decay is not None
    largest = ceil_div(settings.batch_size, settings.accumulate * fabric.world_size)  # images at once in a process
    fixed, each = activation_bytes(network, splits.image_shape, splits.num_classes, settings, fabric)
    return Plan(
        params=cost.params,
        auxiliary_params=params - cost.params,
        macs=cost.macs,
        channels=space.describe().get("channels"),
        train=len(parts.train),
        held_out=len(parts.judge) if parts.judge is not None and settings.best == "held-out" else 0,
        test=len(parts.test) if parts.test is not None else 0,
        epochs=settings.trained_epochs,
        steps=steps_of(len(parts.train), settings, fabric.world_size),
        processes=fabric.world_size,
        weight_bytes=params * number * (copies + averaged) + buffers * (1 + averaged),
        activation_bytes=fixed + each * largest,
    )


def activation_bytes(
    network: Network, image_shape: tuple[int, int, int], classes: int, settings: RetrainSettings, fabric: Fabric
) -> tuple[int, int]:
    """Bytes that the backward pass needs: a fixed part, and one for each image.

    Args:
        network: on the device, in the precision and layout of the run; its batch-norm statistics are changed.
        image_shape: channels, height, width.
        classes: outputs.
        settings: layout and auxiliary loss.
        fabric: device and precision.
    """
    two, four = (_kept(network, count, image_shape, classes, settings, fabric) for count in (2, 4))
    each = (four - two) // 2
    return max(0, two - 2 * each), each


def _kept(
    network: Network,
    count: int,
    image_shape: tuple[int, int, int],
    classes: int,
    settings: RetrainSettings,
    fabric: Fabric,
) -> int:
    """`kept_bytes` of a batch of `count` images."""
    number = next(network.parameters()).dtype
    images = torch.zeros((count, *image_shape), device=fabric.device, dtype=number)
    if settings.layout == "channels-last":
        images = images.contiguous(memory_format=torch.channels_last)
    network.train()
    # drop-path needs numbers, but not those of anybody's stream
    network.set_drop_path(0.5 if settings.drop_path else 0.0, torch.Generator(device=fabric.device))
    labels = torch.zeros(count, dtype=torch.int64, device=fabric.device)

    def loss() -> Tensor:
        with fabric.autocast():
            logits, auxiliary = network.forward_with_auxiliary(images)
            assert logits.shape[1] == classes
            own = functional.cross_entropy(logits, labels)
            return own if auxiliary is None else own + functional.cross_entropy(auxiliary, labels)

    return kept_bytes(network, loss)


def kept_bytes(network: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes of the different storages that autograd keeps for a loss, the weights' excepted."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = loss()
    del found
    return sum(kept.values())
