"""Random numbers that come again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw what follows from a seed, on the CPU and on a CUDA device; the global random state is then as it was."""
    gpu = device if device is not None and device.type == "cuda" else None
    with torch.random.fork_rng(devices=[] if gpu is None else [gpu]):
        # torch.manual_seed would write down where it was called from, for GPUs that may yet be found: 2 ms.
        torch.default_generator.manual_seed(seed)
        if gpu is not None:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def new_seed() -> int:
    """Draw a seed of 60 bits; torch takes 64 with a sign."""
    return int(torch.randint(2**60, ()))


def seed_of(seed: int, numbers: Tensor) -> int:
    """Return a seed of 60 bits that follows from another one and from whole numbers in their order."""
    found = hashlib.blake2b(numbers.cpu().numpy().tobytes(), digest_size=8, key=seed.to_bytes(8, "little"))
    return int.from_bytes(found.digest(), "little") >> 4
