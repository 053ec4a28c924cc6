"""The loop, written once: a step, and the test whether it was the last."""

import numpy as np

from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._fit.result import Record, StopReason

_EPS = np.finfo(float).eps


def iterate(objective: Objective, policy, solver, theta, law: Law, max_iter: int, tol: float, report):
    """Run the solver from (theta, law): (last point, history, stop reason); report(k, record) after each step."""
    point = objective.at(theta, law, solver.wants)
    history: list[Record] = []
    rounding = 8.0 * _EPS * objective.amplification
    while True:
        history.append(_record(objective, policy, point))
        report(len(history) - 1, history[-1])
        reason = _stop(history, tol, rounding)
        if reason is not None:
            released = policy.release(objective, point)
            if released == point.law:
                return point, history, reason
        if len(history) > max_iter:
            return point, history, StopReason.MAX_ITER
        if reason is not None:
            point = objective.at(point.theta, released, solver.wants)
            continue
        following = solver.step(objective, policy, point)
        if following.law == point.law and np.array_equal(following.theta, point.theta):
            return point, history, StopReason.STALLED
        point = following


def _record(objective: Objective, policy, point: Point) -> Record:
    gradient = max(objective.coef_gradient(point), policy.gradient(objective, point.sums, point.law))
    return Record(objective.value(point), point.law.alpha, point.law.c, gradient, point.theta)


def _stop(history: list[Record], tol: float, rounding: float) -> StopReason | None:
    """Whether the gradient is small, and with it the way still to go, at the rate at which the last step shrank it."""
    last = history[-1]
    if last.gradient <= tol:
        if len(history) == 1 or last.gradient <= 0.01 * tol:
            return StopReason.GRADIENT
        before = history[-2]
        move = float(np.abs(last.theta - before.theta).max()) / last.c
        if last.gradient * move <= tol * (before.gradient - last.gradient):
            return StopReason.GRADIENT
    # residuals carry rounding errors of a few ulps of y' and of the fit: in units of c that is the best gradient
    if last.gradient <= rounding * (1.0 + float(np.abs(last.theta).sum())) / last.c:
        return StopReason.PRECISION
    return None
