"""Whether the data call for a background, a share of gross outliers spread evenly over a width, and the fit with one.

The plain likelihood prefers a line that outliers of high leverage rule, even from a good start: its optimum is the
problem. The mixture's optimum near the start is not, but it would find a few outliers in most clean data as well. So
two doors lead to it, both judged against the robust scale s of the best start:

1. at the residuals of the start, a background gains more in J than chance would;
2. the plain fit has left the start for one of clearly larger robust scale.

The width is a multiple of s: narrow to find the basin, then wide, which is efficient and tells the share honestly.
"""

from dataclasses import replace

import numpy as np

from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, Objective, Point, quartile
from sklearn_robust._fit.shape_scale import Learned
from sklearn_robust._fit.start import Start, is_rounding, sharpened
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.frame import median

# Widths in units of the start's scale: where the gain is measured, where the basin is found, where the fit ends.
_TEST_WIDTH, _TEST_KNEE, _NARROW, _WIDE = 24.0, 6.0, 14.0, 50.0
_FIRST_SHARES = 0.1, 0.3
_LIGHT, _HIGHEST = 1.0, 2.0
_VANISHED = 1e-3
_LOCAL_GAIN = 2.0
# Too few rows to tell outliers from tails: at all, a coefficient, and a degree of freedom where there is a penalty.
_FEW_ROWS, _FEW_ROWS_A_COEFFICIENT, _FEW_ROWS_PENALISED = 12, 3.0, 1.2
# Rows this far out may gain by a background, and hardly one gains more beside the heaviest tails of the plain law.
_FAR_ENOUGH, _GAIN_A_ROW = 3.5, 3.0
# A fit is ruled by rows this many scales from the start's, if it brought them this much nearer.
_FAR, _PLEASED, _MOST_ENTRIES = 6.0, 0.5, 100_000


def with_background(objective: Objective, policy: Learned, start: Start, seed: int, plain, run, walk):
    """The plain fit (point, history, reason), or the one with a background that the data call for.

    ``run(policy, theta, law)`` iterates from there, to the same three; ``walk(policy, theta, law)`` gives a point near
    the minimum that small steps from there lead to.
    """
    n, q = objective.total, objective.n_coefs
    held = policy.contamination
    a_coefficient = _FEW_ROWS_PENALISED if objective.penalised else _FEW_ROWS_A_COEFFICIENT
    too_few = held is None and min(n, len(objective.rows)) <= max(_FEW_ROWS, a_coefficient * q)
    if is_rounding(objective, start) or too_few or policy.at_floor(plain[0].law) or policy.low > _HIGHEST:
        return plain
    policy = replace(policy, high=min(policy.high, _HIGHEST))
    residuals = objective.rows.residuals(start.theta)
    if held is None:
        likely = _is_likely(objective, policy, residuals, start.scale)
        ratio = _slopes_scale(objective, plain[0].theta, residuals) / start.scale
        left = not objective.penalised and ratio > _same_scale(n, q)
        if not likely and not left:
            return plain
    start = sharpened(objective, start, seed)
    residuals = objective.rows.residuals(start.theta)
    light = replace(policy, low=min(max(policy.low, _LIGHT), policy.high))  # heavy tails would do for a background
    law, _ = _mixture(objective, light, residuals, start.scale, _NARROW * start.scale)
    if not np.isfinite(law.c):
        return plain
    narrow = walk(light, start.theta, law)
    if held is None:
        if narrow.law.share < _VANISHED:
            return plain
        if not likely and _local_gain(objective, policy, narrow) <= _LOCAL_GAIN:
            return plain
    wide = walk(policy, narrow.theta, narrow.law._replace(width=_WIDE * start.scale))
    vanished = held is None and wide.law.share < _VANISHED
    grown = _slopes_scale(objective, wide.theta, residuals) / _slopes_scale(objective, narrow.theta, residuals)
    point = narrow if vanished or grown > _same_scale(n, q) else wide
    found = run(policy, point.theta, point.law)
    return plain if policy.at_floor(found[0].law) else found


def is_ruled(objective: Objective, start: Start, point: Point) -> bool:
    """Whether the fit has left the start for clearly larger residuals of most rows, to please some far outliers."""
    rows, n, q = objective.rows, objective.total, objective.n_coefs
    few = min(n, len(rows)) <= _FEW_ROWS_A_COEFFICIENT * q
    if point.law.share > 0.0 or objective.penalised or few or is_rounding(objective, start):
        return False
    most = max(_MOST_ENTRIES // len(start.theta), 1000)
    if len(rows) > most:
        rows = rows.take(np.linspace(0, len(rows) - 1, most).astype(np.intp))
    reference = rows.residuals(start.theta)
    theta = _recentred(rows, point.theta, reference)
    if rows.m_scale(theta, q) <= (1.1 + 5.0 * q / n) * start.scale:  # clean data of any law hardly ever come so far
        return False
    before, after = np.abs(reference), np.abs(rows.residuals(theta))
    pleased = (before > _FAR * start.scale) & (after < _PLEASED * before)
    return pleased.sum() >= max(4.0, 0.05 * len(rows))


def _chance(n: float, q: float) -> float:
    """What a background gains on clean data, hardly ever more."""
    return 2.0 + 0.3 * float(np.log(n)) + 5.0 * q / n + 0.004 * n


def _same_scale(n: float, q: float) -> float:
    """By how much the robust scales of two good fits differ."""
    return 1.05 + q / n


def _slopes_scale(objective: Objective, theta, reference) -> float:
    """The robust scale that the slopes give with the intercept nearest to residuals of reference."""
    return objective.rows.m_scale(_recentred(objective.rows, theta, reference), objective.n_coefs)


def _recentred(rows: Rows, theta, reference) -> np.ndarray:
    """Coefficients with the intercept that brings residuals nearest to those of reference.

    Where noise is skewed, fits of equal slopes differ in what they call its centre.
    """
    if not rows.frame.fit_intercept:
        return theta
    apart = rows.residuals(theta) - reference
    shift = np.zeros_like(theta)
    shift[0] = median(apart * rows.noise if rows.noise.size else apart, rows.weights)
    return theta + shift


def _mixture(objective: Objective, policy: Learned, residuals, scale, width, knee=np.inf, goal=np.inf):
    """The best law with a background at known residuals of a robust scale, and J there."""
    alpha = policy.below_two(objective)
    c = scale * NORMAL_QUARTILE / quartile(alpha)
    shares = _FIRST_SHARES if policy.contamination is None else (policy.contamination,)
    found = [policy.settled(objective, residuals, Law(alpha, c, share, width, knee), goal) for share in shares]
    return min(found, key=lambda law_and_value: law_and_value[1])


def _is_likely(objective: Objective, policy: Learned, residuals, scale: float) -> bool:
    """Whether a background gains more in J than chance, at known residuals, where either law is the best of its kind.

    It has tails of its own here: a flat one would gain on every row that heavy-tailed noise throws far out.
    """
    chance = _chance(objective.total, objective.n_coefs)
    far = np.abs(residuals) > _FAR_ENOUGH * scale
    if (objective.rows.weights[far].sum() if objective.rows.weights.size else far.sum()) * _GAIN_A_ROW < chance:
        return False
    law = policy.start_at(objective, residuals, scale)
    goal = policy.settled(objective, residuals, law)[1] - chance
    return _mixture(objective, policy, residuals, scale, _TEST_WIDTH * scale, _TEST_KNEE * scale, goal)[1] < goal


def _local_gain(objective: Objective, policy: Learned, point: Point) -> float:
    residuals = objective.rows.residuals(point.theta)
    law = policy.start_at(objective, residuals, point.law.c)
    return policy.settled(objective, residuals, law)[1] - objective.value(point)
