"""Device, precision and processes: the one file that asks what hardware there is."""

import atexit
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from genas.core.errors import ConfigError

Mode = Literal["32-true", "tf32-true", "bf16-mixed", "16-mixed", "64-true"]
PRECISIONS: dict[str, Mode] = {
    "32": "32-true",
    "32-true": "32-true",
    "tf32": "tf32-true",
    "tf32-true": "tf32-true",
    "bf16": "bf16-mixed",
    "bf16-mixed": "bf16-mixed",
    "16": "16-mixed",
    "16-mixed": "16-mixed",
    "64": "64-true",
    "64-true": "64-true",
}


class Precision:
    """How numbers are computed: single or double, or mixed by ``torch.autocast`` with weights in single precision.

    ``tf32-true`` is single precision whose matrix products and convolutions round their factors to 10 bits on a GPU.

    Args:
        mode: one of the values of `PRECISIONS`.
        device: where.
        scaler: keeps the gradients of ``16-mixed`` from underflow; None for the usual one.
    """

    def __init__(self, mode: Mode, device: torch.device, scaler: torch.amp.GradScaler | None = None) -> None:
        self.mode, self._device = mode, device
        self._scaler = (scaler or torch.amp.GradScaler(device.type)) if mode == "16-mixed" else None

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Around the forward pass and the loss."""
        if self.mode == "64-true":
            before = torch.get_default_dtype()
            torch.set_default_dtype(torch.double)
            try:
                yield
            finally:
                torch.set_default_dtype(before)
        elif self.mode in ("32-true", "tf32-true"):
            yield
        else:
            kind = torch.bfloat16 if self.mode == "bf16-mixed" else torch.float16
            with torch.autocast(self._device.type, dtype=kind):
                yield

    def convert_module(self, module: nn.Module) -> nn.Module:
        """The module with weights of this precision."""
        return module.double() if self.mode == "64-true" else module

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of `loss`, scaled where half precision needs it."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def unscale_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes the scale out of the gradients, before they are clipped."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step; left out where scaled gradients have overflown."""
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The scale; empty without one."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes the scale of an earlier process over."""
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(state))


class Fabric:
    """What training and scoring know of the machine: one device per process, a precision, the processes.

    Args:
        device: this process's device.
        precision: one of the values of `PRECISIONS`.
        global_rank: number of this process, from 0.
        world_size: number of processes.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        precision: Mode | Precision = "32-true",
        global_rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.device = torch.device(device)
        self.precision = precision if isinstance(precision, Precision) else Precision(precision, self.device)
        self.global_rank, self.world_size = global_rank, world_size

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Around what is computed in this precision."""
        with self.precision.forward():
            yield

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of `loss`."""
        self.precision.backward(loss)


def open_fabric(device: str = "auto", precision: str = "32", *, many: bool = False) -> Fabric:
    """A Fabric on one device, or on one device of each process that ``torchrun`` started.

    Args:
        device: ``auto`` (a CUDA GPU where there is one, else the CPU), ``cpu`` or ``cuda``.
        precision: ``32``, ``tf32``, ``bf16``, ``16`` (mixed) or ``64``.
        many: the work can be divided over processes; the process group of ``torchrun`` is then joined.

    Raises:
        ConfigError: an unknown name, CUDA asked for where there is none, more processes than GPUs, or several
            processes for work that one does.
    """
    processes, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if processes > 1 and not many:
        raise ConfigError(
            f"torchrun started {processes} processes, but this command works in one; only genas retrain divides its "
            "work over processes."
        )
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; it must be one of auto, cpu, cuda.")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', but torch finds no CUDA GPU here; use --device cpu or auto.")
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    mode = PRECISIONS[precision]
    if chosen == "cpu" and mode in ("16-mixed", "tf32-true"):
        raise ConfigError(f"precision {mode.partition('-')[0]} needs a CUDA GPU; on the CPU use 32 or bf16.")
    if processes == 1:
        return _on(chosen, 0, mode)
    if chosen == "cuda" and local > torch.cuda.device_count():
        raise ConfigError(
            f"torchrun started {local} processes here, but there are {torch.cuda.device_count()} GPUs; "
            "give as many processes as GPUs, or --device cpu."
        )
    rank, place = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    fabric = _on(chosen, place, mode, rank, processes)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen == "cuda" else "gloo", rank=rank, world_size=processes)
        atexit.register(_leave)
    return fabric


def _on(kind: str, place: int, mode: Mode, rank: int = 0, processes: int = 1) -> Fabric:
    device = torch.device(kind, place) if kind == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        _settle_rounding(mode)
    return Fabric(device, mode, rank, processes)


def _settle_rounding(mode: Mode) -> None:
    """The same algorithms in every process, and TF32 where it is asked for only.

    Torch would let cuDNN take convolutions whose gradients change from call to call, and round their factors to TF32
    (10 bits) in single precision, which is of the size of the published noise (sigma 0.001).
    """
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    # the older names set all that is asked of either kind; newer ones for convolutions alone make torch's own code fail
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = mode == "tf32-true"


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Facts about the machine for the run's record."""
    gpu: dict[str, Any] = {}
    if device.type == "cuda":
        gpu = {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "float32_products": "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee",
        }
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        **gpu,
    }


def wait(device: torch.device) -> None:
    """Waits until the device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_of(device: torch.device) -> tuple[int | None, int | None]:
    """Bytes that are free and that there are, of the GPU or of the machine within its container's limit.

    None where the system does not say.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free, total
    try:
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        facts = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}
        free, total = facts["MemAvailable"], facts["MemTotal"] + facts.get("SwapTotal", 0)
    except (OSError, ValueError, KeyError):
        return None, None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return min(free, max(limit - used, 0)), min(total, limit)
    except (OSError, ValueError):
        return free, total


def memory_held() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
