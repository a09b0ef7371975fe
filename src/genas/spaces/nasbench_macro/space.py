"""The NAS-Bench-Macro space: sampling, mutation, crossover, networks, the angle's terms (methods.md 14)."""

from typing import Any

from pydantic import Field

from genas.core.errors import ConfigError
from genas.core.settings import Settings
from genas.spaces.base import AngleTerms, Architecture, Network, Space
from genas.spaces.choices import ChoiceSpace
from genas.spaces.names import NASBENCH_MACRO_OPERATIONS
from genas.spaces.nasbench_macro.definition import DEFINITION
from genas.spaces.nasbench_macro.encoding import LAYERS, NasBenchMacroArchitecture, canonical
from genas.spaces.nasbench_macro.network import NasBenchMacroNetwork


class NasBenchMacroConfig(Settings):
    """Sizes of the NAS-Bench-Macro networks."""

    channels: int = Field(32, ge=2)
    """Width of the stem; the stages have two, four and eight times as many (methods.md 14: 32)."""
    tail_channels: int = Field(1280, ge=2)
    """Width of the last 1x1 convolution (14: 1280)."""


class NasBenchMacroSpace(ChoiceSpace[NasBenchMacroArchitecture]):
    """6,561 chains of eight layers with three operations."""

    name = "nasbench-macro"
    definition, architecture_class, config_class = DEFINITION, NasBenchMacroArchitecture, NasBenchMacroConfig
    config: NasBenchMacroConfig

    def network_key(self, architecture: Architecture) -> str:
        """The same text for architectures whose stand-alone networks are the same: 3,969 for 6,561 architectures.

        Not `function_key`: two of them run different weights of a supernet.
        """
        return canonical(self.own(architecture)).genotype

    def network(
        self, num_classes: int, architecture: Architecture | None = None, image_channels: int = 3
    ) -> NasBenchMacroNetwork:
        """The supernet or a stand-alone network."""
        return NasBenchMacroNetwork(
            num_classes,
            None if architecture is None else self.own(architecture),
            channels=self.config.channels,
            tail_channels=self.config.tail_channels,
            image_channels=image_channels,
        )

    def final(self, cells: int | None = None, channels: int | None = None, **options: Any) -> Space:
        """The space of networks to retrain.

        Args:
            cells: eight, or None: the genotype fixes the depth.
            channels: width of the stem; None keeps it.
            options: further fields of `NasBenchMacroConfig`.

        Raises:
            ConfigError: another depth, an unknown option or an impossible value.
        """
        if cells not in (None, LAYERS):
            raise ConfigError(f"cells is {cells}; a network of the space {self.name!r} has {LAYERS} layers.")
        return self.changed(None, channels, options)

    def angle_terms(
        self, network: Network, architecture: Architecture, *, dil_shift_as_scale: bool = False
    ) -> AngleTerms:
        """Every parameter of the path once: a chain has one path.

        Nothing is published for this space. As in variants D and E of methods.md section 8, an identity adds nothing;
        as in variants B and C, the batch norms of the operations count (there are no dilated convolutions).
        """
        if not isinstance(network, NasBenchMacroNetwork):
            raise ConfigError("the angle of NAS-Bench-Macro needs a network of the space 'nasbench-macro'.")
        chosen = {
            f"layers.{layer}.{NASBENCH_MACRO_OPERATIONS[number]}."
            for layer, number in enumerate(self.own(architecture).operations)
        }
        terms = tuple(
            (name, 1)
            for name, _ in network.named_parameters()
            if not name.startswith("layers.") or name.startswith(tuple(chosen))
        )
        return AngleTerms(terms, 0, 0.0, has_path=True)
