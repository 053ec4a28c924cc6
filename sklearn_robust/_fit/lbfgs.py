"""Limited-memory BFGS on the coefficients, preconditioned by the least-squares gram of the rows.

The two-loop recursion of J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5, with
H_0 = gamma (X'X + P)^-1, and steps halved or doubled until line 1 has fallen enough and its slope too (weak Wolfe).
"""

from collections import deque

import numpy as np

from sklearn_robust._fit.objective import Objective, Point
from sklearn_robust._rows import cpu

_MEMORY = 20
_ARMIJO, _WOLFE = 1e-4, 0.9
_MAX_DOUBLINGS = 40
_MAX_HALVINGS = 40


class LBFGS:
    """The step of L-BFGS and the curvature it remembers."""

    wants = cpu.SCORE

    def __init__(self):
        self._pairs: deque = deque(maxlen=_MEMORY)

    def step(self, objective: Objective, policy, point: Point) -> Point:
        """The next coefficients, then the next law."""
        theta = self._coefficients(objective, point)
        return objective.at(theta, policy.step(objective, theta, point.law), self.wants)

    def _coefficients(self, objective: Objective, point: Point) -> np.ndarray:
        # in units of c, where the Hessian is near X'X: pairs stay comparable while c moves
        gradient = point.gradient
        image = objective.inverse @ gradient
        direction = -self._apply(image, gradient)
        slope = float(direction @ gradient)
        if slope >= 0.0:
            self._pairs.clear()
            direction = -image
            slope = float(direction @ gradient)
        length = 1.0
        noise = objective.noise(point.line1)
        for _ in range(_MAX_HALVINGS):
            trial = objective.at(point.theta + length * point.law.c * direction, point.law, cpu.SCORE)
            # where the promised gain drowns in the rounding of the value, the slope decides
            flat = -length * slope <= noise and abs(trial.gradient @ direction) <= abs(slope)
            if trial.line1 <= point.line1 + (noise if flat else _ARMIJO * length * slope):
                length, trial = self._lengthened(objective, point, direction, slope, length, trial)
                move, change = length * direction, trial.gradient - gradient
                if move @ change > 1e-10 * abs(length * slope):
                    self._pairs.append((move, change, objective.inverse @ trial.gradient - image))
                return trial.theta
            length *= 0.5
        self._pairs.clear()
        return point.theta

    def _lengthened(self, objective: Objective, point: Point, direction, slope: float, length: float, trial: Point):
        """Twice the length, and so on, while the slope is nearly what it was and line 1 goes on falling (Wolfe)."""
        for _ in range(_MAX_DOUBLINGS):
            if trial.gradient @ direction >= _WOLFE * slope:
                break
            further = objective.at(point.theta + 2.0 * length * point.law.c * direction, point.law, cpu.SCORE)
            if not further.line1 <= point.line1 + _ARMIJO * 2.0 * length * slope:
                break
            length, trial = 2.0 * length, further
        return length, trial

    def _apply(self, image, gradient) -> np.ndarray:
        """The inverse Hessian times a gradient; ``image`` is H_0 times it but for gamma, as kept of each change."""
        gradient, image = gradient.copy(), image.copy()
        steps = []
        for move, change, changed_image in reversed(self._pairs):
            step = (move @ gradient) / (move @ change)
            gradient -= step * change
            image -= step * changed_image
            steps.append(step)
        direction = image
        if self._pairs:
            move, change, changed_image = self._pairs[-1]
            direction *= (move @ change) / (change @ changed_image)
        for (move, change, _), step in zip(self._pairs, reversed(steps), strict=True):
            direction += (step - (change @ direction) / (move @ change)) * move
        return direction
