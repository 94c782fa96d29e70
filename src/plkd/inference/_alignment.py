"""What of a model's features and patterns a query has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.align import AlignmentReport
from plkd.data import ModalitySpec, align_query
from plkd.inference._membership import membership_by_kind, names_by_kind
from plkd.patterns import PatternSet


def alignment_report(data: AnnData | MuData, patterns: PatternSet, specs: Sequence[ModalitySpec]) -> AlignmentReport:
    """Align a query as annotating does, and count what was found.

    Parameters
    ----------
    data
        The query; only its names are looked at.
    patterns
        The model's patterns.
    specs
        Its modalities.

    Raises
    ------
    TypeError, KeyError, ValueError
        As in :func:`plkd.data.open_query`, for names and layers.
    """
    aligned = align_query(data, specs)
    memberships, names = membership_by_kind(patterns, specs), names_by_kind(patterns, specs)
    modalities, by_pattern = [], []
    for spec in specs:
        found = aligned.get(spec.kind)
        present = np.zeros(len(spec.features), dtype=bool) if found is None else found.alignment.present
        modalities.append(
            {
                "modality": spec.called,
                "n_features": len(present),
                "n_found": int(present.sum()),
                "fraction": float(present.mean()),
                "names": "" if found is None else found.alignment.names,
                "found": "not in the query" if found is None else str(found.alignment),
            }
        )
        member = (memberships[spec.kind] != 0).astype(np.int64)
        by_pattern.append(
            pd.DataFrame(
                {
                    "pattern": np.asarray(names[spec.kind], dtype=object),
                    "modality": spec.called,
                    "n_features": np.asarray(member.sum(axis=0)).ravel(),
                    "n_found": present.astype(np.int64) @ member,
                }
            )
        )
    frame = pd.concat(by_pattern, ignore_index=True)
    frame["fraction"] = frame["n_found"] / frame["n_features"]
    return AlignmentReport(pd.DataFrame(modalities), frame.sort_values("fraction", kind="stable", ignore_index=True))
