"""How far a cell lies from every label of the reference, and what that is on the scale of held-out cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plkd.confidence._surroundings import LEAST_CELLS

#: Share of a label's spread that is spread evenly over all directions, so that directions without any do not blow up.
_RIDGE = 1e-3
#: Quantiles of the held-out cells' distances that are kept.
_N_KNOTS = 1001
#: Beyond this quantile the distances are taken to fall off exponentially.
TAIL = 0.95
#: A query's cells may lie this much further out, as a whole, before that counts as novelty.
MOST_SHIFT = 2.0
#: A query much larger than all folds may lie this much nearer: its directions follow less noise.
LEAST_SHIFT = 0.5


@dataclass(frozen=True)
class LabelCentres:
    """The labels' centres in a latent space whose axes are scaled to the spread of cells around them.

    Attributes
    ----------
    whitening
        Shape ``(n_latent, n_latent)``.
    centres
        Mean latent of each label in the scaled space, shape ``(n_centres, n_latent)``; labels without a cell have none.
    """

    whitening: np.ndarray
    centres: np.ndarray

    @cached_property
    def _from_middle(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where in the latent space the middle of the centres lies, the centres from there, and the whitening, float32.

        From their middle, and by differences from the nearest alone, little cancels in float32.
        """
        middle = self.centres.mean(axis=0)
        origin = np.linalg.solve(self.whitening.T, middle)
        return origin, (self.centres - middle).astype(np.float32), self.whitening.astype(np.float32)

    def distance(self, latent: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distance to the nearest centre, shape ``(n_obs,)`` (Lee et al. 2018, section 2.1).

        Parameters
        ----------
        latent
            Shape ``(n_obs, n_latent)``.
        """
        origin, centres, whitening = self._from_middle
        scaled = (latent - origin).astype(np.float32) @ whitening
        nearest = (np.square(centres).sum(axis=1) - 2 * (scaled @ centres.T)).argmin(axis=1)
        return np.sqrt(np.square(scaled - centres[nearest]).sum(axis=1, dtype=np.float64))


def fit_centres(latent: np.ndarray, codes: np.ndarray) -> LabelCentres:
    """Return the centres of labelled cells and the spread around them that all labels share.

    Parameters
    ----------
    latent
        Of training cells, shape ``(n_obs, n_latent)``.
    codes
        Their labels, shape ``(n_obs,)``.
    """
    latent = latent.astype(np.float64)
    _, which = np.unique(codes, return_inverse=True)
    counts = np.bincount(which)
    means = np.zeros((len(counts), latent.shape[1]))
    np.add.at(means, which, latent)
    means /= counts[:, None]
    around = latent - means[which]
    covariance = around.T @ around / max(len(latent), 1)
    covariance += (_RIDGE * np.trace(covariance) / len(covariance) + 1e-12) * np.eye(len(covariance))
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return LabelCentres(whitening, means @ whitening)


@dataclass(frozen=True)
class Novelty:
    """Distances as shares of held-out cells of the reference.

    Attributes
    ----------
    knots
        Quantiles of the distances of held-out cells, each to the centres of a Student that did not see it, increasing.
    tail
        Mean excess of those beyond the quantile ``TAIL``.
    """

    knots: np.ndarray
    tail: float

    def shift(self, distance: np.ndarray, *, least: float = 1.0) -> float:
        """Return how much further out the middle cell of a query lies than that of the held-out cells, at most 2.

        Another protocol moves all cells away from the reference; that is no novelty. At most half of the query's cells may
        be of novel types for this to hold; the limit keeps a query that is novel as a whole from passing as a shift. 1 for
        a query of fewer than 50 cells.

        Parameters
        ----------
        distance
            Of the query's cells, shape ``(n_obs,)``.
        least
            What is returned where it lies nearer than this.
        """
        if len(distance) < LEAST_CELLS:
            return 1.0
        middle = float(np.interp(0.5, np.linspace(0, 1, len(self.knots)), self.knots))
        return float(np.clip(np.median(distance) / max(middle, 1e-12), least, MOST_SHIFT))

    def score(self, distance: np.ndarray, shift: float = 1.0) -> np.ndarray:
        """Return the share of held-out cells that lie nearer than each cell, in [0, 1].

        Parameters
        ----------
        distance
            Shape ``(n_obs,)``.
        shift
            Result of :meth:`shift`; distances are divided by it.

        Notes
        -----
        Beyond the quantile ``TAIL`` an exponential tail (Pickands 1975, shape 0), so that far cells keep their order.
        """
        distance = distance / shift
        share = np.interp(distance, self.knots, np.linspace(0, 1, len(self.knots)))
        edge = float(np.interp(TAIL, np.linspace(0, 1, len(self.knots)), self.knots))
        far = distance > edge
        share[far] = 1 - (1 - TAIL) * np.exp(-(distance[far] - edge) / self.tail)
        return share


def fit_novelty(distances: np.ndarray) -> Novelty:
    """Return the scale of novelty.

    Parameters
    ----------
    distances
        Of held-out cells, each to the centres of a Student that did not see it, shape ``(n_held_out,)``.
    """
    knots = np.quantile(distances, np.linspace(0, 1, _N_KNOTS))
    edge = np.quantile(distances, TAIL)
    beyond = distances[distances > edge] - edge
    return Novelty(knots, float(beyond.mean()) if len(beyond) else max(1e-3 * float(edge), 1e-12))
