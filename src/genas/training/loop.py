"""What the two trainings (supernet, retraining) share: the schedule, the exact resume, the metrics of an epoch.

One epoch is a walk through batches whose order, augmentation and path are functions of (seed, epoch, step), so a
checkpoint of weights, momentum and the running sums is enough to continue bit-identically from any step.

Several processes train as one (`genas.core.distributed`): each computes its rows of every batch, the gradients are
summed, and every process takes the same step. Only the first writes.
"""

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim.swa_utils import AveragedModel

from genas.core.checkpoint import AVERAGE, COMPANION, MODEL, MOMENTUM, load_checkpoint, part_of, save_checkpoint
from genas.core.device import Fabric
from genas.core.distributed import on_first, share_of, sum_gradients
from genas.core.errors import CheckpointError, GenasError, Interrupted
from genas.core.interrupt import StopRequest
from genas.core.progress import Bar, doing
from genas.core.run_folder import write_csv
from genas.core.run_paths import TrainingPaths
from genas.training.companion import Companion


def cosine(epoch: int, epochs: int, first: float, last: float, shifted: bool = False) -> float:
    """The cosine learning rate of an epoch.

    ``lr(e) = last + (first - last) (1 + cos(pi e / E)) / 2`` for e = 0 .. E-1. The published scripts, run with PyTorch
    1.1 or newer, use the value of e + 1 instead (methods.md T1); `shifted` repeats that.
    """
    at = epoch + 1 if shifted else epoch
    return last + (first - last) * (1 + math.cos(math.pi * at / epochs)) / 2


Rows = tuple[int, int]
"""First row of a piece within the whole batch, and the batch's size."""
StepFunction = Callable[[Tensor, Tensor, int, int, Rows], tuple[Tensor, Tensor]]

STOP_PATIENCE = 10.0  # seconds in which torchrun may repeat a signal


def steps_per_epoch(images: int, batch_size: int, least: int = 2) -> int:
    """Batches of an epoch: a short last one is used where it has `least` images (batch norm needs two, alone)."""
    return images // batch_size + (images % batch_size >= least)


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
        pieces: pieces in which a batch is computed one after the other (gradient accumulation).
        average: moving average of the weights, updated after every step; None for none.
        companion: moved before every step, saved with the network; None for none, as it must be with several processes.
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
        pieces: int = 1,
        average: AveragedModel | None = None,
        companion: Companion | None = None,
    ) -> None:
        self.folder, self.fabric, self.title = folder, fabric, title
        self.share = share_of(fabric, pieces)
        self.quiet = quiet or self.share.process > 0
        self.average, self.companion = average, companion
        self.identity = dict(identity)
        self.checkpoint_seconds = checkpoint_seconds
        self.raw = network
        self.optimizer = optimizer
        self.epoch = 0  # the epoch to do next, or in progress
        self.step = 0  # steps of it already done
        self.rows: list[dict[str, Any]] = []
        self._names = {id(parameter): name for name, parameter in network.named_parameters()}
        self._reached: set[str] = set()  # parameters that have had a gradient; kept up under ``zero_unused`` only
        # loss sum, right answers, images, clipped steps: float64 so that the sums are exact enough to resume
        self._sums = torch.zeros(3, dtype=torch.float64, device=fabric.device)
        self._kept: list[Tensor] = []  # the buffers as they were before the step at work
        self._kept_companion: dict[str, Tensor] = {}
        self._inside = False  # a step has begun and not moved the weights yet
        self._signals: deque[Tensor] = deque(maxlen=2)  # of the last two steps: above 0 where a process is to stop

    @property
    def checkpoint(self) -> Path:
        """The file that holds the state."""
        return TrainingPaths(self.folder).checkpoint

    def resume(self) -> bool:
        """Takes the state of an earlier process over, where there is one.

        Raises:
            CheckpointError: the checkpoint is damaged or of another network.
        """
        found = on_first(self.fabric, lambda: load_checkpoint(self.checkpoint) if self.checkpoint.exists() else None)
        if found is None:
            return False
        tensors, facts = found
        if facts.get("identity") != self.identity:
            raise CheckpointError(
                f"{self.checkpoint} belongs to another network or configuration "
                f"({facts.get('identity')}, wanted {self.identity}); delete it to start again."
            )
        try:
            self.raw.load_state_dict(part_of(tensors, MODEL))
            if self.average is not None:
                self.average.load_state_dict(part_of(tensors, AVERAGE))
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.checkpoint} does not fit the network ({str(error).splitlines()[0]}); delete it to start again."
            ) from error
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                key = f"{MOMENTUM}{self._names[id(parameter)]}"
                if key in tensors:
                    self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(tensors[key])
        if self.companion is not None:
            self.companion.load(part_of(tensors, COMPANION))
        self._sums = tensors["sums"].to(self._sums)
        self.fabric.precision.load_state_dict(facts.get("precision", {}))
        self.epoch, self.step, self.rows = facts["epoch"], facts["step"], facts["rows"]
        # none: all of them; a checkpoint from before this entry moved all from the first step on, and continues so
        self._reached = set(facts.get("reached", self._names.values()))
        return True

    def save(self, path: Path | None = None) -> None:
        """Saves the whole state; the first process alone does."""
        if self.share.process > 0:
            return
        tensors = {f"{MODEL}{name}": value for name, value in self.raw.state_dict().items()}
        for parameter, state in self.optimizer.state.items():
            buffer = state.get("momentum_buffer")
            if buffer is not None:
                tensors[f"{MOMENTUM}{self._names[id(parameter)]}"] = buffer
        if self.average is not None:
            tensors |= {f"{AVERAGE}{name}": value for name, value in self.average.state_dict().items()}
        if self.companion is not None:
            tensors |= {f"{COMPANION}{name}": value for name, value in self.companion.tensors().items()}
        tensors["sums"] = self._sums
        facts = {"identity": self.identity, "epoch": self.epoch, "step": self.step, "rows": self.rows}
        if 0 < len(self._reached) < len(self._names):
            facts["reached"] = sorted(self._reached)
        if scaling := self.fabric.precision.state_dict():
            facts["precision"] = scaling
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
        after_epoch: Callable[[int], Mapping[str, Any] | None] | None = None,
        keep_every: int = 0,
        batch_images: Callable[[int], int] | None = None,
        ended: Callable[[], bool] | None = None,
    ) -> None:
        """Trains to the end.

        Args:
            epochs: number of epochs in all.
            steps: batches per epoch.
            batches: (epoch, first step) to the batches of that epoch from that step on; with several processes, this
                one's rows of them.
            learning_rate: epoch to learning rate.
            step: (images, labels, epoch, step, rows) to (loss, logits), the loss being the mean over the images.
            clip: greatest norm of the gradient; None for no limit.
            zero_unused: give parameters without a gradient a zero gradient, so that decay and momentum move them, from
                the step after their first gradient on; until then they stay (T6).
            after_epoch: called when an epoch is over, before it is saved; what it returns joins the epoch's metrics.
            keep_every: also keep the weights after every that many epochs; 0 keeps none.
            batch_images: step to the number of images of its whole batch; needed with several processes.
            ended: asked before every epoch; True ends the training early.

        Raises:
            Interrupted: Ctrl-C; the state is saved.
            GenasError: the loss is no longer a finite number.
        """
        first = self.share.process == 0
        with doing(f"preparing the training of the {self.title}", self.quiet):
            writer = _tensorboard(TrainingPaths(self.folder).tensorboard, self.epoch) if first else None
        begun = saved = time.monotonic()
        with (
            StopRequest(STOP_PATIENCE if self.share.processes > 1 else 0.0) as stop,
            Bar(self.title, epochs * steps, self.epoch * steps + self.step, quiet=self.quiet) as bar,
            self._saved_at_once(),
        ):
            bar.within(0, self._note(epochs))
            while self.epoch < epochs and not (ended is not None and ended()):
                rate = learning_rate(self.epoch)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self.raw.train()
                for images, labels in batches(self.epoch, self.step):
                    count = len(labels) if batch_images is None else batch_images(self.step)
                    self._one(images, labels, count, step, clip, zero_unused, stop)
                    stop.stepped()
                    bar.step(note=self._note(epochs))
                    if self._stopping(stop) or time.monotonic() - saved > self.checkpoint_seconds:
                        self.save()
                        saved = time.monotonic()
                        self._obey(stop)
                row = self._row(rate, time.monotonic() - begun)
                begun = time.monotonic()
                self.rows.append(row)
                row.update((after_epoch(self.epoch) if after_epoch is not None else None) or {})
                with stop.shield():
                    self.epoch, self.step = self.epoch + 1, 0
                    self._sums.zero_()
                self.save()
                saved = time.monotonic()
                if keep_every and self.epoch % keep_every == 0:
                    self.save(TrainingPaths(self.folder).epoch(self.epoch))
                if writer is not None:
                    write_csv(TrainingPaths(self.folder).metrics, self.rows)
                    for key, value in row.items():
                        if key != "epoch":
                            writer.add_scalar(key, value, self.epoch)
                self._obey(stop, last=True)
        if writer is not None:
            writer.close()

    @contextmanager
    def _saved_at_once(self) -> Iterator[None]:
        """Saves what the last whole step left when a second Ctrl-C ends the work inside a step."""
        try:
            yield
        except KeyboardInterrupt:
            if self.share.processes > 1:
                raise
            if self._inside:  # batch norm's statistics move in a forward pass, all else after it
                for buffer, kept in zip(self.raw.buffers(), self._kept, strict=True):
                    buffer.copy_(kept)
                if self.companion is not None:
                    self.companion.load(self._kept_companion)
            del self.rows[self.epoch :]
            if self.epoch or self.step:  # before the first step there is nothing that the seed does not give again
                self.save()
            raise Interrupted(
                "Interrupted inside a step; the state before it is saved. Give the same command to continue."
            ) from None

    def _keep_buffers(self) -> None:
        buffers = list(self.raw.buffers())
        if self._kept:
            torch._foreach_copy_(self._kept, buffers)
        else:
            self._kept = [buffer.clone() for buffer in buffers]
        if self.companion is not None:
            self._kept_companion = {name: value.clone() for name, value in self.companion.tensors().items()}
        self._inside = True

    def _stopping(self, stop: StopRequest, last: bool = False) -> bool:
        """Whether to stop here; several processes do it together, at the step after a signal came to one of them.

        The signals of the step before are looked at (`last`: of this one), so that a GPU need not be waited for.
        """
        if self.share.processes > 1:
            agreed = len(self._signals) > 1 and self._signals[0].item() > 0
            agreed = agreed or (last and len(self._signals) > 0 and self._signals[-1].item() > 0)
            if agreed:
                stop.request()
            return agreed
        return stop.requested

    def _obey(self, stop: StopRequest, last: bool = False) -> None:
        """Raises `Interrupted` where all processes stop; call it where the state is saved."""
        if self.share.processes == 1 or self._stopping(stop, last):
            stop.check()

    def _note(self, epochs: int) -> str:
        note = f"epoch {self.epoch + 1}/{epochs}"
        return note + (f", last loss {self.rows[-1]['loss']:.3f}" if self.rows else "")

    def _one(
        self,
        images: Tensor,
        labels: Tensor,
        count: int,
        step: StepFunction,
        clip: float | None,
        zero_unused: bool,
        stop: StopRequest,
    ) -> None:
        """One step with this process's rows of a batch of `count` images."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.share.processes == 1:
            self._keep_buffers()
        if self.companion is not None:
            self.companion.before_step(images, labels, self.epoch, self.step)
        sums = self._forward_backward(images, labels, count, step)
        with stop.shield():
            self._apply(sums, clip, zero_unused, stop)
            self._inside = False

    def _apply(self, sums: Tensor, clip: float | None, zero_unused: bool, stop: StopRequest) -> None:
        """Moves the weights by the gradients that are there, and counts the step."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        if self.share.processes > 1:
            sum_gradients(parameters)
        if zero_unused:
            self._fill_gradients(parameters)
        precision = self.fabric.precision
        if clip is not None:
            precision.unscale_gradients(self.optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        precision.optimizer_step(self.optimizer)
        if self.companion is not None:
            self.companion.after_step()
        if self.average is not None:
            self.average.update_parameters(self.raw)
        if self.share.processes > 1:
            sums = torch.cat([sums.double(), sums.new_tensor([stop.requested], dtype=torch.float64)])
            distributed.all_reduce(sums)
            self._signals.append(sums[3])
            sums = sums[:3]
        self._sums += sums
        self.step += 1

    def _fill_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Zero gradients for what this step left out but an earlier one reached, as ``zero_grad`` of torch < 2 leaves.

        Until a parameter's first gradient there is none to set to zero, and SGD passes it over.
        """
        for parameter in parameters:
            name = self._names[id(parameter)]
            if parameter.grad is not None:
                self._reached.add(name)
            elif name in self._reached:
                parameter.grad = torch.zeros_like(parameter)

    def _forward_backward(self, images: Tensor, labels: Tensor, count: int, step: StepFunction) -> Tensor:
        """Adds up the gradients of the pieces; returns loss sum, right answers and images ([3])."""
        sums: Tensor | None = None
        done = 0
        for part in self.share.parts(count):
            here = slice(done, done + len(part))
            done += len(part)
            own, targets = (images, labels) if len(part) == len(labels) else (images[here], labels[here])
            with self.fabric.autocast():
                loss, logits = step(own, targets, self.epoch, self.step, (part.start, count))
            self.fabric.backward(loss if len(part) == count else loss * (len(part) / count))
            with torch.no_grad():
                right = (logits.argmax(1) == targets).sum()
                piece = torch.stack([loss.detach() * len(targets), right, right.new_full((), len(targets))])
                sums = piece if sums is None else sums + piece
        assert sums is not None
        return sums

    def _row(self, rate: float, seconds: float) -> dict[str, Any]:
        loss_sum, right, images = self._sums.tolist()
        if not math.isfinite(loss_sum):
            raise GenasError(
                f"{self.title}: the loss is no longer finite in epoch {self.epoch + 1}; "
                "lower the learning rate or clip the gradient."
            )
        return {
            "epoch": self.epoch + 1,
            "learning_rate": rate,
            "loss": loss_sum / images,
            "accuracy": right / images,
            "seconds": round(seconds, 2),
        }


def _tensorboard(folder: Path, epoch: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder), purge_step=epoch + 1)
