"""Named random streams.

Every random number in genas comes from a stream that is named by the run's seed and by what the number is for,
for example ``derive(seed, "supernet.paths", epoch, step)``. A stream is a pure function of its name, so nothing of the
random state has to be saved for an exact resume, and two architectures that share an operation can be given the same
noise on it (common random numbers) in any process.

The name is hashed with BLAKE2b, not with Python's `hash`, which differs between processes.
"""

import hashlib
import random

import torch


def derive(seed: int, *name: str | int) -> int:
    """Derives the seed of a named stream.

    Args:
        seed: the run's seed.
        name: what the stream is for; strings and integers.

    Returns:
        An integer in [0, 2^63).
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in name)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def python_rng(seed: int, *name: str | int) -> random.Random:
    """A `random.Random` for the named stream."""
    return random.Random(derive(seed, *name))


def torch_rng(seed: int, *name: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A `torch.Generator` on `device` for the named stream."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, *name))
    return generator


def seed_torch_globals(seed: int, *name: str | int) -> None:
    """Seeds torch's global generators: the initialisation of layers has no generator argument."""
    torch.manual_seed(derive(seed, *name))
