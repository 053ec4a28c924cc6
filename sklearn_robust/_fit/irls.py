"""Iteratively reweighted least squares: theta + (X'WX + P)^-1 (X'W r - P theta), W the weights of the loss.

For alpha <= 2 the loss is concave in r², so the weighted squares majorise it and every full step lowers line 1 by at
least half of what its slope promises. For larger alpha weights grow with r and the step may cycle: a fraction is taken,
halved until line 1 falls enough. Steps that shrink slowly by a steady rate are summed as the geometric series they are
(Aitken), where that lowers line 1 at least as much.
"""

import numpy as np

from sklearn_robust._fit.objective import Objective, Point
from sklearn_robust._rows import cpu

_MAX_HALVINGS = 40
_SLOW, _SLOWEST = 0.6, 0.99
_LARGE_ALPHA = 8.0
_ARMIJO = 0.25  # enough to keep steps from crossing the minimum to a point as high


class IRLS:
    """The step of IRLS, and the last plain one."""

    wants = cpu.GRAM

    def __init__(self):
        self._last: np.ndarray | None = None

    def step(self, objective: Objective, policy, point: Point) -> Point:
        """The next coefficients, then the next law."""
        theta = self.coefficients(objective, point)
        return objective.at(theta, policy.step(objective, theta, point.law), self.wants)

    def coefficients(self, objective: Objective, point: Point) -> np.ndarray:
        """The next coefficients (q,), from a point with its gram."""
        step = -(objective.weighted_inverse(point) @ point.gradient)
        last, self._last = self._last, step
        rate = float(last @ step / (last @ last)) if last is not None and last.any() else 0.0
        if rate > _SLOW:
            longer = point.theta + point.law.c / (1.0 - min(rate, _SLOWEST)) * step
            if objective.at(longer, point.law, cpu.SCORE).line1 <= point.line1 + 0.5 * float(step @ point.gradient):
                self._last = None
                return longer
        if point.law.alpha <= 2.0:
            return point.theta + point.law.c * step
        # the Hessian lies between W and (alpha - 1) W: this fraction of the step contracts, tested or not
        step = 2.0 / min(point.law.alpha, _LARGE_ALPHA) * step
        noise = objective.noise(point.line1)
        for _ in range(_MAX_HALVINGS):
            trial = point.theta + point.law.c * step
            promised = _ARMIJO * float(step @ point.gradient)
            if objective.at(trial, point.law, cpu.SCORE).line1 <= point.line1 + promised + noise:
                return trial
            step = 0.5 * step
        return point.theta
