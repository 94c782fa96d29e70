"""Joining modalities without moving their columns about."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import mudata
from anndata import AnnData


def join(modalities: Mapping[str, AnnData]) -> mudata.MuData:
    """Return the MuData of some modalities; columns of their ``obs`` and ``var`` stay where they are.

    mudata 0.3 copies them into its own tables, and warns, unless told not to; 0.4 never does and has no such option.
    """
    set_options = getattr(mudata, "set_options", None)
    with set_options(pull_on_update=False) if set_options is not None else nullcontext():
        return mudata.MuData(dict(modalities))
