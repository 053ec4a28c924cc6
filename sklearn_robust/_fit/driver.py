"""Where a fit begins, which loops it takes from there, and what it says of the end.

Many rows begin at the optimum of a random part of them, found by the same function: so a pass over all rows is needed
only for the last digits.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from sklearn_robust._fit.background import has_few_rows, is_called_for, is_too_wide, nearer, with_background
from sklearn_robust._fit.descent import ROUGH_TOL, descend, iterate, silent
from sklearn_robust._fit.dual import DualLBFGS, DualNewton, dual_objective, smoothed
from sklearn_robust._fit.fixed import Fixed
from sklearn_robust._fit.flexible import draws, flexible_start, is_soft, lowered, n_draws, stiff_strength
from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.lbfgs import LBFGS
from sklearn_robust._fit.leaving import has_left, is_ruled, start_of_all
from sklearn_robust._fit.newton import Newton
from sklearn_robust._fit.objective import Law, Objective, Point
from sklearn_robust._fit.result import FitResult, StopReason
from sklearn_robust._fit.ridge import residual_dof, scaling_of
from sklearn_robust._fit.sandwich import sandwich
from sklearn_robust._fit.start import Start, find_start, ols
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.kernels import KernelRows
from sklearn_robust._rows.spread import spread_index
from sklearn_robust._rows.threads import serial_blas

SOLVERS = {"auto": Newton, "newton": Newton, "irls": IRLS, "lbfgs": LBFGS}
DUAL_SOLVERS = {"auto": DualLBFGS, "newton": DualNewton, "irls": IRLS, "lbfgs": DualLBFGS}
_WALK_TOL = 1e-3
# A walk of a flexible fit ends where J falls by less: log likelihoods so near are alike, and the way may be long.
_ROUGH_FALL = 0.1
# Landmarks with which the fit of an exact kernel begins, and of how few the threads of a BLAS wait for each other.
_LANDMARKS, _FEW_LANDMARKS = 200, 500
# Up to so many coefficients a row alpha is free, and held below 2 by so much for each more; from where on, and how far.
_FREE, _CAUTION, _LEAST_CAUTION, _MOST_CAUTION = 0.1, 5.0, 0.01, 0.5
# Rows that tell outliers from heavy tails: of a thousand, some sets find another optimum than all rows do. More digits
# than these would be lost on what lies between the optima of a part and of all rows.
_LEAST_PART, _PART_TOL = 5000, 1e-3
# A gradient that is no longer one, a c that is hardly more than rounding, and one that is far above any y.
_SENSELESS, _TINY, _FAR_ABOVE = 1e-3, 1e-10, 1e100


class Settings(NamedTuple):
    """How to fit: ridge strength (None to choose one), a key of SOLVERS, the start, and when to stop.

    ``flexible`` tells whether columns are features of a kernel, which need a start of their own and perhaps a strength;
    ``inferred`` whether the sandwich is wanted; ``drawn`` whether weights beyond one for each draw are told as fewer.
    """

    strength: float | None
    solver: str
    init: str
    max_iter: int
    tol: float
    seed: int
    flexible: bool = False
    inferred: bool = False
    drawn: bool = False


def fit(
    rows: Rows,
    policy,
    settings: Settings,
    warm: tuple[np.ndarray, Law] | None,
    report: Callable,
) -> FitResult:
    """Fit rows from a start of its own, or from warm (theta, law)."""
    if settings.drawn and (part := n_draws(rows) / rows.total_weight) < 1.0:
        strength = None if settings.strength is None else part * settings.strength
        settings = settings._replace(drawn=False, strength=strength)
        fewer = replace(rows, weights=part * rows.all_weights, shared=None)

        def told(iteration, record, dof):
            report(iteration, record._replace(objective=record.objective / part), dof / part)

        return fit(fewer, policy, settings, warm, told).of_more(part)
    few = settings.flexible and not isinstance(rows, KernelRows) and rows.frame.n_coefs <= _FEW_LANDMARKS
    with serial_blas() if few else nullcontext():
        result = _fit(rows, policy, settings, warm, report)
    if settings.flexible:
        return replace(result, objective=None, inverse=None)  # which are as large as the kernel
    if not settings.inferred or result.objective is None:
        return result
    return replace(
        result, sandwich=sandwich(result.objective, result.policy, result.point, settings.seed, result.curvatures)
    )


def _fit(rows: Rows, policy, settings: Settings, warm, report: Callable, given: Start | None = None) -> FitResult:
    """``fit`` but for the sandwich; from a start that is ``given`` where a part of the rows is none to begin with."""
    # from alpha = 2 on the loss is convex and leaves no row aside: least squares is nearest to its optimum, and is it
    # where squares over that of c would underflow
    far_above = _FAR_ABOVE * rows.frame.typical
    if not policy.learns and (policy.alpha >= 2.0 or (policy.c is not None and policy.c > far_above)):
        settings = settings._replace(init="ols")
    starts = warm is None or policy.measures_start  # a measured scale is the data's own, wherever coefficients begin
    exact = isinstance(rows, KernelRows)
    begin = _begin_exact if exact else _begin
    objective, strength, part, start, theta, law = begin(rows, policy, settings, starts, warm is None, given)
    if warm is not None:
        theta, law = warm[0], law if policy.measures_start else policy.clip(warm[1])
    solver = (DUAL_SOLVERS if exact else SOLVERS)[settings.solver]
    penalised = objective.penalised

    # a strength that is chosen is the same with every solver
    chosen = settings.flexible and settings.strength is None
    finder = SOLVERS["auto"] if chosen else solver
    # a background's fit from which a strength is chosen again need not have all its digits
    rough = settings._replace(tol=max(settings.tol, ROUGH_TOL)) if chosen else settings

    def run(policy, theta, law, solver=finder, ends=settings):
        # with a background the way there was a walk from below alpha = 2
        return _iterate(objective, policy, solver, theta, law, ends, law.share > 0.0)

    def walk(policy, theta, law):
        return _walk(objective, policy, theta, law, settings.max_iter)

    known = None  # curvatures of all rows near the end
    ended = careful = _careful(objective, policy, law)
    if start is not None and policy.learns and policy.contamination != 0.0:
        plain = cache(lambda: run(careful, theta, careful.clip(law)))
        found = with_background(objective, policy, start, law, plain, partial(run, ends=rough), walk)
        (point, history, reason), ended = found or (plain(), careful)
        if chosen and point.law.share > 0.0:
            objective, strength, point = _lowered(policy, settings, objective, strength, point, False)
            point, history, reason = run(policy, point.theta, point.law, solver)
        elif finder is not solver:
            point, history, reason = run(policy, theta, law, solver)
    elif settings.flexible and policy.learns:
        point, history, reason = _iterate(objective, policy, solver, theta, law, settings, law.share > 0.0)
    else:
        first = Newton(part.curvatures) if part is not None and solver is Newton else None
        live = silent if part is not None else report  # that fit may have to begin again
        ends = settings.max_iter, settings.tol
        point, history, reason = iterate(objective, careful, solver, theta, careful.clip(law), *ends, live, first=first)
        if first is not None and first.curvatures is not part.curvatures:
            known = first.curvatures
        again = nearer(objective, policy, theta, law, point) if part is not None else None
        if part is not None and again is not None:
            left = settings.max_iter - len(history)
            found = _staying(objective, policy, solver, theta, law, again, settings, left) if left > 0 else None
            (point, history, reason), known = found or (point, history, reason), None
            part = replace(part, ruled=part.ruled or found is None)
        elif part is not None:
            start = start_of_all(objective, policy, theta, law, part, point, known)
            if start is not None:
                return _fit(rows, policy, settings, None, report, start)
        report = silent if live is report else report
    for iteration, record in enumerate(history):
        report(iteration, record, objective.dof)
    if len(rows) <= objective.inverse.rank and not penalised and (reason.converged or reason is StopReason.STALLED):
        reason = StopReason.INTERPOLATED
    elif reason.converged and policy.at_floor(point.law):
        reason = StopReason.FLOOR if policy.floor_given else StopReason.EXACT
    elif reason is StopReason.PRECISION and history[-1].gradient > _SENSELESS:
        tiny = point.law.c <= _TINY * (rows.frame.typical + objective.size(point.theta))
        if policy.learns or policy.measures_start:
            reason = StopReason.EXACT if tiny else reason  # the scale itself is a rounding error
        elif policy.alpha < 2.0:
            reason = StopReason.STALLED
    ruled = part.ruled if part is not None else start is not None and is_ruled(objective, start, point)
    return FitResult(
        point, history, reason, objective.total, objective.dof, objective.inverse, ruled, strength, objective, ended,
        curvatures=known,
    )  # fmt: skip


def _staying(objective: Objective, policy, solver, theta, law: Law, again: Law, settings: Settings, left: int):
    """The fit of all rows (point, history, reason), begun again from that of a part; None if it left that again.

    The part's is (theta, law), and so many iterations are left.
    """
    near = _walk(objective, policy, theta, again, settings.max_iter)
    found = iterate(objective, policy, solver, near.theta, near.law, left, settings.tol, silent, True)
    return found if found[2].converged and nearer(objective, policy, theta, law, found[0]) is None else None


def _iterate(objective: Objective, policy, solver, theta, law: Law, settings: Settings, from_below=False):
    """``iterate`` in silence; with alpha held below, or the law, where a flexible fit would fall to least squares."""
    held = _held(objective, policy, law)
    tries = [held]
    if held is policy and policy.learns and objective.flexible:
        if law.share == 0.0 and law.alpha < policy.high:
            tries.append(replace(policy, high=max(law.alpha, policy.low)))
        tries.append(_holding(policy, law))
    for each in tries:
        found = iterate(objective, each, solver, theta, law, settings.max_iter, settings.tol, silent, from_below)
        if not (policy.learns and has_left(objective, theta, law, found[0])):
            break
    return found


def _walk(objective: Objective, policy, theta, law: Law, max_iter: int) -> Point:
    """A point near the minimum that small steps lead to."""
    enough = _ROUGH_FALL if objective.flexible else 0.0
    walker = IRLS()
    return descend(
        objective, policy, walker, objective.at(theta, law, walker.wants), max_iter, _WALK_TOL, silent, enough
    )[0]


def _lowered(policy, settings: Settings, objective: Objective, strength: float, point: Point, far: bool):
    """From a flexible fit with a background to the given strength or the likeliest: objective, strength and point."""

    def objective_at(strength):
        return _objective(objective.rows, policy, strength, None, True)

    def walk(objective, theta, law):
        return _walk(objective, _held(objective, policy, law), theta, law, settings.max_iter)

    return lowered(objective, strength, settings.strength, point, objective_at, walk, far)


def _from_stiffer(objective: Objective, policy, settings: Settings, strength: float | None, start):
    """A stiffer fit with a background and where it leads to: objective, strength and point; None if not called for.

    A flexible fit may follow its outliers so closely that none shows. At the likeliest strength its start shows whether
    it does: the scale is far larger than need be.
    """
    if not objective.flexible or strength is None or not policy.learns or policy.contamination == 0.0:
        return None
    stiff = stiff_strength(objective) if is_soft(objective) else 0.0
    if stiff <= strength * (1.0 + _WALK_TOL):
        return None
    fit = _fit(objective.rows, policy, settings._replace(solver="auto", strength=stiff, tol=ROUGH_TOL), None, silent)
    if fit.objective is None or fit.point.law.share == 0.0:
        return None
    objective, strength, point = _lowered(policy, settings, fit.objective, stiff, fit.point, True)
    if settings.strength is None and not is_too_wide(start.scale, point.law):
        return None

    walk = partial(_walk, objective, policy, max_iter=settings.max_iter)
    return (fit, objective, strength, point) if is_called_for(objective, policy, point, walk) else None


def _held(objective: Objective, policy, law: Law | None):
    """The policy, or one that holds the law, where a flexible fit leaves too little of the clean rows to learn it."""
    if not policy.learns or law is None or law.share == 0.0 or not objective.flexible:
        return policy
    return _holding(policy, law) if has_few_rows(objective, law.share) else policy


def _holding(policy, law: Law) -> Fixed:
    return Fixed(law.alpha, law.c, 1.0, policy.c_min)


def _careful(objective: Objective, policy, law: Law):
    """The policy of a fit from a law without a background: alpha no nearer to 2 than rows so few can tell.

    What d coefficients follow of n errors makes residuals look more Gaussian than the errors are (S. Weisberg, Journal
    of the American Statistical Association 75, 1980, 28-31): with fewer than ten rows a coefficient alpha ends at 2 for
    many heavy tails as well, which costs more there than a smaller alpha does at Gaussian noise. Not where tails are
    lighter than a Gaussian's, as the mean size of residuals over their root mean square tells (R. C. Geary, Biometrika
    27, 1935, 310-332), those of least squares.
    """
    total, dof = objective.total, objective.dof
    if not policy.learns or policy.high != 2.0 or law.share > 0.0 or objective.flexible or dof <= 0.0:
        return policy
    high = 2.0 - min(_CAUTION * (1.0 - dof / total - _FREE), _MOST_CAUTION)
    if not policy.low < high < 2.0 - _LEAST_CAUTION:
        return policy
    sizes, weights = np.abs(np.asarray(objective.rows.residuals(ols(objective).theta))), objective.rows.all_weights
    sizes = sizes / (sizes.max() or 1.0)
    has_tails = float(weights @ sizes) ** 2 < 2.0 / np.pi * total * float(weights @ sizes**2)
    return replace(policy, high=high) if has_tails else policy


def _begin(rows: Rows, policy, settings: Settings, starts: bool, cold: bool, start: Start | None):
    """The objective, the strength, the fit of a part or else the start, and where to begin (None where not asked)."""
    part = _fit_part(rows, policy, settings) if cold and policy.learns and start is None else None
    strength = settings.strength
    theta = law = None
    if part is not None:
        strength = part.strength if strength is None else strength
    elif settings.flexible and strength is None and not starts and policy.learns and policy.contamination != 0.0:
        strength = _fit(rows, policy, settings, None, silent).strength  # which outliers have a say in
    elif settings.flexible and (starts or strength is None):
        strength, start = flexible_start(rows, strength, settings.init, settings.seed)
    objective = _objective(rows, policy, float(strength or 0.0), part, settings.flexible)
    if part is not None:
        theta, law = part.point.theta, part.point.law
        if law.share == 0.0:
            law = policy.widened(objective, law)
        part = replace(part, objective=None, curvatures=_curvatures(part, theta, law, objective.total))
    elif starts and (found := _from_stiffer(objective, policy, settings, strength, start)):
        part, objective, strength, point = found
        return objective, strength, part, None, point.theta, point.law
    elif starts:
        start = start or find_start(objective, settings.init, settings.seed, policy.least_alpha)
        theta, law = start.theta, policy.start(objective, start.theta, start.scale)
    return objective, strength, part, start if starts else None, theta, law


def _fit_part(rows: Rows, policy, settings: Settings) -> FitResult | None:
    """A rough fit of a random part of many rows."""
    n, q = len(rows), rows.frame.n_coefs
    if n < 20 * max(1000, 20 * q):
        return None
    size = max(int(min(max(60 * q, n / 40), n / 20)), _LEAST_PART)
    seed = settings.seed
    part = rows.part("part", lambda: spread_index(n, size, np.random.default_rng(seed)), seed)
    strength = None if settings.strength is None else settings.strength * size / n
    solver = "auto" if rows.design is None or rows.design.has_matrix else settings.solver
    coarse = settings._replace(solver=solver, max_iter=50, tol=_PART_TOL, strength=strength)
    return _fit(part, policy, coarse, None, silent)


def _curvatures(part: FitResult, theta, law: Law, total: float):
    """The gram and the cross terms of a part of the rows, as those of all; None where the gram is no matrix.

    And at alpha = 2, where a step is least squares, which is exact.
    """
    objective = part.objective
    if objective is None or (law.alpha == 2.0 and law.share == 0.0):
        return None
    sums = objective.at(theta, law, cpu.HESSIAN).sums
    if not isinstance(sums.gram, np.ndarray):
        return None
    factor = total / objective.total
    return factor * sums.gram, factor * sums.cross


def _begin_exact(rows, policy, settings: Settings, starts: bool, cold: bool, _):
    """The same with an exact kernel; the part is a rough fit with a few landmarks, whose weights and law are kept."""
    part, strength, law, theta = None, settings.strength, None, None
    if starts or strength is None:
        few = rows.on_landmarks(draws(rows), _LANDMARKS, np.random.default_rng(settings.seed))
        # a scale that is measured is held to the end: it has the digits of these weights
        tol = settings.tol if policy.measures_start else ROUGH_TOL
        coarse = settings._replace(solver="auto", max_iter=50, tol=tol)
        with serial_blas():
            part = _fit(few, policy, coarse, None, silent)
        strength = max(part.strength, rows.least_strength)
    objective = dual_objective(rows, rows.frame.working_strength(strength), policy.learns)
    if part is not None and starts:
        weights, residuals = part.point.weights, few.residuals(part.point.theta)
        if not 0.0 < weights.sum() < np.inf:  # it believes no row, or the loss overflows
            weights = np.ones(len(rows))
        theta = smoothed(objective, residuals, weights, part.point.law.share)
        if not np.isfinite(theta).all():  # the loss overflows: a warning will tell
            theta = np.zeros_like(theta)
        if policy.learns:
            law = part.point.law
            law = policy.widened(objective, law) if law.share == 0.0 else law
        else:
            law = policy.start(objective, theta, rows.m_scale(theta, objective.n_coefs))
        theta = objective.started(theta, law)
    return objective, strength, part, None, theta, law


def _objective(rows: Rows, policy, strength: float, part: FitResult | None, flexible: bool) -> Objective:
    """The objective with its degrees of freedom: full rank in a part of the rows is full rank in all."""
    penalty = rows.frame.penalty(strength)
    total = rows.total_weight
    if part is not None and part.inverse is not None and strength == 0.0 and part.inverse.rank == len(penalty):
        determined = inverse = part.inverse.scaled(part.total / total)
        tamed = None
        dof = total - len(penalty)
    else:
        gram = rows.once("gram", rows.gram)

        def found():
            inverse, tamed = scaling_of(gram, penalty), None
            if inverse.rank < len(penalty) and policy.least_alpha < 2.0 and not flexible:
                tamed = rows.tamed_weights()
            if tamed is not None:
                inverse = scaling_of(replace(rows, weights=tamed).gram(), penalty)
            determined = scaling_of(gram, np.zeros_like(penalty)) if penalty.any() and not flexible else inverse
            dof = residual_dof(total, gram, penalty) if penalty.any() else total - inverse.rank
            return inverse, determined, dof, tamed

        inverse, determined, dof, tamed = rows.once("inverse", found, strength)
    variance = determined.variances.max(initial=0.0)
    if inverse is not determined:
        variance = min(variance, inverse.variances.max(initial=0.0))
    amplification = float(np.sqrt(max(total * variance, 1.0)))
    dof = dof if dof > 1e-9 * total else 0.0
    return Objective(rows, penalty, inverse, amplification, total, dof, policy.learns, flexible, tamed)
