"""Finds and loads trained networks: of a search's run folder, of a retraining, of an exported folder, or one file.

A trained network is a file of weights beside a description: ``model.json`` (written by retraining) or ``config.json``
(written by ``genas export``). Several seeds of one retraining lie in ``seed-N/`` folders.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genas.core.checkpoint import load_checkpoint, network_of
from genas.core.errors import CheckpointError, GenasError
from genas.core.fingerprint import fingerprint, refuse_other_code
from genas.core.run_paths import RunPaths, TrainingPaths
from genas.core.settings import validate
from genas.data.preprocessing import CHANNELS, Preprocessing
from genas.spaces import Network, Space, open_space

EXPORT_FORMAT = "genas-model-1"
WEIGHTS = "model.safetensors"
DESCRIPTIONS = ("model.json", "config.json")


class ModelFacts(BaseModel):
    """What a trained network is: enough to build it and to feed it. Further entries are kept as they came."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, protected_namespaces=())

    space: dict[str, Any]
    """Name and options of the space, as `Space.describe` gives them."""
    genotype: str
    """The architecture."""
    classes: int
    """Number of outputs."""
    image_shape: tuple[int, int, int]
    """Channels, height, width of the images it was trained on."""
    class_names: tuple[str, ...]
    """One name per class, in the order of the outputs."""
    mean: tuple[float, ...]
    """Subtracted from pixel values in [0, 1], per channel."""
    std: tuple[float, ...]
    """Divided by afterwards, per channel."""
    preprocessing: dict[str, Any] | None = None
    """How image files become its input, see `Preprocessing.record`; None where that was not recorded yet."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.class_names) != self.classes:
            raise ValueError(f"{len(self.class_names)} class names came for {self.classes} classes")
        if not len(self.mean) == len(self.std) == self.image_shape[0]:
            raise ValueError(f"mean and std must have one value for each of {self.image_shape[0]} channels")
        return self

    @property
    def extra(self) -> dict[str, Any]:
        """What else the description says, such as ``seed`` and ``recipe``."""
        return dict(self.model_extra or {})

    @property
    def takes_images(self) -> bool:
        """Whether there are image files of as many channels, so that the network has a `rule`."""
        return self.image_shape[0] in CHANNELS

    def rule(self) -> Preprocessing:
        """How image files become the network's input.

        Raises:
            ConfigError: a rule of another version, or a number of channels that image files do not have.
        """
        return Preprocessing.of(self.model_dump())

    @property
    def note(self) -> str | None:
        """What a user of `rule` should know; None where all is recorded."""
        if self.preprocessing is not None or not self.takes_images:
            return None
        _, height, width = self.image_shape
        return (
            "The network was saved before genas recorded how images are prepared; it is assumed that the centre is cut "
            f"and resized to {width} x {height}. Export it with the data set that it was trained on (genas export "
            "--data) to record what holds."
        )

    def open_space(self) -> Space:
        """The space at the network's size."""
        options = dict(self.space)
        return open_space(str(options.pop("name")), **options)


@dataclass(frozen=True)
class TrainedModel:
    """A trained network and what is known about it.

    Args:
        network: on the CPU, in evaluation mode.
        facts: its description.
        weights: the file that the weights came from.
    """

    network: Network
    facts: ModelFacts
    weights: Path

    @property
    def folder(self) -> Path:
        """Where the file of weights lies."""
        return self.weights.parent


def load(path: str | Path) -> Network:
    """A trained network, on the CPU and in evaluation mode, that knows its preprocessing and its class names.

    It wants images [B, C, H, W] float32, normalised. ``network.preprocess(image)`` gives one of a PIL image, as it is
    evaluated; ``network.preprocessing`` is the rule and ``network.class_names`` names the outputs::

        network = genas.load("runs/photos")
        logits = network(network.preprocess(Image.open("dog.jpg"))[None])
        print(network.class_names[int(logits.argmax())])

    A network that was saved before this was recorded loads with a warning that says what is assumed.

    Args:
        path: a run folder of ``genas search``, a folder of ``genas retrain``, an exported folder, or a file of weights
            beside its ``model.json``.

    Raises:
        CheckpointError: no trained network there, several, or a damaged one.
    """
    model = load_model(find_model(Path(path)))
    if model.facts.note is not None:
        warnings.warn(model.facts.note, stacklevel=2)
    return model.network


def find_model(path: Path) -> Path:
    """The weights' file of the one trained network of a folder or file; see `find_models`.

    Raises:
        CheckpointError: there is none, or there are several.
    """
    found = find_models(path)
    if len(found) > 1:
        names = ", ".join(str(weights.parent) for weights in found)
        raise CheckpointError(f"{path} holds {len(found)} trained networks; name one of {names}.")
    return found[0]


def find_models(path: Path) -> list[Path]:
    """The files of weights that `path` stands for: one, or one per seed in the order of the seeds.

    Raises:
        CheckpointError: there is none.
    """
    if path.is_file():
        return [path]
    for folder in (path, RunPaths(path).retrain.path):
        if _described(folder):
            return [folder / WEIGHTS]
        seeds = [child for child in RunPaths(folder).seeds() if _described(child)]
        if seeds:
            return [child / WEIGHTS for child in seeds]
    if not path.exists():
        raise CheckpointError(f"There is no {path}; give a run folder, an exported folder or a file of weights.")
    if RunPaths(path).config.is_file():
        raise CheckpointError(f"{path} has no retrained network; run genas search --run {path} without --no-retrain.")
    raise CheckpointError(
        f"{path} holds no trained network: neither model.json nor a config.json that genas export wrote is there."
    )


def load_model(weights: Path) -> TrainedModel:
    """Loads one network with its description.

    Args:
        weights: a file that `find_models` gave.

    Raises:
        CheckpointError: the description or the weights are missing, damaged, or of two different networks.
    """
    facts = read_facts(weights.parent)
    try:
        space = facts.open_space()
        _check_code(space, facts, weights)
        network = space.network(facts.classes, space.parse(facts.genotype), facts.image_shape[0])
    except GenasError as error:
        raise CheckpointError(f"The description beside {weights} cannot be built: {error}") from error
    own, extra = network.state_dict(), tuple(f"{name}." for name in network.training_only)
    tensors = {
        name: value  # the state of a training has an auxiliary head that the described network lacks
        for name, value in read_weights(weights, facts).items()
        if name in own or not (extra and name.startswith(extra))
    }
    fit_weights(network, tensors, weights)
    network.eval()
    if facts.takes_images:
        network.attach(facts.rule())
    return TrainedModel(network, facts, weights)


def _check_code(space: Space, facts: ModelFacts, weights: Path) -> None:
    """A custom space whose code has changed builds another network, perhaps with the same names and shapes.

    Raises:
        RunError: it has.
    """
    name = f"space {facts.space['name']}"
    before = {name: facts.extra["code"]} if facts.extra.get("code") is not None else {}
    now = {name: fingerprint(type(space))}
    refuse_other_code(before, now, f"{weights} was trained", "restore it, or train again")


def read_facts(folder: Path) -> ModelFacts:
    """The description in `folder`.

    Raises:
        CheckpointError: missing or damaged.
    """
    file = next((folder / name for name in DESCRIPTIONS if (folder / name).is_file()), None)
    if file is None:
        raise CheckpointError(f"{folder} has no model.json: weights alone do not tell which network they belong to.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: it is not JSON ({error}).") from error
    return validate(ModelFacts, content, f"{file} is damaged", CheckpointError)


def read_weights(file: Path, facts: ModelFacts) -> dict[str, Tensor]:
    """The network's tensors in `file`: a checkpoint that genas wrote, or plain safetensors of an export.

    Raises:
        CheckpointError: missing, damaged, or of another architecture than `facts` describe.
    """
    if not file.is_file():
        raise CheckpointError(f"There is no checkpoint at {file}.")
    if facts.extra.get("format") == EXPORT_FORMAT:
        try:
            return dict(load_file(file))
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{file} is truncated or no safetensors file ({error}).") from error
    tensors, written = load_checkpoint(file)
    identity: Mapping[str, Any] = written.get("identity") or {}
    for key, wanted in (("genotype", facts.genotype), ("classes", facts.classes)):
        if key in identity and identity[key] != wanted:
            raise CheckpointError(
                f"{file} is of another network: its {key} is {identity[key]}, the description says {wanted}."
            )
    return network_of(tensors)


def fit_weights(network: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Loads `tensors` into `network`, all of them.

    Raises:
        CheckpointError: names or shapes differ; the first difference is named.
    """
    own = network.state_dict()
    for name, value in own.items():
        if name not in tensors:
            raise CheckpointError(
                f"{file} does not fit the network: it holds no {name}; it is of another architecture."
            )
        if tensors[name].shape != value.shape:
            raise CheckpointError(
                f"{file} does not fit the network: {name} is {list(tensors[name].shape)} in the file and "
                f"{list(value.shape)} in the network; the architecture, its width or the number of classes differs."
            )
    further = network.load_state_dict(
        dict(tensors), strict=False
    ).unexpected_keys  # what the network does not pass over
    if further:
        raise CheckpointError(
            f"{file} does not fit the network: it also holds {further[0]}"
            f"{f' and {len(further) - 1} more' if len(further) > 1 else ''}; it is of another architecture."
        )


def _described(folder: Path) -> bool:
    if TrainingPaths(folder).description.is_file():
        return True
    file = folder / "config.json"
    if not file.is_file():
        return False
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == EXPORT_FORMAT
