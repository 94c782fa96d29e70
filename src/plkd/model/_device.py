"""Where a model trains or is loaded to."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from plkd._compat import parse_device_args


def check_device(accelerator: Any, devices: Any, *, called: str = "devices", single: bool = False) -> Any:
    """Return the device to use; refuse an accelerator that this machine lacks, before any work.

    Parameters
    ----------
    accelerator, devices
        As in scvi-tools.
    called
        What the caller calls the devices.
    single
        Whether only one is expected.

    Raises
    ------
    TypeError, ValueError
        Naming both.
    """
    if not isinstance(accelerator, str) or isinstance(devices, bool) or not isinstance(devices, str | int | list):
        raise TypeError(
            f"accelerator={accelerator!r} with {called}={devices!r}; expected text and a number, e.g. accelerator='gpu' and "
            f"{called}=1, or 'auto' for both."
        )
    try:
        return parse_device_args(accelerator, devices, return_device="torch", validate_single_device=single)[2]
    except (
        MisconfigurationException,
        ValueError,
        TypeError,
        RuntimeError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        raise ValueError(
            f"accelerator={accelerator!r} with {called}={devices!r} cannot be used here ({error}). Fix: pass "
            f"accelerator='auto' and {called}='auto', or accelerator='cpu'."
        ) from error


def gpu_for_counts(device: torch.device, accelerator: str, devices: Any) -> torch.device | None:
    """Return the GPU that training may bring the counts to: the only device; None where there are several, or it is no GPU."""
    if device.type != "cuda":
        return None
    chosen = parse_device_args(accelerator, devices, return_device="torch")[1]
    return device if chosen == 1 or (isinstance(chosen, list) and len(chosen) == 1) else None


def single_device(accelerator: Any, device: Any) -> Any:
    """Return a device in the form that scvi-tools reads as it documents it.

    Its ``load`` calls a number an index, but Lightning reads one as how many; a list holds indices.
    """
    if not isinstance(accelerator, str) or not isinstance(device, int) or isinstance(device, bool) or device < 0:
        return device
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    return [device] if on_gpu else device
