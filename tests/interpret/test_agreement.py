from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from plkd import interpret


def test_attention_by_modality_sums_tokens_and_rows_to_one(make_mdata, joint):
    mdata = make_mdata(40, seed=5)
    found = interpret.attention_by_modality(joint, mdata, groupby="cell_type")
    assert list(found.columns) == ["rna", "prot", "atac"]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    tokens = joint.get_pattern_attention(mdata, groupby="cell_type")
    own = [name for name in tokens if joint.token_kinds[name] == "prot"]
    np.testing.assert_allclose(found["prot"], tokens[own].sum(axis=1), rtol=1e-5)
    assert interpret.attention_by_modality(joint, mdata).index.equals(mdata.obs_names)


def test_a_missing_modality_gets_no_attention(make_mdata, joint):
    found = interpret.attention_by_modality(joint, make_mdata(40, modalities=("rna", "prot"), seed=5))
    assert (found["atac"] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_agreement_is_spearmans_of_means_over_called_cells(make_adata, trained):
    query = make_adata(60, seed=7)
    found = interpret.agreement(trained, query)
    called, teacher = trained.predict(query), trained.predict(query, model="teacher")
    names = list(trained.patterns.names)
    attention = trained.get_pattern_attention(query)[names].groupby(called).mean()
    attribution = trained.get_pattern_attribution(query)[names].groupby(called).mean()
    assert list(found.index) == trained.labels
    for label, row in found.iterrows():
        assert row["n_cells"] == (called == label).sum()
        assert row["same_label"] == (teacher[called == label] == label).mean()
        expected = spearmanr(attention.loc[label], attribution.loc[label].abs()).statistic
        assert row["size"] == pytest.approx(expected, abs=1e-6)
        apart = [(frame - frame.mean()).loc[label] for frame in (attention, attribution)]
        assert row["contrast"] == pytest.approx(spearmanr(*apart).statistic, abs=1e-6)


def stub(attention, attribution, teacher):
    """A model whose answers are known: cells a, a, b."""
    names = pd.Index(["c0", "c1", "c2"])
    called = np.array(["a", "a", "b"], dtype=object)
    frames = {"get_pattern_attention": attention, "get_pattern_attribution": attribution}
    methods = {
        key: lambda adata, *, groupby, values=values, **_: (
            pd.DataFrame(values, names, list("pqr")).groupby(groupby).mean()
        )
        for key, values in frames.items()
    }

    def predict(adata, *, model="student", **_):
        return called if model == "student" else np.array(teacher, dtype=object)

    return SimpleNamespace(
        patterns=SimpleNamespace(names=list("pqr")), labels=["a", "b", "c"], predict=predict, **methods
    )


@pytest.mark.filterwarnings("error")
def test_no_cells_have_no_agreement():
    nothing = SimpleNamespace(
        patterns=SimpleNamespace(names=["p"]),
        labels=["a", "b"],
        predict=lambda *args, **kwargs: np.array([], dtype=object),
        get_pattern_attention=lambda *args, **kwargs: pd.DataFrame({"p": []}),
        get_pattern_attribution=lambda *args, **kwargs: pd.DataFrame({"p": []}),
    )
    found = interpret.agreement(nothing, None)
    assert list(found.columns) == ["n_cells", "same_label", "size", "contrast"]
    assert found.empty


def test_agreement_by_hand():
    model = stub(
        attention=[[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]],
        attribution=[[-1, -2, -3], [-1, -2, -3], [-1, -2, -3]],
        teacher=["a", "b", "b"],
    )
    found = interpret.agreement(model, None)
    assert found["n_cells"].to_dict() == {"a": 2, "b": 1}
    assert found["same_label"].to_dict() == {"a": 0.5, "b": 1.0}
    assert found["size"].to_dict() == {"a": pytest.approx(1), "b": pytest.approx(-1)}
    assert found["contrast"].isna().all()  # attributions are the same in both labels


def test_models_without_a_teacher_are_refused(trained, tmp_path):
    annotator = trained.export_student(tmp_path)
    for function in (interpret.agreement, interpret.attention_by_modality):
        with pytest.raises(TypeError, match="no Teacher"):
            function(annotator, None)
