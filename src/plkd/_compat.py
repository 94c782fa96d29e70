"""Every private or version-dependent name of scvi-tools, anndata or mudata, each with the versions it serves."""

from __future__ import annotations

# scvi-tools' view_* methods use rich.pretty without importing it; rich itself does so no longer.
import rich.pretty  # noqa: F401

# Not exported; takes the full-pairing check of MuData away. In 1.4.2 and 1.5.
from scvi.data._manager import AnnDataManagerValidationCheck

# Not exported. In 1.4.2 and 1.5.
from scvi.model._utils import parse_device_args

# Exported from scvi.train only since 1.5; here in 1.4.2 and 1.5.
from scvi.train._config import merge_kwargs


def validation_without_pairing() -> AnnDataManagerValidationCheck:
    """Return scvi-tools' checks of a data set without that every cell is in every modality."""
    return AnnDataManagerValidationCheck(check_fully_paired_mudata=False)


__all__ = ["merge_kwargs", "parse_device_args", "validation_without_pairing"]
