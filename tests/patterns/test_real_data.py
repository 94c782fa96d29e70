"""Public data and gene sets, where ``PLKD_DATA`` names a folder that holds them."""

from __future__ import annotations

from importlib.resources import files

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

from plkd.patterns import from_peaks, immune, learn, looks_like_peaks, protein_genes, read

pytestmark = pytest.mark.realdata


@pytest.fixture
def var_names(data_dir):
    return lambda file: anndata.read_h5ad(data_dir / file, backed="r").var_names


def test_hallmark_meets_human_data(data_dir, var_names):
    report = read(data_dir / "genesets" / "human_hallmark.gmt").for_features(var_names("pbmc3k_10xv1.h5ad")).report
    assert len(report.kept) == 50
    assert 0.2 < report.fraction < 0.25


def test_human_sets_on_mouse_data_are_recognised(data_dir, var_names):
    with pytest.raises(ValueError, match=r"letter case.*mouse data"):
        read(data_dir / "genesets" / "human_hallmark.gmt").for_features(var_names("tabula_muris_facs_18tissues.h5ad"))


def test_mouse_sets_on_human_data_are_recognised(data_dir, var_names):
    with pytest.raises(ValueError, match=r"letter case.*human data"):
        read(data_dir / "genesets" / "mouse_reactome.gmt").for_features(var_names("pbmc3k_10xv1.h5ad"))


def test_symbols_on_ensembl_data_are_recognised_and_fixed_by_genes(data_dir):
    adata = anndata.read_h5ad(data_dir / "celllines_sc_mixology_3tech.h5ad", backed="r")
    named = adata.var[adata.var["ensembl"].notna() & ~adata.var["ensembl"].duplicated()]
    with pytest.raises(ValueError, match="Ensembl and symbols"):
        immune().for_features(named["ensembl"])
    assert len(immune().for_features(named["ensembl"], genes=named.index)) > 5


def test_immune_meets_blood(var_names):
    assert len(immune().for_features(var_names("pbmc3k_10xv1.h5ad"))) == len(immune())


def test_genes_of_the_immune_sets_are_names_in_real_data(data_dir, var_names):
    known = set().union(*(var_names(file.name) for file in data_dir.glob("*.h5ad")))
    known |= set(mudata.read_h5mu(data_dir / "cite_pbmc_bremsc.h5mu").mod["rna"].var_names)
    for file in ("human_hallmark", "human_reactome", "human_gobp"):
        known |= set(read(data_dir / "genesets" / f"{file}.gmt").features)
    # Approved by HGNC, but in none of these files.
    assert set(immune().features) - known == {"TRDV1", "TRGV3", "RGS13", "SIGLEC8"}


def test_markers_of_a_lineage_are_learned_together(data_dir):
    adata = anndata.read_h5ad(data_dir / "pbmc3k_10xv1.h5ad")
    counts = adata.X.astype("float32")
    values = counts.multiply(1e4 / counts.sum(axis=1)).tocsr().log1p()
    modules = learn(values, adata.var_names)
    assert modules.covered.all()
    home = {gene: name for name, genes in modules.to_dict().items() for gene in genes}
    for one, other in [("CD3D", "CD3E"), ("MS4A1", "CD79A"), ("S100A8", "S100A9"), ("PPBP", "PF4")]:
        assert home[one] == home[other]


def test_every_protein_of_a_cite_seq_panel_resolves_and_meets_the_immune_sets(data_dir):
    cells = mudata.read_h5mu(data_dir / "cite_pbmc_bremsc.h5mu")
    proteins, measured = list(cells.mod["adt"].var_names), set(cells.mod["rna"].var_names)
    for protein, genes in zip(proteins, protein_genes(proteins), strict=True):
        assert genes, protein
        assert set(genes) & measured, protein
    matched = immune().for_features(proteins, kind="protein")
    assert {"CD4_T_cell", "NK_cell"} <= set(matched.names)
    assert len(matched) >= 4


def test_most_genes_of_the_protein_map_are_symbols_of_real_data(data_dir, var_names):
    known = set().union(*(var_names(file) for file in ("pbmc3k_10xv1.h5ad", "celllines_sc_mixology_3tech.h5ad")))
    known |= set(mudata.read_h5mu(data_dir / "cite_pbmc_bremsc.h5mu").mod["rna"].var_names)
    for file in ("human_hallmark", "human_reactome", "human_gobp"):
        known |= set(read(data_dir / "genesets" / f"{file}.gmt").features)
    rows = (files("plkd.patterns") / "protein_genes.tsv").read_text(encoding="utf-8").splitlines()[1:]
    symbols = {gene for row in rows for gene in row.split("\t")[1].split(",") if gene != "-"}
    assert len(symbols - known) < 0.03 * len(symbols), sorted(symbols - known)


def test_proteins_of_a_lineage_are_learned_together(data_dir):
    adt = mudata.read_h5mu(data_dir / "cite_pbmc_bremsc.h5mu").mod["adt"]
    logged = np.log1p(adt.X.toarray())
    modules = learn(logged - logged.mean(axis=1, keepdims=True), adt.var_names, kind="protein")
    home = {protein: name for name, proteins in modules.to_dict().items() for protein in proteins}
    for one, other in [("CD3", "CD127"), ("CD14", "CD11c"), ("CD56", "CD16")]:
        assert home[one] == home[other]
    assert home["CD3"] != home["CD14"]


def test_modules_of_peaks_tell_cell_types_apart(data_dir):
    atac = mudata.read_h5mu(data_dir / "multiome_snare_mouse_cortex.h5mu").mod["atac"]
    assert looks_like_peaks(atac.var_names)
    opened = atac.X.tocsr().sign()
    modules = learn(opened, atac.var_names, kind="atac")
    assert 50 < len(modules) < 100
    np.testing.assert_array_equal(modules.covered, np.bincount(opened.indices, minlength=atac.n_vars) > 0)
    labels = atac.obs["cell_type"].astype(str).to_numpy()

    def explained(membership):
        score = (opened @ membership).toarray() / np.maximum(opened.sum(axis=1), 1)
        between = sum(
            (labels == label).mean()
            * (np.asarray(score)[labels == label].mean(axis=0) - np.asarray(score).mean(axis=0)) ** 2
            for label in set(labels)
        )
        return between / np.asarray(score).var(axis=0)

    shuffled = modules.membership[np.random.default_rng(0).permutation(atac.n_vars)]
    assert explained(modules.membership).max() > 0.5
    assert np.median(explained(modules.membership)) > 3 * np.median(explained(shuffled))


def test_peaks_near_a_layer_s_marker_are_open_in_that_layer(data_dir):
    atac = mudata.read_h5mu(data_dir / "multiome_snare_mouse_cortex.h5mu").mod["atac"]
    rows = [["Rorb", "chr19", 18_930_605, 19_111_196, "-"], ["Cux2", "chr5", 121_856_366, 122_050_102, "+"]]
    genes = pd.DataFrame(rows, columns=["gene", "chrom", "start", "end", "strand"])
    near = from_peaks(atac.var_names, genes, genome="mm10")
    labels, depth = atac.obs["cell_type"].astype(str).to_numpy(), np.asarray(atac.X.sum(axis=1)).ravel()
    for gene, layer in (("Rorb", "L4/5"), ("Cux2", "L2/3")):
        chosen = np.asarray([gene in of for of in near.values()])
        assert chosen.sum() > 20
        share = np.asarray(atac.X[:, chosen].sum(axis=1)).ravel() / depth
        assert share[labels == layer].mean() > 1.2 * share[labels == "L6"].mean()
    with pytest.raises(ValueError, match="do not lie on genome='hg38'.*They would fit mm10"):
        from_peaks(atac.var_names, genes, genome="hg38")
