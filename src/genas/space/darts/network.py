"""The network of the DARTS space: supernet and stand-alone in one class (methods.md 1, 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genas.errors import ConfigError
from genas.space.base import Architecture, Network
from genas.space.darts.encoding import NODES, Cell, DartsArchitecture, edge_index
from genas.space.names import DARTS_OPERATIONS
from genas.space.operations import FactorizedReduce, ReluConvBn, darts_operation


class DartsCell(nn.Module):
    """One cell: two inputs, four nodes, the nodes' outputs concatenated.

    Args:
        before_last: channels of input 0.
        last: channels of input 1.
        width: channels C of every node.
        reduction: edges from the inputs have stride 2.
        after_reduction: input 0 is twice as large as input 1.
        chosen: the operations to build; None for all of them on every edge.
        bn_affine: batch norm has scale and shift.
        pool_bn: batch norm after pools.
    """

    def __init__(
        self,
        before_last: int,
        last: int,
        width: int,
        reduction: bool,
        after_reduction: bool,
        chosen: Cell | None,
        bn_affine: bool,
        pool_bn: bool,
    ) -> None:
        super().__init__()
        self.width, self.reduction, self.chosen = width, reduction, chosen
        self.preprocess0: nn.Module = (
            FactorizedReduce(before_last, width, bn_affine)
            if after_reduction
            else ReluConvBn(before_last, width, 1, affine=bn_affine)
        )
        self.preprocess1 = ReluConvBn(last, width, 1, affine=bn_affine)
        self.edges = nn.ModuleDict()
        for node in range(2, 2 + NODES):
            for source in range(node):
                numbers = (
                    range(1, len(DARTS_OPERATIONS))
                    if chosen is None
                    else [number for number, start in chosen[node - 2] if start == source]
                )
                stride = 2 if reduction and source < 2 else 1
                operations = {
                    DARTS_OPERATIONS[number]: darts_operation(
                        DARTS_OPERATIONS[number], width, stride, bn_affine, pool_bn
                    )
                    for number in numbers
                }
                if operations:
                    self.edges[str(edge_index(source, node))] = nn.ModuleDict(operations)

    def forward(self, before_last: Tensor, last: Tensor, cell: Cell) -> Tensor:
        """[B, *, H, W] twice, both after a ReLU, to [B, 4C, H/stride, W/stride] before it."""
        states = [self.preprocess0(before_last, rectified=True), self.preprocess1(last, rectified=True)]
        for node, pairs in enumerate(cell, 2):
            outputs = [
                self.edges[str(edge_index(source, node))][DARTS_OPERATIONS[number]](states[source])  # type: ignore[index]
                for number, source in pairs
            ]
            states.append(outputs[0] + outputs[1])
        return torch.cat(states[2:], 1)


class DartsNetwork(Network):
    """A supernet (`architecture` None) or the stand-alone network of one architecture.

    Args:
        num_classes: outputs.
        architecture: None for the supernet.
        cells: number L of cells; reductions at L//3 and 2L//3, each doubling the width.
        channels: width C of the first cell.
        image_channels: channels of the pictures.
        stem: ``cifar`` (one 3x3 convolution to 3C) or ``imagenet`` (three of stride 2).
        bn_affine: batch norm of the cells has scale and shift; the stem's always has.
        pool_bn: batch norm after pools.
    """

    architecture: DartsArchitecture | None

    def __init__(
        self,
        num_classes: int,
        architecture: DartsArchitecture | None = None,
        *,
        cells: int = 8,
        channels: int = 16,
        image_channels: int = 3,
        stem: str = "cifar",
        bn_affine: bool = True,
        pool_bn: bool = True,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        if stem == "imagenet":
            half = channels // 2
            self.stem0 = nn.Sequential(
                nn.Conv2d(image_channels, half, 3, 2, 1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(),
                nn.Conv2d(half, channels, 3, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
            )
            self.stem1: nn.Sequential | None = nn.Sequential(
                nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels)
            )
            before_last = last = channels
        else:
            self.stem0 = nn.Sequential(
                nn.Conv2d(image_channels, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels)
            )
            self.stem1 = None
            before_last = last = 3 * channels
        self.cells = nn.ModuleList()
        width, after_reduction = channels, stem == "imagenet"
        for position in range(cells):
            reduction = position in (cells // 3, 2 * cells // 3)
            width *= 2 if reduction else 1
            chosen = None if architecture is None else _cell(architecture, reduction)
            self.cells.append(
                DartsCell(before_last, last, width, reduction, after_reduction, chosen, bn_affine, pool_bn)
            )
            before_last, last, after_reduction = last, NODES * width, reduction
        self.classifier = nn.Linear(last, num_classes)

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return len(self.cells)

    def forward(self, images: Tensor, path: Architecture | Sequence[Architecture] | None = None) -> Tensor:
        """Logits [B, num_classes]; see `Network.forward`."""
        paths = self._paths(path)
        # Every reader of a stem's or a cell's output, the classifier apart, begins with a ReLU: done once, in place.
        before_last = last = torch.relu_(self.stem0(images))
        if self.stem1 is not None:
            last = torch.relu_(self.stem1(before_last))
        for position, (cell, architecture) in enumerate(zip(self.cells, paths, strict=True), 1):
            assert isinstance(cell, DartsCell)
            out = cell(before_last, last, _cell(architecture, cell.reduction))
            before_last, last = last, torch.relu_(out) if position < self.num_cells else out
        logits: Tensor = self.classifier(last.mean((2, 3)))
        return logits

    def _paths(self, path: Architecture | Sequence[Architecture] | None) -> Sequence[DartsArchitecture]:
        if path is None:
            path = self.architecture
            if path is None:
                raise ConfigError("a supernet needs a path; give the architecture to run.")
        several = [path] * self.num_cells if isinstance(path, Architecture) else list(path)
        if len(several) != self.num_cells:
            raise ConfigError(f"{len(several)} architectures came for {self.num_cells} cells; one each is wanted.")
        own = [one for one in several if isinstance(one, DartsArchitecture)]
        if len(own) != len(several):
            raise ConfigError("a network of the space 'darts' runs architectures of that space only.")
        if self.architecture is not None and any(one != self.architecture for one in own):
            raise ConfigError("a stand-alone network runs its own architecture only.")
        return own


def _cell(architecture: DartsArchitecture, reduction: bool) -> Cell:
    return architecture.reduce if reduction else architecture.normal
