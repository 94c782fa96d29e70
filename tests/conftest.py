"""Tiny data with a known answer, seeds, a local server, and the folder of real data."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

os.environ.setdefault("MPLBACKEND", "Agg")
# Threads do not pay on tiny data, and wait for each other where other processes run.
os.environ.setdefault("OMP_NUM_THREADS", "1")

N_MARKERS = 10
FORMATS: dict[str, Callable] = {
    "dense": np.asarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}


def _make_adata(
    n_obs: int = 120,
    n_genes: int = 60,
    n_labels: int = 3,
    n_batches: int = 2,
    *,
    seed: int = 0,
    fmt: str = "csr",
    dtype: str = "float32",
) -> AnnData:
    """Make counts in which each label is told by 10 marker genes of its own (``var["marker_of"]``).

    ``obs`` has ``cell_type`` (``type_0``, ...) and ``batch`` (``batch_0``, ...), in random order, every label in every
    batch. Batches differ by a factor per gene, cells by their depth. The same ``seed`` gives the same cells in any format.
    """
    if n_genes < N_MARKERS * n_labels:
        raise ValueError(f"{n_labels} labels need at least {N_MARKERS * n_labels} genes, got n_genes={n_genes}.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_obs)
    label, batch = order % n_labels, order // n_labels % n_batches

    marker_of = np.arange(n_genes) // N_MARKERS
    marker_of[marker_of >= n_labels] = -1
    rate = np.where(label[:, None] == marker_of[None, :], 6.0, 0.6)
    rate = rate * rng.lognormal(0, 0.2, size=(n_batches, n_genes))[batch]
    rate = rate * rng.lognormal(0, 0.3, size=(n_obs, 1))
    counts = rng.poisson(rate).astype(dtype)

    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([f"type_{i}" for i in label], [f"type_{i}" for i in range(n_labels)]),
            "batch": pd.Categorical([f"batch_{i}" for i in batch], [f"batch_{i}" for i in range(n_batches)]),
        },
        index=[f"cell_{i:04d}" for i in range(n_obs)],
    )
    var = pd.DataFrame(
        {"marker_of": [f"type_{i}" if i >= 0 else "" for i in marker_of]},
        index=[f"GENE{i:03d}" for i in range(n_genes)],
    )
    return AnnData(FORMATS[fmt](counts), obs=obs, var=var)


@pytest.fixture(scope="session")
def make_adata() -> Callable[..., AnnData]:
    """Give the factory: ``make_adata(n_obs=120, n_genes=60, n_labels=3, n_batches=2, seed=0, fmt="csr", dtype=...)``."""
    return _make_adata


def _make_mdata(
    n_obs: int = 120, *, modalities: tuple[str, ...] = ("rna", "prot", "atac"), mosaic: bool = False, seed: int = 0
) -> MuData:
    """Make a MuData whose modalities all tell the three labels: 40 genes, 12 proteins, 60 peaks, all counts.

    ``rna`` is that of ``make_adata``; markers of a label are 10 genes, 3 proteins, 15 peaks. Rows of ``prot`` and ``atac``
    stand in another order than those of ``rna``. With ``mosaic`` a third of the cells lacks each modality (two
    modalities: the first third lacks the first, the second the second).
    """
    rna = _make_adata(n_obs, 40, seed=seed)
    label = rna.obs["cell_type"].cat.codes.to_numpy()
    rng = np.random.default_rng(seed + 100)
    proteins = rng.poisson(np.where(label[:, None] == np.arange(12) // 3, 80, 8)).astype(np.float32)
    peaks = rng.poisson(np.where(label[:, None] == np.arange(60) // 15, 0.8, 0.1)).astype(np.float32)
    starts = 1000 * np.arange(1, 61)
    tables = {
        "rna": rna,
        "prot": AnnData(proteins, obs=rna.obs[[]].copy(), var=pd.DataFrame(index=[f"P{i:02d}" for i in range(12)])),
        "atac": AnnData(
            sparse.csr_matrix(peaks),
            obs=rna.obs[[]].copy(),
            var=pd.DataFrame(index=[f"chr1:{start}-{start + 500}" for start in starts]),
        ),
    }
    order = rng.permutation(n_obs)
    chosen = {}
    for i, name in enumerate(modalities):
        own = np.arange(n_obs) if name == "rna" else order
        if mosaic:
            own = own[own % 3 != i]
        chosen[name] = tables[name][own].copy()
    mdata = MuData(chosen)
    obs = rna.obs.loc[mdata.obs_names]
    for key in ("cell_type", "batch"):
        for adata in chosen.values():
            adata.obs.drop(columns=key, inplace=True, errors="ignore")
        mdata.obs[key] = obs[key]
    mdata.update()
    return mdata


@pytest.fixture(scope="session")
def make_mdata() -> Callable[..., MuData]:
    """Give the factory: ``make_mdata(n_obs=120, modalities=("rna", "prot", "atac"), mosaic=False, seed=0)``."""
    return _make_mdata


@pytest.fixture(scope="session")
def make_joint_model(make_mdata) -> Callable[..., object]:
    """Give the factory of small untrained models on a MuData: ``make_joint_model(mdata=None, seed=0, **PLKD's own)``."""

    def make(mdata: MuData | None = None, *, seed: int = 0, **kwargs):
        import torch

        from plkd import PLKD

        mdata = make_mdata() if mdata is None else mdata
        PLKD.setup_mudata(mdata, "cell_type", batch_key="batch")
        torch.manual_seed(seed)
        small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
        return PLKD(mdata, **{**small, **kwargs})

    return make


@pytest.fixture(scope="session")
def joint(make_joint_model, train):
    """Give one model trained on three modalities; shared, so no test may change it."""
    return train(make_joint_model(), 20, plan_kwargs={"teacher": {"lr": 2e-2}, "student": {"lr": 2e-2}})


@pytest.fixture(scope="session")
def make_model(make_adata) -> Callable[..., object]:
    """Give the factory of small untrained models: ``make_model(adata=None, batch_key="batch", seed=0, **PLKD's own)``."""

    def make(adata: AnnData | None = None, *, batch_key: str | None = "batch", seed: int = 0, **kwargs):
        import torch

        from plkd import PLKD

        adata = make_adata() if adata is None else adata
        PLKD.setup_anndata(adata, "cell_type", batch_key=batch_key)
        torch.manual_seed(seed)
        small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
        return PLKD(adata, **{**small, **kwargs})

    return make


@pytest.fixture(scope="session")
def train() -> Callable[..., object]:
    """Give ``train(model, max_epochs=2, **kwargs)``: quiet, on the CPU, 32 cells a mini-batch; returns the model."""

    def run(model, max_epochs: int | None = 2, **kwargs):
        model.train(max_epochs, **{"enable_progress_bar": False, "accelerator": "cpu", "batch_size": 32, **kwargs})
        return model

    return run


@pytest.fixture(scope="session")
def trained(make_model, train):
    """Give one model that tells the labels apart; shared, so no test may change it."""
    return train(make_model(), 13, plan_kwargs={"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}}, batch_size=16)


@pytest.fixture
def ref_query(make_adata) -> tuple[AnnData, AnnData]:
    """Give a reference of two batches and a query from a third, with its genes in another order and its labels kept."""
    adata = make_adata(n_obs=180, n_batches=3)
    is_query = (adata.obs["batch"] == "batch_2").to_numpy()
    genes = np.random.default_rng(1).permutation(adata.n_vars)
    return adata[~is_query].copy(), adata[is_query, genes].copy()


@pytest.fixture(scope="session")
def marker_sets(make_adata) -> dict[str, list[str]]:
    """Give the true pattern of each label in the data of ``make_adata``: its markers."""
    marker_of = make_adata(n_obs=3).var["marker_of"]
    return {f"{label} markers": list(marker_of.index[marker_of == label]) for label in marker_of.unique() if label}


class Server(NamedTuple):
    """Where files are served, what they are, and who asked for what."""

    address: str
    files: dict[str, Path]
    requests: list[tuple[str, str]]
    truncated: set[str]

    def add(self, path: Path) -> tuple[str, str]:
        """Serve a file; return its address and checksum."""
        self.files[f"/some/{path.name}"] = path
        return f"{self.address}/some/{path.name}", "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


def _handler(server: Callable[[], Server]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state = server()
            state.requests.append((self.path, self.headers["User-Agent"]))
            if self.path not in state.files:
                self.send_error(404)
                return
            content = state.files[self.path].read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if self.path in state.truncated else content)

        def log_message(self, *args):
            pass

    return Handler


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """Give a local server; it counts requests and may cut files short."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: state))
    state = Server(f"http://127.0.0.1:{running.server_port}", {}, [], set())
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Give the folder of real data sets, or skip."""
    folder = os.environ.get("PLKD_DATA")
    if not folder:
        pytest.skip("PLKD_DATA is not set: no folder of real data sets")
    return Path(folder)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Start every test from the same random state, in whatever order the tests run."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - scvi-tools and scikit-learn draw from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
