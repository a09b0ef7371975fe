"""The model card of an exported network: a README with a header that hubs of models read."""

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from genas.core.display import visible
from genas.core.errors import CheckpointError
from genas.core.settings import validate
from genas.training.standalone.loading import ModelFacts
from genas.training.standalone.recipe import RetrainSettings

SET_LICENCES = {
    "digits": "The data set: optical recognition of handwritten digits (UCI machine learning repository, CC BY 4.0).",
    "cifar10": "The data set: CIFAR-10 (Krizhevsky, 2009) comes without a stated licence; it is used for research.",
    "cifar100": "The data set: CIFAR-100 (Krizhevsky, 2009) comes without a stated licence; it is used for research.",
    "imagenet": "The data set: ImageNet's terms allow non-commercial research and education only.",
    "imagenet16-120": "The data set: made from ImageNet, whose terms allow non-commercial research and education only.",
}
_ALWAYS = ("epochs", "batch_size", "learning_rate", "weight_decay")
_NO_RECIPE = ("name", "checkpoint_seconds", "limit_batches", "limit_epochs")
CODE_LICENCE = "The code (`modeling.py`): Apache License 2.0, as genas itself."


def model_card(config: Mapping[str, Any], licence: str = "other") -> str:
    """The text of the card.

    Args:
        config: what ``config.json`` of the exported folder holds.
        licence: of the header: an identifier of the hub, such as ``apache-2.0``.
    """
    facts = validate(ModelFacts, config, "config.json is damaged", CheckpointError)
    training: Mapping[str, Any] = config.get("training") or {}
    evaluation: Mapping[str, Any] = config.get("evaluation") or {}
    onnx: Mapping[str, Any] = config.get("onnx") or {}
    data = public_name(str(training.get("data") or "an unnamed data set"))
    title = f"{facts.space['name']} network, {data}"
    top1 = evaluation.get("top1", (training.get("test") or {}).get("top1"))
    header = ModelCardData(
        license=licence,
        library_name="genas",
        pipeline_tag="image-classification",
        tags=["genas", "neural-architecture-search", str(facts.space["name"])],
        model_name=title,
        eval_results=[]
        if top1 is None
        else [
            EvalResult(
                task_type="image-classification",
                dataset_type=data.replace(" ", "-").replace(":", "-"),
                dataset_name=data,
                dataset_split="test",
                metric_type="accuracy",
                metric_value=round(float(top1), 6),
            )
        ],
    )
    environment = Environment(
        loader=PackageLoader("genas.deploy"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    channels, height, width = facts.image_shape
    return environment.get_template("model_card.md.j2").render(
        header=header.to_yaml().strip(),
        title=_literal(title),
        version=config["genas_version"],
        space=_literal(
            ", ".join(f"{key} {value}" if key != "name" else str(value) for key, value in facts.space.items())
        ),
        params=f"{config['params']:,}",
        macs=f"{config['macs']:,}",
        input=f"{channels} x {height} x {width}, pixel values in [0, 1] minus {_numbers(facts.mean)}, divided by "
        f"{_numbers(facts.std)}",
        classes=_literal(f"{facts.classes}: {_listed(facts.class_names)}"),
        data=_literal(data),
        seed=training.get("seed"),
        recipe=_literal(_recipe(training.get("recipe"), training.get("epochs"))),
        genotype=visible(facts.genotype).replace("```", ""),
        figures=_figures(training, evaluation),
        remark=_remark(training, evaluation),
        standalone=config.get("network") is not None,
        shape=f"{channels}, {height}, {width}",
        note=facts.note or "",
        steps=facts.rule().sentences() if facts.takes_images else (),
        onnx=bool(onnx),
        onnx_input=onnx.get("input", ""),
        onnx_difference=f"{onnx.get('difference', 0.0):.1e}",
        code_licence=CODE_LICENCE,
        data_licence=SET_LICENCES.get(
            data.rpartition(":")[2],
            f"The data set ({_literal(data)}): its terms are not known to genas; see whether they allow what you plan.",
        ),
    )


def _literal(text: str) -> str:
    """`text` as a card shows it: names may hold any character, and none of them is Markdown, HTML or a new line."""
    return re.sub(r"([\\`|<>*\[\]])", r"\\\1", visible(text, keep=""))


def public_name(data: str) -> str:
    """The name of a data set without the path that it had on somebody's machine."""
    kind, colon, path = data.partition(":")
    return f"{kind}:{path.rstrip('/').rpartition('/')[2]}" if colon and kind in ("folder", "parquet") else data


def _figures(training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    test: Mapping[str, Any] = training.get("test") or {}
    rows = []
    if evaluation:
        rows.append(("test images", f"{evaluation['pictures']:,}"))
    for key, name, unit in (
        ("top1", "top-1 accuracy", "%"),
        ("top5", "top-5 accuracy", "%"),
        ("nll", "negative log-likelihood", ""),
        ("ece", "calibration error", "%"),
        ("mean_corruption_accuracy", "mean accuracy on corrupted images", "%"),
        ("relative_drop", "relative drop on corrupted images", "%"),
    ):
        value = evaluation.get(key, test.get("loss" if key == "nll" else key))
        if value is not None:
            rows.append((name, f"{100 * value:.2f} %" if unit else f"{value:.4f}"))
    return rows


def _remark(training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    if not evaluation:
        dry = f" Not a result but a dry run: {training['dry_run']}." if training.get("dry_run") else ""
        return f"Measured at the end of the training, on the test set of the data set above.{dry}"
    text = f"Measured by `genas evaluate` on the test set of {_literal(str(evaluation['data']))}"
    text += ". The calibration error has 15 bins." if evaluation.get("bins") == 15 else "."
    if "mean_corruption_accuracy" in evaluation:
        text += " Corruptions and severities are genas's own: not to be compared with ImageNet-C or CIFAR-C."
    return text


def _recipe(recipe: Any, epochs: Any) -> str:
    if isinstance(recipe, Mapping):
        name = recipe.get("name")
        usual = RetrainSettings().model_dump(mode="json")
        shown = ", ".join(
            f"{key} {value}"
            for key, value in recipe.items()
            if key in _ALWAYS or (value is not None and key not in _NO_RECIPE and value != usual.get(key))
        )
        return f"{name}: {shown}" if name else shown
    if recipe:
        return str(recipe)
    return f"{epochs} epochs" if epochs else ""


def _numbers(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:.4f}' for value in values)})"


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
