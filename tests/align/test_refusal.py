"""Too few features found: each recognisable reason is named, and the line that fixes it does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from plkd.align import align_features, slip

SYMBOLS = ["CD3D", "MS4A1", "LYZ", "NKG7", "PPBP"]
ENSEMBL = [f"ENSG{i:011d}" for i in range(5)]


def refusal(model, query, **kwargs):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the callers look at the whole message
        align_features(model, query, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "query", "line"), [(ENSEMBL, SYMBOLS, "gene_ids"), (SYMBOLS, ENSEMBL, "gene_symbols")]
)
class TestIdentifiersAgainstSymbols:
    def test_are_named_each_on_its_side(self, model, query, line):
        message = refusal(model, query)
        assert f"Model: {model[0]!r}, {model[1]!r}, {model[2]!r}; query: {query[0]!r}" in message
        owner, other = ("model", "query") if model is ENSEMBL else ("query", "model")
        assert f"The {owner} uses Ensembl identifiers, the {other} symbols" in message

    def test_adding_the_column_of_the_remedy_helps(self, model, query, line):
        assert f'query.var["{line}"] = ' in refusal(model, query)
        assert align_features(model, query, var=pd.DataFrame({line: model})).fraction == 1

    def test_columns_that_were_looked_at_are_named(self, model, query, line):
        var = pd.DataFrame({"biotype": ["coding"] * 5, "length": range(5), line: [f"other{i}" for i in range(5)]})
        assert f"looked at ['biotype', '{line}']" in refusal(model, query, var=var)


def test_most_names_decide_what_kind_they_are():
    assert "The query uses Ensembl" in refusal(SYMBOLS, [*ENSEMBL[:4], "tdTomato"])
    assert "The query uses Ensembl" not in refusal(SYMBOLS, [*ENSEMBL[:2], "a", "b"])


class TestSpeciesSlip:
    def test_symbols_that_differ_by_case_are_refused_naming_rename_features_and_orthologues(self):
        message = refusal(SYMBOLS, [name.capitalize() for name in SYMBOLS])
        assert "The names differ only by case, as human (CD3D) and mouse (Cd3d) symbols do" in message
        assert "annotator.rename_features(orthologues)" in message
        assert "'Cd3d'" in message

    def test_a_few_chance_hits_do_not_hide_it(self):
        model = [f"GENE{i}" for i in range(20)]
        assert "differ only by case" in refusal(model, [*model[:2], *(name.lower() for name in model[2:])])

    def test_few_variable_genes_of_another_species_are_told_too(self):
        model = [f"GENE{i}" for i in range(200)]
        assert "differ only by case" in refusal(model, [name.lower() for name in model[:15]])

    def test_the_line_for_one_species_works(self):
        query = pd.Index([name.lower() for name in SYMBOLS])
        assert "query.var_names = query.var_names.str.upper()" in refusal(SYMBOLS, query)
        assert align_features(SYMBOLS, query.str.upper()).is_identity

    def test_identifiers_of_two_species_are_told_apart(self):
        message = refusal(ENSEMBL, [f"ENSMUSG{i:011d}" for i in range(5)])
        assert "The identifiers are those of two species, ENSG... and ENSMUSG..." in message
        assert "annotator.rename_features(orthologues)" in message


class TestTransposed:
    @pytest.mark.parametrize(
        ("kind", "model", "cells"),
        [
            ("rna", SYMBOLS, SYMBOLS),
            ("rna", ENSEMBL, [f"{name}.4" for name in ENSEMBL]),
            ("protein", ["CD3", "CD19"], ["CD3", "CD19", "CD4"]),
            ("atac", ["chr1:1-9", "chr1:100-200"], ["chr1:100-200"]),
        ],
    )
    def test_matrix_is_refused(self, kind, model, cells):
        message = refusal(model, ["AAAC-1", "AAAG-1"], kind=kind, cells=cells)
        assert "They are among its obs_names: the matrix is transposed" in message

    def test_the_line_that_fixes_it_does(self):
        adata = AnnData(np.ones((5, 2), dtype="float32"), obs=pd.DataFrame(index=SYMBOLS))
        message = refusal(SYMBOLS, adata.var_names, cells=adata.obs_names)
        adata = eval(message.split("`")[1].removeprefix("adata = "), {"adata": adata})
        assert align_features(SYMBOLS, adata.var_names, cells=adata.obs_names).is_identity

    def test_cells_named_as_genes_do_no_harm_where_the_features_fit(self):
        assert align_features(SYMBOLS, SYMBOLS, cells=SYMBOLS).is_identity
        assert "transposed" not in refusal(SYMBOLS, ["x"], cells=["cell", "LYZ"])


def test_a_choice_of_genes_is_told_from_other_names():
    model = [f"GENE{i}" for i in range(100)]
    assert "pass all genes that were measured, e.g. `query = query.raw.to_adata()`" in refusal(model, model[:19])
    assert "same species and identifiers" in refusal(model, [model[0], *"abcdefghij"])


def test_the_line_for_a_panel_works():
    reference = AnnData(np.ones((2, 100), dtype="float32"), var=pd.DataFrame(index=[f"GENE{i}" for i in range(100)]))
    query = reference[:, 15:2:-1].copy()
    line = refusal(reference.var_names, query.var_names).split("`")[3]
    cut = eval(line.removeprefix("reference = "), {"reference": reference, "query": query})
    assert align_features(cut.var_names, query.var_names).fraction == 1
    assert cut.n_vars == 13


def test_the_line_for_a_panel_is_not_given_where_it_would_leave_no_gene():
    model = [f"ENSG{i:011d}" for i in range(100)]
    message = refusal(model, [f"{name}.4" for name in model[:13]])
    assert message.endswith("where .raw holds them.")
    assert "isin" not in message


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        ("rna", "Fix: pass data of the same species and identifiers as the reference."),
        ("protein", "Fix: pass a panel that shares more proteins"),
        ("atac", "lift them over if the builds differ"),
    ],
)
def test_nothing_recognisable(kind, fix):
    model = ["chr1:1-9", "chr1:20-30"] if kind == "atac" else SYMBOLS
    assert fix in refusal(model, ["cell_1", "cell_2"], kind=kind)


@pytest.mark.parametrize(
    ("query", "kwargs", "expected"),
    [
        (ENSEMBL, {}, True),
        ([name.capitalize() for name in SYMBOLS], {}, True),
        (["x"], {"cells": SYMBOLS}, True),
        (["x"], {}, False),
        (SYMBOLS[:1], {}, False),
        (ENSEMBL, {"var": pd.DataFrame({"symbol": SYMBOLS})}, False),
        (ENSEMBL, {"kind": "protein"}, False),
    ],
)
def test_a_slip_is_a_refusal_whose_reason_can_be_told(query, kwargs, expected):
    assert slip(SYMBOLS, query, **{"kind": "rna", **kwargs}) is expected
