"""Regression through subsets of rows, and robust scales of residuals: the loops of the high-breakdown start.

Fast-S (M. Salibian-Barrera, V. J. Yohai, JCGS 15, 2006): of candidates, such as the exact fits of q rows in general
position, the best few by scale are improved by steps of weighted least squares, the best of these to the end. Rows that
depend on those already drawn are passed over (M. Koller, W. A. Stahel, Computational Statistics 32, 2017), so dummies
and rank-deficient designs give a subset too. The M-scale solves, with d coefficients to pay for,

    Σ s bisquare(r / scale) = (S - d) / 2

Loops are written out: the compiler takes seconds over assignments and reductions of whole arrays. Rows of weight zero
fill up a multiple of STEP, as in ``vector``.
"""

import numpy as np

from sklearn_robust._loss.bisquare import BREAKDOWN, TUNING, WIDE_MEAN, WIDE_TUNING, bisquare, bisquare_weight
from sklearn_robust._loss.jit import jit, jit_sums
from sklearn_robust._rows.cpu import add_gram, add_score
from sklearn_robust._rows.threads import run_all
from sklearn_robust._rows.vector import STEP

_FIRST = np.int64(0)  # no literal, for which a function would be compiled again
_DEPENDENT = 1e-9
_SAME_BASIN, _SCREENED = 0.15, 0.02
_NO_DRAWS = np.empty((0, 0), dtype=np.int64)
_DEAR = 1e7  # multiplications of a step, for which another thread is worth it
_STRIDE, _LEAST_LOG_SCALE, _MOST_SCALES = np.log(4.0), np.log(1e-300), 1200


@jit_sums
def _mean_bisquare(residuals, weights, scale, target):
    total = 0.0
    if weights.size:
        for i in range(residuals.size):
            total += weights[i] * bisquare(residuals[i] / scale)
    else:
        for i in range(residuals.size):
            total += bisquare(residuals[i] / scale)
    return total / target


@jit
def m_scale(residuals, weights, total, n_coefs, guess, tol):
    """The M-scale of residuals: 0 where so many are zero that no positive scale solves its equation.

    Weights (n,) and their total, or empty for ones and n.
    """
    target = BREAKDOWN * (total - n_coefs)
    if target <= 1e-12 * total:
        return 0.0
    nonzero = 0.0
    largest = 0.0
    for i in range(residuals.size):
        if residuals[i] != 0.0:
            nonzero += weights[i] if weights.size else 1.0
            largest = max(largest, abs(residuals[i]))
    if nonzero <= target:
        return 0.0
    # the mean falls with the scale: bracket the root, then false position in its logarithm (Illinois)
    at = np.log(guess if guess > 0.0 else largest)
    low, high = -np.inf, np.inf
    f_low = f_high = 0.0
    side = 0
    for _ in range(_MOST_SCALES):
        f = np.log(_mean_bisquare(residuals, weights, np.exp(at), target))
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
def clean_scale(residuals, weights, total, n_coefs):
    """Gaussian-consistent scale of the rows that are no outliers: their root mean square, weighted by a wide bisquare.

    Outliers count neither above nor below the line, so that far ones do not inflate it. Iterated from the M-scale.
    """
    scale = m_scale(residuals, weights, total, n_coefs, 0.0, 1e-10)
    dof_share = 1.0 - n_coefs / total
    for _ in range(100):
        if scale == 0.0 or dof_share <= 1e-12:
            return 0.0
        squares = 0.0
        weight = 0.0
        for i in range(residuals.size):
            u = residuals[i] / scale
            w = (weights[i] if weights.size else 1.0) * bisquare_weight(u * (TUNING / WIDE_TUNING))
            if w > 0.0:
                squares += w * (u * u)
                weight += w
        factor = np.sqrt(squares / (WIDE_MEAN * dof_share * weight))
        scale *= factor
        if abs(factor - 1.0) < 1e-10:
            break
    return scale


@jit
def _exact_fit(Xt, y, rows, theta, table, pivots):
    """Coefficients through the first rows in general position; unreachable directions stay 0."""
    q = theta.size
    found = 0
    row = table[q]
    for drawn in range(rows.size):
        index = rows[drawn]
        size = 0.0
        for j in range(q):
            row[j] = Xt[j, index]
            size = max(size, abs(row[j]))
        row[q] = y[index]
        for k in range(found):
            factor = row[pivots[k]]
            for j in range(q + 1):
                row[j] -= factor * table[k, j]
            row[pivots[k]] = 0.0
        pivot = 0
        for j in range(q):
            if abs(row[j]) > abs(row[pivot]):
                pivot = j
        if abs(row[pivot]) <= _DEPENDENT * size:
            continue
        inverse = 1.0 / row[pivot]
        for j in range(q + 1):
            table[found, j] = row[j] * inverse
        pivots[found] = pivot
        found += 1
        if found == q:
            break
    for j in range(q):
        theta[j] = 0.0
    for k in range(found - 1, -1, -1):
        value = table[k, q]
        for later in range(k + 1, found):
            value -= table[k, pivots[later]] * theta[pivots[later]]
        theta[pivots[k]] = value


@jit_sums
def _residuals(Xt, y, theta, out):
    for i in range(STEP * (y.size // STEP)):
        out[i] = y[i]
    for j in range(theta.size):
        coef = theta[j]
        for i in range(STEP * (y.size // STEP)):
            out[i] -= coef * Xt[j, i]


@jit
def _fit(Xt, y, weights, theta, residuals, products, gram, rhs, gx):
    """Move theta, and its residuals, to weighted least squares, by Cholesky; directions without weight are not moved.

    ``products`` (m,), ``gram`` (q, q), ``rhs`` (q,) and ``gx``, as for ``add_gram``, are overwritten.
    """
    q = theta.size
    for a in range(q):
        rhs[a] = 0.0
        for b in range(q):
            gram[a, b] = 0.0
    for i in range(STEP * (y.size // STEP)):
        products[i] = weights[i] * residuals[i]
    add_score(Xt, products, _FIRST, STEP * (y.size // STEP), rhs)
    add_gram(Xt, weights, _FIRST, STEP * (y.size // STEP), gram, gx)
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
    for a in range(q):
        theta[a] += rhs[a]
    _residuals(Xt, y, theta, residuals)


@jit_sums
def _bisquare_weights(residuals, weights, scale, out):
    for i in range(STEP * (residuals.size // STEP)):
        out[i] = weights[i] * bisquare_weight(residuals[i] / scale)


def _filled_up(values) -> np.ndarray:
    """With rows of zeros (the last axis), to a multiple of STEP."""
    more = -values.shape[-1] % STEP
    return np.concatenate((values, np.zeros((*values.shape[:-1], more))), axis=-1) if more else values


def _buffers(q: int, m: int):
    """Weights of m rows, and what ``_fit`` writes to for q columns, from ``residuals`` on."""
    return np.empty(m), np.empty(m), np.empty(m), np.empty((q, q)), np.empty(q), np.empty((5, m))


def screen(Xt, y, weights, n_coefs: float, halves, draws, n_kept: int) -> np.ndarray:
    """Coefficients (., q) of the best candidates by M-scale, at most ``n_kept`` of them.

    Xt (q, m) are the rows' columns. Candidates are least squares with each line of weights ``halves`` (B, m), and the
    exact fits of each line of ``draws`` (B, k). An exact fit of most rows ends the search.
    """
    total, (Xt, y, weights, halves) = weights.sum(), map(_filled_up, (Xt, y, weights, halves))
    q, m = Xt.shape
    best, scales = np.zeros((n_kept, q)), np.full(n_kept, np.inf)
    elimination = np.empty((q + 1, q + 1)), np.empty(q, np.int64), np.empty(q)
    settings = -1, 0.0, _SCREENED, 0.0
    _search(Xt, y, weights, total, n_coefs, halves, draws, *settings, best, scales, *elimination, *_buffers(q, m))
    return best[np.isfinite(scales)]


def refine_s(Xt, y, weights, n_coefs: float, candidates, max_steps: int, tol: float, scale_tol=0.0, same=_SAME_BASIN):
    """Iterate candidates (k, q) to minima of the M-scale: (coefficients (k, q), scales (k,)).

    Until a step gains less than the fraction ``tol``, with scales good to ``scale_tol``, or to a hundredth of ``tol``.
    One that comes within a fraction ``same`` of the scale of the best so far would end there too: it is left, its scale
    is inf. An exact fit leaves all others. Where a step is dear, this goes for either half of the candidates alone.
    """
    total, (Xt, y, weights) = weights.sum(), map(_filled_up, (Xt, y, weights))
    ends, scales = candidates.copy(), np.empty(len(candidates))
    rows, settings = (Xt, y, weights, total, n_coefs), (max_steps, tol, scale_tol or 0.01 * tol, same)
    halves, draws = np.empty((0, len(y))), _NO_DRAWS
    elimination = np.empty((0, 0)), np.empty(0, np.int64), np.empty(0)
    n_parts = min(2, len(candidates)) if Xt.size * len(Xt) > _DEAR else 1

    def refine(k: int) -> None:
        part = slice(k * len(scales) // n_parts, (k + 1) * len(scales) // n_parts)
        _search(*rows, halves, draws, *settings, ends[part], scales[part], *elimination, *_buffers(*Xt.shape))

    run_all(refine, n_parts)
    return ends, scales


@jit
def _search(Xt, y, weights, total, n_coefs, halves, draws, max_steps, tol, scale_tol, same, ends, scales, table, pivots,
            theta, row_weights, residuals, products, gram, rhs, gx):  # fmt: skip
    """Screen candidates for the best ``ends`` (k, q), or without any and steps given iterate the ends.

    One function for both, for the compiler writes what they call anew for each that calls it.
    """
    q = theta.size
    target = BREAKDOWN * (total - n_coefs)
    scale = 0.0
    worst = 0
    for k in range(halves.shape[0] + draws.shape[0]):
        if k < halves.shape[0]:
            for j in range(q):
                theta[j] = 0.0
            for i in range(STEP * (y.size // STEP)):
                residuals[i] = y[i]
            _fit(Xt, y, halves[k], theta, residuals, products, gram, rhs, gx)
        else:
            _exact_fit(Xt, y, draws[k - halves.shape[0]], theta, table, pivots)
            _residuals(Xt, y, theta, residuals)
        if scales[worst] < np.inf and _mean_bisquare(residuals, weights, scales[worst], target) >= 1.0:
            continue
        scale = m_scale(residuals, weights, total, n_coefs, scale, scale_tol)
        for j in range(q):
            ends[worst, j] = theta[j]
        scales[worst] = scale
        if scale == 0.0:
            break
        for j in range(scales.size):
            if scales[j] > scales[worst]:
                worst = j
    best = 0
    for j in range(scales.size if max_steps >= 0 else 0):
        current = ends[j]
        _residuals(Xt, y, current, residuals)
        scales[j] = m_scale(residuals, weights, total, n_coefs, scales[best] if j > 0 else 0.0, scale_tol)
        before = np.inf
        for _ in range(max_steps + 1):
            if scales[j] < scales[best]:
                best = j
            elif j != best:
                distance = 0.0
                for a in range(current.size):
                    distance = max(distance, abs(current[a] - ends[best, a]))
                if distance < same * scales[best]:
                    scales[j] = np.inf
                    break
            if scales[j] == 0.0 or before - scales[j] <= tol * scales[j]:
                break
            before = scales[j]
            _bisquare_weights(residuals, weights, before, row_weights)
            _fit(Xt, y, row_weights, current, residuals, products, gram, rhs, gx)
            scales[j] = m_scale(residuals, weights, total, n_coefs, before, scale_tol)
        if scales[best] == 0.0:
            for other in range(scales.size):
                if other != best:
                    scales[other] = np.inf
            break
