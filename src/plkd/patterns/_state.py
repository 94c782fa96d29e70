"""A pattern set as a flat dict of text lists and numeric arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from plkd._arguments import check_type
from plkd.patterns._coverage import dropped_frame, kept_frame

if TYPE_CHECKING:
    from plkd.patterns._set import PatternSet

FORMAT_KEY = "plkd_patterns"
FORMAT = 1
_KEYS = ("names", "features", "sources", "kinds", "indptr", "indices", "weights")


def pack(patterns: PatternSet) -> dict[str, Any]:
    """Describe a set; what the report shares with the set is not written twice."""
    membership = patterns.membership
    state: dict[str, Any] = {
        FORMAT_KEY: FORMAT,
        "names": list(patterns.names),
        "features": list(patterns.features),
        "sources": list(patterns.sources),
        "kinds": list(patterns.kinds),
        "indptr": membership.indptr.astype(np.int64),
        "indices": membership.indices.astype(np.int64),
        "weights": membership.data.astype(np.float32),
    }
    if patterns.report is not None:
        kept, dropped = patterns.report.kept, patterns.report.dropped
        state |= {
            "kept_n_in_set": kept["n_in_set"].to_numpy(dtype=np.int64),
            "kept_n_found": kept["n_found"].to_numpy(dtype=np.int64),
            "dropped_names": [str(name) for name in dropped["pattern"]],
            "dropped_n_in_set": dropped["n_in_set"].to_numpy(dtype=np.int64),
            "dropped_n_found": dropped["n_found"].to_numpy(dtype=np.int64),
            "dropped_reasons": [str(reason) for reason in dropped["reason"]],
        }
    return state


def unpack(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's fields, and the report's tables ``kept`` and ``dropped`` where there is a report."""
    check_type("state", state, Mapping, "the dict that PatternSet.state() returned")
    if FORMAT_KEY not in state or state[FORMAT_KEY] != FORMAT:
        msg = (
            f"this state has {FORMAT_KEY}={state.get(FORMAT_KEY)!r}, this version of plkd reads {FORMAT}; "
            "install the version of plkd that wrote it, or a newer one: pip install -U plkd."
        )
        raise ValueError(msg)
    lacking = [key for key in _KEYS if key not in state]
    if lacking:
        msg = f"this state of patterns lacks {lacking}; expected the dict that PatternSet.state() returned."
        raise ValueError(msg)
    names, features = tuple(state["names"]), tuple(state["features"])
    # Arrays may come back as plain lists from JSON.
    arrays = tuple(
        np.asarray(state[key], dtype=dtype)
        for key, dtype in (("weights", np.float32), ("indices", np.int32), ("indptr", np.int32))
    )
    fields: dict[str, Any] = {
        "names": names,
        "features": features,
        "membership": sparse.csc_matrix(arrays, shape=(len(features), len(names))),
        "sources": tuple(state["sources"]),
        "kinds": tuple(state["kinds"]),
    }
    if "kept_n_in_set" in state:
        fields["kept"] = kept_frame(list(names), state["kept_n_in_set"], state["kept_n_found"], list(state["sources"]))
        fields["dropped"] = dropped_frame(
            list(state["dropped_names"]),
            state["dropped_n_in_set"],
            state["dropped_n_found"],
            list(state["dropped_reasons"]),
        )
    return fields
