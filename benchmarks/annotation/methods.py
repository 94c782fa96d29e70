"""The methods by name.

A method is a function of a task and a seed. It may read the reference with its labels and, of the query, counts and batch
only, and returns one prediction or several that come of the same fit (Student and Teacher) by name. A new peer is one
such function and its line here.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.annotation import joint_peers, ours, peers
from benchmarks.annotation.prediction import Prediction
from benchmarks.annotation.tasks import Task

Method = Callable[[Task, int], dict[str, Prediction]]

METHODS: dict[str, Method] = {
    "SVM": peers.linear_svm,
    "LR-hvg2000": peers.logistic_on_variable_genes,
    "LR-pca100": peers.logistic_on_components,
    "kNN-pca50": peers.neighbours_on_components,
    "MLP-pca100": peers.mlp_on_components,
    "XGBoost": peers.xgboost,
    "CellTypist": peers.celltypist,
    "scanvi": peers.scanvi,
    "plkd": ours.default,
    "plkd-teacher": ours.default,
    # Its Student adapted to the query's features.
    "plkd-adapted": ours.default,
    # One model of several modalities, asked with the query's RNA (proteins, peaks) alone.
    "plkd-rna-query": ours.default,
    "plkd-protein-query": ours.default,
    "plkd-atac-query": ours.default,
    "plkd-transductive": ours.transductive,
    "plkd-transductive-teacher": ours.transductive,
    "totalvi+knn": joint_peers.totalvi,
    "multivi+knn": joint_peers.multivi,
    "wnn": joint_peers.weighted_neighbours,
    "plkd-no-kd": ours.without_distillation,
    "plkd-genesets": ours.with_gene_sets,
    "plkd-genesets-teacher": ours.with_gene_sets,
    "plkd-paper": ours.paper,
    "plkd-paper-teacher": ours.paper,
}

# Modalities that a method needs; and those that read one AnnData alone.
NEEDS = {
    "plkd-rna-query": {"rna_layer"},
    "plkd-protein-query": {"protein_layer"},
    "plkd-atac-query": {"atac_layer"},
    "totalvi+knn": {"rna_layer", "protein_layer"},
    "multivi+knn": {"rna_layer", "atac_layer"},
    "wnn": {"rna_layer"},
}
UNIMODAL = {"scanvi", "CellTypist"}

# Same answer whatever the seed, so one seed is enough.
DETERMINISTIC = {"LR-hvg2000"}
