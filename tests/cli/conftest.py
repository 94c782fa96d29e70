"""One model, trained by the command line itself; tests copy what they change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from plkd.cli._app import run


@dataclass
class Files:
    ref: Path
    query: Path
    model: Path


@pytest.fixture(scope="session")
def files(make_adata, tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("cli")
    adata = make_adata(n_obs=180, n_batches=3)
    is_query = (adata.obs["batch"] == "batch_2").to_numpy()
    found = Files(folder / "ref.h5ad", folder / "query.h5ad", folder / "model")
    adata[~is_query].copy().write_h5ad(found.ref)
    adata[is_query].copy().write_h5ad(found.query)
    code = run(["train", str(found.ref), "--labels-key", "cell_type", "--max-epochs", "1", "--out", str(found.model)])
    assert code == 0
    return found
