"""One side of a comparison in a process of its own: ``python worker.py SIDE SPACE IMAGES DEVICE``.

SIDE is ``reference`` or ``genas``. Reads lines such as ``pass 3`` (work, number of an architecture) and answers each
with the seconds it took; at the end of input it prints its peak memory in GB. Both sides hold the same supernet, the
same architectures and the same images; apart, neither side's memory or thread settings touch the other.
"""

import random
import resource
import sys
import time
from contextlib import contextmanager

import reference
import torch
from made import SIGMAS, random_splits, scoring_of

from genas.core.allocator import keep_freed_memory
from genas.core.device import open_fabric
from genas.proxies import Flatness, FlatnessSettings
from genas.spaces import open_space
from genas.spaces.kernels import fast_gradients
from genas.training.supernet import initialise

BATCH = 64


@contextmanager
def around(work: str):
    """What the forward pass of a step runs in: ``step``, ``step-fast``, ``step-bf16`` or ``step-fast-bf16``."""
    with fast_gradients(on="fast" in work), torch.autocast("cpu", torch.bfloat16, enabled="bf16" in work):
        yield


def main() -> None:
    side, name, count, device = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    ours = side == "genas"
    keep_freed_memory()  # as the command line does
    fabric = open_fabric(device)
    space = open_space(name)
    splits = random_splits(count)
    scoring = scoring_of(space, splits, fabric)
    images, labels = next(iter(splits.validation.batches(count, fabric.device)))
    recalibration = next(iter(splits.validation.batches(896, fabric.device)))[0]
    layout = torch.channels_last if ours else torch.contiguous_format
    net = initialise(space, 10, 3, 0).to(fabric.device).to(memory_format=layout).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    batch, targets = images[:BATCH].contiguous(memory_format=layout), labels[:BATCH]
    flatness = Flatness(scoring, FlatnessSettings(sigmas=SIGMAS))

    def step(work: str, path) -> None:
        reference.step(net, optimizer, path, batch, targets, around=around(work))

    def prepare(work: str, number: int):
        path = space.sample(random.Random(number))
        if work.startswith("step"):
            return lambda: step(work, path)
        if ours:
            scoring.forget()
            if work == "score":
                return lambda: flatness.score(path)
            network = scoring.extract(path)
            return lambda: scoring.evaluate(network)
        if work == "score":
            return lambda: reference.losses(scoring.supernet, path, images, labels, recalibration, SIGMAS)
        return lambda: reference.evaluate(scoring.supernet, path, images, labels)

    print("ready", flush=True)
    for line in sys.stdin:
        work, number = line.split()
        call = prepare(work, int(number))
        begun = time.perf_counter()
        call()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        print(time.perf_counter() - begun, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, flush=True)


if __name__ == "__main__":
    main()
