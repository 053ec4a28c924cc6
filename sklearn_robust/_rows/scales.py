"""Robust scales of residuals: the M-scale of half the rows, and that of the rows that are no outliers.

The M-scale solves, with d coefficients to pay for,

    Σ s bisquare(r / scale) = (S - d) / 2
"""

import numpy as np

from sklearn_robust._loss.bisquare import BREAKDOWN, TUNING, WIDE_MEAN, WIDE_TUNING, bisquare, bisquare_weight
from sklearn_robust._loss.jit import jit, jit_part, jit_sums

_STRIDE, _LEAST_LOG_SCALE, _MOST_SCALES = np.log(4.0), np.log(1e-300), 1200


@jit_part
def inverse_of(scale):
    """What turns residuals into the argument of the bisquare; loops of sums would make a quotient of it again."""
    return 1.0 / (TUNING * scale)


@jit_sums
def mean_bisquare(residuals, weights, inverse, target):
    total = 0.0
    if weights.size:
        for i in range(residuals.size):
            total += weights[i] * bisquare(residuals[i] * inverse)
    else:
        for i in range(residuals.size):
            total += bisquare(residuals[i] * inverse)
    return total / target


@jit_part
def find_m_scale(residuals, weights, total, n_coefs, guess, tol):
    """What ``m_scale`` gives, for use in other functions."""
    target = BREAKDOWN * (total - n_coefs)
    if target <= 1e-12 * total:
        return 0.0
    nonzero = 0.0
    largest = 0.0
    for i in range(residuals.size):
        if residuals[i] != 0.0:
            nonzero += weights[i] if weights.size else 1.0
            largest = abs(residuals[i]) if abs(residuals[i]) > largest else largest
    if nonzero <= target:
        return 0.0
    # the mean falls with the scale: bracket the root, then false position in its logarithm (Illinois)
    at = np.log(guess if guess > 0.0 else largest)
    low, high = -np.inf, np.inf
    f_low = f_high = 0.0
    side = 0
    for _ in range(_MOST_SCALES):
        f = np.log(mean_bisquare(residuals, weights, inverse_of(np.exp(at)), target))
        if abs(f) < tol:
            break
        if f > 0.0:
            low, f_low = at, f
            if side == 1:
                f_high *= 0.5
            side = 1
        else:
            high, f_high = at, f
            if side == -1:
                f_low *= 0.5
            side = -1
        if low == -np.inf or high == np.inf:
            side = 0
            at += _STRIDE if high == np.inf else -_STRIDE
            if at < _LEAST_LOG_SCALE:
                return 0.0
        elif high - low < tol or f_low == f_high or f_high == -np.inf:
            at = 0.5 * (low + high)
            if high - low < tol:
                break
        else:
            at = (low * f_high - high * f_low) / (f_high - f_low)
    return np.exp(at)


@jit
def m_scale(residuals, weights, total, n_coefs, guess, tol):
    """The M-scale of residuals: 0 where so many are zero that no positive scale solves its equation.

    Weights (n,) and their total, or empty for ones and n.
    """
    return find_m_scale(residuals, weights, total, n_coefs, guess, tol)


@jit
def clean_scale(residuals, weights, total, n_coefs):
    """Gaussian-consistent scale of the rows that are no outliers: their root mean square, weighted by a wide bisquare.

    Outliers count neither above nor below the line, so that far ones do not inflate it. Iterated from the M-scale.
    """
    scale = find_m_scale(residuals, weights, total, n_coefs, 0.0, 1e-10)
    dof_share = 1.0 - n_coefs / total
    for _ in range(100):
        if scale == 0.0 or dof_share <= 1e-12:
            return 0.0
        squares = 0.0
        weight = 0.0
        for i in range(residuals.size):
            u = residuals[i] / scale
            w = (weights[i] if weights.size else 1.0) * bisquare_weight(u / WIDE_TUNING)
            if w > 0.0:
                squares += w * (u * u)
                weight += w
        factor = np.sqrt(squares / (WIDE_MEAN * dof_share * weight))
        scale *= factor
        if abs(factor - 1.0) < 1e-10:
            break
    return scale
