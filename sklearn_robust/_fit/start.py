"""Where a fit begins: least squares, least absolute deviations, graduated non-convexity, or the S-estimate.

``auto`` is the S-estimate where rows are enough.
"""

from dataclasses import dataclass, replace

import numpy as np

from sklearn_robust._fit import s_estimate
from sklearn_robust._fit.copies import are_many, different
from sklearn_robust._fit.drawn import Some, too_wide_for_subsets
from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, Objective
from sklearn_robust._fit.ridge import Inverse, solver_of
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.spread import evenly_spread

_ANNEALING_STEPS = 8
# A stage whose loss bounds what a row does is taken again while the scale falls below that: one y sets that of least
# squares, and each stage takes only some digits off it.
_BOUNDED, _STILL_FALLING = 1.0, 0.9
# How many robust scales most residuals of other coefficients may have.
_FAR = 3.0
# Of rows that tell a robust scale.
_MOST_ENTRIES = 100_000
_EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Start:
    """Coefficients (q,) and the robust scale of their residuals: 0 for an exact fit of half the rows.

    Rough where its last digits were not worth the time: ``few`` are the rows to find them on.
    """

    theta: np.ndarray
    scale: float
    few: Some | None = None


def ols(objective: Objective) -> Start:
    """Least squares, of smallest norm in working units where rows do not determine it; refined once."""
    theta = np.zeros(len(objective.penalty))
    if objective.tamed is not None:
        objective = replace(objective, rows=replace(objective.rows, weights=objective.tamed))
    exact = isinstance(objective.inverse, Inverse)
    inverse = objective.inverse if exact else solver_of(objective.rows.gram(), objective.penalty)
    for _ in range(2 if exact else 4):
        theta = theta - (inverse @ objective.at(theta, Law(2.0, 1.0), cpu.SCORE).gradient)
    return Start(theta, objective.rows.m_scale(theta, objective.n_coefs))


def sharpened(objective: Objective, start: Start) -> Start:
    """A rough start to its last digits."""
    if start.few is None or not s_estimate.can_be_sharpened(start.few):
        return start
    return Start(*s_estimate.sharpened(objective, start.theta, start.few))


def is_rounding(objective: Objective, start: Start) -> bool:
    """Whether the scale of a start is a rounding error: it passes through most rows, or is no number."""
    return not start.scale > 64 * _EPS * (objective.rows.frame.typical + objective.size(start.theta))


def is_near(rows: Rows, theta, scale: float) -> bool:
    """Whether coefficients (q,) of a fit whose residuals had a robust scale may be near those of these rows.

    Not where most residuals are far larger than that, or than y is without any coefficients.
    """
    if rows.frame.center.size:  # not rows of a kernel
        rows = witnesses(rows)
    return rows.m_scale(theta, 0.0) <= _FAR * min(scale, rows.frame.typical / NORMAL_QUARTILE)


def witnesses(rows: Rows) -> Rows:
    """As many of the rows, evenly spread, as tell a robust scale."""
    most, n_rows = max(_MOST_ENTRIES // rows.frame.n_coefs, 1000), len(rows)
    if n_rows <= most:
        return rows
    return rows.part("witnesses", lambda: evenly_spread(n_rows, most))


def too_few_for_subsets(objective: Objective) -> bool:
    """Whether a subset would pass through half of the rows, all copies of its own among them."""
    rows, total, q = objective.rows, objective.total, len(objective.penalty)
    return total <= 2 * q or (not are_many(rows) and 2.0 * np.sort(different(rows))[-q:].sum() >= total)


def lad(objective: Objective, plain: Start) -> Start:
    """Least absolute deviations, as Charbonnier's loss (alpha = 1) with ever smaller c."""
    return annealed(objective, plain, [(1.0, 10.0**-k) for k in range(4)])


def gnc(objective: Objective, plain: Start, alpha: float) -> Start:
    """Graduated non-convexity: from least squares, the shape falls to ``alpha`` in steps, or to 1 where that is less.

    With larger shapes one y may move coefficients and scale at will.

    H. Yang et al., IEEE Robotics and Automation Letters 5, 2020; J. T. Barron, CVPR 2019, section 3.2.
    """
    alpha = min(alpha, _BOUNDED)
    shapes = [shape for shape in (1.5, 1.0, 0.5, 0.0, -1.0, -2.0, -4.0, -16.0) if shape > alpha]
    return annealed(objective, plain, [(shape, 1.0 / NORMAL_QUARTILE) for shape in (*shapes, alpha)])


def annealed(objective: Objective, start: Start, stages) -> Start:
    """Steps of IRLS under one loss after the other: stages of (alpha, c as a multiple of the robust scale)."""
    for alpha, factor in stages:
        falls = True
        while falls:
            if start.scale == 0.0:
                return start
            theta, solver, law = start.theta, IRLS(), Law(alpha, factor * start.scale)
            for _ in range(_ANNEALING_STEPS):
                theta = solver.coefficients(objective, objective.at(theta, law, cpu.GRAM))
            if not np.isfinite(theta).all():  # the loss overflows: a warning will tell
                return start
            last, start = start.scale, Start(theta, objective.rows.m_scale(theta, objective.n_coefs))
            falls = alpha <= _BOUNDED and start.scale < _STILL_FALLING * last
    return start


def find_start(objective: Objective, init: str, seed: int, alpha: float) -> Start:
    """The start named by ``init``, on the way to a shape; ``auto`` is ``s`` where there are rows enough for subsets."""
    plain = ols(objective)
    exact = np.isfinite(plain.theta).all() and is_rounding(objective, plain)
    if init == "ols" or exact or (init == "auto" and too_few_for_subsets(objective)):
        return plain
    if init == "auto" and too_wide_for_subsets(objective.rows):
        init = "gnc"
    if init == "lad":
        return lad(objective, plain)
    if init == "gnc":
        return gnc(objective, plain, alpha)
    return Start(*s_estimate.s_estimate(objective, plain.theta, seed))
