"""The statistics that a pass over rows returns: the sums over chunks of rows add up entry by entry.

With u_i = r_i / (c v_i), z = u², v the noise scales, s the sample weights, w the weight of the loss, ``scalars`` are

    loss         Σ s rho                    scale        Σ s z w       (minus d loss / d log c)
    scale_scale  Σ s d² rho / d(log c)²     squares      Σ s z
    shape        Σ s d rho / d alpha        scale_shape  Σ s d² rho / d log c d alpha
    shape_shape  Σ s d² rho / d alpha²

``score`` is Σ s w u x / v and ``gram`` Σ s g x x' / v² with g the weight (IRLS), the curvature (Newton) or 1. ``cross``
holds the derivatives of minus the score in log c and alpha.
"""

from dataclasses import dataclass

import numpy as np

LOSS, SCALE, SCALE_SCALE, SQUARES, SHAPE, SCALE_SHAPE, SHAPE_SHAPE = range(7)
N_SCALARS = 7


@dataclass(frozen=True)
class Sums:
    """Sums over rows: ``scalars`` (7,), ``score`` (q,), ``cross`` (2, q), ``gram`` (q, q); zero unless asked for."""

    scalars: np.ndarray
    score: np.ndarray
    cross: np.ndarray
    gram: np.ndarray

    @property
    def loss(self) -> float:
        """Σ s rho."""
        return float(self.scalars[LOSS])
