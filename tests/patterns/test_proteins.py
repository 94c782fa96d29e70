"""Names of antibodies and the genes of what they bind."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.patterns import _proteins, plain_protein_name, protein_genes

ROWS = [
    line.split("\t")
    for line in (files("plkd.patterns") / "protein_genes.tsv").read_text(encoding="utf-8").splitlines()[1:]
]
NAMES = [name for row in ROWS for name in row[0].split("; ")]

# One name per antibody of the usual human panels, with what the protein is known to be made by.
PANEL = """
CD1c CD1C|CD2 CD2|CD3 CD3D,CD3E,CD3G|CD4 CD4|CD5 CD5|CD7 CD7|CD8 CD8A,CD8B|CD8a CD8A|CD10 MME|CD11a ITGAL|CD11b ITGAM
CD11c ITGAX|CD13 ANPEP|CD14 CD14|CD15 FUT4|CD16 FCGR3A,FCGR3B|CD18 ITGB2|CD19 CD19|CD20 MS4A1|CD21 CR2|CD22 CD22
CD23 FCER2|CD24 CD24|CD25 IL2RA|CD26 DPP4|CD27 CD27|CD28 CD28|CD29 ITGB1|CD30 TNFRSF8|CD31 PECAM1|CD33 CD33|CD34 CD34
CD35 CR1|CD36 CD36|CD38 CD38|CD39 ENTPD1|CD40 CD40|CD41 ITGA2B|CD42b GP1BA|CD43 SPN|CD44 CD44|CD45 PTPRC|CD45RA PTPRC
CD45RO PTPRC|CD49a ITGA1|CD49b ITGA2|CD49d ITGA4|CD49f ITGA6|CD52 CD52|CD54 ICAM1|CD56 NCAM1|CD57 B3GAT1|CD58 CD58
CD61 ITGB3|CD62E SELE|CD62L SELL|CD62P SELP|CD64 FCGR1A|CD66b CEACAM8|CD69 CD69|CD71 TFRC|CD73 NT5E|CD79b CD79B
CD85j LILRB1|CD86 CD86|CD88 C5AR1|CD90 THY1|CD94 KLRD1|CD95 FAS|CD98 SLC3A2|CD103 ITGAE|CD105 ENG|CD106 VCAM1
CD107a LAMP1|CD112 NECTIN2|CD115 CSF1R|CD117 KIT|CD119 IFNGR1|CD122 IL2RB|CD123 IL3RA|CD124 IL4R|CD127 IL7R
CD133 PROM1|CD134 TNFRSF4|CD135 FLT3|CD137 TNFRSF9|CD137L TNFSF9|CD138 SDC1|CD140a PDGFRA|CD141 THBD|CD142 F3
CD144 CDH5|CD146 MCAM|CD150 SLAMF1|CD152 CTLA4|CD154 CD40LG|CD155 PVR|CD158b KIR2DL2,KIR2DL3|CD158e1 KIR3DL1
CD161 KLRB1|CD162 SELPLG|CD163 CD163|CD169 SIGLEC1|CD172a SIRPA|CD178 FASLG|CD183 CXCR3|CD184 CXCR4|CD185 CXCR5
CD194 CCR4|CD195 CCR5|CD196 CCR6|CD197 CCR7|CD204 MSR1|CD206 MRC1|CD209 CD209|CD223 LAG3|CD224 GGT1|CD226 CD226
CD235a GYPA|CD244 CD244|CD252 TNFSF4|CD253 TNFSF10|CD254 TNFSF11|CD267 TNFRSF13B|CD268 TNFRSF13C|CD269 TNFRSF17
CD270 TNFRSF14|CD272 BTLA|CD273 PDCD1LG2|CD274 CD274|CD275 ICOSLG|CD278 ICOS|CD279 PDCD1|CD294 PTGDR2|CD303 CLEC4C
CD304 NRP1|CD305 LAIR1|CD307d FCRL4|CD309 KDR|CD314 KLRK1|CD319 SLAMF7|CD324 CDH1|CD326 EPCAM|CD328 SIGLEC7
CD335 NCR1|CD336 NCR2|CD337 NCR3|CD352 SLAMF6|CD357 TNFRSF18|CD360 IL21R|CD366 HAVCR2|CD370 CLEC9A|CD371 CLEC12A
HLA-ABC HLA-A,HLA-B,HLA-C|HLA-A2 HLA-A|HLA-E HLA-E|HLA-DR HLA-DRA,HLA-DRB1|TCRab TRAC,TRBC1,TRBC2|IgD IGHD|IgM IGHM
TCRgd TRDC,TRGC1,TRGC2|TCRVa7.2 TRAV1-2|TCRVd2 TRDV2|TCRVg9 TRGV9|IgG-Fc IGHG1,IGHG2,IGHG3,IGHG4|KLRG1 KLRG1
FceRIa FCER1A|CX3CR1 CX3CR1|XCR1 XCR1|LOX-1 OLR1|TIGIT TIGIT|TSLPR CRLF2|GARP LRRC32|Podoplanin PDPN|B7-H4 VTCN1
integrin-beta7 ITGB7|Notch-1 NOTCH1|GPR56 ADGRG1|Galectin-9 LGALS9|c-Met MET|MERTK MERTK|Siglec-8 SIGLEC8|EGFR EGFR
"""
TRUTH = [tuple(pair.rsplit(" ", 1)) for pair in re.split(r"[|\n]", PANEL.strip())]


@pytest.mark.parametrize(("name", "genes"), TRUTH)
def test_proteins_of_the_usual_panels_map_to_their_genes(name, genes):
    assert protein_genes([name]) == [genes.split(",")]


def test_map_covers_the_usual_panels_and_names_no_protein_twice():
    assert len(ROWS) > 400
    keys = [_proteins._key(name) for name in NAMES]
    assert len(set(keys)) == len(keys)
    assert all(keys)


def test_every_name_of_the_map_is_found_by_itself_and_among_additions():
    for row in ROWS:
        genes = [] if row[1] == "-" else row[1].split(",")
        for name in row[0].split("; "):
            assert protein_genes([name, f"anti-human {name}_TotalSeqC"]) == [genes, genes], name


def test_map_holds_symbols():
    for names, human, *mouse in ROWS:
        assert names == names.strip()
        for gene in human.split(","):
            assert gene == "-" or re.fullmatch(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)*", gene), gene
        for gene in mouse[0].split(",") if mouse else []:
            assert gene == "-" or re.fullmatch(r"[A-Z][a-zA-Z0-9]*(-[A-Za-z0-9]+)*", gene), gene


@pytest.mark.parametrize(
    ("name", "genes"),
    [
        ("CD3_TotalSeqB", "CD3D,CD3E,CD3G"),
        ("CD45RA-TotalC", "PTPRC"),
        ("CD45RA_PROT", "PTPRC"),
        ("CD4.1", "CD4"),  # not CD41
        ("CD4-2", "CD4"),
        ("CD3-1", "CD3D,CD3E,CD3G"),  # not CD31
        ("CD11b (M1/70)", "ITGAM"),
        ("CD105_43A3", "ENG"),
        ("CD14_M5E2", "CD14"),
        ("anti-human CD45RA", "PTPRC"),
        ("anti-human_CD127_(IL-7Ralpha)", "IL7R"),
        ("anti-human-mouse_integrin_beta7", "ITGB7"),
        ("HuMs.CD44", "CD44"),
        ("Hu.HLA.DR", "HLA-DRA,HLA-DRB1"),
        ("ADT_CD56", "NCAM1"),
        ("adt:CD56", "NCAM1"),
        ("AB_ITGAX", "ITGAX"),
        ("AB_CEACAM1/5/6", "CEACAM1,CEACAM5,CEACAM6"),
        ("CD45RA-PTPRC", "PTPRC"),
        ("ADT-HLA-DR-CD74", "HLA-DRA,HLA-DRB1"),
        ("CD11b:M1_70|ITGAM|AHS0005|pAbO", "ITGAM"),
        ("NewAntigen|LY6E|AHS9999|pAbO", "LY6E"),
        ("CD25-TTTGTCCTGTACGCC", "IL2RA"),
        ("CD133.A0126", "PROM1"),
        ("CD19--HIB19-TSA", "CD19"),
        ("PD.L1..CD274.", "CD274"),
        ("X353437_CD196_CCR6.CD196_CCR6_TotalA", "CCR6"),
        ("TCR α/β", "TRAC,TRBC1,TRBC2"),
        ("TCR Vα24-Jα18 (iNKT cell)", "TRAV10,TRAJ18"),
        ("TCR-V-24-J-18", "TRAV10,TRAJ18"),
        ("pd-1", "PDCD1"),
        ("PD 1", "PDCD1"),
        ("4-1BB", "TNFRSF9"),
        ("CLEC12A-1", "CLEC12A"),
        (" FOXP3 ", "FOXP3"),
        ("NKX2-1", "NKX2-1"),
        ("HLA-DRA", "HLA-DRA"),
    ],
)
def test_what_panels_add_to_a_name_does_not_matter(name, genes):
    assert protein_genes([name]) == [genes.split(",")]


@pytest.mark.parametrize(
    "name",
    [
        "Mouse-IgG1",
        "Rat IgG2b, kappa isotype Ctrl",
        "IgG2a_control_TotalSeqB",
        "mIgG1",
        "ratIgG2bKiso",
        "Rag-IgG2c",
        "Isotype_MOPC.173",
        "RTK4530",
        "Armenian Hamster IgG",
        "HTO_3",
        "Hashtag 1",
        "Streptavidin-PE",
        "TCR Vb3",
        "an unknown thing",
    ],
)
def test_controls_and_what_is_not_known_have_no_gene(name):
    assert protein_genes([name]) == [[]]


@given(
    st.sampled_from([name for name in NAMES if "*" not in name]),
    st.sampled_from(["", "ADT_", "anti-", "anti-human ", "adt:", "AB_"]),
    st.sampled_from(["", "_TotalSeqB", "-TotalC", "_PROT", "-protein", " (1F3)", "-CTCATTGTAACTCCT"]),
    st.sampled_from([str, str.upper, str.lower]),
)
@settings(max_examples=300, deadline=None)
def test_additions_and_capitals_never_change_a_known_name(name, before, after, capitals):
    assert protein_genes([before + capitals(name) + after]) == protein_genes([name])


def test_mouse_gives_mouse_symbols():
    names = ["CD3", "CD45R/B220", "Ly-6C", "CD16/32", "I-A/I-E", "FOXP3", "CD158", "Ly-6G"]
    assert protein_genes(names, mouse=True) == [
        ["Cd3d", "Cd3e", "Cd3g"],
        ["Ptprc"],
        ["Ly6c1", "Ly6c2"],
        ["Fcgr3", "Fcgr2b"],
        ["H2-Aa", "H2-Ab1", "H2-Eb1"],
        ["Foxp3"],
        [],
        ["Ly6g"],
    ]
    assert protein_genes(["Ly-6G"]) == [[]]


def test_one_protein_has_one_plain_name():
    names = ["CD279", "PD-1", "PDCD1", "anti-human_CD279_(PD-1)", "PD1_TotalSeqC"]
    assert {plain_protein_name(name) for name in names} == {"CD279"}
    assert plain_protein_name("CD45RO-PTPRC") == "CD45RO"
    assert plain_protein_name("ADT_Mouse-IgG1") == "Mouse-IgG1"
    assert plain_protein_name("FOXP3_TotalSeqA") == "FOXP3"
