"""Regression through subsets of rows: the loops of the high-breakdown start.

Fast-S (M. Salibian-Barrera, V. J. Yohai, JCGS 15, 2006): of candidates, such as the exact fits of q rows in general
position, the best few by scale are improved by steps of weighted least squares, the best of these to the end. Rows that
depend on those already drawn are passed over (M. Koller, W. A. Stahel, Computational Statistics 32, 2017), so dummies
and rank-deficient designs give a subset too.

Loops are written out: the compiler takes seconds over assignments and reductions of whole arrays. Rows of weight zero
fill up a multiple of STEP, as in ``vector``.
"""

from typing import NamedTuple

import numpy as np

from sklearn_robust._loss.bisquare import BREAKDOWN, bisquare_slope, bisquare_weight
from sklearn_robust._loss.jit import jit, jit_part, jit_sums, pointer
from sklearn_robust._rows.cpu import add_gram, add_score
from sklearn_robust._rows.scales import find_m_scale, inverse_of, mean_bisquare
from sklearn_robust._rows.threads import run_all
from sklearn_robust._rows.vector import STEP

_FIRST = np.int64(0)  # no literal, for which a function would be compiled again
_DEPENDENT = 1e-9
_SAME_BASIN = 0.15
_DEAR = 1e7  # multiplications of a step, for which another thread is worth it
# A step is weighted least squares. Near a minimum, where gains are a small share of the scale, it is taken times how
# much the weights exceed the curvature, at most so much, and the factor of the last gram serves while gains fall by a
# factor: further out either might lead to a worse minimum.
_FAR_GAIN, _LONGEST, _FAST = 0.05, 3.0, 0.8


class Eliminated(NamedTuple):
    """Subsets of rows in general position, each with its elimination: whatever y is, the fit is two substitutions.

    Of each of B subsets the row numbers (B, q), the columns that they were solved for (B, q), how many there are (B,),
    and the reduced rows (B, q, q): in the columns solved for before, the factors that reduced them, and in their own
    what they were scaled by.
    """

    rows: np.ndarray
    pivots: np.ndarray
    found: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, Xt, draws) -> "Eliminated":
        """The first of each line of row numbers (B, k) that are in general position."""
        q = len(Xt)
        made = cls.none(q, len(draws))
        _eliminate(Xt, draws, *made, *np.empty((2, q)))
        return made

    @classmethod
    def none(cls, q: int, n: int = 0) -> "Eliminated":
        """Room for n subsets."""
        rows, pivots = np.empty((2, n, q), np.int64)
        return cls(rows, pivots, np.empty(n, np.int64), np.empty((n, q, q)))


@jit
def _eliminate(Xt, draws, rows, pivots, found, table, factors, row):
    q = row.size
    for subset in range(draws.shape[0]):
        n = 0
        for drawn in range(draws.shape[1]):
            index = draws[subset, drawn]
            size = 0.0
            for j in range(q):
                row[j] = Xt[j, index]
                size = abs(row[j]) if abs(row[j]) > size else size
            for k in range(n):
                factors[k] = row[pivots[subset, k]]
                for j in range(q):
                    row[j] -= factors[k] * table[subset, k, j]
            for k in range(n):
                row[pivots[subset, k]] = 0.0
            pivot = 0
            for j in range(q):
                if abs(row[j]) > abs(row[pivot]):
                    pivot = j
            if abs(row[pivot]) <= _DEPENDENT * size:
                continue
            inverse = 1.0 / row[pivot]
            for j in range(q):
                table[subset, n, j] = row[j] * inverse
            for k in range(n):
                table[subset, n, pivots[subset, k]] = factors[k]
            rows[subset, n], pivots[subset, n], table[subset, n, pivot] = index, pivot, inverse
            n += 1
            if n == q:
                break
        found[subset] = n


@jit_part
def _exact_fit(y, rows, pivots, found, table, theta, values):
    """Coefficients through a subset; unreachable directions stay 0."""
    for j in range(theta.size):
        theta[j] = 0.0
    for k in range(found):
        value = y[rows[k]]
        for earlier in range(k):
            value -= table[k, pivots[earlier]] * values[earlier]
        values[k] = value * table[k, pivots[k]]
    for k in range(found - 1, -1, -1):
        value = values[k]
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


@jit_sums
def _factorise(Xt, weights, m, gram, gx):
    """Write Cholesky's factor of the weighted gram; of directions without weight zeros."""
    q = gram.shape[0]
    for a in range(q):
        for b in range(q):
            gram[a, b] = 0.0
    add_gram(Xt, pointer(weights), _FIRST, m, gram, gx)
    for a in range(q):
        diagonal = gram[a, a]
        for b in range(a):
            total = 0.0
            for k in range(b):
                total += gram[a, k] * gram[b, k]
            gram[a, b] = (gram[a, b] - total) / gram[b, b] if gram[b, b] > 0.0 else 0.0
        total = 0.0
        for k in range(a):
            total += gram[a, k] * gram[a, k]
        gram[a, a] = np.sqrt(diagonal - total) if diagonal - total > 1e-12 * diagonal else 0.0


@jit_part
def _find_step(Xt, residuals, weights, m, renew, products, gram, step, gx):
    """Write the step to weighted least squares of m rows; directions without weight are not moved.

    By Cholesky's factor of the weighted gram, or that of other weights unless it is to be renewed. ``products`` (m,),
    ``gram`` (q, q), ``step`` (q,) and ``gx``, as for ``add_gram``, are overwritten.
    """
    q, m = step.size, STEP * (m // STEP)
    for a in range(q):
        step[a] = 0.0
    for i in range(m):
        products[i] = weights[i] * residuals[i]
    add_score(Xt, pointer(products), _FIRST, m, step)
    if renew:
        _factorise(Xt, weights, m, gram, gx)
    for a in range(q):
        for k in range(a):
            step[a] -= gram[a, k] * step[k]
        step[a] = step[a] / gram[a, a] if gram[a, a] > 0.0 else 0.0
    for a in range(q - 1, -1, -1):
        for k in range(a + 1, q):
            step[a] -= gram[k, a] * step[k]
        step[a] = step[a] / gram[a, a] if gram[a, a] > 0.0 else 0.0


@jit_part
def _gather(Xt, y, weights, numbers, half, half_y, half_weights):
    """Write the rows that have weight, filled up to a multiple of STEP, and return how many there are then."""
    m = 0
    for i in range(y.size):
        if weights[i] > 0.0:
            numbers[m], half_y[m], half_weights[m] = i, y[i], weights[i]
            m += 1
    for j in range(Xt.shape[0]):
        for i in range(m):
            half[j, i] = Xt[j, numbers[i]]
    while m % STEP:
        half_y[m] = half_weights[m] = 0.0
        for j in range(Xt.shape[0]):
            half[j, m] = 0.0
        m += 1
    return m


@jit_sums
def _bisquare_weights(residuals, weights, inverse, out):
    """Write the weights, and return by how much they exceed the curvature of the loss."""
    total = slope = 0.0
    for i in range(STEP * (residuals.size // STEP)):
        v = residuals[i] * inverse
        w = weights[i] * bisquare_weight(v)
        out[i] = w
        total += w
        slope += weights[i] * bisquare_slope(v)
    return total / slope if slope > 0.0 else np.inf


def _filled_up(values) -> np.ndarray:
    """With rows of zeros (the last axis), to a multiple of STEP."""
    more = -values.shape[-1] % STEP
    return np.concatenate((values, np.zeros((*values.shape[:-1], more))), axis=-1) if more else values


def _buffers(q: int, m: int, n_gathered: int = 0):
    """What ``_search`` writes to for m rows of q columns, of which it may gather some."""
    gathered = np.empty(n_gathered, np.int64), np.empty((q, n_gathered)), np.empty(n_gathered)
    return *np.empty((3, q)), *gathered, *np.empty((3, m)), np.empty((q, q)), np.empty((5, m))


def screen(Xt, y, weights, n_coefs: float, halves, subsets: Eliminated, n_kept: int) -> np.ndarray:
    """Coefficients (., q) of the best candidates by M-scale, at most ``n_kept`` of them.

    Xt (q, m) are the rows' columns. Candidates are least squares with each line of weights ``halves`` (B, m), and the
    exact fits of subsets. An exact fit of most rows ends the search.
    """
    total, (Xt, y, weights, halves) = weights.sum(), map(_filled_up, (Xt, y, weights, halves))
    q, m = Xt.shape
    best, scales = np.zeros((n_kept, q)), np.full(n_kept, np.inf)
    rows, settings = (Xt, y, weights, total, n_coefs), (0, 0.0, 0.02, 0.0)
    _search(*rows, halves, *subsets, *settings, best, scales, *_buffers(q, m, m if len(halves) else 0))
    return best[np.isfinite(scales)]


@jit
def _search(Xt, y, weights, total, n_coefs, halves, rows, pivots, found, table, max_steps, tol, scale_tol, same,
            ends, scales, theta, step, values, numbers, half, half_y, residuals, row_weights, products, gram,
            gx):  # fmt: skip
    """Candidates (k, q) compete for the places of ``ends``; or else, where there are none, these are iterated.

    One function, for the steps of both are the same code. The last eleven arguments are ``_buffers``.
    """
    if halves.shape[0] + found.size > 0:
        _screen(Xt, y, weights, total, n_coefs, halves, rows, pivots, found, table, scale_tol, ends, scales, theta,
                step, values, numbers, half, half_y, residuals, row_weights, products, gram, gx)  # fmt: skip
    else:
        _refine(Xt, y, weights, total, n_coefs, max_steps, tol, scale_tol, same, ends, scales, theta,
                step, residuals, row_weights, products, gram, gx)  # fmt: skip


@jit_part
def _screen(Xt, y, weights, total, n_coefs, halves, rows, pivots, found, table, scale_tol, best, scales, theta,
            step, values, numbers, half, half_y, residuals, half_weights, products, gram, gx):  # fmt: skip
    q = theta.size
    target = BREAKDOWN * (total - n_coefs)
    scale = 0.0
    worst = 0
    renew = q > 0  # no literal, for which a function would be compiled again
    for k in range(halves.shape[0] + found.size):
        if k < halves.shape[0]:
            m = _gather(Xt, y, halves[k], numbers, half, half_y, half_weights)
            _find_step(half, half_y, half_weights, m, renew, products, gram, step, gx)
            for j in range(q):
                theta[j] = step[j]
        else:
            b = k - halves.shape[0]
            _exact_fit(y, rows[b], pivots[b], found[b], table[b], theta, values)
        _residuals(Xt, y, theta, residuals)
        if scales[worst] < np.inf and mean_bisquare(residuals, weights, inverse_of(scales[worst]), target) >= 1.0:
            continue
        scale = find_m_scale(residuals, weights, total, n_coefs, scale, scale_tol)
        for j in range(q):
            best[worst, j] = theta[j]
        scales[worst] = scale
        if scale == 0.0:
            break
        for j in range(scales.size):
            if scales[j] > scales[worst]:
                worst = j


def refine_s(Xt, y, weights, n_coefs: float, candidates, max_steps: int, tol: float, scale_tol=0.0, same=_SAME_BASIN):
    """Iterate candidates (k, q) to minima of the M-scale: (coefficients (k, q), scales (k,)).

    Until a step gains less than the fraction ``tol``, with scales good to ``scale_tol``, or to a hundredth of ``tol``.
    Steps are weighted least squares, which never raises the scale; near a minimum they are Newton's, nearly, unless
    these raised it.
    One that comes within a fraction ``same`` of the scale of the best so far would end there too: it is left, its scale
    is inf. An exact fit leaves all others. Where a step is dear, this goes for either half of the candidates alone.
    """
    total, (Xt, y, weights) = weights.sum(), map(_filled_up, (Xt, y, weights))
    ends, scales = candidates.copy(), np.empty(len(candidates))
    rows, settings = (Xt, y, weights, total, n_coefs), (max_steps, tol, scale_tol or 0.01 * tol, same)
    none = np.empty((0, len(y))), *Eliminated.none(len(Xt))
    n_parts = min(2, len(candidates)) if Xt.size * len(Xt) > _DEAR else 1

    def refine(k: int) -> None:
        part = slice(k * len(scales) // n_parts, (k + 1) * len(scales) // n_parts)
        _search(*rows, *none, *settings, ends[part], scales[part], *_buffers(*Xt.shape))

    run_all(refine, n_parts)
    return ends, scales


@jit_part
def _refine(Xt, y, weights, total, n_coefs, max_steps, tol, scale_tol, same, ends, scales, last, step,
            residuals, row_weights, products, gram, gx):  # fmt: skip
    best = 0
    for j in range(scales.size):
        current = ends[j]
        _residuals(Xt, y, current, residuals)
        scales[j] = find_m_scale(residuals, weights, total, n_coefs, scales[best] if j > 0 else 0.0, scale_tol)
        before = gained_before = np.inf
        sure = renew = far = True
        for _ in range(max_steps + 1):
            if scales[j] < scales[best]:
                best = j
            elif j != best:
                distance = 0.0
                for a in range(current.size):
                    gap = abs(current[a] - ends[best, a])
                    distance = gap if gap > distance else distance
                if distance < same * scales[best]:
                    scales[j] = np.inf
                    break
            gained = before - scales[j]
            if gained < 0.0 and not sure:
                for a in range(current.size):
                    current[a] = last[a]
                _residuals(Xt, y, current, residuals)
                scales[j] = before
                sure = renew = True
            elif scales[j] == 0.0 or gained <= tol * scales[j]:
                break
            else:
                far = gained > _FAR_GAIN * scales[j]
                renew = far or not gained < _FAST * gained_before
                sure = False
                gained_before = gained
            before = scales[j]
            for a in range(current.size):
                last[a] = current[a]
            length = _bisquare_weights(residuals, weights, inverse_of(before), row_weights)
            if sure or far:
                length = 1.0
            elif length > _LONGEST:
                length = _LONGEST
            _find_step(Xt, residuals, row_weights, y.size, renew, products, gram, step, gx)
            for a in range(current.size):
                current[a] += length * step[a]
            _residuals(Xt, y, current, residuals)
            scales[j] = find_m_scale(residuals, weights, total, n_coefs, before, scale_tol)
        if scales[best] == 0.0:
            for other in range(scales.size):
                if other != best:
                    scales[other] = np.inf
            break
