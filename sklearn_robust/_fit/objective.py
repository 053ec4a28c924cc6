"""What a solver sees of the data: value, gradient and sums at coefficients theta and law (alpha, c).

    line 1   Σ s rho(r, alpha, c) + Σ_j penalty_j theta_j² / (2 c²)          lowered by the coefficients
    line 2   Σ s [rho(r, alpha, c) + log Z(alpha)] + (S - d) log c          lowered by alpha and c

Everything is in working units. Gradients are per unit weight; the one in theta is taken in units of c, so that it does
not depend on the units of y.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._loss import log_partition as partition
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.sums import Sums


class Law(NamedTuple):
    """Shape and scale of the noise."""

    alpha: float
    c: float


@lru_cache(maxsize=256)
def log_partition(alpha: float) -> float:
    """log Z(alpha)."""
    return partition.log_partition(alpha)


@lru_cache(maxsize=256)
def log_partition_slope(alpha: float) -> float:
    """d log Z / d alpha."""
    return partition.log_partition_slope(alpha)


def log_partition_curvature(alpha: float) -> float:
    """d² log Z / d alpha², by a difference: it only steers Newton's steps."""
    step = 1e-4 * min(1.0, abs(alpha - 2.0)) * max(1.0, alpha)
    below = max(alpha - step, 0.0)
    return (log_partition_slope(alpha + step) - log_partition_slope(below)) / (alpha + step - below)


@dataclass(frozen=True)
class Point:
    """Coefficients and law, the sums there, line 1, and its gradient in theta (times c, summed over rows)."""

    theta: np.ndarray
    law: Law
    sums: Sums
    line1: float
    gradient: np.ndarray


@dataclass(frozen=True)
class Objective:
    """Rows, ridge penalty (q,), (X'SX + P)^-1, S and S - d; ``learns`` tells whether the log terms count."""

    rows: Rows
    penalty: np.ndarray
    inverse: Inverse
    total: float
    dof: float
    learns: bool

    @property
    def n_coefs(self) -> float:
        """d, the effective degrees of freedom of the fit."""
        return self.total - self.dof

    @property
    def amplification(self) -> float:
        """How much larger a coefficient may move than its gradient says, where columns nearly depend on each other."""
        return float(np.sqrt(max(self.total * self.inverse.largest_variance, 1.0)))

    def normaliser(self, law: Law) -> float:
        """The log terms of line 2."""
        return self.total * log_partition(law.alpha) + self.dof * float(np.log(law.c)) if self.learns else 0.0

    def ridge(self, theta, law: Law) -> float:
        """The penalty of line 1."""
        return float(0.5 * np.sum(self.penalty * theta**2) / law.c**2)

    def at(self, theta, law: Law, want: int) -> Point:
        """One pass over the rows."""
        sums = self.rows.sweep(theta, law.alpha, law.c, want, self.learns and law.alpha != 2.0)
        return Point(theta, law, sums, sums.loss + self.ridge(theta, law), self.penalty * theta / law.c - sums.score)

    def value(self, point: Point) -> float:
        """What the fit as a whole lowers: line 1, with the log terms where they count."""
        return point.line1 + self.normaliser(point.law)

    def coef_gradient(self, point: Point) -> float:
        """The largest entry of the gradient in theta per unit weight, plain and with independent columns."""
        plain = float(np.abs(point.gradient).max(initial=0.0)) / self.total
        return max(plain, float(np.abs(self.inverse @ point.gradient).max(initial=0.0)))

    def residual_sums(self, residuals, law: Law) -> tuple[Sums, float]:
        """Sums over known residuals (n,), and line 2."""
        sums = self.rows.residual_sums(residuals, law.alpha, law.c, self.learns and law.alpha != 2.0)
        return sums, sums.loss + self.normaliser(law)
