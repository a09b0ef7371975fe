"""A trained network as a folder that is of use without genas: weights, description, code, card, and ONNX if asked for.

====================  ==================================================================================
``model.safetensors``  the weights, under the names that genas and ``modeling.py`` use
``config.json``        the description: architecture, classes, preprocessing, figures
``modeling.py``        the network's code, which needs torch, safetensors, numpy and Pillow only (`standalone`)
``README.md``          the model card
``model.onnx``         with ``--onnx``: free batch size, checked on real images
====================  ==================================================================================

The folder is put together under another name and renamed when every check has held, so that a failure leaves nothing.
"""

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from genas.core.errors import ConfigError, GenasError
from genas.core.lazy import check_extra
from genas.core.result import Result
from genas.core.run_folder import explain, read_config
from genas.core.run_paths import EvaluationPaths, TrainingPaths
from genas.core.seeding import torch_rng
from genas.data import Dataset
from genas.deploy.card import model_card, public_name
from genas.deploy.onnx import EXTRA, NEEDED, OnnxInput, export_onnx
from genas.deploy.standalone import can_stand_alone, constructor_options, load_modeling, modeling_source
from genas.evaluation.source import DataSource, data_source, run_folder
from genas.evaluation.unseen import Unseen, own_test_set
from genas.spaces.base import Network
from genas.spaces.cost import architecture_cost
from genas.training.standalone.loading import (
    EXPORT_FORMAT,
    WEIGHTS,
    ModelFacts,
    TrainedModel,
    find_model,
    fit_weights,
    load_model,
)

CHECK_IMAGES = 32  # real images that an export is checked on
FILES = (WEIGHTS, "config.json", "modeling.py", "README.md", "model.onnx")


@dataclass(frozen=True)
class Exported(Result):
    """An exported folder.

    Args:
        folder: where it lies.
        files: names of its files.
        checked_on: what the copy's logits were compared on.
        onnx_difference: greatest difference of a logit between the ONNX file and the network; None without that file.
        pushed: address of the commit on a hub; None where nothing was pushed.
    """

    folder: Path
    files: tuple[str, ...]
    checked_on: str
    onnx_difference: float | None
    pushed: str | None = None


def export(
    path: str | Path,
    out: str | Path,
    *,
    onnx: bool = False,
    onnx_input: OnnxInput = "normalised",
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    licence: str = "other",
) -> Exported:
    """Exports a trained network to a folder; the arguments are those of `genas.export`, which can push it as well.

    Returns:
        Where it lies and how it was checked.

    Raises:
        GenasError: no such network, `out` is in use, a check did not hold; nothing is left behind.
    """
    if onnx_input not in ("normalised", "pixels"):
        raise ConfigError(f"onnx_input is {onnx_input!r}; it must be normalised or pixels.")
    path, out = Path(path), Path(out)
    if onnx:
        check_extra(NEEDED, EXTRA)
    weights = find_model(path)
    _check_free(out)
    model = for_inference(load_model(weights))
    source = _source(path, weights, data, Path(data_root) if data_root else None, required=onnx)
    test = None if source is None else own_test_set(source.name, source.splits(model.facts), model.facts)
    if test is not None:
        model = with_preprocessing(model, test.images.resizing)
    pixels = None if test is None else real_images(test)
    config = describe(model, path, source)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    except OSError as error:
        raise explain(error, out) from error
    try:
        difference = None
        if onnx:
            assert pixels is not None
            difference = export_onnx(folder / "model.onnx", model.network, model.facts, pixels, onnx_input)
            kind = "pixel values in [0, 1]" if onnx_input == "pixels" else "normalised as above"
            config["onnx"] = {"input": kind, "difference": difference}
        write_folder(folder, model.network, config, licence)
        checked_on = _check(folder, model, pixels, source)
        folder.chmod(0o755)
        if out.exists():
            out.rmdir()  # empty, as was seen above
        folder.replace(out)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise explain(error, out) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Exported(out, tuple(name for name in FILES if (out / name).exists()), checked_on, difference)


def for_inference(model: TrainedModel) -> TrainedModel:
    """The network without what only training uses (an auxiliary head)."""
    network, facts = model.network, model.facts
    extra = tuple(f"{name}." for name in network.training_only)
    options = dict(facts.space)
    if extra and options.get("auxiliary"):
        facts = facts.model_copy(update={"space": {**options, "auxiliary": False}})
        space = facts.open_space()
        smaller = space.network(facts.classes, space.parse(facts.genotype), facts.image_shape[0])
        kept = {name: value for name, value in network.state_dict().items() if not name.startswith(extra)}
        fit_weights(smaller, kept, model.weights)
        network = smaller.eval()
    return TrainedModel(network, facts, model.weights)


def with_preprocessing(model: TrainedModel, resizing: str) -> TrainedModel:
    """The network with its preprocessing recorded, where it was saved without: that of its data set."""
    facts = model.facts
    if facts.preprocessing is not None or not facts.takes_images:
        return model
    record = replace(facts.rule(), resizing=resizing).record()
    return replace(model, facts=facts.model_copy(update={"preprocessing": record}))


def describe(model: TrainedModel, path: Path, source: DataSource | None) -> dict[str, Any]:
    """The content of ``config.json``: what `ModelFacts` asks for, sizes, training and figures."""
    facts = model.facts
    space = facts.open_space()
    architecture = space.parse(facts.genotype)
    cost = architecture_cost(space, architecture, facts.classes, facts.image_shape)
    standalone = can_stand_alone(model.network)
    return {
        "format": EXPORT_FORMAT,
        "library_name": "genas",
        "genas_version": _version(),
        "architectures": [type(model.network).__name__],
        "space": facts.space,
        "genotype": facts.genotype,
        **({"code": facts.extra["code"]} if "code" in facts.extra else {}),
        "classes": facts.classes,
        "class_names": list(facts.class_names),
        "image_shape": list(facts.image_shape),
        "mean": list(facts.mean),
        "std": list(facts.std),
        "preprocessing": facts.preprocessing,
        "network": constructor_options(model.network, facts.space, facts.image_shape[0]) if standalone else None,
        "params": cost.params,
        "macs": cost.macs,
        "training": _training(model, path, source),
        "evaluation": _evaluation(model, path),
    }


def write_folder(folder: Path, network: Network, config: Mapping[str, Any], licence: str = "other") -> None:
    """Writes weights, description, code and card into `folder`.

    Args:
        folder: exists.
        network: stand-alone; its weights are copied as they are.
        config: see `describe`.
        licence: for the card's header.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if config.get("network") is not None:
        assert network.architecture is not None
        title = f"The network of the space {config['space']['name']}"
        text = modeling_source(network, network.architecture, title, str(config["genas_version"]))
        (folder / "modeling.py").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(model_card(config, licence), encoding="utf-8")


def real_images(test: Unseen) -> Tensor:
    """Test images to check an export on: [N, C, H, W] in [0, 1], evenly spaced over the test set."""
    chosen = test.thinned(CHECK_IMAGES)
    return next(chosen.pixels(CHECK_IMAGES, torch.device("cpu")))[0].contiguous()


def _check_free(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty; give a new folder with --out.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; give a folder with --out.")


def _source(
    path: Path, weights: Path, data: str | type[Dataset] | Dataset | None, root: Path | None, required: bool
) -> DataSource | None:
    try:
        return data_source(path, weights, data, root)
    except ConfigError as error:
        if required:
            raise ConfigError(
                f"an ONNX file is checked on real images, and {path} belongs to no run whose data set could be used; "
                "name one with --data."
            ) from error
        return None


@torch.no_grad()
def _check(folder: Path, model: TrainedModel, pixels: Tensor | None, source: DataSource | None) -> str:
    """Loads the folder as a user would and compares logits; says what on."""
    facts = model.facts
    if pixels is None:
        pixels = torch.rand((4, *facts.image_shape), generator=torch_rng(0, "export.check"))
        checked_on = f"{len(pixels)} images of noise"
    else:
        assert source is not None
        checked_on = f"{len(pixels)} test images of {source.name}"
    mean, std = (torch.tensor(part)[:, None, None] for part in (facts.mean, facts.std))
    wanted = model.network((pixels - mean) / std)
    copies = [load_model(folder / WEIGHTS).network((pixels - mean) / std)]
    if (folder / "modeling.py").exists():
        modeling = load_modeling(folder)
        network, config = modeling.load(folder)
        copies.append(network(modeling.normalise(pixels, config)))
        _check_preprocessing(modeling, config, facts)
    for copy in copies:
        if not torch.equal(copy, wanted):
            difference = float((copy - wanted).abs().max())
            raise GenasError(
                f"the exported network differs from the trained one by {difference:.3g}; nothing was exported."
            )
    return checked_on


def _check_preprocessing(modeling: Any, config: dict[str, Any], facts: ModelFacts) -> None:
    """Compares what the copied code and genas make of an image that exercises every step."""
    if not facts.takes_images:
        return
    levels = torch.randint(256, (97, 61, 4), generator=torch_rng(0, "export.image"), dtype=torch.uint8)
    image = Image.fromarray(levels.numpy(), "RGBA")
    image.getexif()[0x0112] = 6  # stored lying on its side
    if not torch.equal(modeling.preprocess(image, config), facts.rule()(image)):
        raise GenasError("the exported preprocessing differs from that of the evaluation; nothing was exported.")


def _training(model: TrainedModel, path: Path, source: DataSource | None) -> dict[str, Any]:
    """How the network was trained, as far as its run tells; of an export, what that export said."""
    extra = model.facts.extra
    if extra.get("format") == EXPORT_FORMAT:
        return dict(extra.get("training") or {})
    result = _json(TrainingPaths(model.folder).result)
    run = run_folder(path, model.weights)
    config = read_config(run) if run is not None else {}
    data = config.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    data_name = name or (source.name if source is not None else None)
    return {
        "data": public_name(str(data_name)) if data_name else None,
        "seed": extra.get("seed", result.get("seed", config.get("seed"))),
        "recipe": extra.get("recipe", config.get("retrain")),
        "epochs": result.get("epochs"),
        "test": (result if model.weights.name == WEIGHTS else result.get("best") or {}).get("test"),
        **({"dry_run": result["dry_run"]} if "dry_run" in result else {}),
    }


def _evaluation(model: TrainedModel, path: Path) -> dict[str, Any]:
    """Figures of an ``evaluation.json`` of these very weights; empty without."""
    own = hashlib.sha256(model.weights.read_bytes()).hexdigest()
    for folder in dict.fromkeys((path, model.folder, model.folder.parent)):
        for one in _json(EvaluationPaths(folder).content).get("models", ()):
            if one["model"].get("sha256") != own:
                continue
            clean = one["clean"]
            figures = {key: clean[key] for key in ("pictures", "top1", "top5", "nll", "ece") if key in clean}
            corruptions = one.get("corruptions") or {}
            names = ("mean_corruption_accuracy", "relative_drop")
            figures |= {key: corruptions[key] for key in names if key in corruptions}
            return {"data": public_name(one["data"]["name"]), "bins": len(clean["reliability"]), **figures}
    extra = model.facts.extra
    return dict(extra.get("evaluation") or {}) if extra.get("format") == EXPORT_FORMAT else {}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _version() -> str:
    try:
        return importlib.metadata.version("genas")
    except importlib.metadata.PackageNotFoundError:
        return "of an unknown version"
