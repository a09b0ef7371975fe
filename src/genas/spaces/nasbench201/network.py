"""The network of NAS-Bench-201: supernet and stand-alone in one class (methods.md 13.2, 13.3)."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from genas.spaces.base import Architecture, FeatureInfo
from genas.spaces.edges import Mix, MixedNetwork, width_of_share
from genas.spaces.names import NASBENCH201_OPERATIONS
from genas.spaces.nasbench201.encoding import EDGES, NasBench201Architecture
from genas.spaces.operations import ReluConvBn, nasbench201_operation

STAGES = 3


class NasBench201Cell(nn.Module):
    """One cell: four nodes, the last one is the output; [B, C, H, W] to the same shape.

    Args:
        width: channels C.
        chosen: the operations to build; None for all of them on every edge.
        affine: batch norm has scale and shift.
        run_unreached: operations that no signal reaches are built and run on zeros, as the benchmark does.
        channel_share: K: operations are built for 1/K of the channels; see `EdgeSpace.mixed_network`.
    """

    def __init__(
        self,
        width: int,
        chosen: NasBench201Architecture | None,
        affine: bool,
        run_unreached: bool = False,
        channel_share: int = 1,
    ) -> None:
        super().__init__()
        self.width, self.run_unreached = width, run_unreached
        self.unreached = frozenset() if chosen is None or run_unreached else chosen.unreached
        self.edges = nn.ModuleDict()
        for index in range(len(EDGES)):
            numbers = range(1, len(NASBENCH201_OPERATIONS)) if chosen is None else [chosen.operations[index]]
            names = [NASBENCH201_OPERATIONS[number] for number in numbers if number]
            # made in any case: the initial weights of the others are those of the same seed with it
            share = width_of_share(width, channel_share)
            operations = {name: nasbench201_operation(name, share, affine) for name in names}
            if operations and index not in self.unreached:
                self.edges[str(index)] = nn.ModuleDict(operations)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """Earlier versions kept the weights of operations that no signal reaches: they are passed over."""
        for index in self.unreached:
            for key in [key for key in state_dict if key.startswith(f"{prefix}edges.{index}.")]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *others)

    def forward(self, x: Tensor, architecture: NasBench201Architecture | Mix, factors: Tensor | None = None) -> Tensor:
        """Runs the operations of `architecture`, or mixes those of every edge; a node without an active input is zero.

        `factors`, [6, B, 1, 1, 1], are drop-path's for the edges; see `Network.drop_path_factors`.
        """
        if not isinstance(architecture, NasBench201Architecture):
            return self._mixed(x, architecture)
        states: list[Tensor | None] = [x, None, None, None]
        for index, ((source, node), number) in enumerate(zip(EDGES, architecture.operations, strict=True)):
            state = states[source]
            if not number:
                continue
            if state is None:
                if not self.run_unreached:
                    continue
                state = torch.zeros_like(x)
            operation = self.edges[str(index)][NASBENCH201_OPERATIONS[number]]  # type: ignore[index]
            out = operation(state)
            if factors is not None and not isinstance(operation, nn.Identity):
                out = out * factors[index].to(out.dtype)
            before = states[node]
            states[node] = out if before is None else before + out
        last = states[3]
        return torch.zeros_like(x) if last is None else last

    def _mixed(self, x: Tensor, mix: Mix) -> Tensor:
        states = [x]
        for node in (1, 2, 3):
            inputs = [(index, source) for index, (source, end) in enumerate(EDGES) if end == node]
            outputs = [mix(index, self.edges[str(index)], states[source]) for index, source in inputs]  # type: ignore[arg-type]
            states.append(reduce(add, outputs))
        return states[-1]


class ResidualBlock(nn.Module):
    """Halves the side and doubles the width: two 3x3 convolutions, plus a pooled 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = ReluConvBn(inputs, outputs, 3, stride=2)
        self.conv_b = ReluConvBn(outputs, outputs, 3)
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, 2C, ceil(H/2), ceil(W/2)]."""
        out: Tensor = self.shortcut(self.pool(x)) + self.conv_b(self.conv_a(x))
        return out


class NasBench201Network(MixedNetwork):
    """A supernet (`architecture` None) or the stand-alone network of one architecture.

    Args:
        num_classes: outputs.
        architecture: None for the supernet.
        cells_per_stage: searchable cells in each of the three stages.
        channels: width of the first stage.
        image_channels: channels of the images.
        cell_bn_affine: batch norm of the cells has scale and shift; the rest always has.
        unreached: ``skip`` or ``run`` operations that no signal reaches; see `NasBench201Config`.
        channel_share: K, for a supernet: operations are built for 1/K of the channels.
    """

    architecture: NasBench201Architecture | None

    def __init__(
        self,
        num_classes: int,
        architecture: NasBench201Architecture | None = None,
        *,
        cells_per_stage: int = 5,
        channels: int = 16,
        image_channels: int = 3,
        cell_bn_affine: bool = False,
        unreached: str = "skip",
        channel_share: int = 1,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = nn.Sequential(
            nn.Conv2d(image_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.cells = nn.ModuleList()
        width = channels
        for stage in range(STAGES):
            if stage:
                self.cells.append(ResidualBlock(width, 2 * width))
                width *= 2
            for _ in range(cells_per_stage):
                self.cells.append(
                    NasBench201Cell(width, architecture, cell_bn_affine, unreached == "run", channel_share)
                )
        self.tail = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, num_classes)
        self._num_cells = STAGES * cells_per_stage

    @property
    def num_cells(self) -> int:
        """Number of searchable cells."""
        return self._num_cells

    @property
    def cell_names(self) -> tuple[str, ...]:
        """The cells without the residual blocks between them; see `Network.cell_names`."""
        return tuple(f"cells.{place}" for place, cell in enumerate(self.cells) if isinstance(cell, NasBench201Cell))

    def forward(self, images: Tensor, path: Architecture | Sequence[Architecture] | None = None) -> Tensor:
        """Logits [B, num_classes]; see `Network.forward`."""
        return self._classify(self._maps(images, self.cell_paths(path, NasBench201Architecture))[-1])

    def forward_mixed(self, images: Tensor, mix: Mix) -> Tensor:
        """Logits [B, num_classes]; see `MixedNetwork.forward_mixed`."""
        return self._classify(self._maps(images, [mix] * self.num_cells)[-1])

    def features(self, images: Tensor) -> list[Tensor]:
        """The output of each stage; see `Network.features`."""
        return self._maps(images, self.cell_paths(None, NasBench201Architecture))

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Channels and reduction of the maps of `features`."""
        width = self.stem[1].num_features
        return tuple(FeatureInfo(width * 2**stage, 2**stage) for stage in range(STAGES))

    def _classify(self, last: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.relu(self.tail(last)).mean((2, 3)))
        return logits

    def _maps(self, images: Tensor, paths: Sequence[NasBench201Architecture | Mix]) -> list[Tensor]:
        factors = self.drop_path_factors(images, len(EDGES) * self.num_cells)
        x: Tensor = self.stem(images)
        maps: list[Tensor] = []
        number = 0
        for cell in self.cells:
            if isinstance(cell, NasBench201Cell):
                own = None if factors is None else factors[len(EDGES) * number : len(EDGES) * (number + 1)]
                x = cell(x, paths[number], own)
                number += 1
            else:
                maps.append(x)
                x = cell(x)
        return [*maps, x]
