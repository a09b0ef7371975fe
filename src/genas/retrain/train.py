"""Training of one architecture from scratch on the whole training set, and its one look at the test set."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn import functional

from genas.checkpoint import save_checkpoint
from genas.data.base import LabelledImages, Splits
from genas.errors import DataError
from genas.retrain.recipe import RetrainSettings
from genas.runs import write_json
from genas.seeding import derive, seed_torch_globals
from genas.space.base import Architecture, Network, Space
from genas.training import Trainer, cosine


def retrain(
    folder: Path,
    space: Space,
    architecture: Architecture,
    splits: Splits,
    settings: RetrainSettings,
    fabric: Fabric,
    seed: int,
    quiet: bool = False,
) -> dict[str, float]:
    """Trains `architecture` from random weights, or continues; then measures it on the test set.

    Args:
        folder: ``retrain/`` of the run folder. Gets ``model.safetensors``, ``model.json`` and ``result.json``.
        space: the space at the size of the network to train.
        architecture: what to train.
        splits: the data.
        settings: the recipe.
        fabric: device and precision.
        seed: the run's seed.
        quiet: no progress.

    Returns:
        Test loss, top-1 and top-5 accuracy (fractions) of the *last* epoch; empty without a test set.

    Raises:
        DataError: fewer pictures than a batch.
        Interrupted: Ctrl-C; the state is saved.
    """
    images = splits.train
    if len(images) < settings.batch_size:
        raise DataError(
            f"The training set has {len(images)} pictures, fewer than one batch of {settings.batch_size}; "
            "give more pictures or set retrain.batch_size lower."
        )
    done = folder / "result.json"
    if done.exists():
        result: dict[str, float] = json.loads(done.read_text(encoding="utf-8"))["test"]
        return result
    with torch.random.fork_rng(devices=[]):
        seed_torch_globals(seed, "retrain.init")
        network = space.network(splits.num_classes, architecture, splits.image_shape[0])
    network = network.to(fabric.device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    identity = {
        "kind": "stand-alone",
        "space": space.describe(),
        "classes": splits.num_classes,
        "genotype": architecture.genotype,
    }
    trainer = Trainer(folder, fabric, network, optimizer, "retrain", identity, settings.checkpoint_seconds, quiet)
    trainer.resume()
    steps = -(-len(images) // settings.batch_size) - (len(images) % settings.batch_size == 1)
    augmentation = splits.augmentation
    if settings.cutout:
        augmentation = augmentation.model_copy(update={"cutout": settings.cutout})

    def batches(epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        return images.batches(
            settings.batch_size,
            fabric.device,
            seed=derive(seed, "retrain.batches", epoch),
            shuffle=True,
            augmentation=augmentation,
            start=start,
            limit=steps * settings.batch_size,
        )

    def step(pictures: Tensor, labels: Tensor, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        logits = network(pictures)
        return functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing), logits

    trainer.run(
        settings.epochs,
        steps,
        batches,
        lambda epoch: cosine(epoch, settings.epochs, settings.learning_rate, settings.final_learning_rate),
        step,
        settings.clip,
    )
    save_checkpoint(folder / "model.safetensors", network.state_dict(), {"identity": identity})
    write_json(
        folder / "model.json",
        {
            **identity,
            "image_shape": list(splits.image_shape),
            "class_names": list(splits.class_names),
            "mean": list(splits.normalisation.mean),
            "std": list(splits.normalisation.std),
        },
    )
    test = measure(network, splits.test, fabric) if splits.test is not None else {}
    write_json(done, {"genotype": architecture.genotype, "epochs": settings.epochs, "test": test})
    return test


@torch.no_grad()
def measure(network: Network, images: LabelledImages, fabric: Fabric, batch_size: int = 256) -> dict[str, float]:
    """Loss, top-1 and (with more than five classes) top-5 accuracy as fractions."""
    network.eval()
    loss = top1 = top5 = 0.0
    for pictures, labels in images.batches(batch_size, fabric.device):
        with fabric.autocast():
            logits = network(pictures)
        logits = logits.float()
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        ranked = logits.topk(min(5, logits.shape[1]), 1).indices == labels[:, None]
        top1 += float(ranked[:, 0].sum())
        top5 += float(ranked.any(1).sum())
    count = len(images)
    result = {"loss": loss / count, "top1": top1 / count}
    if int(logits.shape[1]) > 5:
        result["top5"] = top5 / count
    return result
