"""The terms of the loss for a short buffer of rows, as vector code.

log(1 + r) and the weight exp((alpha/2 - 1) log(1 + r)) by polynomials, an ulp or two each: fdlibm's for the logarithm,
Taylor's for the exponential, exponents taken and put back as integers. The loops are split where the type changes, so
that the compiler vectorises every one; they must not be reordered (no full fastmath: the rounding tricks need IEEE).
The few residuals out of their reach are for ``all_terms``: code that is compiled only where one is met.
"""

import numpy as np

from sklearn_robust._loss.jit import jit_exact
from sklearn_robust._loss.mixture import LEAST_EXPONENT, mixed_terms
from sklearn_robust._loss.terms import (
    SERIES_ALPHA,
    coef_terms,
    integrals,
    integrals_by_series,
    shape_terms,
)

# Rows of the scratch that ``fill_terms`` writes; STRETCH is u CURVATURE, minus d pull / d log c.
# With a background, CLEAN is the probability of being a clean row, and SHARED is CLEAN (1 - CLEAN), alone and times the
# slopes of a clean row's cost in u, log c and alpha.
LOSS, WEIGHT, PULL, CURVATURE, PULL_ALPHA, SHAPE, SHAPE_SHAPE, STRETCH = range(8)
CLEAN, SHARED, SHARED_PULL, SHARED_SCALE, SHARED_SHAPE = range(8, 13)
_LOG, _BITS = 13, 14
N_BUFFERS = 15

# Beyond these r = z / b may overflow, and alpha is infinite to every digit.
_LARGEST_U, _LARGEST_ALPHA = 1e140, 1e20

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_INV_LN2 = 1.4426950408889634
_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer
_INT_TO_FLOAT = 4503599627370496.0  # 2**52
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_INT_TO_FLOAT_BITS = 0x4330000000000000
_EXPONENT = 52
_LARGEST_EXPONENT = 700.0


@jit_exact
def _log1p(r, m, out, mantissa):
    """Log(1 + r) for r (m,) >= 0; the other buffers are at least as long."""
    out_bits = out.view(np.int64)
    mantissa_bits = mantissa.view(np.int64)
    for i in range(m):  # a loop of its own: fused with a product, 1 + r would be another number than below
        out[i] = 1.0 + r[i]
    for i in range(m):
        k = (out_bits[i] - np.int64(_SQRT_HALF_BITS)) >> np.int64(_EXPONENT)
        mantissa_bits[i] = out_bits[i] - (k << np.int64(_EXPONENT))  # in [sqrt(1/2), sqrt(2))
        out_bits[i] = k + np.int64(_INT_TO_FLOAT_BITS)
    for i in range(m):
        k_float = out[i] - _INT_TO_FLOAT
        f = mantissa[i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        tail = 1.818357216161805012e-01 + z * (1.531383769920937332e-01 + z * 1.479819860511658591e-01)
        tail = 2.857142874366239149e-01 + z * (2.222219843214978396e-01 + z * tail)
        tail = z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * tail))
        half = 0.5 * f * f
        # lost by rounding 1 + r, times 1 / (1 + r) to two digits; beyond r = 1 an ulp of the logarithm at most
        lost = (r[i] - ((1.0 + r[i]) - 1.0)) * (1.0 - r[i] * (0.97 - 0.47 * r[i])) if r[i] < 1.0 else 0.0
        out[i] = k_float * _LN2_HIGH - ((half - (s * (half + tail) + (k_float * _LN2_LOW + lost))) - f)


@jit_exact
def _exp(x, m, out):
    """Exp(x) for x (m,) <= 709, which is overwritten; 0 below -700."""
    out_bits = out.view(np.int64)
    x_bits = x.view(np.int64)
    for i in range(m):
        live = x[i] > LEAST_EXPONENT
        value = x[i] if live else 0.0
        shifted = value * _INV_LN2 + _ROUND
        k_float = shifted - _ROUND
        y = (value - k_float * _LN2_HIGH) - k_float * _LN2_LOW
        tail = 1.0 / 5040 + y * (1.0 / 40320 + y * (1.0 / 362880 + y * (1.0 / 3628800 + y * (1.0 / 39916800))))
        tail = 1.0 / 24 + y * (1.0 / 120 + y * (1.0 / 720 + y * tail))
        out[i] = 1.0 + y * (1.0 + y * (0.5 + y * (1.0 / 6 + y * tail))) if live else 0.0
        x[i] = shifted
    for i in range(m):
        out_bits[i] += x_bits[i] << np.int64(_EXPONENT)


@jit_exact
def log_and_weight(u, m, alpha, log1p_r, w, scratch):
    """Write log(1 + r) and the weight of u (m,), alpha other than 2, to buffers as long; False out of reach."""
    alpha = min(max(alpha, -_LARGEST_ALPHA), _LARGEST_ALPHA)
    inv_b = 1.0 / abs(alpha - 2.0)
    power = 0.5 * alpha - 1.0
    largest = 0.0
    for i in range(m):
        largest = max(largest, abs(u[i]))
    if not largest < _LARGEST_U:
        return False
    if alpha > 2.0 and 0.5 * alpha * np.log1p(largest * largest * inv_b) > _LARGEST_EXPONENT:
        return False
    for i in range(m):
        scratch[i] = u[i] * u[i] * inv_b
    _log1p(scratch, m, log1p_r, w)
    for i in range(m):
        scratch[i] = power * log1p_r[i]
    _exp(scratch, m, w)
    return True


@jit_exact
def fill_weights(u, m, alpha, terms):
    """Write the weights of u (m,), and of the other terms nothing of use; False where one is out of reach."""
    if alpha != 2.0:
        return log_and_weight(u, m, alpha, terms[_LOG], terms[WEIGHT], terms[_BITS])
    for i in range(m):
        terms[WEIGHT, i] = 1.0
    return True


@jit_exact
def fill_terms(u, m, alpha, learn_shape, terms):
    """Write the terms of u (m,) into ``terms`` (N_BUFFERS, >= m); False where one is out of reach.

    PULL_ALPHA, SHAPE and SHAPE_SHAPE only if the shape is learned.
    """
    if alpha == 2.0:
        for i in range(m):
            terms[LOSS, i] = 0.5 * u[i] * u[i]
            terms[WEIGHT, i] = 1.0
            terms[PULL, i] = terms[STRETCH, i] = u[i]
            terms[CURVATURE, i] = 1.0
        return True
    w = terms[WEIGHT]
    log1p_r = terms[_LOG]
    if not log_and_weight(u, m, alpha, log1p_r, w, terms[_BITS]):
        return False
    alpha = min(max(alpha, -_LARGEST_ALPHA), _LARGEST_ALPHA)
    b = abs(alpha - 2.0)
    # loops of their own for what is or is not wanted: a loop is compiled once for every answer to a question in it
    if abs(alpha) < SERIES_ALPHA:
        for i in range(m):
            g = terms[_BITS, i] = (1.0 + u[i] * u[i] / b) * w[i]
            terms[LOSS, i], terms[SHAPE, i], terms[SHAPE_SHAPE, i] = integrals_by_series(0.5 * alpha * log1p_r[i], g)
    else:
        for i in range(m):
            g = terms[_BITS, i] = (1.0 + u[i] * u[i] / b) * w[i]
            terms[LOSS, i], terms[SHAPE, i], terms[SHAPE_SHAPE, i] = integrals(0.5 * alpha * log1p_r[i], g)
    for i in range(m):
        loss, curvature = coef_terms(u[i] * u[i], log1p_r[i], w[i], terms[LOSS, i], alpha, b)
        terms[LOSS, i] = loss
        terms[PULL, i] = u[i] * w[i]
        terms[CURVATURE, i] = curvature
        terms[STRETCH, i] = u[i] * curvature
    if learn_shape:
        for i in range(m):
            terms[PULL_ALPHA, i], terms[SHAPE, i], terms[SHAPE_SHAPE, i] = shape_terms(
                u[i] * u[i], log1p_r[i], terms[PULL, i], terms[_BITS, i], terms[SHAPE, i], terms[SHAPE_SHAPE, i],
                alpha, b,
            )  # fmt: skip
    return True


@jit_exact
def mix(u, m, tail, slope, curve, knee, terms):
    """Turn the terms of the loss into those of its mixture with a background, by ``mixed_terms``.

    ``tail`` is log Z + log c + logit(share) - log R. Slope and curve are the derivatives of log Z. Beyond |u| =
    ``knee`` the background falls off as 1 / u², for known residuals.
    """
    t = terms[_LOG]
    small = terms[CLEAN]
    log1p = terms[SHARED]
    fall = terms[SHARED_PULL]
    for i in range(m):
        fall[i] = 0.0
    if knee < np.inf:
        for i in range(m):
            fall[i] = 2.0 * np.log(max(abs(u[i]) / knee, 1.0))
    for i in range(m):
        t[i] = terms[LOSS, i] + tail - fall[i]
        terms[_BITS, i] = -abs(t[i])
    _exp(terms[_BITS], m, small)
    _log1p(small, m, log1p, terms[_BITS])
    for i in range(m):
        (
            terms[LOSS, i], terms[WEIGHT, i], terms[PULL, i], terms[CURVATURE, i], terms[PULL_ALPHA, i],
            terms[SHAPE, i], terms[SHAPE_SHAPE, i], terms[STRETCH, i], terms[CLEAN, i], terms[SHARED, i],
            terms[SHARED_PULL, i], terms[SHARED_SCALE, i], terms[SHARED_SHAPE, i],
        ) = mixed_terms(
            u[i], t[i], small[i], log1p[i], fall[i], tail, slope, curve,
            terms[LOSS, i], terms[WEIGHT, i], terms[PULL, i], terms[CURVATURE, i], terms[PULL_ALPHA, i],
            terms[SHAPE, i], terms[SHAPE_SHAPE, i], terms[STRETCH, i],
        )  # fmt: skip
