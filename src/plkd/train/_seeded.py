"""Random numbers that come again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw what follows from a seed, on the CPU and on a device; the global random state is then as it was."""
    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # torch.manual_seed would write down where it was called from, for GPUs that may yet be found: 2 ms.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
        yield


def seed_of(*tensors: Tensor) -> int:
    """Return a seed of 60 bits that follows from the values of tensors, in their order."""
    found = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    # Room for what is added to it: torch takes 64 bits with a sign.
    return int.from_bytes(found.digest(), "little") >> 4
