"""How far groups of cells lie from the rest, and how far they would if labels said nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

#: A spread within groups below this share of the spread over all cells counts as this much: effects stay finite.
_LEAST_SPREAD = 1e-3
#: What permuted effects may lack of the observed one and still count as equal: rounding.
_ROUNDING = 1e-9


def standardised(scores: np.ndarray) -> np.ndarray:
    """Return each column at mean 0 and standard deviation 1, and at 0 where it does not vary; float64."""
    centred = scores - scores.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 1e-12 * np.abs(scores).max(axis=0, initial=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=varies)


def mean_difference(scores: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the mean of each group less the mean of all other cells.

    Parameters
    ----------
    scores
        Shape ``(n_obs, n_columns)``.
    codes
        Number of each cell's group, shape ``(n_obs,)``.
    n_groups
        Number of groups, each of at least one cell.

    Returns
    -------
    Shape ``(n_groups, n_columns)``.
    """
    sums, n_in = _sums(scores, codes, n_groups)
    return sums / n_in - (scores.sum(axis=0) - sums) / (len(codes) - n_in)


def effect_size(scores: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    r"""Return the standardised mean difference of each group and all other cells.

    Parameters
    ----------
    scores
        Standardised (:func:`standardised`), shape ``(n_obs, n_columns)``.
    codes, n_groups
        As in :func:`mean_difference`; each group of at least two cells, and at least two other cells.

    Returns
    -------
    Shape ``(n_groups, n_columns)``.

    Notes
    -----
    :math:`(m_1 - m_0) / \sqrt{(s_1^2 + s_0^2) / 2}` with means :math:`m` and unbiased variances :math:`s^2` of the cells in the
    group and outside it: Cohen's d with both spreads weighing alike, whatever the numbers of cells.
    """
    n_columns = scores.shape[1]
    moments = np.hstack([scores, np.square(scores)])
    inside, n_in = _sums(moments, codes, n_groups)
    outside, n_out = moments.sum(axis=0) - inside, len(codes) - n_in
    means, variances = [], []
    for sums, n in ((inside, n_in), (outside, n_out)):
        mean = sums[:, :n_columns] / n
        means.append(mean)
        variances.append(np.maximum(sums[:, n_columns:] - n * mean**2, 0) / (n - 1))
    within = np.sqrt((variances[0] + variances[1]) / 2)
    return (means[0] - means[1]) / np.maximum(within, _LEAST_SPREAD)


def permutation_pvalues(
    scores: Sequence[np.ndarray],
    codes: np.ndarray,
    n_groups: int,
    strata: np.ndarray,
    *,
    n_permutations: int,
    seed: int,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return effect sizes, and how often permuted labels give their mean as large an effect.

    Parameters
    ----------
    scores
        Standardised scores of each model, each of shape ``(n_obs, n_columns)``.
    codes, n_groups
        As in :func:`effect_size`.
    strata
        Number of each cell's batch; labels are permuted within these.
    n_permutations
        Permutations; the least p-value is 1 / (n_permutations + 1).
    seed
        Of the permutations.

    Returns
    -------
    The effect sizes of each model, and two-sided p-values of their mean, each of shape ``(n_groups, n_columns)``.

    Notes
    -----
    The observed labels count as one permutation, so that a p-value is never 0 and the test is exact (Phipson and Smyth 2010).
    """
    observed = [effect_size(values, codes, n_groups) for values in scores]
    bar = np.abs(np.mean(observed, axis=0)) * (1 - _ROUNDING) - _ROUNDING
    as_large = np.ones_like(bar)
    rng = np.random.default_rng(seed)
    place = np.argsort(strata, kind="stable")
    permuted = np.empty_like(codes)
    for _ in range(n_permutations):
        permuted[place] = codes[np.lexsort((rng.random(len(codes)), strata))]
        as_large += np.abs(np.mean([effect_size(values, permuted, n_groups) for values in scores], axis=0)) >= bar
    return observed, as_large / (n_permutations + 1)


def _sums(values: np.ndarray, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each group's rows, ``(n_groups, n_columns)``, and its number of cells, ``(n_groups, 1)``."""
    n_obs = len(codes)
    member = sparse.csc_matrix((np.ones(n_obs), codes, np.arange(n_obs + 1)), shape=(n_groups, n_obs))
    return member @ values, np.bincount(codes, minlength=n_groups)[:, None].astype(np.float64)
