"""Device, precision and processes: the one file that asks what hardware there is (through Lightning Fabric)."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric import Fabric

from genas.allocator import keep_freed_memory
from genas.errors import ConfigError

PRECISIONS = {
    "32": "32-true",
    "32-true": "32-true",
    "bf16": "bf16-mixed",
    "bf16-mixed": "bf16-mixed",
    "16": "16-mixed",
    "16-mixed": "16-mixed",
    "64": "64-true",
    "64-true": "64-true",
}


def open_fabric(device: str = "auto", precision: str = "32", *, many: bool = False) -> Fabric:
    """A Fabric on one device, or on one device of each process that ``torchrun`` started.

    Args:
        device: ``auto`` (a CUDA GPU where there is one, else the CPU), ``cpu`` or ``cuda``.
        precision: ``32``, ``bf16``, ``16`` (mixed) or ``64``.
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
    if chosen == "cpu" and PRECISIONS[precision] == "16-mixed":
        raise ConfigError("precision 16 needs a CUDA GPU; on the CPU use 32 or bf16.")
    keep_freed_memory()
    mode: Any = PRECISIONS[precision]
    if processes == 1:
        return Fabric(accelerator=chosen, devices=1, precision=mode)
    if chosen == "cuda" and local > torch.cuda.device_count():
        raise ConfigError(
            f"torchrun started {local} processes here, but there are {torch.cuda.device_count()} GPUs; "
            "give as many processes as GPUs, or --device cpu."
        )
    with _no_notes():
        fabric = Fabric(accelerator=chosen, devices=local, num_nodes=processes // local, strategy="ddp", precision=mode)
        fabric.launch()
    return fabric


@contextmanager
def _no_notes() -> Iterator[None]:
    """Keeps Fabric's notes about the joining of the process group off the terminal, warnings excepted."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Facts about the machine for the run's record."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
    }
