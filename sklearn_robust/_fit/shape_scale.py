"""What happens to the law (alpha, c) between two steps of the coefficients: held, or learned from the residuals.

``Learned`` lowers J = Σ s [rho + log Z(alpha)] + (S - d) log c at given residuals by Newton's method in (alpha, log c),
halved until J falls. alpha = 2 is a point apart: there both d rho / d alpha and (log Z)' are infinite, and for d > 0
J has a narrow dip, so it is compared in closed form, c² = Σ s r² / (S - d), and left only when a smaller alpha at some
distance is better.
"""

from dataclasses import dataclass

import numpy as np

from sklearn_robust._fit.objective import Law, Objective, Point, log_partition_curvature, log_partition_slope
from sklearn_robust._rows.sums import SCALE, SCALE_SCALE, SCALE_SHAPE, SHAPE, SHAPE_SHAPE, SQUARES

_GRID = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0)
_MAX_HALVINGS = 30


@dataclass(frozen=True)
class Fixed:
    """Alpha and c held; ``c_min`` is the floor of a scale that was itself measured, 0 for one that was given."""

    law: Law
    c_min: float

    def start(self, objective: Objective, residuals, scale: float) -> Law:
        """The law to begin with."""
        return self.law

    def step(self, objective: Objective, theta, law: Law) -> Law:
        """The same law."""
        return law

    def release(self, objective: Objective, point: Point) -> Law:
        """The same law."""
        return point.law

    def clip(self, law: Law) -> Law:
        """The held law."""
        return self.law

    def at_floor(self, law: Law) -> bool:
        """Whether the scale was measured as zero."""
        return law.c <= self.c_min

    def gradient(self, objective: Objective, sums, law: Law) -> float:
        """Nothing to learn: 0."""
        return 0.0


@dataclass(frozen=True)
class Learned:
    """Alpha in [low, high] and c >= c_min learned from the residuals."""

    low: float
    high: float
    c_min: float

    def start(self, objective: Objective, residuals, scale: float) -> Law:
        """The best alpha of a coarse grid, each with its own c."""
        if objective.dof <= 0.0:
            return Law(self.high, self.c_min)
        grid = sorted({min(max(alpha, self.low), self.high) for alpha in _GRID} | {self.low, self.high})
        laws = [self._best_c(objective, residuals, Law(alpha, max(scale, self.c_min))) for alpha in grid]
        return min(laws, key=lambda law: objective.residual_sums(residuals, law)[1])

    def step(self, objective: Objective, theta, law: Law) -> Law:
        """One safeguarded Newton step in (alpha, log c) at theta; alpha = 2 where its closed form is lower."""
        if objective.dof <= 0.0:
            return law
        residuals = objective.rows.residuals(theta)
        sums, value = objective.residual_sums(residuals, law)
        moved = self._newton(objective, residuals, law, sums, value)
        if self.low <= 2.0 <= self.high and self.high == 2.0:
            least_squares = Law(2.0, self._least_squares_c(objective, sums, law))
            values = [objective.residual_sums(residuals, each)[1] for each in (moved, least_squares)]
            if values[1] <= min(values[0], value):
                return least_squares
        return moved

    def release(self, objective: Objective, point: Point) -> Law:
        """From alpha = 2, the best of a few smaller alphas if one is lower."""
        law = point.law
        if law.alpha != 2.0 or self.high != 2.0 or self.low == 2.0 or objective.dof <= 0.0 or law.c <= self.c_min:
            return law
        share = (objective.total - objective.dof) / objective.total
        gaps = [gap for gap in (max(5.0 * share, 1e-3) * 4.0**k for k in range(6)) if 2.0 - gap > self.low]
        residuals = objective.rows.residuals(point.theta)
        best, lowest = law, objective.residual_sums(residuals, law)[1]
        for gap in [*gaps, 2.0 - self.low]:
            other = self._best_c(objective, residuals, Law(2.0 - gap, law.c))
            value = objective.residual_sums(residuals, other)[1]
            if value < lowest - 1e-12 * abs(lowest):
                best, lowest = other, value
        return best

    def clip(self, law: Law) -> Law:
        """The nearest law that is allowed."""
        return Law(min(max(law.alpha, self.low), self.high), max(law.c, self.c_min))

    def at_floor(self, law: Law) -> bool:
        """Whether the scale reached its floor."""
        return law.c <= self.c_min

    def gradient(self, objective: Objective, sums, law: Law) -> float:
        """The largest slope of J in (alpha, log c) that a bound does not hold, per unit weight."""
        if objective.dof <= 0.0:
            return 0.0
        scale = (objective.dof - sums.scalars[SCALE]) / objective.total
        if law.c <= self.c_min and scale > 0.0:
            scale = 0.0
        shape = self._shape_slope(objective, sums, law)
        if (law.alpha <= self.low and shape > 0.0) or (law.alpha >= self.high and shape < 0.0):
            shape = 0.0
        return max(abs(scale), abs(shape))

    def _shape_slope(self, objective: Objective, sums, law: Law) -> float:
        if law.alpha == 2.0 or np.isinf(law.alpha):
            return 0.0
        return sums.scalars[SHAPE] / objective.total + log_partition_slope(law.alpha)

    def _least_squares_c(self, objective: Objective, sums, law: Law) -> float:
        return max(law.c * float(np.sqrt(sums.scalars[SQUARES] / objective.dof)), self.c_min)

    def _best_c(self, objective: Objective, residuals, law: Law) -> Law:
        """The c that Σ s z w = S - d asks for at this alpha: z w grows with z, so Newton in log c has one root."""
        log_c, least = np.log(law.c), np.log(self.c_min)
        for _ in range(50):
            sums, _ = objective.residual_sums(residuals, Law(2.0, 1.0) if law.alpha == 2.0 else law)
            if law.alpha == 2.0:
                return Law(2.0, self._least_squares_c(objective, sums, Law(2.0, 1.0)))
            excess = sums.scalars[SCALE] - objective.dof
            step = float(np.clip(excess / max(sums.scalars[SCALE_SCALE], 1e-3 * objective.dof), -2.0, 2.0))
            moved = max(log_c + step, least)
            law = Law(law.alpha, float(np.exp(moved)) if moved > least else self.c_min)
            if abs(moved - log_c) < 1e-3:
                return law
            log_c = moved
        return law

    def _newton(self, objective: Objective, residuals, law: Law, sums, value: float) -> Law:
        alpha_step, log_step = self._direction(objective, sums, law)
        noise = 8.0 * np.finfo(float).eps * (abs(value) + objective.total)
        for _ in range(_MAX_HALVINGS):
            trial = self._moved(law, alpha_step, log_step)
            if trial == law:
                break
            change = objective.residual_sums(residuals, trial)[1] - value
            # a step whose gain drowns in the rounding of J is Newton's last digits
            if change <= 0.0 or (abs(alpha_step) + abs(log_step) < 1e-6 and change <= noise):
                return trial
            alpha_step, log_step = 0.5 * alpha_step, 0.5 * log_step
        return law

    def _moved(self, law: Law, alpha_step: float, log_step: float) -> Law:
        alpha = min(max(law.alpha + alpha_step, self.low), self.high)
        if alpha == 2.0 != law.alpha:
            alpha = law.alpha + 0.75 * (2.0 - law.alpha)
        return Law(alpha, max(law.c * float(np.exp(log_step)), self.c_min))

    def _direction(self, objective: Objective, sums, law: Law) -> tuple[float, float]:
        """Newton's step in (alpha, log c), within a trust region; alpha alone is left where a bound holds it."""
        s = sums.scalars
        scale_slope, scale_scale = objective.dof - s[SCALE], max(s[SCALE_SCALE], 1e-3 * objective.dof)
        if law.alpha == 2.0 or np.isinf(law.alpha) or self.low == self.high:
            return 0.0, float(np.clip(-scale_slope / scale_scale, -1.0, 1.0))
        shape_slope = objective.total * self._shape_slope(objective, sums, law)
        cross = s[SCALE_SHAPE]
        curvature = s[SHAPE_SHAPE] + objective.total * log_partition_curvature(law.alpha) - cross**2 / scale_scale
        profile_slope = shape_slope - cross * scale_slope / scale_scale
        reach = 0.5 * (1.0 + law.alpha)
        alpha_step = -profile_slope / curvature if curvature > 0.0 else -np.copysign(reach, profile_slope)
        alpha_step = float(np.clip(alpha_step, -reach, reach))
        alpha_step = min(max(law.alpha + alpha_step, self.low), self.high) - law.alpha
        return alpha_step, float(np.clip(-(scale_slope + cross * alpha_step) / scale_scale, -1.0, 1.0))
