"""A trained network that `huggingface_hub` can load, save and push: its mixin around genas's networks.

What is saved is an exported folder (`genas.export`), so what lies on a hub loads without genas as well.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import PyTorchModelHubMixin
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from genas.core.errors import CheckpointError
from genas.core.settings import validate
from genas.deploy.export import write_folder
from genas.training.standalone.loading import EXPORT_FORMAT, WEIGHTS, ModelFacts, fit_weights


class HubModel(nn.Module, PyTorchModelHubMixin, library_name="genas", pipeline_tag="image-classification"):
    """A network with its description; ``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` are the mixin's.

    Args:
        description: what ``config.json`` of an exported folder holds; weights are random until they are loaded.
    """

    def __init__(self, **description: Any) -> None:
        super().__init__()
        if description.get("format") != EXPORT_FORMAT:
            raise CheckpointError("this is no network that genas exported: its config.json lacks the format's name.")
        self.config = dict(description)
        self.facts = validate(ModelFacts, self.config, "config.json is damaged", CheckpointError)
        space = self.facts.open_space()
        self.network = space.network(self.facts.classes, space.parse(self.facts.genotype), self.facts.image_shape[0])
        if self.facts.takes_images:
            self.network.attach(self.facts.rule())
        if self.facts.note is not None:
            warnings.warn(self.facts.note, stacklevel=2)
        self.source: Path | None = None  # the folder that the weights came from

    @classmethod
    def of(cls, folder: str | Path) -> Self:
        """The network of an exported folder.

        Raises:
            CheckpointError: it is no exported folder.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{folder} is no exported folder: it has no config.json; make one with genas export.")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls._load_as_safetensor(cls(**config), str(folder / WEIGHTS), "cpu", True)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes] of images [B, C, H, W], normalised."""
        logits: Tensor = self.network(images)
        return logits

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per output."""
        return self.facts.class_names

    def preprocess(self, image: Image.Image) -> Tensor:
        """An image of any size and mode as the network wants it, [C, H, W] float32; see `Network.preprocess`."""
        return self.network.preprocess(image)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] as the network wants them."""
        mean, std = (pixels.new_tensor(part)[:, None, None] for part in (self.facts.mean, self.facts.std))
        return (pixels - mean) / std

    def _save_pretrained(self, save_directory: Path) -> None:
        config = dict(self.config)
        source = self.source if self._unchanged() else None
        if source is None:
            # other weights: figures and the ONNX file of the old ones no longer hold
            for key in ("training", "evaluation", "onnx"):
                config.pop(key, None)
        write_folder(save_directory, self.network, config)
        for name in ("README.md", "model.onnx"):
            if source is not None and (source / name).is_file():
                shutil.copyfile(source / name, save_directory / name)

    def _unchanged(self) -> bool:
        if self.source is None:
            return False
        before = load_file(self.source / WEIGHTS)
        return all(torch.equal(before[name], value.cpu()) for name, value in self.network.state_dict().items())

    @classmethod
    def _load_as_safetensor(  # type: ignore[override]  # the mixin's is generic over every module
        cls, model: Self, model_file: str, map_location: str, strict: bool
    ) -> Self:
        file = Path(model_file)
        try:
            tensors = load_file(file, device="cpu")
        except Exception as error:  # safetensors' own class, OSError
            raise CheckpointError(f"{file} is missing, truncated or no safetensors file ({error}).") from error
        fit_weights(model.network, tensors, file)
        model.source = file.parent
        return model.to(map_location).eval()


def push_to_hub(folder: str | Path, repository: str, *, private: bool | None = None) -> str:
    """Pushes an exported folder to the Hugging Face hub, as the user that is logged in there.

    Args:
        folder: made by `genas.export`.
        repository: ``OWNER/NAME``; made where it is missing.
        private: whether a new repository is private; None for the owner's default.

    Returns:
        The address of the commit.
    """
    return str(HubModel.of(folder).push_to_hub(repository, private=private, commit_message="Export of genas"))
