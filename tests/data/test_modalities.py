"""Which table is which modality, where names do not say it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from plkd.data import ModalitySpec, align_query

PROTEINS = ("CD4", "CD8A", "CD19", "CD14")
SYMBOLS = (*PROTEINS, *(f"GENE{i}" for i in range(100)))
ENSEMBL = tuple(f"ENSG{i:011d}" for i in range(len(SYMBOLS)))


def table(names, **var):
    return AnnData(np.ones((2, len(names)), dtype="float32"), var=pd.DataFrame(var, index=list(names)))


def specs(genes):
    return ModalitySpec("rna", genes, name="rna"), ModalitySpec("protein", PROTEINS, name="prot")


def test_genes_named_as_the_models_proteins_are_its_genes_by_their_identifiers():
    query = MuData({"gex": table(SYMBOLS, gene_ids=ENSEMBL), "adt": table(PROTEINS)})
    found = align_query(query, specs(ENSEMBL))
    assert {kind: one.table.name for kind, one in found.items()} == {"rna": "gex", "protein": "adt"}
    assert found["rna"].alignment.names == "var['gene_ids']"
    assert found["rna"].alignment.is_identity


def test_genes_of_another_species_are_not_taken_for_the_proteins_they_look_like():
    mouse = table([name.capitalize() for name in SYMBOLS])
    # Names of proteins are read without case.
    assert align_query(mouse, specs(SYMBOLS)[1:])["protein"].alignment.fraction == 1
    with pytest.raises(ValueError, match=r"Only 0 of the model's 104 features .*differ only by case"):
        align_query(mouse, specs(SYMBOLS))


def test_genes_of_other_names_beside_proteins_that_fit_are_refused_rather_than_left_out_in_silence():
    genes = table([f"ENSMUSG{i:011d}" for i in range(100)])
    for name in ("rna", "gex"):
        query = MuData({name: genes, "prot": table(PROTEINS)})
        with pytest.raises(ValueError, match=r"query uses Ensembl .*Or leave this modality out"):
            align_query(query, specs(SYMBOLS))
    spots = table([f"spot{i}" for i in range(100)])
    assert set(align_query(MuData({"spatial": spots, "prot": table(PROTEINS)}), specs(SYMBOLS))) == {"protein"}


def test_a_table_that_fits_comes_before_one_of_other_names():
    query = MuData({"mouse": table([name.capitalize() for name in SYMBOLS]), "human": table(SYMBOLS)})
    assert align_query(query, specs(SYMBOLS))["rna"].table.name == "human"


def test_a_few_proteins_alone_are_the_models_proteins():
    assert set(align_query(table(PROTEINS[:2]), specs(SYMBOLS))) == {"protein"}


def test_nothing_that_fits_and_nothing_to_be_told_names_what_was_expected():
    with pytest.raises(ValueError, match=r"none of the model's modalities \(rna, prot\); found features 'a', 'b'"):
        align_query(table(["a", "b"]), specs(SYMBOLS))


def test_antibodies_named_as_genes_are_not_taken_for_the_rna_beside_them():
    """Alone they might be a targeted panel; where another table holds the genes they are not."""
    genes = [f"ENSG{i:011d}" for i in range(1500)]
    symbols = [f"G{i}" for i in range(1500)]
    named = pd.DataFrame({"symbol": symbols}, index=genes)
    gex = AnnData(np.ones((4, 1500), dtype=np.float32), var=named)
    adt = AnnData(np.ones((4, 120), dtype=np.float32), var=pd.DataFrame(index=symbols[:120]))
    query = MuData({"adt": adt, "gex": gex})
    aligned = align_query(query, [ModalitySpec("rna", tuple(symbols))])
    assert aligned["rna"].table.where == "mdata['gex'].X"
    assert aligned["rna"].alignment.fraction == 1
    # A panel of genes under another name, beside proteins.
    both = ModalitySpec("rna", tuple(symbols), name="rna"), ModalitySpec("protein", PROTEINS, name="prot")
    beside = MuData({"adt": table(PROTEINS), "gex": table(symbols[10:130])})
    assert {kind: one.table.name for kind, one in align_query(beside, both).items()} == {"rna": "gex", "protein": "adt"}
    panel = AnnData(np.ones((4, 120), dtype=np.float32), var=pd.DataFrame(index=symbols[:120]))
    assert align_query(panel, [ModalitySpec("rna", tuple(symbols))])["rna"].alignment.fraction == 0.08
