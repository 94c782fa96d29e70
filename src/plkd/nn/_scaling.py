"""Input scaling, stored with the model so that reference, query and exported Student cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from plkd.nn._sparse import SparseRows, Values, added, dense

TARGET_SUM = 1e4
#: Most directions in which a reference's values are described, for what data sets lack of them.
N_AXES = 100


class InputScaling(nn.Module):
    """What the scalings of all kinds of features share: constants of the reference, and a weight per feature.

    Parameters
    ----------
    **constants
        Constants of the reference by name, each of shape ``(n_features,)``; stored as float32 buffers.

    Attributes
    ----------
    weight
        Weight of each feature, shape ``(n_features,)``, non-negative; 1 until training sets it
        (:func:`plkd.train.feature_weights`).
    mean, loadings, noise
        Of kinds that are completed: how the reference's scaled values go together, until training sets it
        (:func:`plkd.train.coexpression`) not at all. Their means, loadings of directions that are as wide as 1, shape
        ``(n_features, 100)``, and the variances that are left.
    """

    #: Whether features that a data set lacks are expected from those it has.
    completes = False
    weight: Tensor
    mean: Tensor
    loadings: Tensor
    noise: Tensor

    def __init__(self, **constants: Any):
        super().__init__()
        for name, values in constants.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32))
        ones = torch.ones_like(next(self.buffers()))
        self.register_buffer("weight", ones)
        if self.completes:
            self.register_buffer("mean", torch.zeros_like(ones))
            self.register_buffer("loadings", ones.new_zeros(len(ones), N_AXES))
            self.register_buffer("noise", torch.ones_like(ones))

    def completed(self, weight: Tensor, bias: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return a linear layer that answers for features that a data set lacks too, by those it has.

        Parameters
        ----------
        weight, bias
            Of a layer that reads scaled values of all features, not weighted, shapes ``(n_features, n_out)`` and ``(n_out,)``.
        found
            Whether the data set has each feature, bool, shape ``(n_features,)``.

        Returns
        -------
        Weight and bias: what the layer would say were each lacking value the one expected of the cell. The same where
        nothing is known of how values go together, and for kinds of which nothing is expected.

        Notes
        -----
        The expected values are those of factor analysis (Bishop 2006, section 12.2.4), where values are normal about
        :math:`\mu` with the covariance :math:`V V^T + \Psi`: with :math:`x_f` those found, the lacking ones are
        :math:`\mu_l + V_l (1 + V_f^T \Psi_f^{-1} V_f)^{-1} V_f^T \Psi_f^{-1} (x_f - \mu_f)`. They are linear in the cell's
        values, so that the layer can hold them and no cell has to be filled in.
        """
        only_found = torch.zeros_like(weight)
        only_found[found] = weight[found]
        if not self.completes:
            return only_found, bias
        # On the CPU: not every device has double precision.
        mean, loadings, noise = (own.cpu().double() for own in (self.mean, self.loadings, self.noise))
        found, lacking = found.cpu(), weight[~found].cpu().double()
        there = loadings[found]
        precise = there / noise[found, None]
        inner = torch.eye(there.shape[1], dtype=torch.float64) + there.t() @ precise
        # What the layer makes of a step along each direction, as seen in the features that are there.
        said = precise @ torch.linalg.solve(inner, loadings[~found].t() @ lacking)
        only_found[found.to(weight.device)] += said.to(weight)
        more = mean[~found] @ lacking - mean[found] @ said
        return only_found, bias + more.to(bias)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if self.completes:
            names = [prefix + name for name in ("mean", "loadings", "noise")]
            if not any(name in state_dict for name in names):
                # Files of plkd's first days know nothing of how values go together; then nothing is expected.
                nothing = (self.mean * 0, self.loadings * 0, torch.ones_like(self.noise))
                state_dict |= dict(zip(names, nothing, strict=True))
            loadings = state_dict.get(names[1])
            if loadings is not None and len(loadings) == len(self.mean):
                # As many directions as the file has.
                self.loadings = self.loadings.new_zeros(len(loadings), loadings.shape[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def scaled(self, x: Values, found: Tensor | None) -> Values:
        """Return counts scaled, not yet weighted."""
        raise NotImplementedError

    def forward(self, x: Values, *, logged: bool = False, found: Tensor | None = None) -> Values:
        """Scale one mini-batch.

        Parameters
        ----------
        x
            Counts, or log-normalised values, shape ``(n_obs, n_features)``, float, non-negative; dense or sparse.
        logged
            Whether ``x`` is log-normalised already; it is then only weighted.
        found
            Which features the data set has, bool, shape ``(n_features,)``; None: all of them.

        Returns
        -------
        Scaled values in the form of ``x``, shape ``(n_obs, n_features)``. A cell without counts is all zero.
        """
        return self.weighted(self.unweighted(x, logged=logged, found=found))

    def unweighted(self, x: Values, *, logged: bool, found: Tensor | None) -> Values:
        """Return the values before the features' weights; log-normalised ones are taken as they are."""
        return x if logged else self.scaled(x, found)

    def weighted(self, values: Values) -> Values:
        """Return scaled values times the features' weights."""
        if isinstance(values, SparseRows):
            return values.with_values(values.values * self.weight[values.columns])
        return values * self.weight


class RNAScaling(InputScaling):
    """Scale RNA to log1p of counts per 10,000, each gene times a weight learned from the reference.

    Parameters
    ----------
    gene_share
        Mean share of each gene in a reference cell's counts, shape ``(n_features,)``, summing to 1. It says what
        part of a reference cell's counts a gene-poor query can be expected to hold (:meth:`share_of`).

    Notes
    -----
    The library size of a cell is its counts over the model's genes that its data set has, divided by the reference's
    mean share of those genes, so that a query that lacks genes lands on the reference's scale. Values of the genes that it lacks
    are expected from the others (:meth:`completed`).
    """

    completes = True
    gene_share: Tensor

    def __init__(self, gene_share: Any):
        super().__init__(gene_share=gene_share)

    def share_of(self, found: Tensor | None) -> Tensor | float:
        """Return the reference's mean share of the genes that a data set has.

        Parameters
        ----------
        found
            Whether the data set has each gene, bool, shape ``(n_features,)``; None: all.

        Returns
        -------
        A number in (0, 1]; 1 where every gene is there or where those there hold no reference counts.
        """
        return _share(self.gene_share, found)

    def scaled(self, x: Values, found: Tensor | None) -> Values:
        """Return log1p of counts per 10,000."""
        return _log_of_shares(x, TARGET_SUM * self.share_of(found))


class ProteinScaling(InputScaling):
    r"""Scale protein (ADT) counts to centred log ratios, less the reference's mean of each protein.

    Parameters
    ----------
    log_mean
        Mean of log1p of each protein's counts over the reference's cells, shape ``(n_features,)``.

    Notes
    -----
    With :math:`d_i = \log(1 + x_i) - \bar\ell_i`, where :math:`\bar\ell` is ``log_mean``, a protein's value is
    :math:`d_i - \bar d`, the mean taken over the proteins that the data set has: the centred log ratio of the cell less
    that of the reference's mean cell over the same proteins. A panel that lacks proteins therefore lands on the
    reference's scale, and a protein that is not there has the reference's mean, 0.
    """

    log_mean: Tensor

    def __init__(self, log_mean: Any):
        super().__init__(log_mean=log_mean)

    def scaled(self, x: Values, found: Tensor | None) -> Tensor:
        """Return centred log ratios less those of the reference's mean cell; always dense."""
        x = dense(x)
        differences = torch.log1p(x) - self.log_mean
        measured = (x > 0).any(dim=1, keepdim=True)
        if found is None:
            return (differences - differences.mean(dim=1, keepdim=True)) * measured
        there = found.to(differences.dtype)
        mean = (differences * there).sum(dim=1, keepdim=True) / there.sum().clamp_min(1)
        return (differences - mean) * there * measured


class ATACScaling(InputScaling):
    r"""Scale counts of accessible peaks to log1p of 10,000 times TF-IDF.

    Parameters
    ----------
    peak_share
        Mean share of each peak in a reference cell's counts, shape ``(n_features,)``, summing to 1; as
        ``gene_share`` of :class:`RNAScaling`.
    idf
        Inverse document frequency, shape ``(n_features,)``: :math:`n / (1 + n_p)` of n reference cells of which
        :math:`n_p` have the peak open.

    Notes
    -----
    :math:`\log(1 + 10^4 \, \mathrm{tf}_p \, \mathrm{idf}_p)` with :math:`\mathrm{tf}_p` the peak's share of the cell's
    counts. Counts of fragments, of insertions, and 0/1 are all taken as they are.
    """

    peak_share: Tensor
    idf: Tensor

    def __init__(self, peak_share: Any, idf: Any):
        super().__init__(peak_share=peak_share, idf=idf)

    def scaled(self, x: Values, found: Tensor | None) -> Values:
        """Return log1p of scaled TF-IDF."""
        return _log_of_shares(x, TARGET_SUM * _share(self.peak_share, found), self.idf)


def _share(shares: Tensor, found: Tensor | None) -> Tensor | float:
    if found is None or bool(found.all()):
        return 1.0
    share = shares[found].sum()
    return share if float(share) > 0 else 1.0


def _log_of_shares(x: Values, total: Tensor | float, factors: Tensor | None = None) -> Values:
    """Return log1p of each cell's values brought to a total, times a factor per feature; zeros stay zeros."""
    if isinstance(x, SparseRows):
        values = x.scaled_rows(total / x.sum_rows().clamp_min(1e-12)).values
        return x.with_values(torch.log1p(values if factors is None else values * factors[x.columns]))
    values = x * (total / x.sum(dim=1, keepdim=True).clamp_min(1e-12))
    return torch.log1p(values if factors is None else values * factors)


_SCALINGS: dict[str, tuple[type[InputScaling], tuple[str, ...]]] = {
    "rna": (RNAScaling, ("gene_share",)),
    "protein": (ProteinScaling, ("log_mean",)),
    "atac": (ATACScaling, ("peak_share", "idf")),
}


def constant_names(kind: str) -> tuple[str, ...]:
    """Return the names of the constants that the input scaling of a kind of features has."""
    return _SCALINGS[kind][1]


def make_scaling(kind: str, n_features: int, constants: Mapping[str, Any] | None = None) -> InputScaling:
    """Return the input scaling of a kind of features.

    Parameters
    ----------
    kind
        ``"rna"``, ``"protein"`` or ``"atac"``.
    n_features
        Number of features.
    constants
        The reference's constants by name; None takes zeros, to be loaded over.
    """
    scaling, names = _SCALINGS[kind]
    return scaling(**(constants or {name: torch.zeros(n_features) for name in names}))


def scale_batch(scaling: Mapping[str, InputScaling], batch: Mapping[str, Any]) -> dict[str, Values]:
    """Scale a mini-batch of :class:`plkd.data.Cells`, modality by modality, as the networks read it.

    Parameters
    ----------
    scaling
        By kind.
    batch
        With ``x`` and ``scale`` by kind.

    Returns
    -------
    Scaled values by kind, each ``(n_obs, n_features)``; all zero where a cell lacks the modality.
    """
    return weigh_batch(scaling, unweighted_batch(scaling, batch))


def unweighted_batch(scaling: Mapping[str, InputScaling], batch: Mapping[str, Any]) -> dict[str, Values]:
    """Scale a mini-batch as :func:`scale_batch` does, but leave all features their own weight."""
    values = {}
    for kind, layer in scaling.items():
        scale, found = batch["scale"][kind]
        values[kind] = layer.unweighted(batch["x"][kind], logged=scale == "log", found=found)
    # Cells of other data sets, zero where the first has its own.
    for part in batch.get("others", ()):
        others = unweighted_batch(scaling, part)
        values = {kind: added(own, others[kind]) for kind, own in values.items()}
    return values


def weigh_batch(scaling: Mapping[str, InputScaling], values: Mapping[str, Values]) -> dict[str, Values]:
    """Return the result of :func:`unweighted_batch` times the features' weights."""
    return {kind: scaling[kind].weighted(own) for kind, own in values.items()}
