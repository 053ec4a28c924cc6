"""The loops over a chunk of rows, in working units.

A block of rows is packed, transposed, into a short buffer that stays in the first cache: x' = (x - center) inv_scale,
with a leading one where there is an intercept, all divided by the noise scale of the row. Then residuals, the terms of
the loss, the score and the gram are formed from the buffer, so that a pass reads X once and copies nothing.
"""

import numpy as np

from sklearn_robust._loss.jit import jit, jit_sums
from sklearn_robust._loss.terms import coef_terms, shape_terms
from sklearn_robust._rows.sums import LOSS, SCALE, SCALE_SCALE, SCALE_SHAPE, SHAPE, SHAPE_SHAPE, SQUARES

BLOCK = 256

# What a sweep is asked for, beside the residuals.
RESIDUALS, SCORE, GRAM, PLAIN_GRAM = 0, 1, 2, 3


@jit
def _pack(X, y, noise, center, inv_scale, y_center, y_inv_scale, intercept, first, m, xt, yt):
    for i in range(m):
        inv = 1.0 / noise[first + i] if noise.size else 1.0
        yt[i] = (y[first + i] - y_center) * y_inv_scale * inv
        for j in range(center.size):
            xt[j + intercept, i] = (X[first + i, j] - center[j]) * inv_scale[j] * inv
        if intercept:
            xt[0, i] = inv


@jit_sums
def _subtract_fit(xt, theta, m, yt):
    for a in range(theta.size):
        coef = theta[a]
        for i in range(m):
            yt[i] -= coef * xt[a, i]


@jit_sums
def _add_score(xt, g, m, score):
    for a in range(score.size):
        total = 0.0
        for i in range(m):
            total += g[i] * xt[a, i]
        score[a] += total


@jit_sums
def _add_gram(xt, g, m, gram, gx):
    for a in range(gram.shape[0]):
        for i in range(m):
            gx[i] = g[i] * xt[a, i]
        b = 0
        while b + 4 <= a + 1:
            t0 = t1 = t2 = t3 = 0.0
            for i in range(m):
                t0 += gx[i] * xt[b, i]
                t1 += gx[i] * xt[b + 1, i]
                t2 += gx[i] * xt[b + 2, i]
                t3 += gx[i] * xt[b + 3, i]
            gram[a, b] += t0
            gram[a, b + 1] += t1
            gram[a, b + 2] += t2
            gram[a, b + 3] += t3
            b += 4
        while b <= a:
            t0 = 0.0
            for i in range(m):
                t0 += gx[i] * xt[b, i]
            gram[a, b] += t0
            b += 1


@jit
def _add_row(u, s, alpha, learn_shape, scalars):
    """Add one row to the scalars; return its weight."""
    loss, w, curvature = coef_terms(u, alpha)
    zw = u * (u * w)
    scalars[LOSS] += s * loss
    scalars[SCALE] += s * zw
    scalars[SCALE_SCALE] += s * (zw + u * (u * curvature))
    scalars[SQUARES] += s * (u * u)
    if learn_shape:
        w_alpha, shape, shape_shape = shape_terms(u, alpha)
        scalars[SHAPE] += s * shape
        scalars[SCALE_SHAPE] -= s * (u * (u * w_alpha))
        scalars[SHAPE_SHAPE] += s * shape_shape
    return w


@jit
def sweep(X, y, weights, noise, center, inv_scale, y_center, y_inv_scale, theta, alpha, c, want, learn_shape,
          first, last, residuals, scalars, score, gram):  # fmt: skip
    """Rows first to last: residuals, then scalars, score and gram as far as wanted, added to the last arguments."""
    q = theta.size
    intercept = q - center.size
    xt = np.empty((q, BLOCK))
    yt = np.empty(BLOCK)
    g = np.empty(BLOCK)
    gu = np.empty(BLOCK)
    scratch = np.empty(BLOCK)
    for start in range(first, last, BLOCK):
        m = min(BLOCK, last - start)
        _pack(X, y, noise, center, inv_scale, y_center, y_inv_scale, intercept, start, m, xt, yt)
        _subtract_fit(xt, theta, m, yt)
        for i in range(m):
            residuals[start + i] = yt[i]
        if want == RESIDUALS:
            continue
        for i in range(m):
            s = weights[start + i] if weights.size else 1.0
            u = yt[i] / c
            w = _add_row(u, s, alpha, learn_shape, scalars) if want != PLAIN_GRAM else 1.0
            g[i] = s * w
            gu[i] = s * (w * u)
        _add_score(xt, gu, m, score)
        if want != SCORE:
            _add_gram(xt, g, m, gram, scratch)


@jit
def residual_sums(residuals, weights, alpha, c, learn_shape, first, last, scalars):
    """The scalars of known residuals."""
    for i in range(first, last):
        s = weights[i] if weights.size else 1.0
        _add_row(residuals[i] / c, s, alpha, learn_shape, scalars)


@jit
def row_weights(residuals, alpha, c, first, last, out):
    """The weight of the loss at known residuals."""
    for i in range(first, last):
        out[i] = coef_terms(residuals[i] / c, alpha)[1]
