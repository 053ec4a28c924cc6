"""Weighted ridge by its kernel, and what the solvers see of a fit with an exact kernel.

f = K a + b minimises Σ ω (y - f)² + λ a'K a, ω the weights, where

    (λ I + D K D) u = D (y - b),    a = D u,    D = Ω^½,    Σ a = 0

so a row of weight zero has a = 0 and does no harm. b is not penalised; without it the last equation falls away.

Coefficients come as theta = (b, K a, a), gradients as (slope in b, λ a - ω r, 0): the slope along a direction is their
scalar product then, and steps are sums of either kind, as if theta were coefficients of columns.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dnrm2

from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.lbfgs import LBFGS
from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._loss import mixture
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import row_terms
from sklearn_robust._rows.frame import NONE
from sklearn_robust._rows.kernels import KernelRows
from sklearn_robust._rows.sums import Sums

_MAX_HALVINGS = 10
# The loss of rows that bends less, or to the other side, may bend more on the way: steps are scaled as if it bent so.
_LEAST_BEND = 0.01
# Steps are scaled anew, which costs as much as some twenty of them, where curvatures differ so much on average: once
# rows are near where they end up, in units of c, or after many steps; never for the last digits.
_FEW_STEPS, _MANY_STEPS, _BENT = 2, 12, 0.05
_NEAR, _LAST_DIGITS = 0.3, 1e-4
_EVEN, _WELL_CONDITIONED = 1e-3, 1e-7
_NEGATIVE = 1e-6
_EPS = np.finfo(float).eps


class NotPositive(ValueError):
    """The kernel matrix has directions below zero."""


class DualInverse:
    """The inverse of the Hessian of weighted ridge, as a Cholesky factor of B = λ I + D K D; ``aim`` is B^-1 D 1."""

    def __init__(self, rows: KernelRows, strength: float, omega):
        self.renew(rows, strength, omega)

    def renew(self, rows: KernelRows, strength: float, omega) -> None:
        """Become that of other weights."""
        root = np.sqrt(omega)
        largest = len(root) * float((rows.X.diagonal() * omega).max())
        factor = rows.X.factor(root, strength)
        if factor is None:  # where weights grow with residuals, the least strength may drown in rounding
            strength = max(strength, 4.0 * _EPS * len(root) * rows.largest * float(omega.max()))
            factor = rows.X.factor(root, strength)
        if factor is None:
            raise NotPositive
        self.kernel, self.strength, self.intercept = rows.X, strength, rows.frame.fit_intercept
        self.root, self.factor = root, factor
        self.even = bool(omega.min() > _EVEN * omega.max() and strength > _WELL_CONDITIONED * largest)
        self.aim = factor.solve(root) if self.intercept else np.zeros(len(root))
        lever = float(root @ self.aim)
        self.looseness = 1.0 / lever if lever > 0.0 else 0.0  # of b, which rows without weight leave alone
        self._gradient = self._product = np.zeros(0)

    @property
    def rank(self) -> int:
        """The number of determined directions: all."""
        return len(self.root)

    def residual_dof(self) -> float:
        """The trace of y -> y - f at these weights."""
        trace = self.factor.inverse_trace()
        if self.intercept:
            trace -= float(self.aim @ self.aim) * self.looseness
        return self.strength * trace

    def __matmul__(self, gradient) -> np.ndarray:
        """The direction (1 + 2 n,) whose product with the Hessian is a gradient (1 + 2 n,)."""
        if np.array_equal(gradient, self._gradient):  # the test for the end asks for it before the next step does
            return self._product
        n = len(self.root)
        right = gradient[1 : 1 + n]
        image = self.root * (self.kernel @ right)
        change = right - self.root * self.factor.solve(image)
        out = np.zeros(1 + 2 * n)
        if self.intercept:
            out[0] = (gradient[0] - self.aim @ image) / self.strength * self.looseness
            change -= (self.strength * out[0]) * (self.root * self.aim)
        out[1 + n :] = change / self.strength
        if self.even:  # λ a + Ω (K a + b) is the gradient: this gives K a without another product
            out[1 : 1 + n] = (right - change) / self.root**2 - out[0]
        else:
            out[1 : 1 + n] = self.kernel @ out[1 + n :]
        self._gradient, self._product = gradient, out
        return out


@dataclass(frozen=True)
class DualObjective(Objective):
    """The objective of a fit with an exact kernel; ``penalty`` holds the one strength λ."""

    rows: KernelRows
    inverse: DualInverse  # type: ignore[assignment]

    @property
    def strength(self) -> float:
        """λ, in working units."""
        return float(self.penalty[0])

    def ridge(self, theta, law: Law) -> float:
        """The penalty of line 1."""
        fitted, dual = np.split(theta[1:], 2)
        penalty = 0.5 * self.strength * float((fitted / law.c) @ (dual / law.c))
        if law.alpha == 2.0 and not self.learns:  # which the first system solves, whatever the sign
            return penalty
        return np.inf if penalty < -_NEGATIVE * self.total else max(penalty, 0.0)  # K a and a no longer agree

    def started(self, theta, law: Law) -> np.ndarray:
        """Coefficients to begin with, whose K a and a agree."""
        if self.ridge(theta, law) < np.inf:
            return theta
        dual = theta[1 + len(self.rows) :]
        size = float(np.abs(dual).max()) or 1.0
        unit = dual / size
        fitted = self.rows.X @ unit
        if fitted @ unit < -_EPS * len(dual) * self.rows.largest * float(np.abs(unit).sum()) ** 2:
            raise NotPositive
        return np.concatenate((theta[:1], size * fitted, dual))

    def at(self, theta, law: Law, want: int, beside: Law | None = None) -> Point:
        """Sums and gradient; theta brings its K a."""
        rows, n = self.rows, len(self.rows)
        residuals = rows.residuals(theta)
        scalars = rows.residual_sums(residuals, [law.of_rows()], self.learns)[0]
        sums = Sums(scalars, NONE, NONE, NONE)
        weights = row_terms(residuals, law.of_rows(), mixture.WEIGHT)
        pulls = rows.levers * weights * (residuals / law.c)
        gradient = np.zeros(1 + 2 * n)
        if rows.frame.fit_intercept:
            gradient[0] = -pulls.sum()
        gradient[1 : 1 + n] = self.strength * theta[1 + n :] / law.c - pulls
        return Point(theta, law, want, sums, weights, sums.loss + self.ridge(theta, law), gradient)

    def coef_gradient(self, point: Point) -> float:
        """How far f still has to go at any row, in units of c, and the slope in b per unit weight."""
        n = len(self.rows)
        move = self.inverse @ point.gradient
        return max(float(np.abs(move[0] + move[1 : 1 + n]).max()), abs(float(point.gradient[0])) / self.total)

    def stepping(self, point: Point) -> Point:
        """The point itself: IRLS needs its weights."""
        return point

    def weighted_inverse(self, point: Point) -> DualInverse:  # type: ignore[override]
        """Of ridge with the weights of a point."""
        return DualInverse(self.rows, self.strength, self.rows.precisions * point.weights)

    def newton_direction(self, point: Point) -> np.ndarray | None:
        """Minus the inverse Hessian times the gradient, where that points downhill."""
        rows, n = self.rows, len(self.rows)
        curvatures = row_terms(rows.residuals(point.theta), point.law.of_rows(), mixture.CURVATURE)
        omega = rows.precisions * curvatures
        right = point.gradient[1 : 1 + n]
        solved = rows.X.solve(omega, self.strength, np.column_stack((right, omega)))
        if solved is None:  # some curvatures are below zero, and this one cancels the penalty
            return None
        out = np.zeros(1 + 2 * n)
        change = solved[:, 0]
        if rows.frame.fit_intercept:
            rest = (right.sum() - point.gradient[0]) / self.strength
            out[0] = (change.sum() - rest) / solved[:, 1].sum()
            change = change - out[0] * solved[:, 1]
        out[1 + n :] = -change
        out[0] = -out[0]
        out[1 : 1 + n] = rows.X @ out[1 + n :]
        return out if np.isfinite(out).all() and out @ point.gradient < 0.0 else None

    def recorded(self, theta) -> np.ndarray:
        """What a history keeps: (b, K a)."""
        return theta[: 1 + len(self.rows)]

    def size(self, theta) -> float:
        """How large the terms are whose rounding a residual carries."""
        n = len(self.rows)
        largest = float(np.abs(self.rows.X.diagonal()).max())
        return float(abs(theta[0]) + np.abs(theta[1 : 1 + n]).max() + largest * dnrm2(theta[1 + n :]))


class DualLBFGS(LBFGS):
    """L-BFGS, whose scaling becomes that of the curvatures reached, where they are no longer those that it has."""

    def __init__(self):
        super().__init__()
        self._since = 0

    def step(self, objective: DualObjective, policy, point: Point) -> Point:  # type: ignore[override]
        """The next coefficients, then the next law."""
        rest = objective.coef_gradient(point) if self._since >= _FEW_STEPS else np.inf
        if (rest < _NEAR or self._since >= _MANY_STEPS) and rest > _LAST_DIGITS:
            rows, inverse = objective.rows, objective.inverse
            bends = row_terms(rows.residuals(point.theta), point.law.of_rows(), mixture.CURVATURE)
            omega = rows.precisions * np.maximum(np.where(np.isfinite(bends), bends, 1.0), _LEAST_BEND)
            if float(np.abs(omega - inverse.root**2).sum()) > _BENT * float(rows.precisions.sum()):
                inverse.renew(rows, objective.strength, omega)
                self._pairs.clear()
                self._since = 0
        self._since += 1
        return super().step(objective, policy, point)


class DualNewton:
    """Newton's step in f, then the next law; a step of IRLS where J is not convex."""

    wants = cpu.SCORE

    def step(self, objective: DualObjective, policy, point: Point) -> Point:
        """The next coefficients, then the next law."""
        theta, n = self._coefficients(objective, point), len(objective.rows)
        theta[1 : 1 + n] = objective.rows.X @ theta[1 + n :]  # whose rounding stays, where they were far larger before
        return objective.at(theta, policy.step(objective, theta, point.law), self.wants)

    def _coefficients(self, objective: DualObjective, point: Point) -> np.ndarray:
        direction = objective.newton_direction(point)
        noise = objective.noise(point.line1)
        if direction is None:
            return IRLS().coefficients(objective, point)
        length = 1.0
        for _ in range(_MAX_HALVINGS):
            theta = point.theta + length * point.law.c * direction
            if objective.at(theta, point.law, cpu.SCORE).line1 <= point.line1 + noise:
                return theta
            length *= 0.5
        return IRLS().coefficients(objective, point)


def dual_objective(rows: KernelRows, strength: float, learns: bool) -> DualObjective:
    """The objective at a strength in working units."""
    total = rows.total_weight
    inverse = DualInverse(rows, strength, rows.precisions)
    dof = total - len(rows) + inverse.residual_dof()
    return DualObjective(
        rows, np.array([strength]), inverse, 1.0, total, dof if dof > 1e-9 * total else 0.0, learns, True
    )


def smoothed(objective: DualObjective, residuals, weights, share: float) -> np.ndarray:
    """Coefficients (1 + 2 n,) from a fit like it, with residuals and weights (n,) of the loss: ridge of pseudo-values.

    A pseudo-value is the fit plus the residual times the weight over the one that ridge gives the row (P. J. Huber,
    Robust Statistics, 1981, section 7.8). These are the sample weights, so that the same factor serves for the steps;
    but where a share of the rows is a background's, that fit may be far rougher, and outliers are left out of this one.
    """
    rows, n = objective.rows, len(objective.rows)
    believed = np.ones(n)
    if share > _BENT:
        believed = np.clip(weights, _LEAST_BEND, 1.0)
        objective.inverse.renew(rows, objective.strength, rows.precisions * believed)
    lost = (1.0 - weights / believed) * residuals * (rows.noise if rows.noise.size else 1.0)
    gradient = np.zeros(1 + 2 * n)
    gradient[1 : 1 + n] = objective.inverse.root**2 * (rows.working_y - lost)
    gradient[0] = gradient[1:].sum() if rows.frame.fit_intercept else 0.0
    return objective.inverse @ gradient
