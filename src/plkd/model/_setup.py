"""Refuse a reference that cannot be trained on, before anything is registered."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from plkd.data import ModalitySpec, as_text, find_table, obs_column, say_unmet, say_where_found
from plkd.model._labels import check_labels
from plkd.patterns import KIND, KINDS

logger = logging.getLogger("plkd")

#: Arguments of ``setup_mudata`` by kind of features.
LAYER_ARGUMENTS = {f"{kind}_layer": kind for kind in KINDS}


def anndata_specs(
    adata: AnnData,
    layer: str | None,
    protein_obsm_key: str | None,
    protein_names_uns_key: str | None,
    *,
    complete: bool = True,
) -> list[ModalitySpec]:
    """Return where the modalities of an AnnData lie: RNA in a layer or ``X``, proteins in ``obsm``.

    ``complete`` refuses a data set that lacks what is named, as a reference may not.
    """
    keys = {
        "layer": layer,
        "protein_expression_obsm_key": protein_obsm_key,
        "protein_names_uns_key": protein_names_uns_key,
    }
    _check_keys(keys)
    specs = [ModalitySpec("rna", (), layer=layer)]
    if protein_obsm_key is None:
        if protein_names_uns_key is not None:
            raise ValueError(
                f"protein_names_uns_key={protein_names_uns_key!r} names the columns of an obsm array. Fix: pass "
                "protein_expression_obsm_key too."
            )
        return specs
    if complete and protein_names_uns_key is not None and protein_names_uns_key not in adata.uns:
        raise KeyError(
            f"protein_names_uns_key={protein_names_uns_key!r} is not in adata.uns; found {list(adata.uns)[:20]}. Fix: "
            f"`adata.uns[{protein_names_uns_key!r}] = protein_names`, in the order of the columns."
        )
    return [*specs, ModalitySpec("protein", (), obsm=protein_obsm_key, obsm_names=protein_names_uns_key)]


def _check_keys(keys: Mapping[str, Any]) -> None:
    for argument, key in keys.items():
        if key is not None and not isinstance(key, str):
            raise TypeError(f"{argument} is a {type(key).__name__} ({key!r}); expected the name of one, or None.")


def mudata_specs(
    mdata: MuData, layers: Mapping[str, str | None], modalities: Mapping[str, str] | None, *, complete: bool = True
) -> list[ModalitySpec]:
    """Return where the modalities of a MuData lie.

    Parameters
    ----------
    mdata
        The reference.
    layers
        By kind, the layer asked for.
    modalities
        ``{"rna_layer": name, ...}``; None goes by usual names (``rna``, ``prot``, ``adt``, ``atac``, ...).
    complete
        Refuse a data set that lacks a modality that is named, as a reference may not.

    Raises
    ------
    KeyError
        If a modality does not exist.
    ValueError
        If keys are not known, or no modality can be told.
    """
    given = f"the modalities of mdata are {list(mdata.mod)}"
    _check_keys({f"{kind}_layer": layer for kind, layer in layers.items()})
    if modalities is not None and not isinstance(modalities, Mapping):
        raise TypeError(
            f'modalities is a {type(modalities).__name__}; expected e.g. {{"rna_layer": "rna", "protein_layer": "prot"}}; {given}.'
        )
    if modalities is None:
        chosen = _by_usual_names(mdata)
        logger.info("Modalities: %s", ", ".join(f"{name!r} is {kind}" for kind, name in chosen.items()))
    else:
        unknown = sorted(map(str, set(modalities) - set(LAYER_ARGUMENTS)))
        if unknown:
            raise ValueError(
                f"modalities has unknown keys {unknown}; expected some of {list(LAYER_ARGUMENTS)}; {given}."
            )
        chosen = {kind: modalities[arg] for arg, kind in LAYER_ARGUMENTS.items() if modalities.get(arg) is not None}
        for kind, name in chosen.items():
            if not isinstance(name, str) or (complete and name not in mdata.mod):
                raise KeyError(
                    f"modalities[{kind + '_layer'!r}]={name!r} is no modality of mdata; {given}. Fix: name one."
                )
        if len(set(chosen.values())) < len(chosen):
            raise ValueError(f"modalities names one modality twice: {dict(modalities)}; expected each once; {given}.")
    for kind, layer in layers.items():
        if layer is not None and kind not in chosen:
            raise ValueError(
                f"{kind}_layer={layer!r} is given but no modality for it; {given}. Fix: pass "
                f'modalities={{"{kind}_layer": <name>, ...}}.'
            )
    if not chosen:
        raise ValueError(
            f"No modality was named; {given}. Fix: pass modalities="
            '{"rna_layer": <name>, "protein_layer": <name>, "atac_layer": <name>}, those there are.'
        )
    return [ModalitySpec(kind, (), name=chosen[kind], layer=layers[kind]) for kind in KINDS if kind in chosen]


def _by_usual_names(mdata: MuData) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for kind, known in KIND.items():
        named = [name for name in mdata.mod if name.lower() in known.usual_names]
        if len(named) > 1:
            raise ValueError(
                f'Several modalities may be {kind}: {named}. Fix: say which, modalities={{"{kind}_layer": {named[0]!r}}}.'
            )
        if named:
            chosen[kind] = named[0]
    return chosen


def check_reference(
    data: Any,
    specs: Sequence[ModalitySpec],
    labels_key: str | None,
    unlabeled_category: str,
    batch_key: str | None,
    *,
    least_labels: int = 2,
) -> None:
    """Check everything that setup needs; ``least_labels`` is how many labels must be in use.

    Raises
    ------
    ValueError
        If it is empty, feature names repeat, a cell lies in no modality, too few labels are in use, a batch is
        missing, or a key names a column that scvi-tools writes.
    KeyError
        If a column or a layer does not exist; the message lists what there is.
    """
    for argument, key in (("labels_key", labels_key), ("batch_key", batch_key)):
        if str(key).startswith("_scvi"):
            raise ValueError(
                f"{argument}={key!r} is a column that scvi-tools writes; expected one of your own. Fix: copy it under another "
                "name."
            )
    measured: dict[str, np.ndarray] = {}
    for spec in specs:
        table = find_table(data, spec)
        if table is None:
            # Only obsm can be missing here: modalities were looked up before.
            raise KeyError(
                f"protein_expression_obsm_key={spec.obsm!r} is not in adata.obsm; expected one of {list(data.obsm.keys())}."
            )
        if 0 in table.matrix.shape:
            raise ValueError(f"{table.where} has shape {table.matrix.shape}; expected some cells and some features.")
        if not table.features.is_unique:
            repeated = list(table.features[table.features.duplicated()].unique()[:3])
            if spec.obsm is not None:
                raise ValueError(
                    f"Names of the columns of {table.where} repeat, e.g. {repeated}; expected a name for each protein. "
                    "Fix: keep one column of each."
                )
            whose = "adata" if spec.name is None else f"mdata[{spec.name!r}]"
            raise ValueError(f"{whose}.var_names repeat, e.g. {repeated}. Fix: `{whose}.var_names_make_unique()`.")
        measured[spec.called] = np.ones(data.n_obs, dtype=bool) if table.position is None else table.position >= 0
    lost = data.obs_names[~np.any(list(measured.values()), axis=0)]
    if len(lost):
        raise ValueError(
            f"{len(lost)} cells of mdata are in none of the modalities {list(measured)}, e.g. "
            f"{list(lost[:3])}; expected every cell in one at least. Fix: name their modality too, or leave them out: "
            f"`mdata = mdata[np.any([mdata.obs_names.isin(mdata[m].obs_names) for m in {list(measured)}], axis=0)].copy()`."
        )
    if labels_key is not None:
        check_labels(data, labels_key, unlabeled_category, measured, least=least_labels)
    whole = "mdata" if isinstance(data, MuData) else "adata"
    if batch_key is not None:
        n_missing = int((as_text(obs_column(data, batch_key, "batch_key")) == "").sum())
        if n_missing:
            raise ValueError(
                f"obs[{batch_key!r}] is missing for {n_missing} cells; expected a batch for every reference cell. Fix: "
                f"write one for each of them into `{whole}.obs[{batch_key!r}]`, or drop these cells."
            )
    if isinstance(data, MuData):
        for argument, key in (("labels_key", labels_key), ("batch_key", batch_key)):
            if key is not None:
                say_where_found(data, key, argument)
        say_unmet({name: data.mod[name].obs_names for name in measured})


_WITH_ARTICLE = {AnnData: "an AnnData", MuData: "a MuData"}


def check_container(data: Any, expected: type, argument: str) -> None:
    """Refuse another container, a view, an empty one, and cell names that repeat in a MuData.

    Raises
    ------
    TypeError
        If ``data`` is of another type.
    ValueError
        If it is a view, empty, or not joined by cells.
    """
    if not issubclass(type(data), expected):
        other = {AnnData: "setup_anndata", MuData: "setup_mudata"}.get(type(data))
        fix = f"`PLKD.{other}` takes it" if other else f"pass `{argument}`, not its path"
        raise TypeError(f"{argument} is a {type(data).__name__}; expected {_WITH_ARTICLE[expected]}. Fix: {fix}.")
    if data.is_view:
        raise ValueError(
            f"{argument} is a view of another {expected.__name__} and cannot be set up. Fix: `{argument} = "
            f"{argument}.copy()` first."
        )
    if isinstance(data, MuData) and data.axis != 0:
        raise ValueError(
            f"mdata joins its modalities by features (axis={data.axis}); expected the same cells in several modalities "
            "(axis=0). Fix: `MuData({...}, axis=0)`."
        )
    if data.n_obs == 0 or (isinstance(data, AnnData) and data.n_vars == 0):
        raise ValueError(f"{argument} has {data.n_obs} cells and {data.n_vars} features; expected some of both.")


def check_usable(data: Any) -> None:
    """Refuse what a model cannot be made of.

    Raises
    ------
    TypeError
        If it is neither AnnData nor MuData.
    ValueError
        If it is a view.
    NotImplementedError
        If scvi-tools has minified it.
    """
    if not isinstance(data, AnnData | MuData):
        raise TypeError(f"adata is a {type(data).__name__}; expected an AnnData or a MuData that was set up.")
    if data.is_view:
        raise ValueError("adata is a view of another object. Fix: `adata = adata.copy()`, and set it up.")
    if "_scvi_adata_minify_type" in data.uns:
        raise NotImplementedError(
            "adata was minified by scvi-tools and holds no counts any more. Fix: pass the original."
        )


@contextmanager
def refusing_other_data(data: AnnData | MuData | None) -> Iterator[None]:
    """Say that data were not set up for PLKD."""
    try:
        yield
    except ValueError as error:
        setup = "setup_mudata(mdata, ...)" if isinstance(data, MuData) else "setup_anndata(adata, labels_key=...)"
        raise ValueError(f"adata was not set up for PLKD. Fix: `PLKD.{setup}` first.") from error


def check_transfer(kwargs: Mapping[str, Any]) -> bool:
    """Return whether a data set is registered under the registry of a saved model.

    Raises
    ------
    TypeError
        If there are arguments that only such a registration takes.
    """
    loading = kwargs.get("source_registry") is not None
    if not loading and (unknown := sorted(set(kwargs) - {"source_registry"})):
        raise TypeError(f"Unknown arguments {unknown}; expected those of setup. Fix: leave them out.")
    return loading


def check_attached(data: Any, expected: type) -> None:
    """Refuse what cannot be attached to a loaded model: another container than the reference's, or a view.

    Raises
    ------
    TypeError, ValueError
        Naming both, and what to do instead.
    """
    if not issubclass(type(data), expected):
        found = _WITH_ARTICLE.get(type(data), f"a {type(data).__name__}")
        raise TypeError(
            f"adata is {found}; expected {_WITH_ARTICLE[expected]}, as the model's reference was. Fix: load "
            "without it, `model = PLKD.load(path)`, and pass it as a query, `model.predict(adata)`."
        )
    for matrix in [data.X] if isinstance(data, AnnData) else [one.X for one in list(data.mod.values())[:1]]:
        if sp.issparse(matrix) and matrix.nnz == 0:
            # scvi-tools takes such data for minified ones.
            raise ValueError("adata has an X without a value; expected counts. Fix: `adata.X = counts`.")
    if data.is_view:
        raise ValueError(
            f"adata is a view of another {expected.__name__} and cannot be attached. Fix: `adata = adata.copy()` first."
        )
