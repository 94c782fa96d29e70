"""Setting up a reference, making a model of it, and training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from tests.hostile import arguments, data
from tests.hostile.judge import Outcome, judge
from tests.hostile.world import Case, World, good, good_mudata

#: What setup adds, and nothing else.
_ADDED = ("_scvi_labels", "_scvi_batch", "_scvi_uuid", "_scvi_manager_uuid")


def _without_added(reference: Any) -> Any:
    if not isinstance(reference, AnnData | MuData):
        return reference
    for key in _ADDED:
        for place in (reference.obs, reference.uns):
            if key in place:
                del place[key]
    return reference


def setting_up(make: data.Make, **kwargs: Any) -> Callable[[World, Path], Outcome]:
    """Set a reference up; a refused one is left as it was, another gets the documented keys alone."""

    def run(world: World, folder: Path) -> Outcome:
        from plkd import PLKD

        reference = make()
        setup = PLKD.setup_mudata if isinstance(reference, MuData) else PLKD.setup_anndata
        given = {"labels_key": "cell_type", "batch_key": "batch", **kwargs}

        def call() -> None:
            setup(reference, **given)
            _without_added(reference)

        return judge(call, None, reference, given)

    return run


def labels() -> dict[str, Any]:
    """Columns of labels, or of batches."""
    n = good().n_obs
    mixed = np.array(["a", 1, 2.5, None, True, "b"] * (n // 6), dtype=object)
    return {
        "all missing": [np.nan] * n, "all None": pd.Series([None] * n, dtype=object), "all empty": [""] * n, "one label": ["a"] * n,
        "numbers": np.arange(n) % 3, "floats": (np.arange(n) % 3) / 2, "NaN among floats": np.where(np.arange(n) % 4, 1.5, np.nan),
        "booleans": np.arange(n) % 2 == 0, "mixed types": mixed, "lists": pd.Series([[1]] * n), "dicts": pd.Series([{1: 2}] * n),
        "dates": pd.date_range("2020", periods=n), "each its own": [f"l{i}" for i in range(n)], "infinite": [np.inf, 1.0] * (n // 2),
        "unused categories": pd.Categorical(["a", "b"] * (n // 2), ["a", "b", "c"]), "blanks": [" a", "a "] * (n // 2),
        "unicode": ["Т-клетка", "β\U0001f9ec"] * (n // 2), "line breaks": ["a\nb", "c\td"] * (n // 2), "NUL": ["a\0", "b"] * (n // 2),
        "surrogate": pd.Series(["\ud800", "b"] * (n // 2), good().obs_names, dtype=object), "bytes": [b"a", b"b"] * (n // 2), "long": ["x" * 10_000, "b"] * (n // 2),
        "complex": np.arange(n) % 2 + 1j, "tuples": pd.Series([("a", 1), ("b", 2)] * (n // 2)), "intervals": pd.cut(range(n), 3),
        "nullable": pd.array([1, None] * (n // 2), dtype="Int64"), "the mark alone": ["Unknown"] * n,
    }  # fmt: skip


def with_obs(key: str, values: Any) -> data.Make:
    """Return a maker of the reference with another column of obs."""

    def make() -> AnnData:
        adata = good()
        adata.obs[key] = pd.Series(values).to_numpy() if not hasattr(values, "dtype") else values
        return adata

    return make


def _obsm(values: Callable[[AnnData], Any], names: Any = None) -> data.Make:
    def make() -> AnnData:
        adata = good()
        adata.obsm["protein"] = values(adata)
        if names is not None:
            adata.uns["names"] = names
        return adata

    return make


def _frame(adata: AnnData) -> pd.DataFrame:
    counts = np.arange(adata.n_obs * 3).reshape(-1, 3) % 7
    return pd.DataFrame(counts, adata.obs_names, columns=["P0", "P1", "P2"])


def cases() -> Iterator[Case]:
    """Give setup every data set and every value of its arguments."""
    entry = "PLKD.setup_anndata"
    adata, mdata = good(), good_mudata()
    families = {**data.matrices(adata), **data.shapes(adata), **data.names(adata), **data.containers(adata)}
    for name, make in families.items():
        yield Case(entry, name, setting_up(make))
    for name, values in labels().items():
        yield Case(entry, f"labels: {name}", setting_up(with_obs("cell_type", values)))
        yield Case(entry, f"batches: {name}", setting_up(with_obs("batch", values)))
    for argument in ("labels_key", "batch_key", "layer", "unlabeled_category", "protein_expression_obsm_key"):
        for name, value in arguments.NAMES.items():
            if argument == "labels_key" and value is None:
                continue  # clusters: no mistake, and slow
            yield Case(entry, f"{argument}: {name}", setting_up(good, **{argument: value}))
    key = {"protein_expression_obsm_key": "protein"}
    proteins = {
        "frame": _obsm(_frame), "array without names": _obsm(lambda a: _frame(a).to_numpy()),
        "text": _obsm(lambda a: _frame(a).astype(str)), "NaN": _obsm(lambda a: _frame(a) / 0),
        "negative": _obsm(lambda a: _frame(a) - 4), "normalised": _obsm(lambda a: np.log1p(_frame(a))),
        "columns twice": _obsm(lambda a: _frame(a).set_axis(["P", "P", "Q"], axis=1)),
        "no columns": _obsm(lambda a: _frame(a)[[]]), "three dims": _obsm(lambda a: np.ones((a.n_obs, 2, 2))),
        "one dim": _obsm(lambda a: np.ones((a.n_obs, 1))), "complex": _obsm(lambda a: _frame(a).to_numpy() + 1j),
        "object": _obsm(lambda a: _frame(a).astype(object)), "huge": _obsm(lambda a: _frame(a) * 1e38),
    }  # fmt: skip
    for name, make in proteins.items():
        yield Case(entry, f"proteins: {name}", setting_up(make, **key))
    for name, value in {
        "few": ["a"],
        "int": 3,
        "None": [None] * 3,
        "ints": [1, 2, 3],
        "twice": ["a", "a", "b"],
        "text": "abc",
    }.items():
        make = _obsm(lambda a: _frame(a).to_numpy(), value)
        yield Case(entry, f"protein names: {name}", setting_up(make, **key, protein_names_uns_key="names"))
    yield Case(entry, "no such argument", setting_up(good, nothing=1))

    entry = "PLKD.setup_mudata"
    for name, make in data.mudatas(mdata).items():
        yield Case(entry, name, setting_up(make))
    for name, value in arguments.NAMES.items():
        for argument in ("batch_key", "rna_layer", "protein_layer", "atac_layer", "modalities"):
            yield Case(entry, f"{argument}: {name}", setting_up(good_mudata, **{argument: value}))
    chosen = {"unknown key": {"rna": "rna"}, "unknown name": {"rna_layer": "x"}, "one twice": {"rna_layer": "rna", "protein_layer": "rna"},
              "None in it": {"rna_layer": None}, "int in it": {"rna_layer": 3}, "list in it": {"rna_layer": ["rna"]}}  # fmt: skip
    for name, value in chosen.items():
        yield Case(entry, f"modalities: {name}", setting_up(good_mudata, modalities=value))
    for name, value in {"AnnData": good, "int": lambda: 3}.items():
        yield Case(entry, f"container: {name}", _setup_mudata_of(value))


def _setup_mudata_of(make: data.Make):
    def run(world: World, folder: Path) -> Outcome:
        from plkd import PLKD

        thing = make()
        return judge(lambda: PLKD.setup_mudata(thing, "cell_type"), None, thing)

    return run
