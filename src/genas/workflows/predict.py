"""Classifies image files with a trained network: `genas predict`.

Images are prepared by the network's own rule (`genas.data.preprocessing`), the one that it is evaluated with.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from genas.core.device import open_fabric
from genas.core.display import visible
from genas.core.errors import CheckpointError, ConfigError, DataError
from genas.core.executors import Threads
from genas.core.lazy import check_extra
from genas.core.progress import Bar
from genas.core.result import Result
from genas.data.decoding import decode, worker_count
from genas.data.files import Walk
from genas.data.preprocessing import Preprocessing
from genas.training.standalone.loading import find_model, load_model

Source = str | Path | Image.Image
"""An image file, a folder of them, or an image."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image.

    Args:
        image: path of the file; ``image N`` for the N-th of those that were given as objects.
        classes: (class name, probability), the most probable first.
    """

    image: str
    classes: tuple[tuple[str, float], ...]

    @property
    def name(self) -> str:
        """The most probable class."""
        return self.classes[0][0]

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.classes[0][1]


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read.

    Args:
        image: path of the file.
        reason: one sentence.
    """

    image: str
    reason: str


@dataclass(frozen=True)
class Predictions(Result):
    """What a network says of images.

    Args:
        network: the file of weights.
        class_names: one name per output.
        images: one entry per image that could be read, in the order in which they were given.
        unreadable: the others.
        note: what is assumed about the network's preprocessing; None where it was recorded.
    """

    network: str
    class_names: tuple[str, ...]
    images: tuple[Prediction, ...]
    unreadable: tuple[Unreadable, ...]
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return {
            "network": self.network,
            "images": [
                {
                    "image": one.image,
                    "classes": [{"name": name, "probability": probability} for name, probability in one.classes],
                }
                for one in self.images
            ],
            "unreadable": [{"image": one.image, "reason": one.reason} for one in self.unreadable],
            "note": self.note,
        }


@dataclass(frozen=True)
class _Classifier:
    """A network with its rule; `normalised` says whether it wants its images normalised."""

    network: nn.Module
    rule: Preprocessing
    weights: Path
    note: str | None = None
    normalised: bool = True

    def prepare(self, image: Image.Image) -> Tensor:
        return self.rule(image) if self.normalised else self.rule.pixels(image)


def predict(
    path: str | Path,
    images: Source | Sequence[Source],
    *,
    top: int = 5,
    batch_size: int = 64,
    device: str | None = None,
    quiet: bool = True,
) -> Predictions:
    """Classifies images with a trained network.

    Args:
        path: a run folder of ``genas search``, a folder of ``genas retrain``, an exported folder, a file of weights
            beside its description, or a ``model.onnx`` that ``genas export`` wrote (needs onnxruntime).
        images: image files, folders (all images below them), or PIL images.
        top: classes to name for each image, at most.
        batch_size: images per forward pass.
        device: ``auto``, ``cpu`` or ``cuda``; None for ``auto``.
        quiet: no progress.

    Returns:
        One entry per image, and the images that could not be read with the reason.

    Raises:
        GenasError: no such network, several, no images at all, or an impossible setting.
    """
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{name} is {value}: expected a whole number above 0.")
    sources = find_images([images] if isinstance(images, Source) else images)
    classifier = _open(Path(path))
    fabric = open_fabric(device or "auto")
    if all(isinstance(place, Path) and not place.exists() for _, place in sources):
        raise DataError(f"There is no file {visible(sources[0][0])}: expected image files, or folders of them.")
    network = classifier.network.to(fabric.device)
    found: list[Prediction] = []
    unreadable: list[Unreadable] = []
    every = Threads(worker_count()).map(lambda source: _prepared(source, classifier), sources)
    with Bar("predicting", len(sources), unit="image", quiet=quiet) as bar:
        while prepared := list(islice(every, batch_size)):
            unreadable += [one for one in prepared if isinstance(one, Unreadable)]
            readable = [one for one in prepared if not isinstance(one, Unreadable)]
            if readable:
                found += _classified(network, readable, classifier.rule.class_names, top, fabric.device)
            bar.step(len(prepared))
    return Predictions(
        str(classifier.weights), classifier.rule.class_names, tuple(found), tuple(unreadable), classifier.note
    )


def find_images(sources: Sequence[Source]) -> list[tuple[str, Path | Image.Image]]:
    """The images that files, folders and objects stand for, each with its name.

    Raises:
        DataError: there is none.
    """
    found: list[tuple[str, Path | Image.Image]] = []
    empty = ""
    for number, source in enumerate(sources, 1):
        if isinstance(source, Image.Image):
            found.append((f"image {number}", source))
        elif Path(source).is_dir():
            inside = Walk().images(Path(source))
            empty = empty or ("" if inside else str(source))
            found += [(path, Path(path)) for path in inside]
        else:
            found.append((str(source), Path(source)))
    if not found:
        raise DataError(f"There are no images in {empty}." if empty else "No images were given.")
    return found


def _open(path: Path) -> _Classifier:
    if path.suffix == ".onnx":
        return _open_onnx(path)
    model = load_model(find_model(path))
    return _Classifier(model.network, model.facts.rule(), model.weights, model.facts.note)


@torch.no_grad()
def _classified(
    network: nn.Module, images: Sequence[tuple[str, Tensor]], names: Sequence[str], top: int, device: torch.device
) -> Iterator[Prediction]:
    logits = network(torch.stack([pixels for _, pixels in images]).to(device))
    probabilities = logits.double().softmax(1).cpu()
    for (name, _), one in zip(images, probabilities, strict=True):
        places = one.argsort(descending=True, stable=True)[:top].tolist()
        yield Prediction(name, tuple((names[place], float(one[place])) for place in places))


def _prepared(source: tuple[str, Path | Image.Image], classifier: _Classifier) -> tuple[str, Tensor] | Unreadable:
    name, image = source
    try:
        return name, classifier.prepare(decode(image, name) if isinstance(image, Path) else image)
    except (DataError, ValueError, OSError) as error:
        missing = isinstance(image, Path) and not image.exists()
        return Unreadable(name, f"There is no file {name}." if missing else " ".join(str(error).split()))


class _OnnxNetwork(nn.Module):
    """An ONNX file on the CPU: images [B, C, H, W] to logits [B, classes]."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session

    def forward(self, images: Tensor) -> Tensor:
        logits = self._session.run(["logits"], {"images": images.cpu().numpy()})[0]
        return torch.from_numpy(logits)


def _open_onnx(file: Path) -> _Classifier:
    check_extra(["onnxruntime"], "export")
    import onnxruntime

    if not file.is_file():
        raise CheckpointError(f"There is no {file}; give the model.onnx of an exported folder.")
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        keys = ("image_shape", "mean", "std", "class_names", "preprocessing")
        rule = Preprocessing.of({key: json.loads(metadata[key]) for key in keys})
        normalised = metadata["onnx_input"] == "normalised"
    except ConfigError:
        raise
    except Exception as error:  # onnxruntime's own classes, KeyError, ValueError
        raise CheckpointError(
            f"{file} is no ONNX file that genas export wrote with its preprocessing: export the network again."
        ) from error
    return _Classifier(_OnnxNetwork(session), rule, file, None, normalised)
