"""Limited-memory BFGS on the coefficients, preconditioned by the least-squares gram of the rows.

The two-loop recursion of J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5, with
H_0 = gamma (X'X + P)^-1, and backtracking until line 1 falls enough (Armijo).
"""

from collections import deque

import numpy as np

from sklearn_robust._fit.objective import Objective, Point
from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._rows import cpu

_MEMORY = 20
_ARMIJO = 1e-4
_MAX_HALVINGS = 40


class LBFGS:
    """The step of L-BFGS and the curvature it remembers."""

    wants = cpu.SCORE

    def __init__(self):
        self._pairs: deque = deque(maxlen=_MEMORY)

    def step(self, objective: Objective, point: Point) -> np.ndarray:
        """The next coefficients (q,)."""
        # in units of c, where the Hessian is near X'X: pairs stay comparable while c moves
        c, gradient = point.law.c, point.theta_gradient
        direction = -self._apply(objective.inverse, gradient)
        slope = float(direction @ gradient)
        if slope >= 0.0:
            self._pairs.clear()
            direction = -(objective.inverse @ gradient)
            slope = float(direction @ gradient)
        value = point.sums.loss + objective.ridge(point.theta, point.law)
        length = 1.0
        noise = 4.0 * np.finfo(float).eps * abs(value)
        for _ in range(_MAX_HALVINGS):
            trial = point.theta + length * c * direction
            _, _, trial_value, trial_gradient = objective.sweep(trial, point.law, cpu.SCORE)
            # where the promised gain drowns in the rounding of the value, the slope decides
            flat = -length * slope <= noise and abs(trial_gradient @ direction) <= abs(slope)
            if trial_value <= value + _ARMIJO * length * slope or (flat and trial_value <= value + noise):
                move, change = length * direction, trial_gradient - gradient
                if move @ change > 1e-10 * abs(length * slope):
                    self._pairs.append((move, change))
                return trial
            length *= 0.5
        self._pairs.clear()
        return point.theta

    def _apply(self, inverse: Inverse, gradient) -> np.ndarray:
        direction = gradient.copy()
        steps = []
        for move, change in reversed(self._pairs):
            step = (move @ direction) / (move @ change)
            direction -= step * change
            steps.append(step)
        direction = inverse @ direction
        if self._pairs:
            move, change = self._pairs[-1]
            direction *= (move @ change) / (change @ (inverse @ change))
        for (move, change), step in zip(self._pairs, reversed(steps), strict=True):
            direction += (step - (change @ direction) / (move @ change)) * move
        return direction
