"""The loop, written once: a step, and the test whether it was the last.

Where rows are many and the gradient is nearly small enough, a last step of Newton's is taken without a pass to see it.
"""

from collections.abc import Sequence

import numpy as np

from sklearn_robust._fit.newton import Newton
from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._fit.result import Record, StopReason

# Where more digits would not change what is decided next.
ROUGH_TOL = 1e-4
# Within how many times the tolerance a last step may be taken unseen, and to what part of it it is expected to lead: of
# 1300 such steps, three quarters of them with columns of heavy tails, ten ended above it, at 3.3 times it at most.
_NEARLY, _SURELY = 10.0, 0.1
_EPS = np.finfo(float).eps


def silent(iteration: int, record: Record, dof: float) -> None:
    """Report nothing."""


def iterate(
    objective: Objective,
    policy,
    solver_class,
    theta,
    law: Law,
    max_iter: int,
    tol: float,
    report,
    from_below=False,
    first=None,
):
    """Run a solver from (theta, law), and once more where the law may have another minimum: the lower one is kept.

    ``from_below`` tells that the way to (theta, law) has looked below alpha = 2, and ``first`` is a solver that knows
    something already. Returns the last point, the history and the stop reason; report(k, record, S - d) is called for
    each record.
    """

    def run(solver, theta, law, most, tol, report, lands=True):
        # the first point is kept nowhere, by no name and no tuple: it has a number for each row
        return descend(
            objective, policy, solver, objective.at(theta, law, solver.wants), most, tol, report, lands=lands
        )

    def goes_on(further: list[Record]) -> None:
        for record in further:
            report(len(history), record, objective.dof)
            history.append(record)

    solver = first or solver_class()
    # with a background J may be lower just below alpha = 2: worth a look before the last digits there
    looks = law.alpha == 2.0 and law.share > 0.0 and not from_below and tol < ROUGH_TOL
    if isinstance(solver, Newton):
        solver.glances = looks
    point, history, reason = run(solver, theta, law, max_iter, ROUGH_TOL if looks else tol, report, not looks)
    left = max_iter - len(history)  # iterations, of which the second start is one
    from_below = from_below or any(record.law.alpha < 2.0 for record in history)
    other = policy.other_basin(objective, point, from_below) if reason.converged and left > 0 else None
    if other is not None:
        near = isinstance(solver, Newton) and other.share > 0.0
        solver_there = Newton(solver.curvatures) if near else solver_class()
        there, further, reason_there = run(solver_there, point.theta, other, left, tol, silent)
        value = history[-1].objective
        if further[-1].objective < value - 1e-12 * abs(value):
            goes_on([record for record in further if record.objective < value])
            return there, history, reason_there
        del there  # and with it its weights
    if looks and reason.converged:
        if isinstance(solver, Newton):
            solver.glances = False
        before = history[:-1]
        point, further, reason = descend(objective, policy, solver, point, left, tol, silent, lands=True, before=before)
        goes_on(further[1:])
    return point, history, reason


def descend(
    objective: Objective,
    policy,
    solver,
    point: Point,
    max_iter: int,
    tol: float,
    report,
    enough=0.0,
    lands=False,
    before: Sequence[Record] = (),
):
    """Steps of one solver from a point until one of the reasons to stop, or J falls by less than ``enough``.

    ``lands`` tells that nothing but the end is of interest: so the last step may be taken without a pass. ``before``
    are the records of the steps that led to the point.
    """
    history: list[Record] = []
    penalised = policy.learns and objective.penalised
    typical, rounding = objective.rows.frame.typical, 8.0 * _EPS * objective.amplification
    while True:
        history.append(_record(objective, policy, point))
        report(len(history) - 1, history[-1], objective.dof)
        ends = history[-1].objective, history[-1].gradient
        if not np.isfinite(ends).all() or (point.law.alpha > 2.0 and _overflows(point)):
            return point, history, StopReason.OVERFLOW
        size = typical + objective.size(point.theta)
        # in units of a c that is held far above all residuals the gradient is small anywhere
        close = tol if policy.learns else tol * min(1.0, size / point.law.c)
        reason = _stop(history, close, rounding * size)
        if reason is None and len(history) > 1 and abs(history[-2].objective - history[-1].objective) < enough:
            reason = StopReason.GRADIENT
        if reason is not None:
            return point, history, reason
        if len(history) > max_iter:
            return point, history, StopReason.MAX_ITER
        expected = _expected([*before, *history]) if lands and history[-1].gradient <= _NEARLY * close else np.inf
        if expected <= _SURELY * close and isinstance(solver, Newton):
            landed = solver.landed(objective, policy, point)
            if landed is not None:
                value = objective.value(landed)
                history.append(Record(value, landed.law, expected, objective.recorded(landed.theta)))
                report(len(history) - 1, history[-1], objective.dof)
                return landed, history, StopReason.GRADIENT
        last = objective.stepping(point)
        del point  # and with it its weights
        point = solver.step(objective, policy, last)
        if penalised and len(history) > 2 and history[-1].gradient > 0.5 * history[-3].gradient:
            # the law has an objective of its own: the two may chase each other round, until it goes half the way
            point = objective.at(point.theta, policy.between(last.law, point.law), point.want)
        if point.law == last.law and np.array_equal(point.theta, last.theta):
            return point, history, StopReason.STALLED


def _overflows(point: Point) -> bool:
    """Whether weights, which beyond alpha = 2 grow with the residuals, are too large for a gram."""
    return isinstance(point.sums.gram, np.ndarray) and not np.isfinite(point.sums.gram).all()


def _record(objective: Objective, policy, point: Point) -> Record:
    gradient = max(objective.coef_gradient(point), policy.gradient(objective, point.sums.scalars, point.law))
    return Record(objective.value(point), point.law, gradient, objective.recorded(point.theta))


def _expected(history: Sequence[Record]) -> float:
    """What one more step of Newton's will lower the gradient to, as the last two steps tell.

    The error of a step from x with the Hessian there is half of what that Hessian's change with x makes it; of the next
    with the same Hessian it is the whole. One step may have been lucky.
    """
    if len(history) < 3:
        return np.inf
    first, second, last = (record.gradient for record in history[-3:])
    return 2.0 * last * max(last / second, (second / first) ** 2)


def _stop(history: list[Record], tol: float, rounding: float) -> StopReason | None:
    """Whether the gradient is small, and with it the way still to go, at the rate at which the last step shrank it."""
    last = history[-1]
    if last.gradient <= tol:
        if len(history) == 1 or last.gradient <= 0.01 * tol:
            return StopReason.GRADIENT
        before = history[-2]
        move = float(np.abs(last.theta - before.theta).max()) / last.law.c
        if last.gradient * move <= tol * (before.gradient - last.gradient):
            return StopReason.GRADIENT
    # residuals carry rounding errors of a few ulps of y' and of the fit: in units of c that is the best gradient
    if last.gradient <= rounding / last.law.c:
        return StopReason.PRECISION
    return None
