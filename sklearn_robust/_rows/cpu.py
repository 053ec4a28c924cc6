"""The loops over a chunk of rows, in working units.

A block of rows stays in a near cache while residuals, the terms of the loss and the sums are formed, so that a pass
reads X once and copies nothing. The last block is filled up with rows of weight zero.
"""

import threading

import numpy as np

from sklearn_robust._loss import mixture
from sklearn_robust._loss.jit import jit, jit_apart, jit_sums, pointer, times
from sklearn_robust._loss.terms import all_terms
from sklearn_robust._rows import reading, vector
from sklearn_robust._rows.sums import (
    CURVATURE,
    DIRTY,
    FITTED,
    FITTED_SQUARES,
    LOSS,
    N_CROSS,
    ONES,
    PULLS,
    SCALE,
    SCALE_SCALE,
    SCALE_SHAPE,
    SHAPE,
    SHAPE_SHAPE,
    SHARED,
    SHARED_SCALE,
    SHARED_SHAPE,
    SQUARES,
    WEIGHTS,
)
from sklearn_robust._rows.vector import BLOCK, LINE, STEP, U

_ALIGNED = 8  # numbers

# What a sweep is asked for: residuals alone; scalars and score; these with the gram of the weights, or with the Hessian
# (the gram of the curvatures and the cross terms); the gram of the rows, or that of their scores, which count with the
# sample weights alone.
RESIDUALS, SCORE, GRAM, HESSIAN, PLAIN_GRAM, MEAT = range(6)


_of_thread = threading.local()
_FEW_COEFS = 256  # scratch for so many is kept


def scratch(n_coefs: int):
    """What a sweep writes to: flat lines, their bits, columns of a block (>= q + 3, LINE), and what ``add_gram`` needs.

    Aligned to what the processor loads at once; one for each thread.
    """
    kept = getattr(_of_thread, "scratch", None)
    if kept is not None and n_coefs <= _FEW_COEFS:
        return kept
    n_columns = max(n_coefs, _FEW_COEFS) + N_CROSS
    numbers = np.empty((reading.N_LINES + n_columns + 5) * LINE + _ALIGNED)
    first = -(numbers.ctypes.data // numbers.itemsize) % _ALIGNED
    lines, rest = numbers[first : first + reading.N_LINES * LINE], numbers[first + reading.N_LINES * LINE :]
    columns = rest[: n_columns * LINE].reshape(n_columns, LINE)
    made = lines, lines.view(np.int64), columns, rest[n_columns * LINE :][: 5 * LINE].reshape(5, LINE)
    if n_coefs <= _FEW_COEFS:
        _of_thread.scratch = made
    return made


@jit_sums
def add_score(xt, lines, at, m, score):
    """Add X'g, where g is the line of m numbers that begins ``at``."""
    for a in range(score.size):
        total = 0.0
        for i in range(m):
            total += lines[at + i] * xt[a, i]
        score[a] += total


@jit_sums
def add_gram(xt, lines, at, m, gram, gx):
    """Add X' diag(g) X on and below the diagonal, in tiles of four by four that stay in registers; g as above.

    ``gx`` (5, >= max(m, 16)) is overwritten.
    """
    q = gram.shape[0]
    tile = gx[4]
    for a in range(0, q - 3, 4):
        for k in range(4):
            for i in range(m):
                gx[k, i] = lines[at + i] * xt[a + k, i]
        for b in range(0, a + 1, 4):
            t00 = t01 = t02 = t03 = t10 = t11 = t12 = t13 = 0.0
            t20 = t21 = t22 = t23 = t30 = t31 = t32 = t33 = 0.0
            for i in range(m):
                x0, x1, x2, x3 = xt[b, i], xt[b + 1, i], xt[b + 2, i], xt[b + 3, i]
                g0, g1, g2, g3 = gx[0, i], gx[1, i], gx[2, i], gx[3, i]
                t00, t01, t02, t03 = t00 + g0 * x0, t01 + g0 * x1, t02 + g0 * x2, t03 + g0 * x3
                t10, t11, t12, t13 = t10 + g1 * x0, t11 + g1 * x1, t12 + g1 * x2, t13 + g1 * x3
                t20, t21, t22, t23 = t20 + g2 * x0, t21 + g2 * x1, t22 + g2 * x2, t23 + g2 * x3
                t30, t31, t32, t33 = t30 + g3 * x0, t31 + g3 * x1, t32 + g3 * x2, t33 + g3 * x3
            tile[0], tile[1], tile[2], tile[3] = t00, t01, t02, t03
            tile[4], tile[5], tile[6], tile[7] = t10, t11, t12, t13
            tile[8], tile[9], tile[10], tile[11] = t20, t21, t22, t23
            tile[12], tile[13], tile[14], tile[15] = t30, t31, t32, t33
            for k in range(4):
                for e in range(4):
                    gram[a + k, b + e] += tile[4 * k + e]
    for a in range(q - q % 4, q):
        for i in range(m):
            gx[0, i] = lines[at + i] * xt[a, i]
        for b in range(a + 1):
            total = 0.0
            for i in range(m):
                total += gx[0, i] * xt[b, i]
            gram[a, b] += total


@jit_sums
def _add_scalars(learn_shape, mixed, steps, lines, scalars):
    """Add a block to the scalars."""
    loss = scale = scale_scale = squares = 0.0
    for i in range(STEP * steps):
        s, u = lines[reading.S + i], lines[U + i]
        zw = times(u, lines[vector.PULL + i])
        loss += s * lines[vector.LOSS + i]
        scale += s * zw
        scale_scale += s * (zw + times(u, lines[vector.STRETCH + i]))
        squares += s * times(u, u)
    scalars[LOSS] += loss
    scalars[SCALE] += scale
    scalars[SCALE_SCALE] += scale_scale
    scalars[SQUARES] += squares
    if learn_shape:
        shape = scale_shape = shape_shape = 0.0
        for i in range(STEP * steps):
            s = lines[reading.S + i]
            shape += s * lines[vector.SHAPE + i]
            scale_shape -= s * times(lines[U + i], lines[vector.PULL_ALPHA + i])
            shape_shape += s * lines[vector.SHAPE_SHAPE + i]
        scalars[SHAPE] += shape
        scalars[SCALE_SHAPE] += scale_shape
        scalars[SHAPE_SHAPE] += shape_shape
    if mixed:
        dirty = shared = shared_scale = 0.0
        for i in range(STEP * steps):
            s = lines[reading.S + i]
            dirty += s * (1.0 - lines[vector.CLEAN + i])
            shared += s * lines[vector.SHARED + i]
            shared_scale += s * lines[vector.SHARED_SCALE + i]
        scalars[DIRTY] += dirty
        scalars[SHARED] += shared
        scalars[SHARED_SCALE] += shared_scale
        scalars[SCALE] += dirty
        scalars[SCALE_SCALE] -= shared_scale
        if learn_shape:
            shared_shape = 0.0
            for i in range(STEP * steps):
                shared_shape += lines[reading.S + i] * lines[vector.SHARED_SHAPE + i]
            scalars[SHARED_SHAPE] += shared_shape
            scalars[SCALE_SHAPE] -= shared_shape


@jit_apart
def _factors(want, learn_shape, mixed, steps, lines):
    """Write what the columns are multiplied by, for the score and the cross terms, and for the gram."""
    g = vector.CURVATURE if want == HESSIAN else vector.WEIGHT
    for i in range(STEP * steps):
        s = lines[reading.S + i]
        lines[reading.LINES + i] = s * lines[vector.PULL + i]
        lines[reading.G + i] = s * lines[g + i]
    if want == HESSIAN:
        for i in range(STEP * steps):
            lines[reading.LINES + LINE + i] = (
                lines[reading.LINES + i] + lines[reading.S + i] * lines[vector.STRETCH + i]
            )
        if learn_shape:
            for i in range(STEP * steps):
                lines[reading.LINES + 2 * LINE + i] = -lines[reading.S + i] * lines[vector.PULL_ALPHA + i]
        if mixed:
            for i in range(STEP * steps):
                lines[reading.LINES + 3 * LINE + i] = lines[reading.S + i] * lines[vector.SHARED_PULL + i]


@jit_apart
def _turn_to_scores(q, learn_shape, mixed, steps, xt, lines):
    """The columns become the rows' scores, for ``xt`` has as many lines more; they count with the sample weights."""
    for a in range(q):
        for i in range(STEP * steps):
            xt[a, i] *= lines[vector.PULL + i]
    for i in range(STEP * steps):
        xt[q, i] = lines[U + i] * lines[vector.PULL + i] - 1.0
        xt[q + 1, i] = xt[q + 2, i] = 0.0
    if learn_shape:
        for i in range(STEP * steps):
            xt[q + 1, i] = -lines[vector.SHAPE + i]
    if mixed:
        for i in range(STEP * steps):
            dirty = 1.0 - lines[vector.CLEAN + i]
            xt[q, i] += dirty
            xt[q + 2, i] = dirty


@jit_sums
def _add_for_inference(xt, intercept, steps, lines, scalars):
    """Add to the scalars what tells how well the fit explains y."""
    curvature = pulls = weight = ones = total = squares = 0.0
    for i in range(STEP * steps):
        s, fitted, pull = lines[reading.S + i], lines[reading.FITTED + i], lines[vector.PULL + i]
        sw = times(s, lines[vector.WEIGHT + i])
        one = xt[0, i] if intercept else 0.0
        curvature += s * lines[vector.CURVATURE + i]
        pulls += s * times(pull, pull)
        weight += sw
        ones += sw * times(one, one)
        total += sw * times(one, fitted)
        squares += sw * times(fitted, fitted)
    scalars[CURVATURE] += curvature
    scalars[PULLS] += pulls
    scalars[WEIGHTS] += weight
    scalars[ONES] += ones
    scalars[FITTED] += total
    scalars[FITTED_SQUARES] += squares


@jit
def sweep(X, packed, y, weights, noise, center, inv_scale, y_center, y_inv_scale, theta, laws, want, learn_shape,
          first, last, given, kept, out, scalars, linear, gram, flat, flat_bits, buffer, gx):  # fmt: skip
    """Rows first to last: the sums that are wanted, added to the arguments; False where a row is out of reach.

    Then, and only then, the terms have to be ``given`` (k, 8, last - first). The columns of all blocks may be
    ``packed`` already.

    A law (a row of ``laws`` (k, 6)) is alpha, c, and with a background what ``vector.mix`` takes; tail is -inf without.
    ``scalars`` (k, 11) are taken at each; the others at the last: ``linear`` (4, q), the score and the cross terms, and
    ``out`` (., n), residuals, or the terms ``kept``. The last four arguments are ``scratch``.
    """
    lines, bits, intercept = pointer(flat), pointer(flat_bits), theta.size - center.size
    for start in range(first, last, BLOCK):
        m = last - start
        if m > BLOCK:
            m = BLOCK
        steps = (m + STEP - 1) // STEP
        reading.read_numbers(y, weights, noise, y_center, y_inv_scale, start, m, steps, lines)
        xt = buffer
        if want > SCORE:
            if packed.size and want != MEAT:  # which overwrites them
                xt = packed[start // BLOCK]
            else:
                reading.pack(X, center, inv_scale, start, m, steps, intercept, xt, lines)
        if theta.size > 0 and want != PLAIN_GRAM:
            reading.subtract_fitted(X, center, inv_scale, theta, start, m, steps, intercept, lines)
        if want == RESIDUALS:
            for i in range(m):
                out[0, start + i] = lines[reading.RESIDUAL + i]
            continue
        for k in range(laws.shape[0]):
            alpha, c, tail = laws[k, 0], laws[k, 1], laws[k, 2]
            mixed = tail > -np.inf
            with_shape = learn_shape and alpha != 2.0
            for i in range(STEP * steps):
                lines[U + i] = lines[reading.RESIDUAL + i] / c
            if given.size:
                for e in range(given.shape[1]):
                    for i in range(STEP * steps):
                        lines[e * LINE + i] = given[k, e, start - first + i] if i < m else 0.0
            elif not vector.fill_terms(alpha, with_shape, steps, lines, bits):
                return False
            if mixed:
                vector.mix(tail, laws[k, 3], laws[k, 4], laws[k, 5], steps, lines, bits)
            if want == MEAT:
                _add_for_inference(xt, intercept, steps, lines, pointer(scalars[k]))
                _turn_to_scores(theta.size, with_shape, mixed, steps, xt, lines)
            else:
                _add_scalars(with_shape, mixed, steps, lines, pointer(scalars[k]))
                if theta.size > 0:
                    _factors(want, with_shape, mixed, steps, lines)
        for k in range(kept.size):
            for i in range(m):
                out[k, start + i] = lines[kept[k] * LINE + i]
        if theta.size == 0:  # of known residuals the scalars are all
            continue
        if want == SCORE:
            reading.add_score_rows(X, center, inv_scale, start, m, intercept, lines, linear[0])
        elif want != PLAIN_GRAM:
            for k in range(linear.shape[0] if want == HESSIAN else 1):
                if (k == 2 and not with_shape) or (k == 3 and not mixed):
                    continue  # nothing depends on what is not learned
                at = reading.S if want == MEAT else reading.LINES + k * LINE
                add_score(xt, lines, at, STEP * steps, linear[k])
        if want != SCORE:
            add_gram(xt, lines, reading.G if want < PLAIN_GRAM else reading.S, STEP * steps, gram, gx)
    for a in range(gram.shape[0]):
        for b in range(a):
            gram[b, a] = gram[a, b]
    return True


def scalar_terms(residuals, laws) -> np.ndarray:
    """The terms (k, 8, n) of residuals (n,) of any size at each law."""
    terms = np.empty((len(laws), mixture.STRETCH + 1, len(residuals)))
    _scalar_terms(residuals, laws, terms)
    return terms


@jit
def _scalar_terms(residuals, laws, terms):
    for k in range(laws.shape[0]):
        for i in range(residuals.size):
            u = residuals[i] / laws[k, 1]
            row = all_terms(u, laws[k, 0])
            for e in range(7):
                terms[k, e, i] = row[e]
            terms[k, mixture.STRETCH, i] = u * terms[k, mixture.CURVATURE, i]


@jit
def row_terms(alpha, c, tail, term, out, flat, flat_bits):
    """Residuals in ``out`` become one of the terms: WEIGHT, CLEAN (with a background) or CURVATURE.

    Or some of them, and False is returned, where a row is out of reach.
    """
    lines, bits, inv_c = pointer(flat), pointer(flat_bits), 1.0 / c
    for start in range(0, out.size, BLOCK):
        m = out.size - start
        if m > BLOCK:
            m = BLOCK
        steps = (m + STEP - 1) // STEP
        for i in range(m):
            lines[U + i] = out[start + i] * inv_c
        for i in range(m, STEP * steps):
            lines[U + i] = 0.0
        if tail == -np.inf and term == mixture.WEIGHT:
            reached = vector.fill_weights(alpha, steps, lines, bits)
        else:
            reached = vector.fill_terms(alpha, False, steps, lines, bits)
        if not reached:
            return False
        if tail > -np.inf:
            vector.mix(tail, 0.0, 0.0, np.inf, steps, lines, bits)
        for i in range(m):
            out[start + i] = lines[term * LINE + i]
    return True
