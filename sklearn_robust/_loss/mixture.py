"""A law of clean rows beside a background: what one row adds to the sums of a fit.

With a = rho + log Z + log c a clean row's cost, the mixture's is a - log(1 + exp(t)), up to log(1 - share), where
t = a + logit(share) - log R, less 2 log |u / knee| beyond the knee of a background that falls off. A row is clean with
probability 1 / (1 + exp(t)).
"""

import math

from sklearn_robust._loss.jit import jit, jit_exact
from sklearn_robust._loss.terms import (
    SERIES_ALPHA,
    all_terms,
    coef_terms,
    integrals,
    integrals_by_series,
    shape_terms,
)

# The terms of a row, in their order. STRETCH is u CURVATURE, minus d pull / d log c. With a background, CLEAN is the
# probability of being a clean row, and SHARED is CLEAN (1 - CLEAN), alone and times the slopes of a clean row's cost in
# u, log c and alpha.
LOSS, WEIGHT, PULL, CURVATURE, PULL_ALPHA, SHAPE, SHAPE_SHAPE, STRETCH = range(8)
CLEAN, SHARED, SHARED_PULL, SHARED_SCALE, SHARED_SHAPE = range(8, 13)
N_TERMS = 13

# Where the formulas arranged for speed are accurate; the rest goes through ``all_terms``.
LEAST_ALPHA = -100.0
LARGEST_U = 1e12
# Exponentials of less are none.
LEAST_EXPONENT = -700.0


@jit_exact
def mixed_terms(
    u, t, small, log1p, fall, tail, slope, curve, loss, weight, pull, curvature, pull_alpha, shape, shape_shape, stretch
):
    """The terms of a clean row as those of the mixture, and its probability of being clean p, p (1 - p) and three more.

    ``small`` is exp(-|t|) and ``log1p`` log(1 + small); p (1 - p) times the slopes of a clean row's cost in u, log c
    and alpha are the last three. Slope and curve are the derivatives of log Z.
    """
    outlying = t > 0.0
    live = t < -LEAST_EXPONENT
    inverse = 1.0 / (1.0 + small)
    mixed_loss = (fall - tail if outlying else loss) - log1p
    dirty = (inverse if outlying else small * inverse) if live else 1.0
    clean = (small * inverse if outlying else inverse) if live else 0.0
    shared = small * inverse * inverse if live else 0.0
    pulled = pull if live else 0.0
    along_scale = 1.0 - u * pulled
    along_shape = shape + slope if live else 0.0
    mixed_curvature = clean * curvature - shared * pulled * pulled
    mixed_stretch = clean * stretch + shared * along_scale * pulled if live else 0.0
    mixed_pull_alpha = clean * pull_alpha - shared * along_shape * pulled if live else 0.0
    mixed_shape_shape = (clean * shape_shape - shared * along_shape * along_shape if live else 0.0) - dirty * curve
    mixed_shape = (clean * shape if live else 0.0) - dirty * slope
    return (
        mixed_loss, weight * clean, clean * pulled, mixed_curvature, mixed_pull_alpha, mixed_shape, mixed_shape_shape,
        mixed_stretch, clean, shared, shared * pulled, shared * along_scale, shared * along_shape,
    )  # fmt: skip


@jit
def terms_of_row(u, alpha, learn_shape, tail, slope, curve, knee):
    """The terms of a row one at a time, in their order; tail is -inf without a background."""
    loss = weight = pull = curvature = pull_alpha = shape = shape_shape = 0.0
    if alpha != 2.0 and LEAST_ALPHA <= alpha < 2.0 and abs(u) < LARGEST_U:
        b = 2.0 - alpha
        z = u * u
        log1p_r = math.log1p(z / b)
        weight = math.exp((0.5 * alpha - 1.0) * log1p_r)
        t = 0.5 * alpha * log1p_r
        g = (1.0 + z / b) * weight
        e0, e1, e2 = integrals_by_series(t, g) if abs(alpha) < SERIES_ALPHA else integrals(t, g)
        pull = u * weight
        loss, curvature = coef_terms(z, log1p_r, weight, e0, alpha, b)
        if learn_shape:
            pull_alpha, shape, shape_shape = shape_terms(z, log1p_r, pull, g, e1, e2, alpha, b)
    else:
        loss, weight, pull, curvature, pull_alpha, shape, shape_shape = all_terms(u, alpha)
    stretch = u * curvature
    if tail == -math.inf:
        return (
            loss, weight, pull, curvature, pull_alpha, shape, shape_shape, stretch, 1.0, 0.0, 0.0, 0.0, 0.0
        )  # fmt: skip
    fall = 2.0 * math.log(max(abs(u) / knee, 1.0)) if knee < math.inf else 0.0
    t = loss + tail - fall
    small = math.exp(-abs(t)) if abs(t) < -LEAST_EXPONENT else 0.0
    return mixed_terms(
        u, t, small, math.log1p(small), fall, tail, slope, curve,
        loss, weight, pull, curvature, pull_alpha, shape, shape_shape, stretch,
    )  # fmt: skip
