"""A law of clean rows beside a background: what one row adds to the sums of a fit.

With a = rho + log Z + log c a clean row's cost, the mixture's is a - log(1 + exp(t)), up to log(1 - share), where
t = a + logit(share) - log R, less 2 log |u / knee| beyond the knee of a background that falls off. A row is clean with
probability 1 / (1 + exp(t)).
"""

import math

from sklearn_robust._loss.jit import jit, jit_exact
from sklearn_robust._loss.terms import all_terms, is_near, log1p_and_inverse, near_terms

# The terms of a row, in their order. STRETCH is u CURVATURE, minus d pull / d log c. With a background, CLEAN is the
# probability of being a clean row, and SHARED is CLEAN (1 - CLEAN), alone and times the slopes of a clean row's cost in
# u, log c and alpha.
LOSS, WEIGHT, PULL, CURVATURE, PULL_ALPHA, SHAPE, SHAPE_SHAPE, STRETCH = range(8)
CLEAN, SHARED, SHARED_PULL, SHARED_SCALE, SHARED_SHAPE = range(8, 13)
N_TERMS = 13

# Exponentials of less are none.
LEAST_EXPONENT = -700.0


@jit_exact
def mixed_terms(
    u, t, small, log1p, inverse, fall, tail, slope, curve,
    loss, weight, pull, curvature, pull_alpha, shape, shape_shape, stretch,
):  # fmt: skip
    """The terms of a clean row as those of the mixture, and its probability of being clean p, p (1 - p) and three more.

    ``small`` is exp(-|t|), ``log1p`` log(1 + small) and ``inverse`` 1 / (1 + small); p (1 - p) times the slopes of a
    clean row's cost in u, log c and alpha are the last three. Slope and curve are the derivatives of log Z.
    """
    outlying = t > 0.0
    live = t < -LEAST_EXPONENT
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
        mixed_loss, clean * weight if live else 0.0, clean * pulled, mixed_curvature, mixed_pull_alpha,
        mixed_shape, mixed_shape_shape, mixed_stretch,
        clean, shared, shared * pulled, shared * along_scale, shared * along_shape,
    )  # fmt: skip


@jit
def terms_of_row(u, alpha, learn_shape, tail, slope, curve, knee):
    """The terms of a row within ``is_near``, one at a time, in their order; tail is -inf without a background."""
    return _with_background(u, near_terms(u, alpha, learn_shape), tail, slope, curve, knee)


@jit
def terms_of_any_row(u, alpha, learn_shape, tail, slope, curve, knee):
    """The same for any row."""
    terms = near_terms(u, alpha, learn_shape) if is_near(u, alpha) else all_terms(u, alpha)
    return _with_background(u, terms, tail, slope, curve, knee)


@jit
def _with_background(u, terms, tail, slope, curve, knee):
    loss, weight, pull, curvature, pull_alpha, shape, shape_shape = terms
    stretch = u * curvature
    if tail == -math.inf:
        return (
            loss, weight, pull, curvature, pull_alpha, shape, shape_shape, stretch, 1.0, 0.0, 0.0, 0.0, 0.0
        )  # fmt: skip
    fall = 2.0 * math.log(max(abs(u) / knee, 1.0)) if knee < math.inf else 0.0
    t = loss + tail - fall
    small = math.exp(-abs(t)) if abs(t) < -LEAST_EXPONENT else 0.0
    log1p, inverse = log1p_and_inverse(small)
    return mixed_terms(
        u, t, small, log1p, inverse, fall, tail, slope, curve,
        loss, weight, pull, curvature, pull_alpha, shape, shape_shape, stretch,
    )  # fmt: skip
