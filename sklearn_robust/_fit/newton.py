"""Newton's method, jointly in the coefficients and the law.

The Hessian comes from the same pass as the gradient; where rows are many, only the first ones are asked for, and BFGS
updates of the inverse turn gradient-only passes into further digits. A step that does not lower J is halved;
where that does not help, or the Hessian is indefinite, IRLS takes the step. At alpha = 2 a step is least squares.
With a ridge penalty the law has an objective of its own, and moves after the coefficients.
"""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.objective import Objective, Point
from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._rows import cpu

_MAX_HALVINGS = 4
# Below this many entries of X a pass costs no more than the algebra between passes.
_FEW_ENTRIES = 200_000
_MANY_COLUMNS = 60
_POOR_GAIN = 0.2


class Newton:
    """The step of Newton's method, and the inverse Hessian it keeps while gradients alone are asked for."""

    wants = cpu.HESSIAN

    def __init__(self):
        self._inverse: np.ndarray | None = None
        self._free: tuple[int, ...] = ()
        self._hessians = 0
        self._least_squares: Inverse | None = None
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def step(self, objective: Objective, policy, point: Point) -> Point:
        """The next coefficients and law."""
        if point.law.alpha == 2.0 and point.law.share == 0.0:
            self._inverse = None
            if self._least_squares is None:  # at alpha = 2 the Hessian holds the gram of the sample weights
                if point.want != cpu.HESSIAN:
                    point = objective.at(point.theta, point.law, cpu.HESSIAN)
                self._least_squares = Inverse.of(point.sums.gram, objective.penalty)
            theta = point.theta - point.law.c * (self._least_squares @ point.gradient)
            following = objective.at(theta, point.law, cpu.SCORE)
            return objective.with_scale(following, policy.least_squares_c(objective, following.sums.scalars, point.law))
        apart = policy.learns and objective.penalised
        free = () if apart else policy.free(objective, point.sums.scalars, point.law)
        if point.want != cpu.HESSIAN and (self._inverse is None or free != self._free):
            point = objective.at(point.theta, point.law, cpu.HESSIAN)
        gradient = self._gradient(objective, policy, point, free)
        position = np.concatenate((point.theta, policy.position(point.law)[list(free)] if free else []))
        self._update(objective, policy, point, free, position, gradient)
        found = self._descend(objective, policy, point, free, gradient)
        if found is None:
            self._inverse = self._before = None
            theta = IRLS().coefficients(objective, objective.at(point.theta, point.law, cpu.GRAM))
            return objective.at(theta, policy.step(objective, theta, point.law), self.wants)
        if apart:
            return objective.at(found.theta, policy.step(objective, found.theta, point.law), self.wants)
        self._before = (position, gradient)
        return found

    def _gradient(self, objective: Objective, policy, point: Point, free: tuple[int, ...]) -> np.ndarray:
        law_slopes = policy.slopes(objective, point.sums.scalars, point.law, free)[list(free)] if free else []
        return np.concatenate((point.gradient / point.law.c, law_slopes))

    def _update(self, objective: Objective, policy, point: Point, free: tuple[int, ...], position, gradient) -> None:
        """The inverse Hessian at a point: computed where the pass brought it, else updated."""
        self._free = free
        if point.want == cpu.HESSIAN:
            self._hessians += 1
            self._inverse = self._invert(objective, policy, point, free)
        elif self._inverse is not None and self._before is not None:
            if np.abs(gradient).max() > _POOR_GAIN * np.abs(self._before[1]).max():
                self._hessians = 0
            move, change = position - self._before[0], gradient - self._before[1]
            along = float(move @ change)
            if along > 1e-10 * float(np.linalg.norm(move) * np.linalg.norm(change)):
                image = self._inverse @ change
                stretch = (1.0 + float(change @ image) / along) / along
                self._inverse = (
                    self._inverse
                    + stretch * np.outer(move, move)
                    - (np.outer(move, image) + np.outer(image, move)) / along
                )

    def _invert(self, objective: Objective, policy, point: Point, free: tuple[int, ...]) -> np.ndarray | None:
        q, c = len(point.theta), point.law.c
        size = q + len(free)
        matrix = np.empty((size, size))
        matrix[:q, :q] = point.sums.gram / c / c
        if objective.penalised:
            matrix.ravel()[: q * (size + 1) : size + 1] += objective.penalty / c / c
        if free:
            rows = list(free)
            matrix[q:, :q] = policy.turned(point.law, free, *point.sums.cross)[rows] / c
            matrix[:q, q:] = matrix[q:, :q].T
            matrix[q:, q:] = policy.hessian(objective, point.sums.scalars, point.law, free)[rows][:, rows]
        basis = objective.inverse.basis
        if basis is not None:  # only the directions that the rows determine
            full = np.zeros((size, basis.shape[1] + len(free)))
            full[:q, : basis.shape[1]] = basis
            full[q:, basis.shape[1] :] = np.eye(len(free))
            inverse = self._positive_inverse(full.T @ matrix @ full)
            return None if inverse is None else full @ inverse @ full.T
        return self._positive_inverse(matrix)

    def _positive_inverse(self, matrix) -> np.ndarray | None:
        diagonal = matrix.diagonal()
        if not diagonal.min() > 0.0:
            return None
        factor = 1.0 / np.sqrt(diagonal)
        scaling = factor * factor[:, None]
        cholesky, info = dpotrf(matrix * scaling, lower=1, clean=1)
        if info != 0 or cholesky.diagonal().min() ** 2 < 1e-12:
            return None
        lower = dpotri(cholesky, lower=1, overwrite_c=1)[0]  # of a clean factor, zero above the diagonal
        inverse = lower + lower.T
        inverse.ravel()[:: len(factor) + 1] *= 0.5
        return inverse * scaling

    def _descend(self, objective: Objective, policy, point: Point, free: tuple[int, ...], gradient) -> Point | None:
        if self._inverse is None:
            return None
        q = len(point.theta)
        step = -(self._inverse @ gradient)
        slope = float(step @ gradient)
        value = objective.value(point)
        noise = objective.noise(value)
        law_step = np.zeros(3)
        law_step[list(free)] = step[q:]
        if free and policy.passes_two(point.law, law_step):
            square = policy.least_squares(objective, point.sums.scalars, point.law)
            if square and policy.least_squares_value(objective, square) <= value:
                return objective.at(point.theta, square, self.wants)
            two = policy.at_two(objective, point.law)
            there = objective.at(point.theta, two, self.wants) if two else None
            if there and objective.value(there) <= value:
                return there
        length = policy.shortened(point.law, law_step) if free else 1.0
        for _ in range(_MAX_HALVINGS):
            law = policy.moved(point.law, length * law_step, free) if free else point.law
            following = objective.at(point.theta + length * step[:q], law, self._next_want(objective, point))
            change = objective.value(following) - value
            if change <= 0.0 or (-slope <= noise and change <= noise):
                return following
            length *= 0.5
        return None

    def _next_want(self, objective: Objective, point: Point) -> int:
        q = len(point.theta)
        if len(objective.rows) * q <= _FEW_ENTRIES:
            return cpu.HESSIAN
        if self._hessians < (1 if q > _MANY_COLUMNS else 2):
            return cpu.HESSIAN
        return cpu.SCORE
