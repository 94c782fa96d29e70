"""A 10x matrix with known counts, and a local server that hands it out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from scipy import sparse

#: One row for each feature, one column for each of three cells.
COUNTS = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 7], [120, 4, 0], [0, 1, 2]])
CITESEQ = ["Gene Expression", "Gene Expression", "Gene Expression", "Antibody Capture", "Antibody Capture"]
MULTIOME = ["Gene Expression", "Gene Expression", "Gene Expression", "Peaks", "Peaks"]


def _write_10x(path: Path, feature_types: list[str], names: list[str], **columns: list[str]) -> Path:
    """Write ``COUNTS`` as Cell Ranger does: compressed by cell, features in a group of their own."""
    matrix = sparse.csc_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(["AAAC-1", "CCCG-1", "TTTG-1"], dtype="S")
        group["data"] = matrix.data.astype(np.int32)
        group["indices"] = matrix.indices.astype(np.int64)
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array(COUNTS.shape, dtype=np.int32)
        features = group.create_group("features")
        table = {
            "id": [f"ENSG{i}" for i in range(len(names))],
            "name": names,
            "feature_type": feature_types,
            "genome": ["GRCh38"] * len(names),
            **columns,
        }
        for column, values in table.items():
            features[column] = np.array(values, dtype="S")
        features["_all_tag_keys"] = np.array(["genome"], dtype="S")
    return path


@pytest.fixture(scope="session")
def counts() -> np.ndarray:
    """Give the counts of every matrix here, features x cells; the first three features are genes."""
    return COUNTS


@pytest.fixture(scope="session")
def write_10x() -> Callable[..., Path]:
    """Give ``write_10x(path, feature_types, names, **columns)``, which returns the path."""
    return _write_10x


@pytest.fixture(scope="session")
def citeseq(tmp_path_factory) -> Path:
    """Give a matrix of three genes, two of them with one name, and two proteins."""
    path = tmp_path_factory.mktemp("10x") / "citeseq.h5"
    return _write_10x(path, CITESEQ, ["CD3D", "DUP", "DUP", "CD3_TotalSeqB", "CD4_TotalSeqB"])


@pytest.fixture(scope="session")
def multiome(tmp_path_factory) -> Path:
    """Give a matrix of three genes and two peaks, with intervals of all."""
    intervals = ["chr1:10-90", "chr1:200-900", "NA", "chr1:5-15", "chr2:7-99"]
    names = ["CD3D", "LYZ", "MS4A1", *intervals[3:]]
    return _write_10x(tmp_path_factory.mktemp("10x") / "multiome.h5", MULTIOME, names, interval=intervals)


def md5(path: Path) -> str:
    return "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


class Server(NamedTuple):
    """Where files are served, what they are, and who asked for what."""

    address: str
    files: dict[str, Path]
    requests: list[tuple[str, str]]
    truncated: set[str]

    def add(self, path: Path) -> tuple[str, str]:
        """Serve a file; return its address and checksum."""
        self.files[f"/some/{path.name}"] = path
        return f"{self.address}/some/{path.name}", md5(path)


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
