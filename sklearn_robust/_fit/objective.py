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
from sklearn_robust._rows import cpu
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
    """Coefficients, law, residuals (n,) and sums there; the value that the fit as a whole lowers."""

    theta: np.ndarray
    law: Law
    residuals: np.ndarray
    sums: Sums
    value: float
    theta_gradient: np.ndarray
    law_gradient: float


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
    def amplification(self) -> float:
        """How much larger a coefficient may move than its gradient says, where columns nearly depend on each other."""
        return float(np.sqrt(max(self.total * self.inverse.largest_variance, 1.0)))

    def largest_gradient(self, point: Point) -> float:
        """The largest entry of the gradient per unit weight, also in the basis where the columns are independent."""
        gradient = point.theta_gradient
        plain = float(np.abs(gradient).max(initial=0.0)) / self.total
        return max(plain, float(np.abs(self.inverse @ gradient).max(initial=0.0)), point.law_gradient)

    def normaliser(self, law: Law) -> float:
        """The log terms of line 2."""
        return self.total * log_partition(law.alpha) + self.dof * float(np.log(law.c)) if self.learns else 0.0

    def ridge(self, theta, law: Law) -> float:
        """The penalty of line 1."""
        return float(0.5 * np.sum(self.penalty * theta**2) / law.c**2)

    def sweep(self, theta, law: Law, want: int):
        """Residuals, sums, line 1 and its gradient in theta (times c, summed over rows)."""
        residuals, sums = self.rows.sweep(theta, law.alpha, law.c, want, self.learns and law.alpha != 2.0)
        gradient = self.penalty * theta / law.c - sums.score
        return residuals, sums, sums.loss + self.ridge(theta, law), gradient

    def residuals(self, theta) -> np.ndarray:
        """Residuals (n,), divided by the noise scales."""
        return self.rows.sweep(theta, 2.0, 1.0, cpu.RESIDUALS)[0]

    def residual_sums(self, residuals, law: Law) -> tuple[Sums, float]:
        """Sums over known residuals, and line 2."""
        sums = self.rows.residual_sums(residuals, law.alpha, law.c, self.learns and law.alpha != 2.0)
        return sums, sums.loss + self.normaliser(law)
