"""Training of one architecture from scratch on the training set, and its one look at the test set.

What the published code does differently is an option: it keeps the epoch of the best *test* accuracy (``best: test``),
here the last epoch is the result, and the best one by a held-out part of the training set stands beside it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.device import Fabric
from genas.core.distributed import Share, on_first, share_of, take_buffers_of_first
from genas.core.errors import GenasError
from genas.core.fingerprint import fingerprint
from genas.core.run_folder import write_json
from genas.core.run_paths import TrainingPaths
from genas.core.seeding import derive, seed_torch_globals
from genas.data.base import LabelledImages, Splits
from genas.data.preprocessing import CHANNELS, Preprocessing
from genas.spaces.base import Architecture, Network, Space
from genas.spaces.cost import architecture_cost
from genas.spaces.definition import SPACES
from genas.spaces.kernels import fast_gradients
from genas.training.loop import Rows, Trainer
from genas.training.preparation import open_sgd, place_network
from genas.training.standalone.batchnorm import share_batch_norm
from genas.training.standalone.data import Parts, parts_of, steps_of
from genas.training.standalone.network import without_auxiliary
from genas.training.standalone.recipe import RetrainSettings
from genas.training.standalone.schedule import learning_rate
from genas.training.standalone.weights import InitialWeights, Match, take_over


def retrain(
    folder: Path,
    space: Space,
    architecture: Architecture,
    splits: Splits,
    settings: RetrainSettings,
    fabric: Fabric,
    seed: int,
    quiet: bool = False,
    initial: InitialWeights | None = None,
    on_match: Callable[[Match], None] | None = None,
    title: str | None = None,
) -> dict[str, float]:
    """Trains `architecture`, or continues; then measures it on the test set.

    Args:
        folder: where the results go: ``model.safetensors`` (last epoch), ``best.safetensors`` (best epoch, where one is
            chosen), ``model.json``, ``result.json``, ``metrics.csv``, ``checkpoint.safetensors``.
        space: the space at the size of the network to train.
        architecture: what to train.
        splits: the data.
        settings: the recipe.
        fabric: device, precision and processes.
        seed: the run's seed.
        quiet: no progress.
        initial: weights to begin with; None for random ones.
        on_match: told what of `initial` was taken, in the process that begins the training.
        title: shown beside the progress bar; None for the usual one.

    Returns:
        Test loss, top-1 and top-5 accuracy (fractions) of the *last* epoch; empty without a test set.

    Raises:
        DataError: fewer images than a batch.
        ConfigError: more processes than images in a piece of a batch.
        CheckpointError: `initial` or a checkpoint in the folder is of another network.
        Interrupted: Ctrl-C; the state is saved.
    """
    parts = parts_of(splits, settings, fabric.world_size)
    done = TrainingPaths(folder).result
    finished = on_first(fabric, lambda: json.loads(done.read_text(encoding="utf-8")) if done.exists() else None)
    if finished is not None and finished["epochs"] < settings.trained_epochs:  # the run was asked to go on
        finished = on_first(fabric, lambda: done.unlink())
    if finished is None:
        training = _Training(folder, space, architecture, splits, parts, settings, fabric, seed, quiet, title)
        training.begin(initial, on_match)
        training.run()
        finished = training.finish()
    result: dict[str, float] = finished["test"]
    return result


class _Training:
    """One training: the network, what feeds it, what it leaves; arguments as of `retrain`."""

    def __init__(
        self,
        folder: Path,
        space: Space,
        architecture: Architecture,
        splits: Splits,
        parts: Parts,
        settings: RetrainSettings,
        fabric: Fabric,
        seed: int,
        quiet: bool,
        title: str | None,
    ) -> None:
        self.folder, self.space, self.architecture, self.splits, self.parts = folder, space, architecture, splits, parts
        self.settings, self.fabric, self.seed = settings, fabric, seed
        with torch.random.fork_rng(devices=[]):
            seed_torch_globals(seed, "retrain.init")
            network = space.network(splits.num_classes, architecture, splits.image_shape[0])
        self.network = place_network(network, fabric, settings.layout)
        if fabric.world_size > 1 and settings.batch_norm == "shared":
            share_batch_norm(self.network, fabric.device)
        optimizer = open_sgd(self.network, settings)
        self.average: AveragedModel | None = None
        if settings.ema_decay is not None:
            average = get_ema_multi_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.identity = {
            "kind": "stand-alone",
            "space": space.describe(),
            "classes": splits.num_classes,
            "genotype": architecture.genotype,
        }
        self.trainer = Trainer(
            folder,
            fabric,
            self.network,
            optimizer,
            title or ("retrain" if folder.name == "retrain" else f"retrain, seed {seed}"),
            self.identity,
            settings.checkpoint_seconds,
            quiet,
            settings.accumulate,
            self.average,
        )
        self._drop_path = torch.Generator(device=fabric.device)
        self.steps = steps_of(len(parts.train), settings, fabric.world_size)

    def begin(self, initial: InitialWeights | None, on_match: Callable[[Match], None] | None) -> None:
        """Takes over an earlier process's state, else the initial weights."""
        if initial is not None:
            match = take_over(initial, self.network, self.space, self.architecture)
            if self.average is not None:
                self.average.module.load_state_dict(self.network.state_dict())
            if not self.trainer.checkpoint.exists() and self.trainer.share.process == 0:
                write_json(TrainingPaths(self.folder).initial_weights, match.as_dict())
                if on_match is not None:
                    on_match(match)
        self.trainer.resume()

    def run(self) -> None:
        """Trains to the end."""
        settings = self.settings
        limit = min(self.steps * settings.batch_size, len(self.parts.train))
        try:
            self.trainer.run(
                settings.trained_epochs,
                self.steps,
                self._batches,
                lambda epoch: learning_rate(settings, epoch),
                self._step,
                settings.clip,
                after_epoch=self._judge,
                batch_images=lambda step: min(settings.batch_size, limit - step * settings.batch_size),
            )
        except torch.OutOfMemoryError as error:
            raise GenasError(
                f"the device's memory does not hold {settings.batch_size} images in {settings.accumulate} piece(s); "
                "set retrain.accumulate higher, or take a smaller batch or network."
            ) from error

    def _batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self.parts.train.batches(
            self.settings.batch_size,
            self.fabric.device,
            seed=derive(self.seed, "retrain.batches", epoch),
            shuffle=True,
            augmentation=self.parts.augmentation,
            start=start,
            limit=self.steps * self.settings.batch_size,
            **_shared(self.trainer.share),
        )

    def _step(self, images: Tensor, labels: Tensor, epoch: int, number: int, rows: Rows) -> tuple[Tensor, Tensor]:
        settings, network = self.settings, self.network
        if settings.drop_path:
            self._drop_path.manual_seed(derive(self.seed, "retrain.drop_path", epoch, number))
            network.set_drop_path(settings.drop_path * epoch / settings.epochs, self._drop_path, rows)
        with fast_gradients(on=settings.gradients == "fast"):
            logits, auxiliary = network.forward_with_auxiliary(_prepared(images, network, settings.layout))
        loss = self._loss(logits, labels)
        if auxiliary is not None:
            loss = loss + settings.auxiliary_weight * self._loss(auxiliary, labels)
        return loss, logits

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        # a process may have no row of a short batch: the mean of nothing is no number, its sum is 0
        reduction = "mean" if len(labels) else "sum"
        return functional.cross_entropy(
            logits, labels, label_smoothing=self.settings.label_smoothing, reduction=reduction
        )

    @property
    def judged(self) -> Network:
        """The network that is measured and kept: the moving average of the weights where there is one."""
        network = self.network if self.average is None else self.average.module
        assert isinstance(network, Network)
        return network

    def _measured(self, images: LabelledImages) -> dict[str, float]:
        """The figures of `judged`; every process measures its rows with the running statistics of the first."""
        if self.trainer.share.processes > 1 and self.settings.batch_norm == "per-process":
            take_buffers_of_first(self.judged)
        return measure(self.judged, images, self.fabric, limit_batches=self.settings.limit_batches)

    def _judge(self, epoch: int) -> Mapping[str, Any] | None:
        """Measures what chooses the best epoch, and keeps the weights where they are the best so far."""
        if self.parts.judge is None:
            return None
        label = self.settings.best.replace("-", "_")
        found = self._measured(self.parts.judge)
        best = max((row[f"{label}_top1"] for row in self.trainer.rows[:-1]), default=-1.0)
        if found["top1"] > best and self.trainer.share.process == 0:
            facts = {"identity": self._kept_identity(), "epoch": epoch + 1}
            save_checkpoint(TrainingPaths(self.folder).best, self._kept_state(), facts)
        return {f"{label}_loss": found["loss"], f"{label}_top1": found["top1"]}

    def _kept_state(self) -> dict[str, Tensor]:
        """The weights without what only training uses."""
        extra = tuple(f"{name}." for name in self.network.training_only)
        return {name: value for name, value in self.judged.state_dict().items() if not name.startswith(extra)}

    def _kept_identity(self) -> dict[str, Any]:
        return {**self.identity, "space": without_auxiliary(self.space).describe()}

    def finish(self) -> dict[str, Any]:
        """Writes the network and its results; returns the content of ``result.json``."""
        first = self.trainer.share.process == 0
        if first:
            identity = self._kept_identity()
            save_checkpoint(TrainingPaths(self.folder).model, self._kept_state(), {"identity": identity})
            write_json(TrainingPaths(self.folder).description, {**identity, **self._facts()})
        result: dict[str, Any] = {
            "genotype": self.architecture.genotype,
            "epochs": self.settings.trained_epochs,
            "seed": self.seed,
            **self._size(),
            "test": {} if self.parts.test is None else self._measured(self.parts.test),
        }
        if self.settings.dry:
            few = f"at most {self.settings.limit_batches or self.steps} batches per epoch and evaluation"
            result["dry_run"] = f"{self.settings.trained_epochs} of {self.settings.epochs} epochs, {few}"
        if self.parts.judge is not None:
            label = self.settings.best.replace("-", "_")
            rows = self.trainer.rows
            best = max(range(len(rows)), key=lambda place: (rows[place][f"{label}_top1"], -place))
            kept = without_auxiliary(self.space).network(
                self.splits.num_classes, self.architecture, self.splits.image_shape[0]
            )
            tensors = on_first(self.fabric, lambda: load_checkpoint(TrainingPaths(self.folder).best)[0])
            kept.load_state_dict(tensors)
            result["best"] = {
                "by": self.settings.best,
                "epoch": best + 1,
                f"{label}_top1": rows[best][f"{label}_top1"],
                "test": self._tested(place_network(kept, self.fabric, self.settings.layout)),
            }
        if first:
            write_json(TrainingPaths(self.folder).result, result)
        return result

    def _size(self) -> dict[str, int]:
        """Parameters and MACs of the network that is kept."""
        kept = without_auxiliary(self.space)
        cost = architecture_cost(kept, self.architecture, self.splits.num_classes, self.splits.image_shape)
        return {"params": cost.params, "macs": cost.macs}

    def _facts(self) -> dict[str, Any]:
        return {
            "image_shape": list(self.splits.image_shape),
            "class_names": list(self.splits.class_names),
            "mean": list(self.parts.normalisation.mean),
            "std": list(self.parts.normalisation.std),
            "preprocessing": self._preprocessing(),
            "seed": self.seed,
            "recipe": self.settings.model_dump(mode="json"),
            **({"code": fingerprint(type(self.space))} if SPACES.is_custom(self.space.describe()["name"]) else {}),
        }

    def _preprocessing(self) -> dict[str, Any] | None:
        if self.splits.image_shape[0] not in CHANNELS:
            return None  # there are no image files of as many channels
        own = self.parts.normalisation
        names, resizing = self.splits.class_names, self.splits.train.resizing
        return Preprocessing(self.splits.image_shape, own.mean, own.std, names, resizing).record()

    def _tested(self, network: Network) -> dict[str, float]:
        test = self.parts.test
        return {} if test is None else measure(network, test, self.fabric, limit_batches=self.settings.limit_batches)


def _prepared(images: Tensor, network: Network, layout: str) -> Tensor:
    """The images in the type and layout of the network."""
    images = images.to(next(network.parameters()).dtype)
    return images.contiguous(memory_format=torch.channels_last) if layout == "channels-last" else images


def _shared(share: Share) -> dict[str, Any]:
    """The argument that asks for this process's rows; none for one process, which own data sets need not know."""
    return {"share": share} if share.processes > 1 else {}


@torch.no_grad()
def measure(
    network: Network,
    images: LabelledImages,
    fabric: Fabric,
    batch_size: int = 256,
    limit_batches: int | None = None,
) -> dict[str, float]:
    """Loss, top-1 and (with more than five classes) top-5 accuracy as fractions.

    Args:
        network: on the device; left in evaluation mode.
        images: what to measure on; several processes divide it between them.
        fabric: device, precision and processes.
        batch_size: images per batch.
        limit_batches: at most that many batches; None for all.
    """
    network.eval()
    share = share_of(fabric)
    limit = None if limit_batches is None else limit_batches * batch_size
    loss = top1 = top5 = 0.0
    classes = 0
    for batch, labels in images.batches(batch_size, fabric.device, limit=limit, **_shared(share)):
        with fabric.autocast():
            logits = network(_prepared(batch, network, "contiguous"))
        logits = logits if logits.dtype == torch.float64 else logits.float()
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        ranked = logits.topk(min(5, logits.shape[1]), 1).indices == labels[:, None]
        top1 += float(ranked[:, 0].sum())
        top5 += float(ranked.any(1).sum())
        classes = int(logits.shape[1])
    if share.processes > 1:
        sums = torch.tensor([loss, top1, top5], dtype=torch.float64, device=fabric.device)
        torch.distributed.all_reduce(sums)
        loss, top1, top5 = sums.tolist()
    count = len(images) if limit is None else min(limit, len(images))
    result = {"loss": loss / count, "top1": top1 / count}
    if classes > 5:
        result["top5"] = top5 / count
    return result
