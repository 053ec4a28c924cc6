"""The loops over a chunk of rows, in working units.

A block of rows is packed, transposed, into a short buffer that stays in the first cache: x' = (x - center) inv_scale,
with a leading one where there is an intercept, all divided by the noise scale of the row. Then residuals, the terms of
the loss, the score and the gram are formed from the buffer, so that a pass reads X once and copies nothing.
"""

import numpy as np

from sklearn_robust._loss.jit import jit, jit_sums
from sklearn_robust._loss.terms import all_terms
from sklearn_robust._rows import vector
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

BLOCK = 128
_LONG_BLOCK = 512  # where there is no X beside the rows' numbers
_PAD = 8  # keeps the lines of a buffer off each other's cache sets

# What a sweep is asked for: residuals alone; scalars and score; these with the gram of the weights, or with the Hessian
# (the gram of the curvatures and the cross terms); the gram of the sample weights alone; the gram of the rows' scores.
RESIDUALS, SCORE, GRAM, HESSIAN, PLAIN_GRAM, MEAT = range(6)


@jit_sums
def _pack(X, y, weights, noise, center, inv_scale, y_center, y_inv_scale, first, m, xt, yt, s, inv):
    """Write a block of rows: the columns ``xt``, with ones in front if there is room, y, and the sample weights."""
    intercept = xt.shape[0] - center.size
    for i in range(m):
        s[i] = inv[i] = 1.0
    if weights.size:
        for i in range(m):
            s[i] = weights[first + i]
    if noise.size:
        for i in range(m):
            inv[i] = 1.0 / noise[first + i]
    for i in range(m):
        yt[i] = (y[first + i] - y_center) * y_inv_scale * inv[i]
    for k in range(intercept):
        for i in range(m):
            xt[k, i] = inv[i]
    for i in range(m):
        for j in range(center.size):
            xt[j + intercept, i] = (X[first + i, j] - center[j]) * inv_scale[j] * inv[i]


@jit_sums
def _fitted(xt, theta, m, out):
    for i in range(m):
        out[i] = 0.0
    for a in range(theta.size):
        coef = theta[a]
        for i in range(m):
            out[i] += coef * xt[a, i]


@jit_sums
def add_score(xt, g, m, score):
    """Add X'g."""
    for a in range(score.size):
        total = 0.0
        for i in range(m):
            total += g[i] * xt[a, i]
        score[a] += total


@jit_sums
def add_gram(xt, g, m, gram, gx):
    """Add X' diag(g) X on and below the diagonal, in tiles of four by four that stay in registers."""
    q = gram.shape[0]
    for a in range(0, q - 3, 4):
        for k in range(4):
            for i in range(m):
                gx[k, i] = g[i] * xt[a + k, i]
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
            tile = ((t00, t01, t02, t03), (t10, t11, t12, t13), (t20, t21, t22, t23), (t30, t31, t32, t33))
            for k in range(4):
                for e in range(4):
                    gram[a + k, b + e] += tile[k][e]
    for a in range(q - q % 4, q):
        for i in range(m):
            gx[0, i] = g[i] * xt[a, i]
        for b in range(a + 1):
            total = 0.0
            for i in range(m):
                total += gx[0, i] * xt[b, i]
            gram[a, b] += total


@jit_sums
def _add_scalars(u, s, m, learn_shape, mixed, terms, scalars):
    """Add a block to the scalars."""
    loss = scale = scale_scale = squares = 0.0
    for i in range(m):
        zw = u[i] * terms[vector.PULL, i]
        loss += s[i] * terms[vector.LOSS, i]
        scale += s[i] * zw
        scale_scale += s[i] * (zw + u[i] * terms[vector.STRETCH, i])
        squares += s[i] * (u[i] * u[i])
    scalars[LOSS] += loss
    scalars[SCALE] += scale
    scalars[SCALE_SCALE] += scale_scale
    scalars[SQUARES] += squares
    if learn_shape:
        shape = scale_shape = shape_shape = 0.0
        for i in range(m):
            shape += s[i] * terms[vector.SHAPE, i]
            scale_shape -= s[i] * (u[i] * terms[vector.PULL_ALPHA, i])
            shape_shape += s[i] * terms[vector.SHAPE_SHAPE, i]
        scalars[SHAPE] += shape
        scalars[SCALE_SHAPE] += scale_shape
        scalars[SHAPE_SHAPE] += shape_shape
    if mixed:
        dirty = shared = shared_scale = 0.0
        for i in range(m):
            dirty += s[i] * (1.0 - terms[vector.CLEAN, i])
            shared += s[i] * terms[vector.SHARED, i]
            shared_scale += s[i] * terms[vector.SHARED_SCALE, i]
        scalars[DIRTY] += dirty
        scalars[SHARED] += shared
        scalars[SHARED_SCALE] += shared_scale
        scalars[SCALE] += dirty
        scalars[SCALE_SCALE] -= shared_scale
        if learn_shape:
            shared_shape = 0.0
            for i in range(m):
                shared_shape += s[i] * terms[vector.SHARED_SHAPE, i]
            scalars[SHARED_SHAPE] += shared_shape
            scalars[SCALE_SHAPE] -= shared_shape


@jit_sums
def _add_meat(xt, u, s, m, fitted, intercept, learn_shape, mixed, terms, zt, scalars):
    """Write the scores of a block into ``zt``; add what tells how well the fit explains y to the scalars."""
    q = zt.shape[0] - N_CROSS
    for a in range(q):
        for i in range(m):
            zt[a, i] = terms[vector.PULL, i] * xt[a, i]
    for i in range(m):
        zt[q, i] = u[i] * terms[vector.PULL, i] - 1.0
        zt[q + 1, i] = zt[q + 2, i] = 0.0
    if learn_shape:
        for i in range(m):
            zt[q + 1, i] = -terms[vector.SHAPE, i]
    if mixed:
        for i in range(m):
            zt[q + 2, i] = 1.0 - terms[vector.CLEAN, i]
            zt[q, i] += zt[q + 2, i]
    curvature = pulls = weight = ones = total = squares = 0.0
    for i in range(m):
        sw = s[i] * terms[vector.WEIGHT, i]
        one = xt[0, i] if intercept else 0.0
        curvature += s[i] * terms[vector.CURVATURE, i]
        pulls += s[i] * (terms[vector.PULL, i] * terms[vector.PULL, i])
        weight += sw
        ones += sw * (one * one)
        total += sw * (one * fitted[i])
        squares += sw * (fitted[i] * fitted[i])
    scalars[CURVATURE] += curvature
    scalars[PULLS] += pulls
    scalars[WEIGHTS] += weight
    scalars[ONES] += ones
    scalars[FITTED] += total
    scalars[FITTED_SQUARES] += squares


@jit_sums
def _factors(want, s, m, learn_shape, mixed, terms, lines, g):
    """Write what the columns are multiplied by: ``lines`` for the score and the cross terms, ``g`` for the gram."""
    for i in range(m):
        lines[0, i] = s[i] * terms[vector.PULL, i]
    if want == GRAM:
        for i in range(m):
            g[i] = s[i] * terms[vector.WEIGHT, i]
    elif want == HESSIAN:
        for i in range(m):
            g[i] = s[i] * terms[vector.CURVATURE, i]
            lines[1, i] = lines[0, i] + s[i] * terms[vector.STRETCH, i]
            lines[2, i] = lines[3, i] = 0.0
        if learn_shape:
            for i in range(m):
                lines[2, i] = -s[i] * terms[vector.PULL_ALPHA, i]
        if mixed:
            for i in range(m):
                lines[3, i] = s[i] * terms[vector.SHARED_PULL, i]


@jit
def sweep(X, y, weights, noise, center, inv_scale, y_center, y_inv_scale, theta, laws, want, learn_shape, first, last,
          given, kept, out, scalars, linear, gram):  # fmt: skip
    """Rows first to last: the sums that are wanted, added to the arguments; False where a row is out of reach.

    Then, and only then, the terms have to be ``given`` (k, 8, last - first).

    A law (a row of ``laws`` (k, 6)) is alpha, c, and with a background what ``vector.mix`` takes; tail is -inf without.
    ``scalars`` (k, 11) are taken at each; the others at the last: ``linear`` (4, .), the score and the cross terms, and
    ``out`` (., n), residuals, or the rows ``kept`` of ``vector``'s terms.
    """
    q = theta.size
    intercept = q - center.size
    xt = np.empty((q, BLOCK + _PAD))
    terms = np.empty((vector.N_BUFFERS, BLOCK))
    lines = np.empty((1 + N_CROSS, BLOCK))
    buffers = np.empty((5, BLOCK))
    residuals, u, s, g, fitted = buffers[0], buffers[1], buffers[2], buffers[3], buffers[4]
    gx = np.empty((4, BLOCK + _PAD))
    columns = np.empty((q + N_CROSS, BLOCK + _PAD)) if want == MEAT else xt
    n_lines = 0 if want == PLAIN_GRAM or q == 0 else 1 + N_CROSS if want == HESSIAN else 1
    for start in range(first, last, BLOCK):
        m = min(BLOCK, last - start)
        _pack(X, y, weights, noise, center, inv_scale, y_center, y_inv_scale, start, m, xt, residuals, s, u)
        if want != PLAIN_GRAM:
            _fitted(xt, theta, m, fitted)
            for i in range(m):
                residuals[i] -= fitted[i]
        if want == RESIDUALS:
            for i in range(m):
                out[0, start + i] = residuals[i]
            continue
        if want in (PLAIN_GRAM, MEAT):
            for i in range(m):
                lines[0, i] = g[i] = s[i]
        for k in range(laws.shape[0]):
            alpha, c, tail = laws[k, 0], laws[k, 1], laws[k, 2]
            mixed = tail > -np.inf
            with_shape = learn_shape and alpha != 2.0
            for i in range(m):
                u[i] = residuals[i] / c
            if given.size:
                for e in range(given.shape[1]):
                    for i in range(m):
                        terms[e, i] = given[k, e, start - first + i]
            elif not vector.fill_terms(u, m, alpha, with_shape, terms):
                return False
            if mixed:
                vector.mix(u, m, tail, laws[k, 3], laws[k, 4], laws[k, 5], terms)
            if want == MEAT:
                _add_meat(xt, u, s, m, fitted, intercept, with_shape, mixed, terms, columns, scalars[k])
            else:
                _add_scalars(u, s, m, with_shape, mixed, terms, scalars[k])
                _factors(want, s, m, with_shape, mixed, terms, lines, g)
        for k in range(kept.size):
            for i in range(m):
                out[k, start + i] = terms[kept[k], i]
        for k in range(n_lines):
            add_score(columns, lines[k], m, linear[k])
        if want != SCORE:
            add_gram(columns, g, m, gram, gx)
    for a in range(gram.shape[0]):
        for b in range(a):
            gram[b, a] = gram[a, b]
    return True


@jit
def scalar_terms(residuals, laws):
    """The terms (k, 8, n) of residuals (n,) of any size at each law."""
    terms = np.empty((laws.shape[0], vector.STRETCH + 1, residuals.size))
    for k in range(laws.shape[0]):
        for i in range(residuals.size):
            u = residuals[i] / laws[k, 1]
            row = all_terms(u, laws[k, 0])
            for e in range(7):
                terms[k, e, i] = row[e]
            terms[k, vector.STRETCH, i] = u * terms[k, vector.CURVATURE, i]
    return terms


@jit
def row_terms(alpha, c, tail, row, out):
    """Residuals in ``out`` become one of the terms of ``vector``: WEIGHT, CLEAN (with a background) or CURVATURE.

    Or some of them, and False is returned, where a row is out of reach.
    """
    terms = np.empty((vector.N_BUFFERS, _LONG_BLOCK))
    u = np.empty(_LONG_BLOCK)
    inv_c = 1.0 / c
    for start in range(0, out.size, _LONG_BLOCK):
        m = min(_LONG_BLOCK, out.size - start)
        for i in range(m):
            u[i] = out[start + i] * inv_c
        if tail == -np.inf and row == vector.WEIGHT:
            reached = vector.fill_weights(u, m, alpha, terms)
        else:
            reached = vector.fill_terms(u, m, alpha, False, terms)
        if not reached:
            return False
        if tail > -np.inf:
            vector.mix(u, m, tail, 0.0, 0.0, np.inf, terms)
        for i in range(m):
            out[start + i] = terms[row, i]
    return True
