"""From logits to probabilities that mean what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, softmax

#: The temperature is looked for between these; held-out cells that are all right, or all wrong, would ask for 0 or infinity
#: and tell nothing of doubtful cells.
LOWEST, HIGHEST = 0.5, 20.0
#: How far apart the temperatures of two networks may be.
_FURTHEST = 5.0
#: What the called label is ahead of the next at least.
_LEAD = 1e-6


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities.

    Attributes
    ----------
    temperature
        What logits are divided by before the softmax.
    knots
        Confidences (probability of the most probable label after that softmax), increasing, shape ``(n_knots,)``.
    accuracy
        Share of held-out cells with such a confidence that were called rightly, shape ``(n_knots,)``; straight lines between.
    allowance
        Share of the calls, right on cells like those of the reference, that are taken to be wrong on cells of another
        laboratory, in [0, 1).
    """

    temperature: float
    knots: np.ndarray
    accuracy: np.ndarray
    allowance: float

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return label probabilities, float64, rows summing to 1; the most probable label is that of the largest logit.

        Parameters
        ----------
        logits
            Shape ``(n_obs, n_labels)``.
        """
        scaled = logits.astype(np.float64) / self.temperature
        if not len(scaled) or scaled.shape[1] == 1:
            return softmax(scaled, axis=1)
        rows, best = np.arange(len(scaled)), logits.argmax(axis=1)
        highest = scaled[rows, best]
        # What is left goes to the others in proportion; none of them may pass the one that is called. A softmax of their own,
        # since 1 - top has no digits left where a network is sure.
        scaled[rows, best] = -np.inf
        next_best = scaled.max(axis=1)
        others = np.exp(scaled - next_best[:, None])
        total = others.sum(axis=1)
        others /= total[:, None]
        top = 1 / (1 + total * np.exp(next_best - highest))
        called = (1 - self.allowance) * np.interp(top, self.knots, self.accuracy)
        second = others.max(axis=1)
        called = np.clip(called, second / (1 + second) + _LEAD, 1.0)
        calibrated = others * (1 - called)[:, None]
        calibrated[rows, best] = called
        return calibrated

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays; :meth:`from_arrays` reads them back."""
        return {
            "temperature": np.array([self.temperature]),
            "knots": self.knots,
            "accuracy": self.accuracy,
            "allowance": np.array([self.allowance]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Calibration:
        """Read the result of :meth:`to_arrays`."""
        a = {name: np.asarray(arrays[name]) for name in ("temperature", "knots", "accuracy", "allowance")}
        return cls(float(a["temperature"][0]), a["knots"], a["accuracy"], float(a["allowance"][0]))


def fit_calibration(logits: np.ndarray, codes: np.ndarray, *, allowance: float) -> Calibration:
    """Fit probabilities to held-out cells.

    Parameters
    ----------
    logits
        Of cells that took no part in training, shape ``(n_obs, n_labels)``.
    codes
        Their labels as columns of ``logits``, shape ``(n_obs,)``.
    allowance
        As of :class:`Calibration`.

    Notes
    -----
    First one temperature for all logits (Guo et al. 2017, section 4.2), which keeps the labels' order; then an isotonic
    regression of being right on the confidence (Zadrozny and Elkan 2002). One cell called wrongly is added at both ends, so
    that few cells do not make sure of anything (Laplace's rule).
    """
    from sklearn.isotonic import isotonic_regression

    temperature = fit_temperature(logits, codes)
    confidence = softmax(logits.astype(np.float64) / temperature, axis=1).max(axis=1)
    right = (logits.argmax(axis=1) == codes).astype(np.float64)
    ends = [confidence.min(initial=1 / logits.shape[1]), confidence.max(initial=1 / logits.shape[1])]
    confidence, right = np.concatenate([confidence, ends]), np.concatenate([right, [0.0, 0.0]])
    knots, which = np.unique(confidence, return_inverse=True)
    n_cells = np.bincount(which)
    accuracy = isotonic_regression(np.bincount(which, weights=right) / n_cells, sample_weight=n_cells)
    # The ends of each level are all that interpolation needs.
    kept = np.flatnonzero(np.r_[True, np.diff(accuracy) > 0] | np.r_[np.diff(accuracy) > 0, True])
    return Calibration(temperature, knots[kept], accuracy[kept], allowance)


def fit_temperature(logits: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature under which held-out cells' labels are most likely, in [0.5, 20]; 1 where there is no cell.

    Parameters
    ----------
    logits, codes
        As of :func:`fit_calibration`.
    """
    if not len(codes):
        return 1.0
    logits, rows = logits.astype(np.float64), np.arange(len(codes))

    def loss(log_inverse: float) -> float:
        return -float(log_softmax(logits * np.exp(log_inverse), axis=1)[rows, codes].mean())

    found = minimize_scalar(loss, bounds=(-np.log(HIGHEST), -np.log(LOWEST)), method="bounded")
    return float(np.exp(-found.x))


def matched_temperature(logits: np.ndarray, others: np.ndarray, calibration: Calibration) -> float:
    r"""Return the temperature under which a calibrated network's calibration serves another one.

    Such as a distilled Student, whose Teacher saw the cells left out: it is then, on average and as far as these cells can tell, as sure as
    the Students that did not.

    Parameters
    ----------
    logits, others
        Of the network to be served and of the calibrated one for the same cells, neither of which trained on them, shape
        ``(n_obs, n_labels)``; at least one cell.
    calibration
        Of the calibrated network. What is returned is between a fifth and five times of its temperature: few cells do not ask for
        more.

    Notes
    -----
    With the calibrated network's temperature the two differ in confidence by :math:`\bar d` on average, with a standard error
    :math:`e` over the cells. Few cells tell that difference badly, so that the temperature is moved until
    :math:`\bar d^2 / (\bar d^2 + e^2)` of it are gone; of the confidence before or after the calibration's curve, whichever
    asks for less. What the curve makes of equal means before it may be far apart, where it is steep; where it is level, as
    where all calls are right, it tells nothing.
    """
    own = calibration.temperature

    def before(values: np.ndarray, temperature: float) -> np.ndarray:
        return softmax(values.astype(np.float64) / temperature, axis=1).max(axis=1)

    def after(values: np.ndarray, temperature: float) -> np.ndarray:
        return replace(calibration, temperature=temperature).probabilities(values).max(axis=1)

    return own * float(np.exp(min((_log_ratio(logits, others, own, each) for each in (before, after)), key=abs)))


def _log_ratio(
    logits: np.ndarray, others: np.ndarray, temperature: float, confidence: Callable[[np.ndarray, float], np.ndarray]
) -> float:
    """Return by how much the log of the temperature is moved, as :func:`matched_temperature` says, for one kind of confidence."""
    difference = confidence(logits, temperature) - confidence(others, temperature)
    squared = difference.mean() ** 2
    if squared == 0:
        return 0.0
    share = squared / (squared + difference.var() / len(difference))
    wanted = confidence(logits, temperature).mean() - share * difference.mean()

    def excess(log_ratio: float) -> float:
        return float(confidence(logits, temperature * np.exp(log_ratio)).mean() - wanted)

    low, high = -np.log(_FURTHEST), np.log(_FURTHEST)
    if excess(low) <= 0 or excess(high) >= 0:
        # The surest that may be is not sure enough, or the least sure still too sure.
        return float(low if excess(low) <= 0 else high)
    return float(brentq(excess, low, high))
