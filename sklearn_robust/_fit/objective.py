"""What a solver sees of the data: value, gradient and sums at coefficients theta and law (alpha, c).

    line 1   Σ s rho(r, alpha, c) + Σ_j penalty_j theta_j² / (2 c²)          lowered by the coefficients
    line 2   Σ s [rho(r, alpha, c) + log Z(alpha)] + (S - d) log c          lowered by alpha and c

With a background, a share e of the rows spread evenly over a width R, rho + log Z + log c is replaced by the cost
-log[(1 - e) exp(-rho) / (Z c) + e / R], which e lowers too; -d log c stays.

Everything is in working units. Gradients are per unit weight; the one in theta is taken in units of c, so that it does
not depend on the units of y.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from sklearn_robust._fit.ridge import ConjugateGradients, Diagonal, Inverse, solver_of
from sklearn_robust._loss import log_partition as partition
from sklearn_robust._loss.tails import isf
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import RowLaw, Rows
from sklearn_robust._rows.frame import NONE
from sklearn_robust._rows.sums import LOSS, Sums


class Law(NamedTuple):
    """Shape and scale of the noise, and the background: its share of the rows and its width, in working units.

    Beyond ``knee``, for known residuals only, the background falls off as 1 / r².
    """

    alpha: float
    c: float
    share: float = 0.0
    width: float = np.inf
    knee: float = np.inf

    def of_rows(self) -> RowLaw:
        """What a pass over rows has to know."""
        if self.share == 0.0:
            return RowLaw(self.alpha, self.c)
        tail = log_partition(self.alpha) + math.log(self.c) - math.log(self.width) + logit(self.share)
        knee = self.knee / self.c
        if self.alpha == 2.0:
            return RowLaw(self.alpha, self.c, tail, knee=knee)
        slope, curve = log_partition_slope(self.alpha), log_partition_curvature(self.alpha)
        return RowLaw(self.alpha, self.c, tail, slope, curve, knee)


def logit(share: float) -> float:
    """Log(share / (1 - share))."""
    return math.log(share) - math.log1p(-share)


log_partition_curvature = lru_cache(maxsize=1024)(partition.log_partition_curvature)
NORMAL_QUARTILE = 0.6744897501960817


@lru_cache(maxsize=1024)
def _log_partition(alpha: float) -> tuple[float, float]:
    return partition.log_partition(alpha, 1)


def log_partition(alpha: float) -> float:
    """Log Z(alpha)."""
    return _log_partition(alpha)[0]


def log_partition_slope(alpha: float) -> float:
    """Its derivative."""
    return _log_partition(alpha)[1]


@lru_cache(maxsize=1024)
def quartile(alpha: float) -> float:
    """The upper quartile of the standard law."""
    return isf(0.25, alpha, log_partition(alpha))


@dataclass(frozen=True)
class Point:
    """Coefficients and law, sums and weights (n,) there, line 1, its gradient in theta (times c, summed over rows)."""

    theta: np.ndarray
    law: Law
    want: int
    sums: Sums
    weights: np.ndarray
    line1: float
    gradient: np.ndarray

    def curved_gram(self, curvatures):
        """The gram of the curvatures: of its pass, or of ``curvatures`` found near it; None where none is known."""
        if self.want == cpu.HESSIAN:
            return self.sums.gram
        return None if curvatures is None else curvatures[0]


@dataclass(frozen=True)
class Objective:
    """Rows, ridge penalty (q,), S and S - d; ``learns`` tells whether the log terms count.

    ``inverse`` is (X'SX + P)^-1, estimated from a part of the rows where they are many: a scaling, not a statistic. Of
    a gram that is no matrix it is the diagonal's.
    ``amplification`` says how much larger a coefficient may move than its gradient, where columns nearly depend on each
    other. ``flexible`` tells whether columns are features of a kernel. ``tamed`` are sample weights (n,) that keep rows
    far out from hiding what the others determine, where they are needed: the inverse is theirs then.
    """

    rows: Rows
    penalty: np.ndarray
    inverse: Inverse | Diagonal
    amplification: float
    total: float
    dof: float
    learns: bool
    flexible: bool = False
    tamed: np.ndarray | None = None

    @cached_property
    def penalised(self) -> bool:
        """Whether there is a ridge penalty."""
        return bool(self.penalty.any())

    @property
    def n_coefs(self) -> float:
        """d, the effective degrees of freedom of the fit."""
        return self.total - self.dof

    def noise(self, value: float) -> float:
        """How much of a value of J, or of line 1, is rounding.

        A few ulps more than a sum of this size carries: its log terms are differences of larger numbers, and at y of
        1e100 a search along a line would end where J is flat to eight of them.
        """
        return 32.0 * np.finfo(float).eps * (abs(value) + self.total)

    def normaliser(self, law: Law) -> float:
        """The log terms of line 2."""
        if not self.learns:
            return 0.0
        return self.total * (log_partition(law.alpha) - math.log1p(-law.share)) + self.dof * float(np.log(law.c))

    def ridge(self, theta, law: Law) -> float:
        """The penalty of line 1."""
        if not self.penalised:
            return 0.0
        return float(0.5 * np.sum(self.penalty * (theta / law.c) ** 2))

    def at(self, theta, law: Law, want: int, beside: Law | None = None) -> Point:
        """One pass over the rows; it may bring the scalars at a law ``beside`` as well."""
        other = None if beside is None else beside.of_rows()
        sums, weights = self.rows.sweep(theta, law.of_rows(), want, self.learns, other)
        return self._point(theta, law, want, sums, weights)

    def _point(self, theta, law: Law, want: int, sums: Sums, weights) -> Point:
        if not self.penalised:
            return Point(theta, law, want, sums, weights, sums.loss, -sums.score)
        gradient = self.penalty * theta / law.c - sums.score
        return Point(theta, law, want, sums, weights, sums.loss + self.ridge(theta, law), gradient)

    def with_scale(self, point: Point, c: float) -> Point:
        """The same coefficients at alpha = 2 and another c: all sums are known."""
        factor = point.law.c / c
        sums = Sums(
            point.sums.scalars * (factor * factor), point.sums.score * factor, point.sums.cross, point.sums.gram
        )
        return self._point(point.theta, Law(2.0, c), point.want, sums, point.weights)

    def stepping(self, point: Point) -> Point:
        """The point as a step from it needs it: without its weights (n,), so that the next ones have their place."""
        return replace(point, weights=NONE)

    def value(self, point: Point) -> float:
        """What the fit as a whole lowers: line 1, with the log terms where they count."""
        return point.line1 + self.normaliser(point.law)

    def coef_gradient(self, point: Point) -> float:
        """The largest entry of the gradient in theta per unit weight, plain and with independent columns."""
        plain = float(np.abs(point.gradient).max(initial=0.0)) / self.total
        return max(plain, float(np.abs(self.inverse @ point.gradient).max(initial=0.0)))

    def weighted_inverse(self, point: Point) -> Inverse | ConjugateGradients:
        """(X'WX + P)^-1 at a point with its gram of the weights W."""
        return solver_of(point.sums.gram, self.penalty)

    def recorded(self, theta) -> np.ndarray:
        """What a history keeps of coefficients."""
        return theta

    def size(self, theta) -> float:
        """How large the terms are whose rounding a residual carries."""
        return float(np.abs(theta).sum())

    def line2(self, residuals, laws: list[Law]) -> tuple[np.ndarray, np.ndarray]:
        """Sums over known residuals (n,) at each of k laws: scalars (k, 11), and line 2 (k,)."""
        scalars = self.rows.residual_sums(residuals, [law.of_rows() for law in laws], self.learns)
        values = scalars[:, LOSS] + [self.normaliser(law) for law in laws]
        values[np.isnan(values)] = np.inf
        return scalars, values
