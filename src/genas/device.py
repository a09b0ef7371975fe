"""Device and precision: the one file that asks what hardware there is (through Lightning Fabric)."""

import platform
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


def open_fabric(device: str = "auto", precision: str = "32") -> Fabric:
    """A Fabric on one device.

    Args:
        device: ``auto`` (a CUDA GPU where there is one, else the CPU), ``cpu`` or ``cuda``.
        precision: ``32``, ``bf16``, ``16`` (mixed) or ``64``.

    Raises:
        ConfigError: an unknown name, or CUDA asked for where there is none.
    """
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
    return Fabric(accelerator=chosen, devices=1, precision=mode)


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
