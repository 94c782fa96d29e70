"""Names that differ in spelling, or stand in a column of ``var``: matched where that is certain, and said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd.align import align_features, likeness

GENES = [f"GENE{i}" for i in range(10)]
ENSEMBL = [f"ENSG{i:011d}" for i in range(10)]


class TestVersions:
    @pytest.mark.parametrize(("model", "query"), [("", ".3"), (".1", ""), (".1", ".12")])
    def test_of_ensembl_identifiers_do_not_matter_on_either_side_and_are_said(self, model, query):
        found = align_features([name + model for name in ENSEMBL], [name + query for name in ENSEMBL[::-1]])
        assert found.columns.tolist() == list(range(9, -1, -1))
        assert str(found) == ("10 of 10 features found (100%), 10 by Ensembl identifiers without version, reordered")

    def test_of_other_species_too(self):
        assert align_features(["ENSMUSG00000000001"], ["ENSMUSG00000000001.5"]).fraction == 1

    def test_equal_names_come_first(self):
        found = align_features([*ENSEMBL[:2], "ENSG00000000000.7"], ["ENSG00000000000.7", *ENSEMBL[:2]])
        assert found.columns.tolist() == [1, 2, 0]
        assert not found.notes

    def test_two_versions_of_one_are_left_out_and_said(self):
        found = align_features(ENSEMBL, [*(f"{name}.1" for name in ENSEMBL), "ENSG00000000004.2"])
        assert found.columns.tolist() == [0, 1, 2, 3, -1, 5, 6, 7, 8, 9]
        assert "1 of several versions each left out" in str(found)

    def test_copies_on_the_y_chromosome_stay_apart(self):
        query = ["ENSG00000000001.4_PAR_Y", "ENSG00000000001.4"]
        assert align_features(["ENSG00000000001", "ENSG00000000001_PAR_Y"], query).columns.tolist() == [1, 0]

    def test_what_looks_like_one_in_a_symbol_is_none(self):
        # Clones are named so: AL627309.1 and AL627309.2 are two genes.
        found = align_features([*GENES, "AL627309.1"], [*GENES, "AL627309.2", "AL627309"])
        assert found.columns.tolist() == [*range(10), -1]


class TestCase:
    def test_of_few_names_is_matched_and_said(self):
        found = align_features([*GENES, "C1orf112"], ["C1ORF112", *GENES])
        assert found.columns.tolist() == [*range(1, 11), 0]
        assert "1 by names that differ only by case" in str(found)

    def test_is_not_matched_where_two_names_would_do(self):
        assert align_features([*GENES, "Abc"], [*GENES, "ABC", "abc"]).columns[-1] == -1
        assert align_features([*GENES, "Abc", "ABC"], [*GENES, "abc"]).columns[-2:].tolist() == [-1, -1]

    def test_never_takes_a_column_twice(self):
        found = align_features([*GENES, "Abc", "ABC"], [*GENES, "ABC"])
        assert found.columns[-2:].tolist() == [-1, 10]

    def test_of_many_names_is_another_species_not_matched_and_said(self):
        found = align_features(GENES, [*GENES[:6], *(name.lower() for name in GENES[6:])])
        assert found.columns.tolist() == [*range(6), *[-1] * 4]
        assert "4 that differ only by case not matched: too many for one species" in str(found)


def table(**columns):
    return pd.DataFrame(columns, index=[f"id{i}" for i in range(len(next(iter(columns.values()))))])


class TestColumnOfVar:
    @pytest.mark.parametrize("name", ["gene_ids", "gene_symbols", "feature_name", "gene_name", "any name at all", 7])
    @pytest.mark.parametrize("dtype", [object, "string", "category"])
    def test_is_used_where_var_names_do_not_fit_whatever_its_name_and_said(self, name, dtype):
        var = table(biotype=["coding"] * 10, other=[f"x{i}" for i in range(10)], length=np.arange(10))
        var[name] = pd.Series(GENES[::-1], index=var.index, dtype=dtype)
        found = align_features(GENES, var.index, var=var)
        assert found.columns.tolist() == list(range(9, -1, -1))
        assert found.names == f"var[{name!r}]"
        assert str(found) == f"10 of 10 features found (100%), names taken from var[{name!r}], reordered"

    def test_with_versions_in_it(self):
        found = align_features(ENSEMBL, GENES, var=table(gene_ids=[f"{name}.2" for name in ENSEMBL]))
        assert found.is_identity
        assert str(found) == (
            "all 10 features found, in the model's order, names taken from var['gene_ids'], "
            "10 by Ensembl identifiers without version"
        )

    def test_that_fits_best_is_taken(self):
        var = table(half=[*GENES[:5], *"abcde"], more=[*GENES[:9], "a"])
        assert align_features(GENES, var.index, var=var).names == "var['more']"

    def test_gives_way_to_var_names_that_fit(self):
        names = [*GENES[:7], "a", "b", "c"]
        assert align_features(GENES, names, var=table(all=GENES)).names == "var_names"

    def test_gives_way_to_var_names_that_fit_about_as_well(self):
        names = [*GENES[:5], *"abcde"]
        assert align_features(GENES, names, var=table(same=names)).names == "var_names"
        assert align_features(GENES, names, var=table(better=[*GENES[:6], *"abcd"])).names == "var['better']"

    def test_with_too_few_of_the_features_is_not_used(self):
        with pytest.raises(ValueError, match="Only 0 of the model's 10 features"):
            align_features(GENES, list("abcdefghij"), var=table(few=[GENES[0], *"bcdefghij"]))

    def test_missing_and_repeated_names_in_it_are_left_out_and_said(self):
        var = table(symbol=[*GENES[:8], None, np.nan, GENES[0], "", ""])
        found = align_features([*GENES, "nan", "None", ""], var.index, var=var)
        assert found.columns.tolist() == [-1, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1, -1, -1]
        assert "names taken from var['symbol'] (2 repeat there: left out)" in str(found)

    def test_does_not_hide_that_var_names_of_features_in_use_repeat(self):
        with pytest.raises(ValueError, match="occur more than once"):
            align_features(GENES, [*GENES[:9], GENES[0]], var=table(symbol=GENES))

    def test_two_columns_of_one_name_are_both_looked_at(self):
        var = pd.DataFrame([["a", name] for name in GENES], columns=["x", "x"])
        assert align_features(GENES, list("abcdefghij"), var=var).is_identity

    def test_values_that_are_no_text_are_read_as_text(self):
        var = table(entrez=pd.Series([*range(100, 110)], dtype=object).tolist())
        var["entrez"] = var["entrez"].astype(object)
        assert align_features([str(i) for i in range(100, 110)], GENES, var=var).is_identity

    def test_of_proteins_and_peaks(self):
        proteins = align_features(
            ["CD3", "CD19"], ["p1", "p2"], kind="protein", var=table(antibody=["CD19_TotalSeqB", "CD3"])
        )
        assert proteins.columns.tolist() == [1, 0]
        peaks = align_features(
            ["chr1:100-200", "chr1:500-900"], ["a", "b"], kind="atac", var=table(interval=["1-510-880", "1-90-190"])
        )
        np.testing.assert_array_equal(peaks.columns.toarray(), [[0, 1], [1, 0]])
        assert str(peaks) == (
            "2 of 2 peaks found by genomic overlap (100%), names taken from var['interval'], 0 of the query's 2 ignored"
        )

    @pytest.mark.parametrize("chromosome", ["chr1", "1"])
    def test_intervals_of_peaks_may_stand_in_three_columns(self, chromosome):
        var = pd.DataFrame({"Chromosome": [chromosome] * 3, "Start": [510, 90, 9000], "End": [880, 190, 9100]})
        var.index = [f"peak_{i}" for i in range(3)]
        found = align_features(["chr1:100-200", "chr1:500-900"], var.index, kind="atac", var=var)
        assert found.columns.toarray().tolist() == [[0, 1], [1, 0], [0, 0]]
        assert "names taken from var[['Chromosome', 'Start', 'End']]" in str(found)
        # Genes near peaks have such columns too, which say nothing of genes.
        with pytest.raises(ValueError, match="0 of 2|0%|none"):
            align_features(["chr1:100-200", "chr1:500-900"], var.index, kind="rna", var=var)

    def test_the_table_is_not_changed(self):
        var = table(symbol=pd.Categorical([*GENES[:9], None]), n=range(10))
        before = var.copy()
        align_features(GENES, var.index, var=var)
        pd.testing.assert_frame_equal(var, before)


def test_likeness_counts_a_column_too():
    assert likeness(GENES, list("abcdefghij"), kind="rna") == (0, 0)
    assert likeness(GENES, list("abcdefghij"), kind="rna", var=table(symbol=GENES)) == (1, 1)


def test_genes_and_proteins_are_not_sought_among_peaks():
    peaks = [f"chr1:{i}00-{i}50" for i in range(1, 30)]
    assert align_features(["CD3", "chr1:100-150"], peaks, kind="protein").columns.tolist() == [-1, 0]
