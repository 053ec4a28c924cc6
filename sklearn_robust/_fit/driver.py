"""The loop, written once: coefficients, then law, until the gradient is small."""

import numpy as np

from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._fit.result import Record, StopReason

_EPS = np.finfo(float).eps


def evaluate(objective: Objective, policy, theta, law: Law, want: int) -> Point:
    """Everything a step and the test for convergence need at (theta, law)."""
    residuals, sums, value, gradient = objective.sweep(theta, law, want)
    return Point(
        theta, law, residuals, sums, value + objective.normaliser(law), gradient, policy.gradient(objective, sums, law)
    )


def iterate(objective: Objective, policy, solver, theta, law: Law, max_iter: int, tol: float, report):
    """Run the solver from (theta, law): (last point, history, stop reason); report(k, record) after each step."""
    point = evaluate(objective, policy, theta, law, solver.wants)
    history: list[Record] = []
    rounding = 8.0 * _EPS * objective.amplification
    while True:
        gradient = objective.largest_gradient(point)
        history.append(Record(point.value, point.law.alpha, point.law.c, gradient, point.theta))
        report(len(history) - 1, history[-1])
        reason = _stop(history, tol, rounding)
        if reason is not None:
            released = policy.release(objective, point.residuals, point.law)
            if released == point.law:
                return point, history, reason
            law, theta = released, point.theta
        if len(history) > max_iter:
            return point, history, StopReason.MAX_ITER
        if reason is None:
            theta = solver.step(objective, point)
            law = policy.step(objective, theta, point.law)
            if law == point.law and np.array_equal(theta, point.theta):
                return point, history, StopReason.STALLED
        point = evaluate(objective, policy, theta, law, solver.wants)


def _stop(history: list[Record], tol: float, rounding: float) -> StopReason | None:
    """Whether the gradient is small, and with it the way still to go, at the rate at which the last step shrank it."""
    last = history[-1]
    if last.gradient <= tol:
        if len(history) == 1 or last.gradient <= 0.01 * tol:
            return StopReason.GRADIENT
        before = history[-2]
        move = float(np.abs(last.theta - before.theta).max()) / last.c
        if last.gradient * move <= 10.0 * tol * (before.gradient - last.gradient):
            return StopReason.GRADIENT
    # residuals carry rounding errors of a few ulps of y' and of the fit: in units of c that is the best gradient
    if last.gradient <= rounding * (1.0 + float(np.abs(last.theta).sum())) / last.c:
        return StopReason.PRECISION
    return None
