"""What a search space is: which architectures are legal, how to vary them, and the network that holds them.

An `Architecture` is a frozen, hashable value. A `Space` makes, varies, reads and builds architectures. The network of a
space is ONE class: built without an architecture, each edge holds every operation (the supernet); built with one, each
edge holds one operation (the stand-alone network). Parameters have the same names in both, so a path's weights are
those supernet entries whose names the stand-alone network has.
"""

import functools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from torch import Tensor, fx, nn

from genas.core.errors import ConfigError, GenasError, GenotypeError
from genas.core.registry import Recorded, blame, class_path, make, options_of, parameters_of
from genas.data.preprocessing import Preprocessing
from genas.spaces.architecture import A
from genas.spaces.architecture import Architecture as Architecture
from genas.spaces.definition import SPACES, SpaceDefinition
from genas.spaces.kernels import is_traced


@dataclass(frozen=True)
class AngleTerms:
    """What the angle's weight vector V holds for one architecture (methods: ABS, RLNAS).

    Args:
        parameters: (parameter name, how often it stands in V), names as in `network.named_parameters()`.
        constant_length: number of constant entries (pools, identities), equal in both vectors.
        constant_square: sum of squares of the constant entries.
        has_path: whether any input-to-output path of a cell is active.
    """

    parameters: tuple[tuple[str, int], ...]
    constant_length: int
    constant_square: float
    has_path: bool


@dataclass(frozen=True)
class FeatureInfo:
    """One map of `Network.features`.

    Args:
        channels: its channels.
        reduction: side of the images divided by side of the map.
    """

    channels: int
    reduction: int


@fx.wrap
def path_factors(images: Tensor, count: int, probability: float) -> Tensor:
    """Drop-path's factors for a whole batch from torch's global generator; see `Network.drop_path_factors`."""
    return factors_of(torch.rand([images.shape[0], count], device=images.device), images, probability)


def factors_of(drawn: Tensor, images: Tensor, probability: float) -> Tensor:
    """[B, count] numbers in [0, 1) as factors, [count, B, 1, 1, 1], each 0 or 1/(1-p), in the type of `images`."""
    kept = 1 - probability
    factors = (drawn < kept).to(images.device, images.dtype) / kept
    return factors.t()[..., None, None, None]


class Network(nn.Module, ABC):
    """A supernet, or the stand-alone network of one architecture."""

    architecture: Architecture | None  # None: a supernet
    training_only: ClassVar[tuple[str, ...]] = ()
    """Submodules that only training uses (auxiliary heads): left out of costs."""
    preprocessing: Preprocessing | None = None
    """How images become the input; None unless the network was loaded with its description (`genas.load`)."""
    drop_path: float = 0.0
    """Probability with which, in training mode, an operation's output (identities excepted) is dropped for an image;
    what is kept is divided by 1 - p (methods.md 2.1)."""
    drop_path_generator: torch.Generator | None = None
    """Where drop-path takes its random numbers from; None: torch's global generator of the images' device."""
    drop_path_rows: tuple[int, int] | None = None
    """(first row, rows) where a batch is a slice of a larger one, split over processes or accumulation steps: the
    numbers are drawn for the whole batch and these rows are used, so that the split changes nothing."""

    @abstractmethod
    def forward(self, images: Tensor, path: Architecture | Sequence[Architecture] | None = None) -> Tensor:
        """Logits.

        Args:
            images: [B, C, H, W] float32, normalised.
            path: for a supernet, the architecture to run, or one architecture per cell; None for a stand-alone network.

        Returns:
            [B, num_classes] float32.
        """

    def attach(self, preprocessing: Preprocessing) -> Self:
        """Lets the network know how images become its input and what its outputs mean; returns the network."""
        self.preprocessing = preprocessing
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per output; none unless the network was loaded with its description (`genas.load`)."""
        return () if self.preprocessing is None else self.preprocessing.class_names

    def preprocess(self, image: Image.Image) -> Tensor:
        """An image as the network wants it; ``network(network.preprocess(image)[None])`` gives its logits.

        Args:
            image: of any size and mode; turned upright, brought to size and normalised as in evaluation.

        Returns:
            [C, H, W] float32 on the CPU.

        Raises:
            ConfigError: the network was not loaded with its description.
        """
        if self.preprocessing is None:
            raise ConfigError("this network has no preprocessing: load it with genas.load, or give it one with attach.")
        return self.preprocessing(image)

    def __prepare_scriptable__(self) -> fx.GraphModule:
        """What `torch.jit.script` compiles: the traced forward pass of the present mode, under the same names.

        TorchScript has no words for a choice of submodules by an architecture; the trace holds the outcome of it.
        """
        traced = fx.symbolic_trace(self)
        for node in list(traced.graph.nodes):
            if node.op == "placeholder" and node.target == "path":
                traced.graph.erase_node(node)  # a stand-alone network has no other path
        traced.recompile()
        return traced

    def cell_paths(self, path: Architecture | Sequence[Architecture] | None, kind: type[A]) -> list[A]:
        """One architecture for each cell: what `forward` was given, checked.

        Args:
            path: see `forward`; None for a stand-alone network's own.
            kind: the class of the space's architectures.

        Raises:
            ConfigError: a supernet was given no path, or the path does not fit the network.
        """
        if path is None or is_traced(path):
            path = self.architecture
            if path is None:
                raise ConfigError("a supernet needs a path; give the architecture to run.")
        several = [path] * self.num_cells if isinstance(path, Architecture) else list(path)
        if len(several) != self.num_cells:
            raise ConfigError(f"expected one architecture for each of {self.num_cells} cells, got {len(several)}.")
        own = [one for one in several if isinstance(one, kind)]
        if len(own) != len(several):
            raise ConfigError(f"{type(self).__name__} runs architectures of the class {kind.__name__} only.")
        if self.architecture is not None and any(one != self.architecture for one in own):
            raise ConfigError("a stand-alone network runs its own architecture only.")
        return own

    @property
    @abstractmethod
    def num_cells(self) -> int:
        """Number of searchable cells: the length of a per-cell path."""

    @property
    def cell_names(self) -> tuple[str, ...]:
        """Names of the submodules that the search decides on: what is left of a network without stem and head."""
        raise ConfigError(f"{type(self).__name__} does not say which of its modules are cells; perturb all parameters.")

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and those of the auxiliary head: None in evaluation mode and for networks without such a head.

        Args:
            images: [B, C, H, W] float32, normalised.

        Returns:
            [B, num_classes] float32, and the same shape or None.
        """
        return self(images), None

    def features(self, images: Tensor) -> list[Tensor]:
        """The last map of every resolution from the stem's on, finest first, as the backbone of a detector needs them.

        For stand-alone networks; `feature_info` says what comes.

        Args:
            images: [B, C, H, W] float32, normalised.

        Returns:
            [B, channels, ceil(H / reduction), ceil(W / reduction)] each, as it leaves its layer.
        """
        raise ConfigError(f"{type(self).__name__} does not define feature maps; it cannot be a backbone.")

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Channels and reduction of the maps of `features`."""
        raise ConfigError(f"{type(self).__name__} does not define feature maps; it cannot be a backbone.")

    def set_drop_path(
        self, probability: float, generator: torch.Generator | None = None, rows: tuple[int, int] | None = None
    ) -> None:
        """Changes drop-path from the next batch on; see `drop_path`, `drop_path_generator` and `drop_path_rows`."""
        self.drop_path, self.drop_path_generator, self.drop_path_rows = probability, generator, rows

    def drop_path_factors(self, images: Tensor, count: int) -> Tensor | None:
        """What the outputs of `count` operations are multiplied by for this batch.

        Args:
            images: [B, ...], for the batch size, the device and the type.
            count: operations of the network that drop-path may drop.

        Returns:
            [count, B, 1, 1, 1], each 0 or 1/(1-p); None where nothing is dropped.
        """
        if not self.training or not self.drop_path:
            return None
        if is_traced(images):
            if self.drop_path_generator is not None or self.drop_path_rows is not None:
                raise ConfigError(
                    "a network whose drop-path has a generator of its own cannot be traced; set it to None."
                )
            return path_factors(images, count, self.drop_path)
        first, rows = self.drop_path_rows or (0, len(images))
        generator = self.drop_path_generator
        drawn = torch.rand(
            (rows, count), generator=generator, device=images.device if generator is None else generator.device
        )[first : first + len(images)]
        return factors_of(drawn, images, self.drop_path)


class Space(Recorded, ABC):
    """A search space with the sizes of its network. Subclass it for your own space.

    Give sizes and other options to the constructor, as numbers, text, lists or mappings: a run folder records them
    (`describe`) and makes the space again from them. A class may declare ``version``: scores of another version are
    never taken over; without one its source decides (`genas.core.fingerprint`).
    """

    name: str = "custom"
    definition: ClassVar[SpaceDefinition] = SpaceDefinition()
    """Presets, sizes by scale and data set, recipes, the drawing of cells."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lets every subclass's `parse` fail with a sentence, whatever it raises."""
        super().__init_subclass__(**kwargs)
        if "parse" in cls.__dict__:
            cls.parse = _with_sentence(cls.__dict__["parse"])  # type: ignore[method-assign]

    @abstractmethod
    def sample(self, rng: random.Random) -> Architecture:
        """A uniformly drawn legal architecture."""

    @abstractmethod
    def mutate(self, architecture: Architecture, rng: random.Random, probability: float = 0.1) -> Architecture:
        """A legal child that differs from its parent; every position is changed with `probability`."""

    @abstractmethod
    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """A legal child that takes each position from either parent (it may equal one of them)."""

    def mutate_draft(
        self, architecture: Architecture, rng: random.Random, probability: float = 0.1
    ) -> tuple[str, Architecture]:
        """As `mutate`, with the text of the child before it was made legal.

        The published search asks whether it has met that text (see `SearchSettings.breeding`). It is the genotype where
        nothing had to be made legal, as in a space, like the default's, whose operators give legal children at once.
        """
        child = self.mutate(architecture, rng, probability)
        return child.genotype, child

    def crossover_draft(
        self, first: Architecture, second: Architecture, rng: random.Random
    ) -> tuple[str, Architecture]:
        """As `crossover`, with the text of the child before it was made legal; see `mutate_draft`."""
        child = self.crossover(first, second, rng)
        return child.genotype, child

    @abstractmethod
    def parse(self, text: str) -> Architecture:
        """Reads any accepted text form.

        Raises:
            GenotypeError: with the place where the text goes wrong.
        """

    @abstractmethod
    def network(self, num_classes: int, architecture: Architecture | None = None, image_channels: int = 3) -> Network:
        """Builds the supernet (no architecture) or a stand-alone network, with PyTorch's default initialisation."""

    @abstractmethod
    def size(self) -> int:
        """Number of legal architectures."""

    def function_key(self, architecture: Architecture) -> str:
        """The same text for architectures that compute the same function with the same supernet weights.

        The default never finds two alike.
        """
        return architecture.genotype

    def describe(self) -> dict[str, Any]:
        """Name and options, enough for `open_space` to make the space again: what its constructor was given."""
        return {"name": SPACES.name_of(type(self)), **options_of(self)}

    @classmethod
    def option_names(cls) -> list[str]:
        """The options that a space of this class takes."""
        return [key for key in parameters_of(cls) if key != "self"]

    def final(self, cells: int | None = None, channels: int | None = None, **options: Any) -> "Space":
        """The space at the size of a network to retrain; None keeps the size.

        The default makes the space again with the changed options, where its constructor has parameters of these names.

        Args:
            cells: cells of the network.
            channels: its first width.
            options: further options of the space, such as ``auxiliary=True`` in the DARTS space.

        Raises:
            ConfigError: an option that the space does not have.
        """
        sizes = {"cells": cells, "channels": channels}
        changes = {**{key: value for key, value in sizes.items() if value is not None}, **options}
        if not changes:
            return self
        description = self.describe()
        name = description.pop("name")
        taken = self.option_names()
        unknown = [key for key in changes if key not in taken]
        if unknown:
            has = f"its options are {', '.join(taken)}" if taken else "it has no options"
            raise ConfigError(
                f"the space {name!r} has no {' and no '.join(unknown)} for final networks ({has}); leave that setting "
                "out, or define Space.final."
            )
        return self.from_options(name, {**description, **changes})

    @classmethod
    def from_options(cls, name: str, options: dict[str, Any]) -> Self:
        """A space of this class.

        Args:
            name: what the configuration calls it, for messages.
            options: of its constructor.

        Raises:
            ConfigError: the constructor does not take them, or fails.
        """
        made: Self = make(name, cls, options=options)
        return made

    def benchmark(self) -> "Space":
        """This space counting parameters and MACs as its benchmark does; the default counts no other way."""
        return self

    def sample_training_path(self, rng: random.Random, num_cells: int) -> Architecture | Sequence[Architecture]:
        """The path of one training batch: one architecture for all cells unless the space's method differs."""
        return self.sample(rng)

    def angle_terms(
        self, network: Network, architecture: Architecture, *, dil_shift_as_scale: bool = False
    ) -> AngleTerms:
        """What the angle compares for `architecture` in the supernet `network`.

        Args:
            network: the supernet.
            architecture: one of its paths.
            dil_shift_as_scale: repeat the slip G2 of the published code (dilated convolutions' BN shift replaced by
                a second copy of the scale).
        """
        raise ConfigError(f"the space {_called(self)} does not define the angle; use another proxy.")


def _with_sentence(parse: Callable[..., Architecture]) -> Callable[..., Architecture]:
    """A subclass's `parse` that raises GenasErrors only: a text may lead a user's parser to any error."""

    @functools.wraps(parse)
    def guarded(self: Space, text: str) -> Architecture:
        try:
            found = parse(self, text)
        except (GenasError, MemoryError):
            raise
        except Exception as error:
            raise GenotypeError(f"{text!r} is no genotype of the space {_called(self)}: {blame(error)}.") from error
        if not isinstance(found, Architecture):
            raise GenotypeError(
                f"{type(self).__name__}.parse gave a {type(found).__name__} for {text!r}; expected an Architecture."
            )
        return found

    return guarded


def _called(space: Space) -> str:
    return repr(space.name if space.name != Space.name else class_path(type(space)))
