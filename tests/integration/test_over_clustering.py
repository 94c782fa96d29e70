"""`over_clustering` at each entry: the same vote, whoever annotates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import Annotator


@pytest.fixture(scope="module")
def annotator(trained, tmp_path_factory) -> Annotator:
    return trained.export_student(tmp_path_factory.mktemp("annotator"))


@pytest.fixture
def query(make_adata):
    """Give a query whose clusters mix the labels, with some cells in none."""
    query = make_adata(90, seed=5)
    cluster = query.obs["cell_type"].astype(str).to_numpy(dtype=object)
    cluster[::7] = "type_1"
    cluster[::10] = np.nan
    query.obs["leiden"] = pd.Categorical(cluster)
    return query


def expected(soft: pd.DataFrame, cluster: pd.Series) -> list[str]:
    own = soft.idxmax(axis=1)
    voted = own.groupby(cluster.astype(object)).agg(lambda labels: labels.value_counts().index[0])
    return [voted.get(c, label) for c, label in zip(cluster.astype(object), own, strict=True)]


def test_model_and_annotator_vote_alike_and_as_pandas_does(trained, annotator, query):
    before = query.obs.copy()
    table = trained.annotate(query, over_clustering="leiden")
    soft = trained.predict(query, soft=True)
    assert table["label"].tolist() == expected(soft, query.obs["leiden"])
    assert table["cell_label"].tolist() == soft.idxmax(axis=1).tolist()
    assert (table["label"] != table["cell_label"]).any()
    np.testing.assert_allclose(
        table["confidence"], [soft.loc[cell, label] for cell, label in table["label"].items()], rtol=1e-6
    )
    assert table["vote_share"].isna().tolist() == query.obs["leiden"].isna().tolist()
    again = annotator.annotate(query, over_clustering="leiden")
    pd.testing.assert_frame_equal(again, table, atol=1e-5)
    pd.testing.assert_frame_equal(query.obs, before)


def test_only_chosen_cells_vote(trained, query):
    chosen = np.flatnonzero(query.obs["cell_type"] == "type_2")[:6]
    query.obs["leiden"] = "all"
    table = trained.annotate(query, indices=chosen, over_clustering="leiden")
    assert (table["label"] == "type_2").all()
    assert not (trained.annotate(query, over_clustering="leiden")["label"] == "type_2").all()


def test_array_with_one_value_per_cell_of_the_query_goes_with_indices(trained, annotator, query):
    by_key = trained.annotate(query, indices=[5, 3, 8], over_clustering="leiden")
    for who in (trained, annotator):
        by_array = who.annotate(query, indices=[5, 3, 8], over_clustering=query.obs["leiden"].to_numpy())
        pd.testing.assert_frame_equal(by_array, by_key, atol=1e-5)


def test_annotator_reads_the_column_of_a_file(annotator, query, tmp_path):
    query.write_h5ad(tmp_path / "query.h5ad")
    table = annotator.annotate(tmp_path / "query.h5ad", over_clustering="leiden")
    pd.testing.assert_frame_equal(table, annotator.annotate(query, over_clustering="leiden"), check_index_type=False)


def test_column_that_does_not_exist_is_refused_by_both(trained, annotator, query):
    for who in (trained, annotator):
        with pytest.raises(KeyError, match="over_clustering='louvain'"):
            who.annotate(query, over_clustering="louvain")


def test_column_of_a_modality_serves_cells_of_the_whole(joint, make_mdata):
    query = make_mdata(60, seed=3)
    rna = query["rna"]
    rna.obs["leiden"] = pd.Categorical(np.arange(rna.n_obs) % 2)
    at_once = pd.Series(rna.obs["leiden"].astype(str), index=rna.obs_names)
    table = joint.annotate(query, over_clustering="rna:leiden")
    soft = joint.predict(query, soft=True)
    assert table["label"].tolist() == expected(soft, at_once.reindex(query.obs_names))
    pd.testing.assert_frame_equal(joint.annotate(query, over_clustering="leiden"), table)
