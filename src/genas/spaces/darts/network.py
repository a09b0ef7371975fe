"""The network of the DARTS space: supernet and stand-alone in one class (methods.md 1, 2)."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from torch import Tensor, nn

from genas.core.errors import ConfigError
from genas.spaces.base import Architecture, FeatureInfo
from genas.spaces.darts.auxiliary import AuxiliaryHead
from genas.spaces.darts.encoding import EDGES, NODES, Cell, DartsArchitecture, edge_index
from genas.spaces.edges import Mix, MixedNetwork, width_of_share
from genas.spaces.names import DARTS_OPERATIONS
from genas.spaces.operations import (
    WITH_RELU,
    FactorizedReduce,
    ReluConvBn,
    darts_operation,
    relu_over,
    side_by_side,
)


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
        channel_share: K: operations are built for 1/K of the channels; see `EdgeSpace.mixed_network`.
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
        channel_share: int = 1,
    ) -> None:
        super().__init__()
        self.width, self.reduction, self.chosen = width, reduction, chosen
        self.preprocess0: nn.Module = (
            FactorizedReduce(before_last, width, bn_affine)
            if after_reduction
            else ReluConvBn(before_last, width, 1, affine=bn_affine)
        )
        self.preprocess1 = ReluConvBn(last, width, 1, affine=bn_affine)
        share = width_of_share(width, channel_share)
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
                        DARTS_OPERATIONS[number], share, stride, bn_affine, pool_bn
                    )
                    for number in numbers
                }
                if operations:
                    self.edges[str(edge_index(source, node))] = nn.ModuleDict(operations)

    def forward(self, before_last: Tensor, last: Tensor, cell: Cell | Mix, factors: Tensor | None = None) -> Tensor:
        """[B, *, H, W] twice, both after a ReLU, to [B, 4C, H/stride, W/stride] before it.

        `cell` says what runs on every edge, or mixes all that could;
        `factors`, [8, B, 1, 1, 1], are drop-path's for the cell's operations; see `Network.drop_path_factors`.
        """
        states = [self.preprocess0(before_last, rectified=True), self.preprocess1(last, rectified=True)]
        if not isinstance(cell, tuple):
            return self._mixed(states, cell)
        rectified: dict[int, Tensor] = {}  # most operations begin with a ReLU: done once for all readers of a state
        for node, pairs in enumerate(cell, 2):
            outputs = []
            for place, (number, source) in enumerate(pairs):
                operation = self.edges[str(edge_index(source, node))][DARTS_OPERATIONS[number]]  # type: ignore[index]
                if isinstance(operation, WITH_RELU):
                    if source not in rectified:
                        rectified[source] = torch.relu(states[source])
                    out = operation(rectified[source], rectified=True)
                else:
                    out = operation(states[source])
                if factors is not None and not isinstance(operation, nn.Identity):
                    out = out * factors[2 * (node - 2) + place].to(out.dtype)
                outputs.append(out)
            states.append(outputs[0] + outputs[1])
        return side_by_side(states[2:])

    def _mixed(self, states: list[Tensor], mix: Mix) -> Tensor:
        first = EDGES if self.reduction else 0
        for node in range(2, 2 + NODES):
            outputs = []
            for source, state in enumerate(states):
                index = edge_index(source, node)
                outputs.append(mix(first + index, self.edges[str(index)], state))  # type: ignore[arg-type]
            states.append(reduce(add, outputs))
        return side_by_side(states[2:])


class DartsNetwork(MixedNetwork):
    """A supernet (`architecture` None) or the stand-alone network of one architecture.

    Args:
        num_classes: outputs.
        architecture: None for the supernet.
        cells: number L of cells; reductions at L//3 and 2L//3, each doubling the width.
        channels: width C of the first cell.
        image_channels: channels of the images.
        stem: ``cifar`` (one 3x3 convolution to 3C) or ``imagenet`` (three of stride 2).
        bn_affine: batch norm of the cells has scale and shift; the stem's always has.
        pool_bn: batch norm after pools.
        auxiliary: a second head behind the second reduction cell, for training; stand-alone networks only.
        auxiliary_bn: batch norm after its 2x2 convolution; None: with the ``cifar`` stem only (see `DartsConfig`).
        channel_share: K, for a supernet: operations are built for 1/K of the channels.
    """

    architecture: DartsArchitecture | None
    training_only: ClassVar[tuple[str, ...]] = ("auxiliary_head",)

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
        auxiliary: bool = False,
        auxiliary_bn: bool | None = None,
        channel_share: int = 1,
    ) -> None:
        super().__init__()
        if auxiliary and architecture is None:
            raise ConfigError("a supernet has no auxiliary head; set auxiliary for the network to retrain only.")
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
        self._first_reduction, self._second_reduction = cells // 3, 2 * cells // 3
        width, after_reduction = channels, stem == "imagenet"
        for position in range(cells):
            reduction = position in (self._first_reduction, self._second_reduction)
            width *= 2 if reduction else 1
            chosen = None if architecture is None else architecture.cell(reduction)
            self.cells.append(
                DartsCell(
                    before_last, last, width, reduction, after_reduction, chosen, bn_affine, pool_bn, channel_share
                )
            )
            before_last, last, after_reduction = last, NODES * width, reduction
        self.classifier = nn.Linear(last, num_classes)
        if auxiliary:
            last_bn = stem == "cifar" if auxiliary_bn is None else auxiliary_bn
            # made last, so that the other weights are those of the same seed without it
            self.auxiliary_head: AuxiliaryHead | None = AuxiliaryHead(last, num_classes, last_bn)
        else:
            self.auxiliary_head = None

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return len(self.cells)

    @property
    def cell_names(self) -> tuple[str, ...]:
        """The cells, with what prepares their inputs; see `Network.cell_names`."""
        return tuple(f"cells.{position}" for position in range(len(self.cells)))

    def forward(self, images: Tensor, path: Architecture | Sequence[Architecture] | None = None) -> Tensor:
        """Logits [B, num_classes]; see `Network.forward`."""
        return self._classify(self._outputs(images, self.cell_paths(path, DartsArchitecture), ())[self.num_cells - 1])

    def forward_mixed(self, images: Tensor, mix: Mix) -> Tensor:
        """Logits [B, num_classes]; see `MixedNetwork.forward_mixed`."""
        return self._classify(self._outputs(images, [mix] * self.num_cells, ())[self.num_cells - 1])

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits and, in training mode, those of the auxiliary head; see `Network.forward_with_auxiliary`."""
        if self.auxiliary_head is None or not self.training:
            return self(images), None
        outputs = self._outputs(images, self.cell_paths(None, DartsArchitecture), (self._second_reduction,))
        return self._classify(outputs[self.num_cells - 1]), self.auxiliary_head(outputs[self._second_reduction])

    def features(self, images: Tensor) -> list[Tensor]:
        """The outputs of the last cell before each reduction and of the last cell; see `Network.features`.

        With the ``imagenet`` stem, its map at a quarter of the images' side comes first.
        """
        outputs = self._outputs(images, self.cell_paths(None, DartsArchitecture), self.feature_positions)
        return [outputs[position] for position in self.feature_positions]

    @property
    def feature_positions(self) -> tuple[int, ...]:
        """Which cells give the maps of `features`; -1 is the first stem."""
        cells = (self._first_reduction - 1, self._second_reduction - 1, self.num_cells - 1)
        return cells if self.stem1 is None else (-1, *cells)

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Channels and reduction of the maps of `features`."""
        first = self.cells[0]
        assert isinstance(first, DartsCell)
        start = 1 if self.stem1 is None else 8
        maps = [FeatureInfo(NODES * first.width * 2**stage, start * 2**stage) for stage in range(3)]
        return tuple(maps if self.stem1 is None else [FeatureInfo(first.width, 4), *maps])

    def _classify(self, last: Tensor) -> Tensor:
        logits: Tensor = self.classifier(last.mean((2, 3)))
        return logits

    def _outputs(
        self, images: Tensor, paths: Sequence[DartsArchitecture | Mix], kept: Sequence[int], end: int | None = None
    ) -> dict[int, Tensor]:
        """Outputs, before any ReLU, of the cells at the positions `kept` (-1: the first stem) and of the last cell.

        With `end`, the first `end` cells only are run, and the output of the last of these (or of the stem) is there.
        """
        end = self.num_cells if end is None else end
        factors = self.drop_path_factors(images, 2 * NODES * self.num_cells)
        outputs = {-1: self.stem0(images)}
        if not end:
            return outputs
        # Every reader of a stem's or a cell's output, the heads apart, begins with a ReLU: done once, and in place
        # where nobody else reads it.
        before_last = last = torch.relu(outputs[-1]) if -1 in kept else relu_over(outputs.pop(-1), self.stem0)
        if self.stem1 is not None:
            last = relu_over(self.stem1(before_last), self.stem1)
        for position, (cell, architecture) in enumerate(zip(self.cells[:end], paths[:end], strict=True)):
            assert isinstance(cell, DartsCell)
            own = None if factors is None else factors[2 * NODES * position : 2 * NODES * (position + 1)]
            out = cell(before_last, last, _cell(architecture, cell.reduction), own)
            before_last = last
            if position in kept or position == end - 1:
                outputs[position] = out
                last = torch.relu(out) if position < end - 1 else out
            else:
                last = relu_over(out, cell)
        return outputs


def _cell(path: DartsArchitecture | Mix, reduction: bool) -> Cell | Mix:
    return path.cell(reduction) if isinstance(path, DartsArchitecture) else path
