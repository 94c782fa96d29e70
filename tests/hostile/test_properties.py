"""Whatever hypothesis thinks of: matrices, names, labels, indices, bytes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from plkd import PLKD, Annotator, PatternSet
from tests.hostile.judge import judge
from tests.hostile.queries import check
from tests.hostile.world import SAVED, World, good

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FORMS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]
#: Any text that a file can hold, and what none can.
TEXT = st.text(max_size=8)
#: Any value of a column: what a notebook leaves behind.
VALUES = st.one_of(TEXT, st.integers(), st.floats(), st.booleans(), st.none(), st.dates(), st.binary(max_size=3))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@QUICK
@given(
    values=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.uint16, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    ),
    form=st.sampled_from(FORMS),
)
def test_any_matrix(world, values, form):
    genes = [f"GENE{i}" for i in range(values.shape[1])]
    query = AnnData(form(values), var=pd.DataFrame(index=genes))
    for method, whose in (
        ("predict", world.model),
        ("predict", world.annotator),
        ("get_pattern_attribution", world.model),
    ):
        kwargs = {"soft": True} if method == "predict" else {}
        outcome = judge(lambda: getattr(whose, method)(query, **kwargs), check(method, len(values)), query)  # noqa: B023
        assert outcome.ok, outcome.text


@QUICK
@given(changes=st.dictionaries(st.integers(0, 29), st.one_of(TEXT, st.integers(), st.none(), st.floats()), max_size=30))
def test_any_names_of_genes(world, changes):
    query = good()
    query.var.index = pd.Index([changes.get(i, name) for i, name in enumerate(query.var_names)], dtype=object)
    outcome = judge(lambda: world.model.predict(query, soft=True), check("predict", 60), query)
    assert outcome.ok, outcome.text


@QUICK
@given(labels=st.lists(VALUES, min_size=60, max_size=60), batches=st.lists(VALUES, min_size=60, max_size=60))
def test_any_labels_and_batches(labels, batches):
    reference = good()
    reference.obs["cell_type"] = pd.Series(labels, index=reference.obs_names, dtype=object)
    reference.obs["batch"] = pd.Series(batches, index=reference.obs_names, dtype=object)
    before = reference.obs.copy()
    outcome = judge(lambda: PLKD.setup_anndata(reference, "cell_type", batch_key="batch"))
    assert outcome.ok, outcome.text
    pd.testing.assert_frame_equal(reference.obs[list(before)], before)


@QUICK
@given(indices=st.one_of(st.lists(st.integers()), st.lists(st.booleans()), st.lists(VALUES), VALUES), size=VALUES)
def test_any_indices_and_batch_size(world, indices, size):
    query = good()
    outcome = judge(
        lambda: world.annotator.predict(query, indices=indices, batch_size=size, soft=True), check("predict", None)
    )
    assert outcome.ok, outcome.text


@QUICK
@given(sets=st.dictionaries(TEXT, st.lists(st.one_of(TEXT, st.none()), max_size=4), max_size=4))
def test_any_sets_survive_a_file_or_are_refused(sets, tmp_path):
    def through_a_file() -> PatternSet:
        patterns = PatternSet.from_dict(sets)
        patterns.to_gmt(tmp_path / "sets.gmt")
        return patterns

    outcome = judge(
        through_a_file,
        lambda found: None if PatternSet.from_gmt(tmp_path / "sets.gmt").to_dict() == found.to_dict() else "other sets",
        sets,
    )
    assert outcome.ok, outcome.text


@QUICK
@given(data=st.binary(max_size=300))
def test_any_bytes_are_no_annotator_and_no_model(data, tmp_path):
    for name, load in (("annotator.safetensors", Annotator.load), ("model.pt", PLKD.load)):
        (tmp_path / name).write_bytes(data)
        outcome = judge(lambda: load(tmp_path))  # noqa: B023
        assert outcome.ok, outcome.text
        assert outcome.text != "result"
        (tmp_path / name).unlink()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


@QUICK
@given(key=st.sampled_from(["labels", "modalities", "student", "patterns", "confidence", "format"]), value=JSON)
def test_any_description_with_a_checksum_that_fits(key, value, tmp_path):
    """Written by somebody who knows the format, and means ill."""
    from plkd.annotator._file import read_annotator, write_annotator

    tensors, about = read_annotator(SAVED / "anndata")
    assert json.dumps(value) is not None
    write_annotator(tmp_path / "annotator.safetensors", tensors, {**about, key: value})
    outcome = judge(lambda: Annotator.load(tmp_path))
    assert outcome.ok, outcome.text
