"""Hostile data sets by family: each a function that makes a fresh one from a good one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

Make = Callable[[], Any]


def with_x(adata: AnnData, values: Any) -> AnnData:
    """Return the cells with another matrix; where AnnData itself refuses it, past its checks."""
    fresh = adata.copy()
    try:
        fresh.X = values
    except (ValueError, TypeError, NotImplementedError):
        fresh = AnnData(values, obs=adata.obs.copy(), var=adata.var.copy())
    return fresh


def _edited(x: np.ndarray, place: Any, value: Any, dtype: Any = None) -> np.ndarray:
    fresh = x.astype(dtype or x.dtype)
    fresh[place] = value
    return fresh


def matrices(adata: AnnData) -> dict[str, Make]:
    """Wrong, odd and merely unusual matrices of the same shape."""
    x = np.asarray(adata.X)
    n, p = x.shape
    csr = sparse.csr_matrix(x)

    def broken(change: Callable[[sparse.csr_matrix], None]) -> sparse.csr_matrix:
        fresh = csr.copy()
        change(fresh)
        return fresh

    def outside(m):
        m.indices[3] = 10**6

    def negative_index(m):
        m.indices[3] = -5

    def nan(m):
        m.data[7] = np.nan

    def zeros(m):
        m.data[:] = 0

    values: dict[str, Callable[[], Any]] = {
        **{
            f"dtype {t}": lambda t=t: x.astype(t)
            for t in ("float16", "float64", "int8", "uint8", "int64", "uint16", "bool")
        },
        "complex": lambda: x.astype(complex),
        "complex with an imaginary part": lambda: x + 1j,
        "object of numbers": lambda: x.astype(object),
        "object with text": lambda: _edited(x, (2, 2), "many", object),
        "object with None": lambda: _edited(x, (2, 2), None, object),
        "text": lambda: x.astype(str),
        "dates": lambda: x.astype("datetime64[D]"),
        "longdouble": lambda: x.astype(np.longdouble),
        "big endian": lambda: x.astype(">f4"),
        "fortran order": lambda: np.asfortranarray(x),
        "read only": lambda: _read_only(x),
        "masked array": lambda: np.ma.masked_array(x, mask=x > 12),
        "np.matrix": lambda: np.matrix(x),
        "int8 that overflows in sums": lambda: np.full((n, p), 127, np.int8),
        "one NaN": lambda: _edited(x, (n - 1, p - 1), np.nan),
        "all NaN": lambda: np.full_like(x, np.nan),
        "infinity": lambda: _edited(x, (0, 0), np.inf),
        "minus infinity": lambda: _edited(x, (0, 0), -np.inf),
        "negative": lambda: _edited(x, (n // 2, 3), -1),
        "all negative": lambda: -x - 1,
        "minus zero": lambda: np.where(x == 0, -0.0, x).astype(np.float32),
        "1e38": lambda: _edited(x, (1, slice(None)), 1e38),
        "1e38 everywhere": lambda: np.full_like(x, 1e38),
        "largest float32": lambda: np.full_like(x, np.finfo(np.float32).max),
        "1e300 in float64": lambda: _edited(x, (1, 1), 1e300, np.float64),
        "2**63 in uint64": lambda: _edited(x, (1, 1), 2**63, np.uint64),
        "lowest int64": lambda: _edited(x, (1, 1), -(2**63), np.int64),
        "denormal": lambda: np.full_like(x, 1e-45),
        "tiny": lambda: np.full((n, p), 1e-300),
        "all zero": lambda: np.zeros_like(x),
        "a cell of zeros": lambda: _edited(x, 4, 0),
        "constant": lambda: np.ones_like(x),
        "log-normalised": lambda: np.log1p(x),
        "fractions above 15": lambda: x + 20.5,
        "csc": lambda: sparse.csc_matrix(x),
        "csr_array": lambda: sparse.csr_array(x),
        "csc_array": lambda: sparse.csc_array(x),
        "csr int64": lambda: sparse.csr_matrix(x.astype(np.int64)),
        "csr bool": lambda: sparse.csr_matrix(x > 0),
        "csr complex": lambda: sparse.csr_matrix(x + 1j),
        "csr of no values": lambda: sparse.csr_matrix((n, p), dtype=np.float32),
        "csr of zeros": lambda: broken(zeros),
        "csr with NaN": lambda: broken(nan),
        "csr with negatives": lambda: -csr,
        "csr with a column outside": lambda: broken(outside),
        "csr with a negative column": lambda: broken(negative_index),
        "csr unsorted": lambda: _unsorted(csr),
        "csr with repeats": lambda: _repeated(csr),
        "csr with long indices": lambda: _long(csr),
    }
    made: dict[str, Make] = {f"X: {name}": lambda v=value: with_x(adata, v()) for name, value in values.items()}
    made["X: none"] = lambda: AnnData(None, obs=adata.obs.copy(), var=adata.var.copy())
    return made


def shapes(adata: AnnData) -> dict[str, Make]:
    """Few cells, few genes, none, and other layouts of the object."""

    def zero_by_zero() -> AnnData:
        return AnnData(np.empty((0, 0), np.float32))

    return {
        "no cells": lambda: adata[:0].copy(),
        "no genes": lambda: adata[:, :0].copy(),
        "neither": zero_by_zero,
        "one cell": lambda: adata[:1].copy(),
        "one gene": lambda: adata[:, :1].copy(),
        "one cell, one gene": lambda: adata[:1, :1].copy(),
        "two cells": lambda: adata[:2].copy(),
        "transposed": lambda: adata.T.copy(),
        "half the genes": lambda: adata[:, ::2].copy(),
        "a tenth of the genes": lambda: adata[:, ::10].copy(),
        "reversed": lambda: adata[::-1, ::-1].copy(),
        "a view": lambda: adata[5:20],
        "a view of a view": lambda: adata[5:40][3:9, 4:],
        "a view of no cells": lambda: adata[:0],
        "only metadata": lambda: AnnData(obs=adata.obs.copy()),
    }


def names(adata: AnnData) -> dict[str, Make]:
    """Names of features and of cells."""

    def renamed(var: Any = None, obs: Any = None) -> AnnData:
        fresh = adata.copy()
        if var is not None:
            fresh.var.index = pd.Index(var, dtype=object)
        if obs is not None:
            fresh.obs.index = pd.Index(obs)
        return fresh

    own, cells = list(adata.var_names), list(adata.obs_names)
    many = [f"x{i}" for i in range(len(own))]
    return {
        "genes: twice": lambda: renamed([own[0], own[0], *own[2:]]),
        "genes: all alike": lambda: renamed([own[0]] * len(own)),
        "genes: unknown ones twice": lambda: renamed(["z", "z", *own[2:]]),
        "genes: integers": lambda: renamed(range(len(own))),
        "genes: floats": lambda: renamed(np.arange(len(own)) + 0.5),
        "genes: None": lambda: renamed(pd.Index([None] * 3 + own[3:], dtype=object)),
        "genes: all None": lambda: renamed(pd.Index([None] * len(own), dtype=object)),
        "genes: NaN": lambda: renamed(pd.Index([np.nan, np.nan, *own[2:]], dtype=object)),
        "genes: bytes": lambda: renamed(pd.Index([name.encode() for name in own], dtype=object)),
        "genes: tuples": lambda: renamed(pd.Index([(name, 1) for name in own], tupleize_cols=False)),
        "genes: dates": lambda: renamed(pd.date_range("2020", periods=len(own))),
        "genes: categorical": lambda: renamed(pd.CategoricalIndex(own)),
        "genes: empty text": lambda: renamed(["", *own[1:]]),
        "genes: all empty": lambda: renamed([""] * len(own)),
        "genes: blanks around": lambda: renamed([f" {name} " for name in own]),
        "genes: lower case": lambda: renamed([name.lower() for name in own]),
        "genes: unicode": lambda: renamed([f"ГЕН_α\u200b{i}\U0001f9ec" for i in range(len(own))]),
        "genes: a lone surrogate": lambda: renamed(["\ud800", *own[1:]]),
        "genes: NUL": lambda: renamed(["a\0b", *own[1:]]),
        "genes: very long": lambda: renamed(["A" * 100_000, *own[1:]]),
        "genes: none known": lambda: renamed(many),
        "genes: Ensembl": lambda: renamed([f"ENSG{i:011d}.{i % 3}" for i in range(len(own))]),
        "genes: peaks": lambda: renamed([f"chr1:{100 * i}-{100 * i + 50}" for i in range(len(own))]),
        "genes: huge peaks": lambda: renamed([f"chr1:{i}-9999999999" for i in range(len(own))]),
        "cells: twice": lambda: renamed(obs=[cells[0], cells[0], *cells[2:]]),
        "cells: integers": lambda: renamed(obs=range(len(cells))),
        "cells: None": lambda: renamed(obs=pd.Index([None, *cells[1:]], dtype=object)),
        "cells: empty text": lambda: renamed(obs=[""] * len(cells)),
        "cells: unicode": lambda: renamed(obs=[f"клетка {i} \n\t" for i in range(len(cells))]),
    }


def containers(adata: AnnData) -> dict[str, Make]:
    """What is no AnnData or MuData at all, or a strange one."""
    x = np.asarray(adata.X)
    return {
        **{f"container: {name}": lambda v=value: v for name, value in {
            "int": 3, "float": 2.5, "text": "query", "empty text": "", "bytes": b"x", "bool": True, "list": [1, 2],
            "tuple": (), "set": frozenset({1}), "class": AnnData, "function": len, "dict": {"X": 1},
        }.items()},
        "container: array": lambda: x.copy(),
        "container: sparse": lambda: sparse.csr_matrix(x),
        "container: frame": lambda: adata.to_df(),
        "container: obs": lambda: adata.obs.copy(),
        "container: dict of AnnData": lambda: {"rna": adata.copy()},
        "container: list of AnnData": lambda: [adata.copy()],
    }  # fmt: skip


def mudatas(mdata: MuData) -> dict[str, Make]:
    """Strange MuData."""

    def quiet(modalities: dict[str, AnnData], **kwargs: Any) -> MuData:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return MuData(modalities, **kwargs)

    rna, prot = mdata["rna"], mdata["prot"]

    def edited(change: Callable[[MuData], Any]) -> MuData:
        fresh = mdata.copy()
        change(fresh)
        return fresh

    def proteins(values: Any) -> Make:
        def make() -> MuData:
            return quiet({"rna": rna.copy(), "prot": with_x(prot, values())})

        return make

    def twice(m):
        m["prot"].obs_names = [m["prot"].obs_names[0]] * m["prot"].n_obs

    def strangers(m):
        m["prot"].obs_names = [f"other{i}" for i in range(m["prot"].n_obs)]

    y = np.asarray(prot.X)
    return {
        "mudata: empty": lambda: quiet({}),
        "mudata: of empty modalities": lambda: quiet({"rna": AnnData(), "prot": AnnData()}),
        "mudata: RNA of no cells": lambda: quiet({"rna": rna[:0].copy(), "prot": prot.copy()}),
        "mudata: proteins of no cells": lambda: quiet({"rna": rna.copy(), "prot": prot[:0].copy()}),
        "mudata: no proteins": lambda: quiet({"rna": rna.copy(), "prot": prot[:, :0].copy()}),
        "mudata: one cell": lambda: mdata[:1].copy(),
        "mudata: no cell": lambda: mdata[:0].copy(),
        "mudata: a view": lambda: mdata[3:20],
        "mudata: RNA alone": lambda: quiet({"rna": rna.copy()}),
        "mudata: proteins alone": lambda: quiet({"prot": prot.copy()}),
        "mudata: other names": lambda: quiet({"a": rna.copy(), "b": prot.copy()}),
        "mudata: names swapped": lambda: quiet({"rna": prot.copy(), "prot": rna.copy()}),
        "mudata: RNA twice": lambda: quiet({"rna": rna.copy(), "more": rna.copy()}),
        "mudata: joined by features": lambda: quiet({"rna": rna.copy(), "again": rna.copy()}, axis=1),
        "mudata: cell names twice in proteins": lambda: edited(twice),
        "mudata: proteins of other cells": lambda: edited(strangers),
        "mudata: modality without X": lambda: quiet(
            {"rna": rna.copy(), "prot": AnnData(None, obs=prot.obs.copy(), var=prot.var.copy())}
        ),
        "mudata: unicode modality": lambda: quiet({"рнк": rna.copy(), "белки": prot.copy()}),
        "mudata: proteins NaN": proteins(lambda: _edited(y, (0, 0), np.nan)),
        "mudata: proteins negative": proteins(lambda: y - 40),
        "mudata: proteins text": proteins(lambda: y.astype(str)),
        "mudata: proteins object": proteins(lambda: y.astype(object)),
        "mudata: proteins infinite": proteins(lambda: _edited(y, (0, 0), np.inf)),
        "mudata: proteins 1e38": proteins(lambda: np.full_like(y, 1e38)),
        "mudata: proteins normalised": proteins(lambda: np.log1p(y)),
        "mudata: proteins zero": proteins(lambda: np.zeros_like(y)),
    }


def _read_only(x: np.ndarray) -> np.ndarray:
    fresh = x.copy()
    fresh.flags.writeable = False
    return fresh


def _unsorted(csr: sparse.csr_matrix) -> sparse.csr_matrix:
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)])
    return sparse.csr_matrix((csr.data[order], csr.indices[order], csr.indptr), shape=csr.shape)


def _repeated(csr: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return each value as two entries of half of it."""
    return sparse.csr_matrix((np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), csr.indptr * 2), shape=csr.shape)


def _long(csr: sparse.csr_matrix) -> sparse.csr_matrix:
    fresh = csr.copy()
    fresh.indices, fresh.indptr = fresh.indices.astype(np.int64), fresh.indptr.astype(np.int64)
    return fresh
