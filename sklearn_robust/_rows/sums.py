"""The statistics that a pass over rows returns: the sums over chunks of rows add up entry by entry.

With u_i = r_i / (c v_i), z = u², v the noise scales, s the sample weights, w the weight of the loss, ``scalars`` are

    loss         Σ s rho                    scale        Σ s z w       (minus d loss / d log c)
    scale_scale  Σ s d² rho / d(log c)²     squares      Σ s z
    shape        Σ s d rho / d alpha        scale_shape  Σ s d² rho / d log c d alpha
    shape_shape  Σ s d² rho / d alpha²

``score`` is Σ s w u x / v and ``gram`` Σ s g x x' / v² with g the weight (IRLS), the curvature (Newton) or 1. ``cross``
holds the derivatives of minus the score in log c, alpha and the logit of the share.

With a background, rho is replaced by the cost of the mixture less the log terms of a clean row, log Z + log c, and
``scale`` and ``shape`` hold what remains when (S - d) and S d log Z / d alpha stand for these. Four more sums, p the
probability of being clean, then are

    dirty        Σ s (1 - p)                shared       Σ s p (1 - p)
    shared_scale, shared_shape              Σ s p (1 - p) times a clean row's slope in log c, alpha

A pass for inference returns other sums. A row's score is z = (w u x / v, and minus the slopes of its cost in log c,
alpha and the logit of the share, each up to a constant); ``score`` is Σ s z, ``gram`` Σ s z z', and ``scalars``, f the
fitted value, begin with

    curvature    Σ s psi_prime c²           pulls        Σ s (w u)²         weights      Σ s w
    ones, fitted, fitted_squares            Σ s w (1, f, f²) / v², the first two 0 without an intercept
"""

from dataclasses import dataclass

import numpy as np

from sklearn_robust._loss import mixture
from sklearn_robust._loss.jit import jit

LOSS, SCALE, SCALE_SCALE, SQUARES, SHAPE, SCALE_SHAPE, SHAPE_SHAPE = range(7)
DIRTY, SHARED, SHARED_SCALE, SHARED_SHAPE = range(7, 11)
N_SCALARS = 11
CURVATURE, PULLS, WEIGHTS, ONES, FITTED, FITTED_SQUARES = range(6)
N_CROSS = 3


@jit
def add_scalars(u, s, learn_shape, mixed, terms, sums):
    """Add a row to the scalars: its u, its weight, and its terms, in the order of ``mixture``."""
    u_pull = u * terms[mixture.PULL]
    sums[LOSS] += s * terms[mixture.LOSS]
    sums[SQUARES] += s * (u * u)
    scale = s * u_pull
    scale_scale = s * (u_pull + u * terms[mixture.STRETCH])
    if learn_shape:
        sums[SHAPE] += s * terms[mixture.SHAPE]
        sums[SHAPE_SHAPE] += s * terms[mixture.SHAPE_SHAPE]
    scale_shape = -s * (u * terms[mixture.PULL_ALPHA])
    if mixed:
        dirty = s * (1.0 - terms[mixture.CLEAN])
        shared_scale = s * terms[mixture.SHARED_SCALE]
        shared_shape = s * terms[mixture.SHARED_SHAPE]
        sums[DIRTY] += dirty
        sums[SHARED] += s * terms[mixture.SHARED]
        sums[SHARED_SCALE] += shared_scale
        scale += dirty
        scale_scale -= shared_scale
        if learn_shape:
            sums[SHARED_SHAPE] += shared_shape
            scale_shape -= shared_shape
    sums[SCALE] += scale
    sums[SCALE_SCALE] += scale_scale
    if learn_shape:
        sums[SCALE_SHAPE] += scale_shape


@jit
def add_for_inference(s, one, fitted, terms, sums):
    """Add a row to the scalars of a pass for inference."""
    weight = s * terms[mixture.WEIGHT]
    sums[CURVATURE] += s * terms[mixture.CURVATURE]
    sums[PULLS] += s * (terms[mixture.PULL] * terms[mixture.PULL])
    sums[WEIGHTS] += weight
    sums[ONES] += weight * (one * one)
    sums[FITTED] += weight * (one * fitted)
    sums[FITTED_SQUARES] += weight * (fitted * fitted)


@dataclass(frozen=True)
class Sums:
    """Sums over rows: ``scalars`` (11,), ``score`` (q,), ``cross`` (3, q), ``gram`` (q, q); zero unless asked for.

    For inference ``score`` and ``gram`` have q + 3 entries. ``beside`` are the scalars at another law, where they were
    asked for and cost less than a pass of their own.
    The gram of a sparse design with many columns is an operator.
    """

    scalars: np.ndarray
    score: np.ndarray
    cross: np.ndarray
    gram: np.ndarray
    beside: np.ndarray | None = None

    @property
    def loss(self) -> float:
        """Σ s rho."""
        return float(self.scalars[LOSS])
