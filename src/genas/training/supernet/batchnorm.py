"""Recalibration of batch-norm statistics for one path.

A supernet's running statistics mix all paths, so each architecture gets its own, from training images. The cumulative
average weighs all batches alike. The published code resets the statistics to mean 0 and variance 1 and runs the batches
at momentum 0.1, which leaves 0.9^n of the reset values (22.9 % after 14 batches; methods.md T7, G3): ``momentum``.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Averaging = Literal["cumulative", "momentum"]


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor], averaging: Averaging = "cumulative") -> None:
    """Estimates the running mean and variance of every batch norm in `network` anew, and sets evaluation mode.

    Args:
        network: a stand-alone network; its batch-norm buffers are overwritten, nothing else.
        batches: images [B, C, H, W], batches of equal size.
        averaging: ``cumulative``, or ``momentum`` as published.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    calls: Counter[nn.Module] = Counter()

    def weigh(norm: Any, _: object) -> None:
        calls[norm] += 1
        norm.momentum = 1.0 / calls[norm]

    hooks = []
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 0.1
        if averaging == "cumulative":  # torch's own (momentum None) waits for the device in every call
            hooks.append(norm.register_forward_pre_hook(weigh))
    network.train()
    try:
        for images in batches:
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        network.eval()
