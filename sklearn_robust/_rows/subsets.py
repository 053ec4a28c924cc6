"""Regression through small subsets of rows, and the M-scale of residuals: the loops of the high-breakdown start.

Fast-S (M. Salibian-Barrera, V. J. Yohai, JCGS 15, 2006): each subset of q rows in general position gives exact
coefficients, two steps of weighted least squares improve them, the best few by scale are iterated to the end.
Rows that depend on those already drawn are passed over (M. Koller, W. A. Stahel, Computational Statistics 32, 2017),
so dummies and rank-deficient designs give a subset too. The M-scale solves, with d coefficients to pay for,

    Σ s bisquare(r / scale) = (S - d) / 2
"""

import numpy as np

from sklearn_robust._loss.bisquare import BREAKDOWN, TAU_MEAN, TAU_TUNING, TUNING, bisquare, bisquare_weight
from sklearn_robust._loss.jit import jit

_DEPENDENT = 1e-9


@jit
def _mean_bisquare(residuals, weights, scale, target):
    total = 0.0
    for i in range(residuals.size):
        total += weights[i] * bisquare(residuals[i] / scale)
    return total / target


@jit
def m_scale(residuals, weights, n_coefs, guess, tol):
    """The M-scale of residuals: 0 where so many are zero that no positive scale solves its equation."""
    target = BREAKDOWN * (weights.sum() - n_coefs)
    if target <= 0.0:
        return 0.0
    nonzero = 0.0
    largest = 0.0
    for i in range(residuals.size):
        if residuals[i] != 0.0:
            nonzero += weights[i]
            largest = max(largest, abs(residuals[i]))
    if nonzero <= target:
        return 0.0
    scale = guess if guess > 0.0 else largest
    # the mean falls with the scale: bracket the root, then false position in its logarithm (Illinois)
    low = high = scale
    f_low = f_high = np.log(_mean_bisquare(residuals, weights, scale, target))
    while f_low < 0.0:
        high, f_high = low, f_low
        low *= 0.25
        f_low = np.log(_mean_bisquare(residuals, weights, low, target))
        if low < 1e-300:
            return 0.0
    while f_high > 0.0:
        low, f_low = high, f_high
        high *= 4.0
        f_high = np.log(_mean_bisquare(residuals, weights, high, target))
    if low == high:
        return low
    log_low = np.log(low)
    log_high = np.log(high)
    side = 0
    for _ in range(100):
        if log_high - log_low < tol or f_low == f_high:
            break
        middle = (log_low * f_high - log_high * f_low) / (f_high - f_low)
        f_middle = np.log(_mean_bisquare(residuals, weights, np.exp(middle), target))
        if abs(f_middle) < tol:
            return np.exp(middle)
        if f_middle > 0.0:
            log_low, f_low = middle, f_middle
            if side == 1:
                f_high *= 0.5
            side = 1
        else:
            log_high, f_high = middle, f_middle
            if side == -1:
                f_low *= 0.5
            side = -1
    return np.exp(0.5 * (log_low + log_high))


@jit
def tau_scale(residuals, weights, n_coefs):
    """The tau-scale (V. J. Yohai, R. H. Zamar, JASA 83, 1988): breakdown 1/2, 95% efficient, n - d in the mean."""
    scale = m_scale(residuals, weights, n_coefs, 0.0, 1e-10)
    if scale == 0.0:
        return 0.0
    target = weights.sum() - n_coefs
    mean = _mean_bisquare(residuals, weights, scale * TAU_TUNING / TUNING, target)
    return scale * np.sqrt(mean / TAU_MEAN)


@jit
def _exact_fit(X, y, rows, theta):
    """Coefficients through the first rows in general position; unreachable directions stay 0."""
    q = X.shape[1]
    table = np.empty((q, q + 1))
    pivots = np.empty(q, np.int64)
    row = np.empty(q + 1)
    found = 0
    for index in rows:
        size = 0.0
        for j in range(q):
            row[j] = X[index, j]
            size = max(size, abs(row[j]))
        row[q] = y[index]
        for k in range(found):
            factor = row[pivots[k]]
            for j in range(q + 1):
                row[j] -= factor * table[k, j]
            row[pivots[k]] = 0.0
        pivot = np.argmax(np.abs(row[:q]))
        if abs(row[pivot]) <= _DEPENDENT * size:
            continue
        table[found] = row / row[pivot]
        for k in range(found):
            table[k] -= table[k, pivot] * table[found]
        pivots[found] = pivot
        found += 1
        if found == q:
            break
    theta[:] = 0.0
    for k in range(found):
        theta[pivots[k]] = table[k, q]


@jit
def _solve(gram, rhs):
    """Solve by Cholesky, in place; directions without weight are not moved."""
    q = rhs.size
    for a in range(q):
        diagonal = gram[a, a]
        for b in range(a):
            total = gram[a, b]
            for k in range(b):
                total -= gram[a, k] * gram[b, k]
            gram[a, b] = total / gram[b, b] if gram[b, b] > 0.0 else 0.0
        total = diagonal
        for k in range(a):
            total -= gram[a, k] * gram[a, k]
        gram[a, a] = np.sqrt(total) if total > 1e-12 * diagonal else 0.0
    for a in range(q):
        for k in range(a):
            rhs[a] -= gram[a, k] * rhs[k]
        rhs[a] = rhs[a] / gram[a, a] if gram[a, a] > 0.0 else 0.0
    for a in range(q - 1, -1, -1):
        for k in range(a + 1, q):
            rhs[a] -= gram[k, a] * rhs[k]
        rhs[a] = rhs[a] / gram[a, a] if gram[a, a] > 0.0 else 0.0


@jit
def _residuals(X, y, theta, out):
    for i in range(y.size):
        total = y[i]
        for j in range(theta.size):
            total -= X[i, j] * theta[j]
        out[i] = total


@jit
def _improve(X, y, weights, scale, theta, residuals, gram, rhs):
    """One step of weighted least squares with the weights of the bisquare."""
    q = theta.size
    gram[:] = 0.0
    rhs[:] = 0.0
    for i in range(y.size):
        w = weights[i] * bisquare_weight(residuals[i] / scale)
        if w > 0.0:
            for a in range(q):
                wx = w * X[i, a]
                rhs[a] += wx * residuals[i]
                for b in range(a + 1):
                    gram[a, b] += wx * X[i, b]
    _solve(gram, rhs)
    theta += rhs
    _residuals(X, y, theta, residuals)


@jit
def fast_s(X, y, weights, n_coefs, draws, n_steps, n_best):
    """The coefficients (q,) of smallest M-scale, and that scale; draws (B, m) are row numbers, a subset a line."""
    q = X.shape[1]
    best = np.zeros((n_best, q))
    scales = np.full(n_best, np.inf)
    theta = np.empty(q)
    residuals = np.empty(y.size)
    gram = np.empty((q, q))
    rhs = np.empty(q)
    target = BREAKDOWN * (weights.sum() - n_coefs)
    scale = 0.0
    for k in range(draws.shape[0]):
        _exact_fit(X, y, draws[k], theta)
        _residuals(X, y, theta, residuals)
        scale = m_scale(residuals, weights, n_coefs, scale, 0.1)
        if scale == 0.0:
            return theta, 0.0
        for _ in range(n_steps):
            scale *= np.sqrt(_mean_bisquare(residuals, weights, scale, target))
            _improve(X, y, weights, scale, theta, residuals, gram, rhs)
        worst = np.argmax(scales)
        if np.isfinite(scales[worst]) and _mean_bisquare(residuals, weights, scales[worst], target) >= 1.0:
            continue
        scale = m_scale(residuals, weights, n_coefs, scale, 1e-3)
        if scale == 0.0:
            return theta, 0.0
        scales[worst] = scale
        best[worst] = theta
    for k in range(n_best):
        if not np.isfinite(scales[k]):
            continue
        theta[:] = best[k]
        _residuals(X, y, theta, residuals)
        scale = scales[k]
        for _ in range(100):
            _improve(X, y, weights, scale, theta, residuals, gram, rhs)
            smaller = m_scale(residuals, weights, n_coefs, scale, 1e-10)
            gain = scale - smaller
            if gain > 0.0:
                scale = smaller
                best[k] = theta
            if gain <= 1e-7 * scale:
                break
        scales[k] = scale
    winner = np.argmin(scales)
    return best[winner], scales[winner]
