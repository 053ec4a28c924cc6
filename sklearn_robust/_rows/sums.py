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

LOSS, SCALE, SCALE_SCALE, SQUARES, SHAPE, SCALE_SHAPE, SHAPE_SHAPE = range(7)
DIRTY, SHARED, SHARED_SCALE, SHARED_SHAPE = range(7, 11)
N_SCALARS = 11
CURVATURE, PULLS, WEIGHTS, ONES, FITTED, FITTED_SQUARES = range(6)
N_CROSS = 3


@dataclass(frozen=True)
class Sums:
    """Sums over rows: ``scalars`` (11,), ``score`` (q,), ``cross`` (3, q), ``gram`` (q, q); zero unless asked for.

    For inference ``score`` and ``gram`` have q + 3 entries.
    The gram of a sparse design with many columns is an operator.
    """

    scalars: np.ndarray
    score: np.ndarray
    cross: np.ndarray
    gram: np.ndarray

    @property
    def loss(self) -> float:
        """Σ s rho."""
        return float(self.scalars[LOSS])
