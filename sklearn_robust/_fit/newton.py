"""Newton's method, jointly in the coefficients and the law.

The Hessian comes from the same pass as the gradient; where rows are many, only one or two passes bring it, and the
others the gradient alone, for further digits with what is known of the Hessian: at first from a part of the rows. A
step that does not lower J is halved; where that does not help, or the Hessian is indefinite, IRLS takes the step. At
alpha = 2 a step is least squares. With a ridge penalty the law has an objective of its own, and moves after the
coefficients.
"""

from dataclasses import replace

import numpy as np

from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.objective import Objective, Point
from sklearn_robust._fit.ridge import Inverse
from sklearn_robust._rows import cpu

_MAX_HALVINGS = 4
# Below this many entries of X a pass costs no more than the algebra between passes.
_FEW_ENTRIES = 200_000
_MANY_COLUMNS = 60
_POOR_GAIN = 0.2
# What J may still fall by, a row, when the next point is near the optimum.
_NEARLY_THERE = 1e-4


class Newton:
    """The step of Newton's method, and the Hessian it keeps while gradients alone are asked for.

    ``curvatures`` are a gram (q, q) and cross terms (3, q) near the first point, if any are known: so that the pass
    that brings them falls where the steps are nearer to the end; later they are those of the last pass with them.

    The sums of every pass hold the law's own part of the Hessian; the gram and the cross terms are those of the last
    pass that brought them, corrected by the pairs (move, change of the gradient) since, as in L-BFGS.

    ``glances`` tells that near the optimum the law just below alpha = 2 is worth a look.
    """

    wants: int
    glances: bool
    _model: tuple[Inverse, np.ndarray | None] | None
    _free: tuple[int, ...]
    _least_squares: Inverse | None
    _before: tuple[np.ndarray, np.ndarray] | None
    _length: float
    _law_part: np.ndarray
    _pairs: list[tuple[np.ndarray, np.ndarray]]

    def __init__(self, curvatures: tuple[np.ndarray, np.ndarray] | None = None):
        self.wants = cpu.HESSIAN
        self.glances = False
        self._model = None
        self._free = ()
        self._hessians = 0
        self._given = curvatures is not None
        self.curvatures = curvatures
        if curvatures is not None:
            self.wants, self._hessians = cpu.SCORE, 1
        self._least_squares = None
        self._before, self._length = None, 1.0
        self._law_part = np.zeros((0, 0))
        self._pairs = []

    def step(self, objective: Objective, policy, point: Point) -> Point:
        """The next coefficients and law."""
        given, self._given, self.wants = self._given, False, cpu.HESSIAN
        if point.law.alpha == 2.0 and point.law.share == 0.0:
            self._model = None
            if point.want != cpu.HESSIAN:
                point = objective.at(point.theta, point.law, cpu.HESSIAN)
            gram = point.sums.gram
            if self._least_squares is None:
                self._least_squares = Inverse.of(gram, objective.penalty)
            theta = point.theta - point.law.c * (self._least_squares @ point.gradient)
            following = objective.at(theta, point.law, cpu.SCORE)
            # at alpha = 2 the Hessian is the gram of the sample weights, wherever: so it is known here too
            sums = replace(following.sums, gram=gram, cross=np.outer((2.0, 0.0, 0.0), following.sums.score))
            following = replace(following, want=cpu.HESSIAN, sums=sums)
            return objective.with_scale(following, policy.least_squares_c(objective, following.sums.scalars, point.law))
        apart = policy.learns and objective.penalised
        free = () if apart else policy.free(objective, point.sums.scalars, point.law)
        if point.want != cpu.HESSIAN and self._model is None and not given:
            point = objective.at(point.theta, point.law, cpu.HESSIAN)
        position, gradient = self._seen(objective, policy, point, free)
        found = self._descend(objective, policy, point, free, gradient)
        if found is None:
            self._model = self._before = None
            theta = IRLS().coefficients(objective, objective.at(point.theta, point.law, cpu.GRAM))
            return objective.at(theta, policy.step(objective, theta, point.law), self.wants)
        if apart:
            return objective.at(found.theta, policy.step(objective, found.theta, point.law), self.wants)
        self._before = (position, gradient)
        return found

    def landed(self, objective: Objective, policy, point: Point) -> Point | None:
        """Where a full step leads, without a pass: sums and weights are still those of the point.

        None where a pass costs next to nothing, or the step is no plain one.
        """
        apart = policy.learns and objective.penalised
        if _is_cheap(objective) or apart or (point.law.alpha == 2.0 and point.law.share == 0.0):
            return None
        free = policy.free(objective, point.sums.scalars, point.law)
        _, gradient = self._seen(objective, policy, point, free)
        self._before = None  # what this step told is known, if another is to be taken from here
        if self._model is None:
            return None
        step, q, law_step = self._newton_step(gradient), len(point.theta), np.zeros(3)
        law_step[list(free)] = step[q:]
        if free and (policy.passes_two(point.law, law_step) or policy.shortened(point.law, law_step) < 1.0):
            return None
        law = policy.moved(point.law, law_step, free) if free else point.law
        line1 = objective.value(point) + 0.5 * float(step @ gradient) - objective.normaliser(law)
        return replace(point, theta=point.theta + step[:q], law=law, line1=line1)

    def _seen(self, objective: Objective, policy, point: Point, free: tuple[int, ...]):
        """Position and gradient (q + ., ) of a point, by which the Hessian is corrected."""
        law_slopes = policy.slopes(objective, point.sums.scalars, point.law, free)[list(free)] if free else []
        gradient = np.concatenate((point.gradient / point.law.c, law_slopes))
        position = np.concatenate((point.theta, policy.position(point.law)[list(free)] if free else []))
        self._update(objective, policy, point, free, position, gradient)
        return position, gradient

    def _update(self, objective: Objective, policy, point: Point, free: tuple[int, ...], position, gradient) -> None:
        """The Hessian at a point: the coefficients' part as of the last pass with it, and what steps told since."""
        q, before = len(point.theta), self._law_part
        if free:
            self._law_part = policy.hessian(objective, point.sums.scalars, point.law, free)[np.ix_(free, free)]
        if point.want == cpu.HESSIAN:
            self._hessians += 1
            self.curvatures, self._pairs = (point.sums.gram, point.sums.cross), []
        elif free != self._free:
            self._pairs = []
        elif self._before is not None:
            left = 1.0 - self._length + _POOR_GAIN  # of a halved step
            if np.abs(gradient[:q]).max() > left * np.abs(self._before[1]).max():
                self._hessians = 0
            move, change = position - self._before[0], gradient - self._before[1]
            if free:  # as if the law's own part, which is known, had been on the whole way what it is here
                change[q:] += 0.5 * (self._law_part - before) @ move[q:]
            if float(move @ change) > 1e-10 * float(np.linalg.norm(move) * np.linalg.norm(change)):
                self._pairs.append((move, change))
        self._free = free
        self._model = self._factorised(objective, policy, point)

    def _factorised(self, objective: Objective, policy, point: Point):
        """The Hessian's inverse with a basis of what the rows determine, or None where it is indefinite."""
        q, c, free = len(point.theta), point.law.c, self._free
        assert self.curvatures is not None
        gram, cross = self.curvatures
        size = q + len(free)
        matrix = np.empty((size, size))
        matrix[:q, :q] = gram / c / c
        if objective.penalised:
            matrix.ravel()[: q * (size + 1) : size + 1] += objective.penalty / c / c
        if free:
            matrix[q:, :q] = policy.turned(point.law, free, *cross)[list(free)] / c
            matrix[:q, q:] = matrix[q:, :q].T
            matrix[q:, q:] = self._law_part
        basis = objective.inverse.basis
        if basis is not None:
            full = np.zeros((size, basis.shape[1] + len(free)))
            full[:q, : basis.shape[1]] = basis
            full[q:, basis.shape[1] :] = np.eye(len(free))
            basis, matrix = full, full.T @ matrix @ full
        inverse = Inverse.of_positive(matrix)
        return None if inverse is None else (inverse, basis)

    def _newton_step(self, gradient) -> np.ndarray:
        """Minus the inverse Hessian times the gradient, by the two loops of L-BFGS."""
        assert self._model is not None
        inverse, basis = self._model
        step = -gradient
        shares = []
        for move, change in reversed(self._pairs):
            shares.append(float(move @ step) / float(move @ change))
            step = step - shares[-1] * change
        step = inverse @ step if basis is None else basis @ (inverse @ (basis.T @ step))
        for move, change in self._pairs:
            step = step + (shares.pop() - float(change @ step) / float(move @ change)) * move
        return step

    def _descend(self, objective: Objective, policy, point: Point, free: tuple[int, ...], gradient) -> Point | None:
        q = len(point.theta)
        value = objective.value(point)
        noise = objective.noise(value)
        law_step = np.zeros(3)
        if self._model is not None:
            step = self._newton_step(gradient)
            slope = float(step @ gradient)
            law_step[list(free)] = step[q:]
        if free and (self._model is None or policy.passes_two(point.law, law_step)):
            square = policy.least_squares(objective, point.sums.scalars, point.law)
            if square and policy.least_squares_value(objective, square) <= value:
                return objective.at(point.theta, square, self.wants)
            two = policy.at_two(objective, point.law) if self._model is not None else None
            there = objective.at(point.theta, two, self.wants) if two else None
            if there and objective.value(there) <= value:
                return there
        if self._model is None:
            return None
        length, glances = 1.0, self.glances and -slope <= _NEARLY_THERE * objective.total
        if free:  # how far the law is trusted to move does not hold up the coefficients
            law_step *= policy.shortened(point.law, law_step)
        for _ in range(_MAX_HALVINGS):
            law = policy.moved(point.law, length * law_step, free) if free else point.law
            theta, want = point.theta + length * step[:q], self._next_want(objective, point)
            following = objective.at(theta, law, want, policy.widened(objective, law) if glances else None)
            change = objective.value(following) - value
            if change <= 0.0 or (-slope <= noise and change <= noise):
                self._length = length
                return following
            del following  # which has weights for all rows
            length *= 0.5
        return None

    def _next_want(self, objective: Objective, point: Point) -> int:
        q = len(point.theta)
        if _is_cheap(objective):
            return cpu.HESSIAN
        if self._hessians < (1 if q > _MANY_COLUMNS else 2):
            return cpu.HESSIAN
        return cpu.SCORE


def _is_cheap(objective: Objective) -> bool:
    """Whether a pass costs no more than what is between passes."""
    return len(objective.rows) * len(objective.penalty) <= _FEW_ENTRIES
