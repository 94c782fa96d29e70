"""Labels are combinations of programmes; programmes are dealt genes."""

from __future__ import annotations

import numpy as np
import pytest

from plkd.datasets._programmes import gene_programmes, label_programmes

SIZES = [(1, 1), (1, 5), (2, 2), (2, 7), (3, 3), (5, 8), (15, 6), (10, 12), (60, 20), (200, 10)]


@pytest.mark.parametrize(("n_labels", "n_programmes"), SIZES)
def test_every_label_has_a_combination_of_its_own(n_labels, n_programmes):
    chosen = label_programmes(n_labels, n_programmes, np.random.default_rng(0))
    assert chosen.shape == (n_labels, n_programmes)
    assert len(np.unique(chosen, axis=0)) == n_labels
    assert len(set(chosen.sum(axis=1))) == 1
    assert chosen.any(axis=0).all()
    if n_labels > 2:
        assert not chosen.all(axis=0).any()


def test_labels_share_programmes():
    chosen = label_programmes(5, 8, np.random.default_rng(0))
    assert (chosen.sum(axis=0) > 1).any()
    assert chosen.sum(axis=1).tolist() == [3] * 5


@pytest.mark.parametrize("n_labels", [3, 7, 50, 300])
def test_advice_on_too_few_programmes_is_the_smallest_number_that_works(n_labels):
    with pytest.raises(ValueError, match="Fix: n_programmes=") as error:
        label_programmes(n_labels, 2, np.random.default_rng(0))
    enough = int(str(error.value).split("Fix: n_programmes=")[1].split(" ")[0])
    assert label_programmes(n_labels, enough, np.random.default_rng(0)).shape == (n_labels, enough)
    with pytest.raises(ValueError, match="too few"):
        label_programmes(n_labels, enough - 1, np.random.default_rng(0))


@pytest.mark.parametrize(("n_genes", "n_coding", "n_programmes"), [(500, 30, 8), (16, 8, 8), (40, 40, 5), (20, 3, 10)])
def test_half_of_the_genes_and_of_the_coding_ones_belong_to_programmes(n_genes, n_coding, n_programmes):
    programme = gene_programmes(n_genes, n_coding, n_programmes, np.random.default_rng(0))
    sizes = np.bincount(programme[programme >= 0], minlength=n_programmes)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
    assert (programme >= 0).sum() == n_genes // 2
    if n_coding >= n_programmes:
        assert set(programme[:n_coding]) >= set(range(n_programmes))
        assert (programme[:n_coding] >= 0).sum() == max(n_programmes, n_coding // 2)
