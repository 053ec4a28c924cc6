"""The terms of the loss for a block of rows, as vector code.

log(1 + r) and the weight exp((alpha/2 - 1) log(1 + r)) by polynomials, an ulp or two each: fdlibm's for the logarithm,
Taylor's for the exponential, exponents taken and put back as integers. The loops are split where the type changes, so
that the compiler vectorises every one; they must not be reordered (no full fastmath: the rounding tricks need IEEE).
The few residuals out of their reach are for ``all_terms``: code that is compiled only where one is met.

All numbers of a block stand in one flat scratch, in lines of a fixed length, and ``bits`` are the same numbers as
integers. So the compiler knows what overlaps and how long each loop is, and writes each loop once: half the code, and
half the time to compile it.
"""

import numpy as np

from sklearn_robust._loss import mixture
from sklearn_robust._loss.jit import jit_exact, jit_part
from sklearn_robust._loss.mixture import LEAST_EXPONENT, mixed_terms
from sklearn_robust._loss.terms import (
    LARGEST_ALPHA,
    LARGEST_EXPONENT,
    LARGEST_U,
    SERIES_ALPHA,
    coef_terms,
    integrals,
    integrals_by_series,
    shape_terms,
)

# Rows of a block at most, of which there is a multiple of STEP (a loop that is known to be one needs no second loop for
# the rest), and the distance of two lines: a little more, to keep them off each other's cache sets.
BLOCK, STEP = 128, 32
LINE = BLOCK + 8

# Where the lines of the terms begin, in their order, and that of u.
(
    LOSS, WEIGHT, PULL, CURVATURE, PULL_ALPHA, SHAPE, SHAPE_SHAPE, STRETCH,
    CLEAN, SHARED, SHARED_PULL, SHARED_SCALE, SHARED_SHAPE,
) = range(0, mixture.N_TERMS * LINE, LINE)  # fmt: skip
_LOG, _BITS, _R, U = range(mixture.N_TERMS * LINE, (mixture.N_TERMS + 4) * LINE, LINE)
N_LINES = mixture.N_TERMS + 4

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_INV_LN2 = 1.4426950408889634
_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer
_INT_TO_FLOAT = 4503599627370496.0  # 2**52
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_INT_TO_FLOAT_BITS = 0x4330000000000000
_EXPONENT = 52


@jit_part
def _bounded(alpha):
    return -LARGEST_ALPHA if alpha < -LARGEST_ALPHA else LARGEST_ALPHA if alpha > LARGEST_ALPHA else alpha


@jit_exact
def _log1p(steps, scratch, bits):
    """Write log(1 + r) for the line r >= 0 to the line log, by way of the line bits."""
    for i in range(STEP * steps):  # a loop of its own: fused with a product, 1 + r would be another number than below
        scratch[_LOG + i] = 1.0 + scratch[_R + i]
    for i in range(STEP * steps):
        one_plus_r = bits[_LOG + i]
        k = (one_plus_r - np.int64(_SQRT_HALF_BITS)) >> np.int64(_EXPONENT)
        bits[_BITS + i] = one_plus_r - (k << np.int64(_EXPONENT))  # in [sqrt(1/2), sqrt(2))
        bits[_LOG + i] = k + np.int64(_INT_TO_FLOAT_BITS)
    for i in range(STEP * steps):
        x = scratch[_R + i]
        k_float = scratch[_LOG + i] - _INT_TO_FLOAT
        f = scratch[_BITS + i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        tail = 1.818357216161805012e-01 + z * (1.531383769920937332e-01 + z * 1.479819860511658591e-01)
        tail = 2.857142874366239149e-01 + z * (2.222219843214978396e-01 + z * tail)
        tail = z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * tail))
        half = 0.5 * f * f
        # lost by rounding 1 + r, times 1 / (1 + r) to two digits; beyond r = 1 an ulp of the logarithm at most
        lost = (x - ((1.0 + x) - 1.0)) * (1.0 - x * (0.97 - 0.47 * x)) if x < 1.0 else 0.0
        scratch[_LOG + i] = k_float * _LN2_HIGH - ((half - (s * (half + tail) + (k_float * _LN2_LOW + lost))) - f)


@jit_exact
def _exp(steps, scratch, bits):
    """Write exp(x) for the line bits, of x <= 709, to the line r; 0 below -700."""
    for i in range(STEP * steps):
        given = scratch[_BITS + i]
        live = given > LEAST_EXPONENT
        value = given if live else 0.0
        shifted = value * _INV_LN2 + _ROUND
        k_float = shifted - _ROUND
        y = (value - k_float * _LN2_HIGH) - k_float * _LN2_LOW
        tail = 1.0 / 5040 + y * (1.0 / 40320 + y * (1.0 / 362880 + y * (1.0 / 3628800 + y * (1.0 / 39916800))))
        tail = 1.0 / 24 + y * (1.0 / 120 + y * (1.0 / 720 + y * tail))
        scratch[_R + i] = 1.0 + y * (1.0 + y * (0.5 + y * (1.0 / 6 + y * tail))) if live else 0.0
        scratch[_BITS + i] = shifted
    for i in range(STEP * steps):
        bits[_R + i] += bits[_BITS + i] << np.int64(_EXPONENT)


@jit_exact
def _log_and_weight(alpha, steps, scratch, bits):
    """Write log(1 + r), and the weight to the line r, at the line u, alpha other than 2; False out of reach."""
    alpha = _bounded(alpha)
    inv_b = 1.0 / abs(alpha - 2.0)
    power = 0.5 * alpha - 1.0
    largest = 0.0
    for i in range(STEP * steps):
        size = abs(scratch[U + i])
        largest = size if size > largest else largest
    if not largest < LARGEST_U:
        return False
    if alpha > 2.0 and 0.5 * alpha * np.log1p(largest * largest * inv_b) > LARGEST_EXPONENT:
        return False
    for i in range(STEP * steps):
        u = scratch[U + i]
        scratch[_R + i] = u * u * inv_b
    _log1p(steps, scratch, bits)
    for i in range(STEP * steps):
        scratch[_BITS + i] = power * scratch[_LOG + i]
    _exp(steps, scratch, bits)
    return True


@jit_exact
def fill_weights(alpha, steps, scratch, bits):
    """Write the weights at the line u, and of the other terms nothing of use; False where one is out of reach."""
    if alpha == 2.0:
        for i in range(STEP * steps):
            scratch[WEIGHT + i] = 1.0
        return True
    if not _log_and_weight(alpha, steps, scratch, bits):
        return False
    for i in range(STEP * steps):
        scratch[WEIGHT + i] = scratch[_R + i]
    return True


@jit_exact
def fill_terms(alpha, learn_shape, steps, scratch, bits):
    """Write the terms at the line u; False where one is out of reach.

    PULL_ALPHA, SHAPE and SHAPE_SHAPE only if the shape is learned.
    """
    if alpha == 2.0:
        for i in range(STEP * steps):
            u = scratch[U + i]
            scratch[LOSS + i] = 0.5 * u * u
            scratch[WEIGHT + i] = scratch[CURVATURE + i] = 1.0
            scratch[PULL + i] = scratch[STRETCH + i] = u
        return True
    if not _log_and_weight(alpha, steps, scratch, bits):
        return False
    alpha = _bounded(alpha)
    b, inv_b = abs(alpha - 2.0), 1.0 / (alpha - 2.0)
    # loops of their own for what is or is not wanted: a loop is compiled once for every answer to a question in it
    if abs(alpha) < SERIES_ALPHA:
        for i in range(STEP * steps):
            u = scratch[U + i]
            g = (1.0 + u * u / b) * scratch[_R + i]
            e0, e1, e2 = integrals_by_series(0.5 * alpha * scratch[_LOG + i], g)
            scratch[_BITS + i], scratch[LOSS + i], scratch[SHAPE + i], scratch[SHAPE_SHAPE + i] = g, e0, e1, e2
    else:
        for i in range(STEP * steps):
            u = scratch[U + i]
            g = (1.0 + u * u / b) * scratch[_R + i]
            e0, e1, e2 = integrals(0.5 * alpha * scratch[_LOG + i], g)
            scratch[_BITS + i], scratch[LOSS + i], scratch[SHAPE + i], scratch[SHAPE_SHAPE + i] = g, e0, e1, e2
    for i in range(STEP * steps):
        u, w = scratch[U + i], scratch[_R + i]
        loss, curvature = coef_terms(u * u / (b + u * u), scratch[_LOG + i], w, scratch[LOSS + i], alpha, b)
        scratch[LOSS + i], scratch[WEIGHT + i], scratch[CURVATURE + i] = loss, w, curvature
        scratch[PULL + i], scratch[STRETCH + i] = u * w, u * curvature
    if learn_shape:
        for i in range(STEP * steps):
            u = scratch[U + i]
            scratch[PULL_ALPHA + i], scratch[SHAPE + i], scratch[SHAPE_SHAPE + i] = shape_terms(
                u * u / (b + u * u), scratch[_LOG + i], scratch[PULL + i], scratch[_BITS + i], scratch[SHAPE + i],
                scratch[SHAPE_SHAPE + i], alpha, inv_b,
            )  # fmt: skip
    return True


@jit_exact
def mix(tail, slope, curve, knee, steps, scratch, bits):
    """Turn the terms of the loss into those of its mixture with a background, by ``mixed_terms``.

    ``tail`` is log Z + log c + logit(share) - log R. Slope and curve are the derivatives of log Z. Beyond |u| =
    ``knee`` the background falls off as 1 / u², for known residuals.
    """
    fall, t = SHARED_PULL, SHARED_SCALE
    for i in range(STEP * steps):
        scratch[fall + i] = 0.0
    if knee < np.inf:
        for i in range(STEP * steps):
            beyond = abs(scratch[U + i]) / knee
            scratch[fall + i] = 2.0 * np.log(beyond) if beyond > 1.0 else 0.0
    for i in range(STEP * steps):
        difference = scratch[LOSS + i] + tail - scratch[fall + i]
        scratch[t + i], scratch[_BITS + i] = difference, -abs(difference)
    _exp(steps, scratch, bits)
    _log1p(steps, scratch, bits)
    for i in range(STEP * steps):
        (
            scratch[LOSS + i], scratch[WEIGHT + i], scratch[PULL + i], scratch[CURVATURE + i],
            scratch[PULL_ALPHA + i], scratch[SHAPE + i], scratch[SHAPE_SHAPE + i], scratch[STRETCH + i],
            scratch[CLEAN + i], scratch[SHARED + i],
            scratch[SHARED_PULL + i], scratch[SHARED_SCALE + i], scratch[SHARED_SHAPE + i],
        ) = mixed_terms(
            scratch[U + i], scratch[t + i], scratch[_R + i], scratch[_LOG + i], 1.0 / (1.0 + scratch[_R + i]),
            scratch[fall + i], tail, slope, curve,
            scratch[LOSS + i], scratch[WEIGHT + i], scratch[PULL + i], scratch[CURVATURE + i],
            scratch[PULL_ALPHA + i], scratch[SHAPE + i], scratch[SHAPE_SHAPE + i], scratch[STRETCH + i],
        )  # fmt: skip
