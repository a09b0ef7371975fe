"""The network of NAS-Bench-Macro: supernet and stand-alone in one class (methods.md 14)."""

from collections.abc import Sequence

from torch import Tensor, nn

from genas.spaces.base import Architecture, FeatureInfo
from genas.spaces.edges import Mix, MixedNetwork
from genas.spaces.names import NASBENCH_MACRO_OPERATIONS
from genas.spaces.nasbench_macro.encoding import FIRST, LAYERS, STAGES, NasBenchMacroArchitecture
from genas.spaces.operations import nasbench_macro_operation


class NasBenchMacroNetwork(MixedNetwork):
    """A supernet (`architecture` None) or the stand-alone network of one architecture.

    Drop-path drops the branches of layers that have a shortcut: without one, nothing would be left of an image.

    Args:
        num_classes: outputs.
        architecture: None for the supernet.
        channels: width of the stem; the stages have two, four and eight times as many.
        tail_channels: width of the last 1x1 convolution.
        image_channels: channels of the images.
    """

    architecture: NasBenchMacroArchitecture | None

    def __init__(
        self,
        num_classes: int,
        architecture: NasBenchMacroArchitecture | None = None,
        *,
        channels: int = 32,
        tail_channels: int = 1280,
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.channels = channels
        self.stem = nn.Sequential(
            nn.Conv2d(image_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.layers = nn.ModuleList()
        inputs = outputs = channels
        for layer in range(LAYERS):
            stride = 2 if layer in FIRST else 1
            outputs *= stride
            names = (
                NASBENCH_MACRO_OPERATIONS
                if architecture is None
                else [NASBENCH_MACRO_OPERATIONS[architecture.operations[layer]]]
            )
            self.layers.append(
                nn.ModuleDict({name: nasbench_macro_operation(name, inputs, outputs, stride) for name in names})
            )
            inputs = outputs
        self.tail = nn.Sequential(
            nn.Conv2d(inputs, tail_channels, 1, bias=False), nn.BatchNorm2d(tail_channels), nn.ReLU()
        )
        self.classifier = nn.Linear(tail_channels, num_classes)

    @property
    def num_cells(self) -> int:
        """Number of searchable layers."""
        return LAYERS

    @property
    def cell_names(self) -> tuple[str, ...]:
        """The searchable layers; see `Network.cell_names`."""
        return tuple(f"layers.{layer}" for layer in range(LAYERS))

    def forward(self, images: Tensor, path: Architecture | Sequence[Architecture] | None = None) -> Tensor:
        """Logits [B, num_classes]; with one architecture per layer, each layer takes its own operation of its own."""
        out: Tensor = self.classifier(self.tail(self._maps(images, self._operations(path))[-1]).mean((2, 3)))
        return out

    def forward_mixed(self, images: Tensor, mix: Mix) -> Tensor:
        """Logits [B, num_classes]; see `MixedNetwork.forward_mixed`."""
        x: Tensor = self.stem(images)
        for layer, choices in enumerate(self.layers):
            assert isinstance(choices, nn.ModuleDict)
            x = mix(layer, choices, x)
        out: Tensor = self.classifier(self.tail(x).mean((2, 3)))
        return out

    def features(self, images: Tensor) -> list[Tensor]:
        """The outputs of the stem and of each stage; see `Network.features`."""
        return self._maps(images, self._operations(None))

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Channels and reduction of the maps of `features`."""
        return tuple(FeatureInfo(self.channels * 2**stage, 2**stage) for stage in range(len(STAGES) + 1))

    def _maps(self, images: Tensor, operations: Sequence[int]) -> list[Tensor]:
        factors = self.drop_path_factors(images, LAYERS)
        x: Tensor = self.stem(images)
        maps: list[Tensor] = []
        for layer, (choices, number) in enumerate(zip(self.layers, operations, strict=True)):
            if layer in FIRST:
                maps.append(x)
            operation = choices[NASBENCH_MACRO_OPERATIONS[number]]  # type: ignore[index]
            if factors is None or not getattr(operation, "shortcut", False):
                x = operation(x)
            else:
                x = operation(x, factors[layer].to(x.dtype))
        return [*maps, x]

    def _operations(self, path: Architecture | Sequence[Architecture] | None) -> list[int]:
        return [one.operations[layer] for layer, one in enumerate(self.cell_paths(path, NasBenchMacroArchitecture))]
