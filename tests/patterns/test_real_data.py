"""Public data and gene sets, where ``PLKD_DATA`` names a folder that holds them."""

from __future__ import annotations

import anndata
import pytest

from plkd.patterns import immune, learn, read

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


def test_markers_of_a_lineage_are_learned_together(data_dir):
    adata = anndata.read_h5ad(data_dir / "pbmc3k_10xv1.h5ad")
    counts = adata.X.astype("float32")
    values = counts.multiply(1e4 / counts.sum(axis=1)).tocsr().log1p()
    modules = learn(values, adata.var_names)
    assert modules.covered.all()
    home = {gene: name for name, genes in modules.to_dict().items() for gene in genes}
    for one, other in [("CD3D", "CD3E"), ("MS4A1", "CD79A"), ("S100A8", "S100A9"), ("PPBP", "PF4")]:
        assert home[one] == home[other]
