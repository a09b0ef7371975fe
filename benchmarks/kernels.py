"""Milliseconds of the functions of `genas.spaces.kernels` beside torch's own: ``python benchmarks/kernels.py [FILE]``.

One thread, batches of 64 in the channels-last layout; forward and backward where the function has a gradient; medians
of nine, both asked in turn.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from genas.core.allocator import keep_freed_memory
from genas.spaces import kernels

BATCH, ROUNDS = 64, 9


def random_splits(channels: int, side: int) -> torch.Tensor:
    return torch.randn(BATCH, channels, side, side).contiguous(memory_format=torch.channels_last)


def milliseconds(work: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, backward: bool) -> float:
    x = x.detach().requires_grad_(backward)
    with torch.set_grad_enabled(backward):
        begun = time.perf_counter()
        out = work(x)
        if backward:
            out.backward(torch.ones_like(out))
        return 1e3 * (time.perf_counter() - begun)


def row(name: str, theirs: Callable, ours: Callable, x: torch.Tensor, backward: bool = True) -> dict:
    for work in (theirs, ours):
        milliseconds(work, x, backward)
    pairs = [[milliseconds(work, x, backward) for work in (theirs, ours)] for _ in range(ROUNDS)]
    first, second = zip(*pairs, strict=True)
    return {
        "name": f"{name}, {x.shape[1]} channels, {x.shape[2]} x {x.shape[3]}",
        "torch": statistics.median(first),
        "genas": statistics.median(second),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = []
    for channels, side in ((16, 32), (32, 16), (64, 8)):
        x = random_splits(channels, side)
        for kernel in (3, 5):
            for stride in (1, 2):
                one = nn.Conv2d(channels, channels, kernel, stride, kernel - 1, 2, channels, bias=False)
                one.to(memory_format=torch.channels_last)
                name = f"dilated depthwise {kernel}x{kernel}, stride {stride}"
                rows.append(
                    row(name, one, lambda x, w=one.weight, s=stride: kernels.dilated_depthwise(x, w, None, s), x)
                )
        even, odd = (nn.Conv2d(channels, channels // 2, 1, 2, bias=False) for _ in range(2))

        def pair(x: torch.Tensor, even=even, odd=odd) -> torch.Tensor:
            return torch.cat([even(x), odd(x[:, :, 1:, 1:])], 1)

        rows.append(
            row(
                "strided pair",
                pair,
                lambda x, e=even, o=odd: kernels.shifted_pair(x, e.weight, None, o.weight, None),
                x,
            )
        )
        average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        rows.append(row("average pool", average, lambda x: kernels.average_pool(x, 1), x))
        rows.append(
            row(
                "max pool, forward only",
                lambda x: functional.max_pool2d(x, 3, 1, 1),
                lambda x: kernels.max_pool(x, 1),
                x,
                backward=False,
            )
        )
    for each in rows:
        print(f"{each['name']:58} {each['torch']:8.2f} {each['genas']:8.2f} {each['ratio']:6.1f}")
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "batch": BATCH, "unit": "ms", "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
