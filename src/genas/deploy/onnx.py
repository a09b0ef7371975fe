"""A trained network as an ONNX file with a free batch size, checked against the network on real images."""

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from genas.core.errors import GenasError
from genas.core.lazy import check_extra
from genas.training.standalone.loading import ModelFacts

TOLERANCE = 1e-4  # greatest difference of a logit
NEEDED = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "export"

OnnxInput = Literal["normalised", "pixels"]


class _WithNormalisation(nn.Module):
    """The network behind its normalisation: [B, C, H, W] pixel values in [0, 1] to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, facts: ModelFacts) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(facts.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(facts.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def export_onnx(
    file: Path, network: nn.Module, facts: ModelFacts, pixels: Tensor, onnx_input: OnnxInput = "normalised"
) -> float:
    """Writes and checks the file.

    Args:
        file: where it goes.
        network: on the CPU, in evaluation mode.
        facts: its description; goes into the file's metadata.
        pixels: [N, C, H, W] real images in [0, 1], on the CPU, at least 2.
        onnx_input: ``normalised`` images as the network itself wants them, or ``pixels`` in [0, 1], with the
            normalisation inside the graph.

    Returns:
        The greatest difference of a logit between onnxruntime and torch, over batches of 1, of 2 and of all images.

    Raises:
        ConfigError: the extra is not installed.
        GenasError: the difference is above `TOLERANCE`.
    """
    check_extra(NEEDED, EXTRA)
    import onnx

    inside = _WithNormalisation(network, facts).eval()
    module: nn.Module = inside if onnx_input == "pixels" else network
    mean, std = (torch.tensor(part)[:, None, None] for part in (facts.mean, facts.std))
    images = pixels if onnx_input == "pixels" else (pixels - mean) / std
    _convert(module, images[:2], file)
    content = onnx.load(file)
    metadata = {
        "input": (
            "pixel values in [0, 1], normalised inside the graph"
            if onnx_input == "pixels"
            else "pixel values in [0, 1], minus mean, divided by std, per channel"
        ),
        "onnx_input": onnx_input,
        "mean": json.dumps(list(facts.mean)),
        "std": json.dumps(list(facts.std)),
        "image_shape": json.dumps(list(facts.image_shape)),
        "class_names": json.dumps(list(facts.class_names)),
        **_preprocessing(facts),
        "genotype": facts.genotype,
        "producer": "genas",
    }
    onnx.helper.set_model_props(content, metadata)
    onnx.checker.check_model(content)
    onnx.save(content, file)
    difference = largest_difference(file, module, images)
    if not difference <= TOLERANCE:
        raise GenasError(
            f"the ONNX file differs from the network by {difference:.3g} in a logit, more than {TOLERANCE:g}; nothing "
            "was exported. Try another version of onnxruntime, or export without --onnx."
        )
    return difference


def _preprocessing(facts: ModelFacts) -> dict[str, str]:
    """The rule by which images become the input, as JSON and in words."""
    if facts.preprocessing is None:
        return {}
    rule = facts.rule()
    return {"preprocessing": json.dumps(rule.record()), "preprocessing_steps": " ".join(rule.sentences())}


@torch.no_grad()
def largest_difference(file: Path, module: nn.Module, images: Tensor) -> float:
    """The greatest difference of a logit between onnxruntime (on the CPU) and torch.

    Args:
        file: the ONNX file.
        module: what it was made from.
        images: [N, C, H, W] as the file wants them.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found = 0.0
    for batch in (images[:1], images[1:3], images):
        theirs = torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])
        found = max(found, float((theirs - module(batch)).abs().max()))
        if not torch.isfinite(theirs).all():
            return float("inf")
    return found


def _convert(module: nn.Module, example: Tensor, file: Path) -> None:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the converter's notes on its own progress
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(file),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        logging.disable(level)
