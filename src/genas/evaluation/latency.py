"""Time of a forward pass on this device: after a warm-up, every pass by itself, so that the spread is known."""

import statistics
import time
from typing import Any

import torch
from torch import nn

from genas.core.device import Fabric, wait
from genas.core.seeding import torch_rng
from genas.evaluation.settings import LatencySettings

QUANTILES = (0.05, 0.25, 0.75, 0.95)


@torch.no_grad()
def measure_latency(
    network: nn.Module, image_shape: tuple[int, int, int], fabric: Fabric, settings: LatencySettings
) -> list[dict[str, Any]]:
    """Times forward passes in evaluation mode.

    Args:
        network: on the device; in evaluation mode afterwards.
        image_shape: channels, height, width.
        fabric: device and precision.
        settings: see there.

    Returns:
        Per batch size: ``batch_size``, ``repeats``; ``median``, ``q05``, ``q25``, ``q75``, ``q95`` in seconds per pass;
        ``throughput``, images per second at the median.
    """
    network.eval()
    rows = []
    for size in settings.batch_sizes:
        images = torch.randn((size, *image_shape), generator=torch_rng(0, "latency", size)).to(fabric.device)
        for _ in range(settings.warmup):
            _one_pass(network, images, fabric)
        seconds = [_one_pass(network, images, fabric) for _ in range(settings.repeats)]
        cuts = torch.quantile(torch.tensor(seconds, dtype=torch.float64), torch.tensor(QUANTILES).double())
        median = statistics.median(seconds)
        rows.append(
            {
                "batch_size": size,
                "repeats": settings.repeats,
                "median": median,
                **{f"q{round(100 * q):02d}": float(cut) for q, cut in zip(QUANTILES, cuts, strict=True)},
                "throughput": size / median,
            }
        )
    return rows


def _one_pass(network: nn.Module, images: torch.Tensor, fabric: Fabric) -> float:
    wait(fabric.device)
    begun = time.perf_counter()
    with fabric.autocast():
        network(images)
    wait(fabric.device)  # a pass is over when the device is done, not when it was asked
    return time.perf_counter() - begun
