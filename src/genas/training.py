"""What the two trainings (supernet, retraining) share: the schedule, the exact resume, the metrics of an epoch.

One epoch is a walk through batches whose order, augmentation and path are functions of (seed, epoch, step), so a
checkpoint of weights, momentum and the running sums is enough to continue bit-identically from any step.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from genas.checkpoint import load_checkpoint, save_checkpoint
from genas.errors import CheckpointError, GenasError
from genas.interrupt import StopRequest
from genas.progress import Bar
from genas.runs import write_csv


def cosine(epoch: int, epochs: int, first: float, last: float, shifted: bool = False) -> float:
    """The cosine learning rate of an epoch.

    ``lr(e) = last + (first - last) (1 + cos(pi e / E)) / 2`` for e = 0 .. E-1. The published scripts, run with PyTorch
    1.1 or newer, use the value of e + 1 instead (methods.md T1); `shifted` repeats that.
    """
    at = epoch + 1 if shifted else epoch
    return last + (first - last) * (1 + math.cos(math.pi * at / epochs)) / 2


StepFunction = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]


class Trainer:
    """Trains a network epoch by epoch, with atomic checkpoints and exact resume.

    Args:
        folder: where ``checkpoint.safetensors``, ``metrics.csv`` and TensorBoard's files go.
        fabric: device and precision.
        network: the network, on the device.
        optimizer: SGD over the network's parameters.
        title: shown beside the progress bar.
        identity: facts that must agree with those of a checkpoint found in the folder.
        checkpoint_seconds: least time between two checkpoints inside an epoch.
        quiet: no progress.
    """

    def __init__(
        self,
        folder: Path,
        fabric: Fabric,
        network: nn.Module,
        optimizer: torch.optim.SGD,
        title: str,
        identity: Mapping[str, Any],
        checkpoint_seconds: float = 300.0,
        quiet: bool = False,
    ) -> None:
        self.folder, self.fabric, self.title, self.quiet = folder, fabric, title, quiet
        self.identity = dict(identity)
        self.checkpoint_seconds = checkpoint_seconds
        self.raw = network
        self.optimizer = optimizer
        self.epoch = 0  # the epoch to do next, or in progress
        self.step = 0  # steps of it already done
        self.rows: list[dict[str, Any]] = []
        self._names = {id(parameter): name for name, parameter in network.named_parameters()}
        # loss sum, right answers, pictures, clipped steps: float64 so that the sums are exact enough to resume
        self._sums = torch.zeros(3, dtype=torch.float64, device=fabric.device)

    @property
    def checkpoint(self) -> Path:
        """The file that holds the state."""
        return self.folder / "checkpoint.safetensors"

    def resume(self) -> bool:
        """Takes the state of an earlier process over, where there is one.

        Raises:
            CheckpointError: the checkpoint is damaged or of another network.
        """
        if not self.checkpoint.exists():
            return False
        tensors, facts = load_checkpoint(self.checkpoint)
        if facts.get("identity") != self.identity:
            raise CheckpointError(
                f"{self.checkpoint} belongs to another network or configuration "
                f"({facts.get('identity')}, wanted {self.identity}); delete it to start again."
            )
        state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        try:
            self.raw.load_state_dict(state)
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.checkpoint} does not fit the network ({str(error).splitlines()[0]}); delete it to start again."
            ) from error
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                key = f"momentum.{self._names[id(parameter)]}"
                if key in tensors:
                    self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(tensors[key])
        self._sums = tensors["sums"].to(self._sums)
        self.epoch, self.step, self.rows = facts["epoch"], facts["step"], facts["rows"]
        return True

    def save(self, path: Path | None = None) -> None:
        """Saves the whole state."""
        tensors = {f"model.{name}": value for name, value in self.raw.state_dict().items()}
        for parameter, state in self.optimizer.state.items():
            buffer = state.get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{self._names[id(parameter)]}"] = buffer
        tensors["sums"] = self._sums
        facts = {"identity": self.identity, "epoch": self.epoch, "step": self.step, "rows": self.rows}
        save_checkpoint(path or self.checkpoint, tensors, facts)

    def run(
        self,
        epochs: int,
        steps: int,
        batches: Callable[[int, int], Iterator[tuple[Tensor, Tensor]]],
        learning_rate: Callable[[int], float],
        step: StepFunction,
        clip: float | None,
        zero_unused: bool = False,
        after_epoch: Callable[[int], None] | None = None,
        keep_every: int = 0,
    ) -> None:
        """Trains to the end.

        Args:
            epochs: number of epochs in all.
            steps: batches per epoch.
            batches: (epoch, first step) to the batches of that epoch from that step on.
            learning_rate: epoch to learning rate.
            step: (images, labels, epoch, step) to (loss, logits).
            clip: greatest norm of the gradient; None for no limit.
            zero_unused: give parameters without a gradient a zero gradient, so that decay and momentum move them (T6).
            after_epoch: called when an epoch is over, before it is saved.
            keep_every: also keep the weights after every that many epochs; 0 keeps none.

        Raises:
            Interrupted: Ctrl-C; the state is saved.
            GenasError: the loss is no longer a finite number.
        """
        writer = _tensorboard(self.folder / "tensorboard", self.epoch)
        begun = saved = time.monotonic()
        with (
            StopRequest() as stop,
            Bar(self.title, epochs * steps, self.epoch * steps + self.step, quiet=self.quiet) as bar,
        ):
            while self.epoch < epochs:
                rate = learning_rate(self.epoch)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self.raw.train()
                for images, labels in batches(self.epoch, self.step):
                    self._one(images, labels, step, clip, zero_unused)
                    self.step += 1
                    bar.step(note=self._note(epochs))
                    if stop.requested or time.monotonic() - saved > self.checkpoint_seconds:
                        self.save()
                        saved = time.monotonic()
                        stop.check()
                row = self._row(rate, time.monotonic() - begun)
                begun = time.monotonic()
                self.rows.append(row)
                if after_epoch is not None:
                    after_epoch(self.epoch)
                self.epoch, self.step = self.epoch + 1, 0
                self._sums.zero_()
                self.save()
                saved = time.monotonic()
                if keep_every and self.epoch % keep_every == 0:
                    self.save(self.folder / f"epoch-{self.epoch}.safetensors")
                write_csv(self.folder / "metrics.csv", self.rows)
                for key, value in row.items():
                    if key != "epoch":
                        writer.add_scalar(key, value, self.epoch)
                stop.check()
        writer.close()

    def _note(self, epochs: int) -> str:
        note = f"epoch {self.epoch + 1}/{epochs}"
        return note + (f", last loss {self.rows[-1]['loss']:.3f}" if self.rows else "")

    def _one(self, images: Tensor, labels: Tensor, step: StepFunction, clip: float | None, zero_unused: bool) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self.fabric.autocast():
            loss, logits = step(images, labels, self.epoch, self.step)
        self.fabric.backward(loss)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        if zero_unused:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        self.optimizer.step()
        with torch.no_grad():
            right = (logits.argmax(1) == labels).sum()
            self._sums += torch.stack([loss.detach() * len(labels), right, right.new_tensor(len(labels))])

    def _row(self, rate: float, seconds: float) -> dict[str, Any]:
        loss_sum, right, count = self._sums.tolist()
        if not math.isfinite(loss_sum):
            raise GenasError(
                f"{self.title}: the loss is no longer finite in epoch {self.epoch + 1}; "
                "lower the learning rate or clip the gradient."
            )
        return {
            "epoch": self.epoch + 1,
            "learning_rate": rate,
            "loss": loss_sum / count,
            "accuracy": right / count,
            "seconds": round(seconds, 2),
        }


def _tensorboard(folder: Path, epoch: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder), purge_step=epoch + 1)
