"""A trained model that learns on: a second reference, labels added behind the old ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from plkd.data import Cells, JoinedCells, ModalitySpec, as_text, find_column, find_table, obs_column, open_query
from plkd.model._setup import check_container, check_reference
from plkd.module import PLKDModule
from plkd.train import split_cells

logger = logging.getLogger("plkd")


def check_grown(model: Any, expected: Any) -> None:
    """Refuse what cannot learn on.

    Raises
    ------
    TypeError
        If it is neither a model of the class nor a path.
    ValueError
        If it is not trained, or its labels are clusters.
    """
    if not isinstance(model, expected):
        raise TypeError(
            f"reference_model is a {type(model).__name__}; expected a trained {expected.__name__} or the folder it was saved in."
        )
    if not model.is_trained_:
        raise ValueError("reference_model is not trained. Fix: `reference_model.train()` first.")
    if model.registry["setup_args"]["labels_key"] is None:
        raise ValueError(
            "reference_model has clusters in place of labels, which another reference cannot continue. Fix: set both up together "
            "with labels_key=None."
        )


def register_second(cls: Any, adata: Any, registry: dict[str, Any], specs: Sequence[ModalitySpec]) -> None:
    """Check a second reference and register it under the first one's features, its new labels behind the old ones."""
    asked = registry["setup_args"]
    of_mudata = registry["setup_method_name"] == "setup_mudata"
    check_container(adata, MuData if of_mudata else AnnData, "adata")
    there = [spec for spec in specs if find_table(adata, spec) is not None]
    if not there:
        found = list(adata.mod) if of_mudata else "none"
        raise ValueError(
            f"adata has none of the model's modalities {[spec.called for spec in specs]}; found {found}. Fix: name them as in the "
            "first reference."
        )
    check_reference(adata, there, asked["labels_key"], asked["unlabeled_category"], asked["batch_key"], least_labels=1)
    getattr(cls, registry["setup_method_name"])(adata, source_registry=registry, extend_categories=True, **asked)


def take_over(module: PLKDModule, state: dict[str, torch.Tensor]) -> None:
    """Copy a module's weights into one of more labels; rows of labels that it lacks stay as they are."""
    # Of the same features, but perhaps of other numbers of directions.
    scaling = {name: value for name, value in state.items() if name.startswith("scaling.")}
    module.scaling.load_state_dict({name.removeprefix("scaling."): value for name, value in scaling.items()})
    own = module.state_dict()
    for name in state.keys() - scaling.keys():
        value = state[name]
        if own[name].shape == value.shape:
            own[name].copy_(value)
        else:
            own[name][: len(value)] = value.to(own[name].device)


@torch.no_grad()
def raise_weights(module: PLKDModule, weights: Mapping[str, np.ndarray]) -> None:
    """Raise the features' weights to those that tell the new labels apart, and let the networks say the same as before.

    Features that mark new labels alone had next to no weight. What the first layers hold of a feature shrinks as its weight
    grows; no weight falls, for that would blow it up.

    Parameters
    ----------
    module
        Its input scaling and first layers are changed in place.
    weights
        By kind, of all labels at hand (:func:`plkd.train.feature_weights`), shape ``(n_features,)``.
    """
    for kind, found in weights.items():
        weight: torch.Tensor = module.scaling[kind].weight  # type: ignore[assignment]
        raised = torch.maximum(weight, torch.as_tensor(found, dtype=weight.dtype, device=weight.device))
        ratio = (weight / raised.clamp_min(torch.finfo(weight.dtype).tiny))[:, None]
        weight.copy_(raised)
        teacher, student = module.teacher, module.student
        tokenizer: Any = teacher.tokenizers[teacher.modalities.index(kind)]
        tokenizer.weight.mul_(ratio[tokenizer.index])
        first: Any = (teacher.free[teacher.modalities.index(kind)], student.towers[student.modalities.index(kind)][0])  # type: ignore[index]
        for layer in first:
            layer.weight.mul_(ratio)


def join_earlier(
    reference: Cells,
    earlier: AnnData | MuData,
    specs: Sequence[ModalitySpec],
    labels: Sequence[str],
    labels_key: str | None,
    batch_key: str | None,
) -> JoinedCells:
    """Return the reference with the labelled cells of an earlier one behind it.

    Parameters
    ----------
    reference
        Cells with labels and batches.
    earlier
        In memory, a view or backed; not changed. Labels that the model does not know are left out.
    specs, labels
        The model's modalities and labels.
    labels_key, batch_key
        Columns of ``obs``; batches count as others than those of the reference.
    """
    if labels_key is None:
        raise ValueError(
            "earlier brings labels, and this model has clusters in their place. Fix: pass it as `unlabeled`, or set the reference up "
            "with a labels_key."
        )
    cells = open_query(earlier, specs, called="Earlier reference")
    values = as_text(obs_column(earlier, labels_key, "labels_key"))
    codes = pd.Index(labels).get_indexer(pd.Index(values))
    if not (codes >= 0).any():
        raise ValueError(
            f"earlier has none of the model's labels in obs[{labels_key!r}], e.g. {list(pd.unique(values)[:3])}; expected some "
            f"of {list(labels[:5])}. Fix: pass the reference that the model was trained on, or leave it out."
        )
    column = None if batch_key is None else find_column(earlier, batch_key)
    batch = np.zeros(cells.n_obs, dtype=np.int64) if column is None else pd.factorize(as_text(column))[0]
    batch = int(reference.batch.max(initial=-1)) + 1 + batch
    return JoinedCells(reference, Cells(cells.modalities, cells.n_obs, labels=codes, batch=batch))


def given_split(own: Cells, reference: Cells, external_indexing: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the parts that a user gave for the reference's own cells; those joined to it train too.

    Raises
    ------
    TypeError, ValueError
        If they do not fit the reference's own cells.
    """
    given = split_cells(own.labels, own.batch, np.random.default_rng(0), external_indexing=external_indexing)
    return [np.append(given.train, np.arange(own.n_obs, reference.n_obs)), given.validation, given.test]


def say_forgotten(labels: Sequence[str], codes: np.ndarray) -> None:
    """Warn of labels that no cell at hand has."""
    known = set(codes[codes >= 0].tolist())
    lacking = [name for i, name in enumerate(labels) if i not in known]
    # Without any label nothing is trained at all.
    if known and lacking:
        logger.warning(
            "No cell has %d of the model's labels (%s%s): training forgets them. Fix: `train(earlier=first_reference)`",
            len(lacking),
            ", ".join(lacking[:5]),
            ", ..." if len(lacking) > 5 else "",
        )


def as_model(cls: Any, model: Any) -> Any:
    """Return a model, loaded without data where a path was given."""
    return cls.load(model, adata=False) if isinstance(model, str | Path) else model
