"""Where a fit begins: least squares, or the S-estimate that half of the rows can not move.

``auto`` takes whichever has the smaller robust scale. Subsets of rows are drawn by cumulative weight along the rows in
the order of (y, X), so that neither the order of the rows nor weights written as repeated rows change the start.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from sklearn_robust._fit.objective import Law, Objective
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.frame import NONE
from sklearn_robust._rows.subsets import refine_s, screen_subsets

# Subsets drawn, those that take N_STEPS steps, and those of these that are iterated to the end.
N_SUBSETS, N_KEPT, N_STEPS, N_REFINED = 200, 6, 2, 2
# Bounds on the arithmetic of eliminations and of steps, which only many columns meet.
_MOST_SUBSET_WORK, _MOST_STEP_WORK = 4e6, 2e8
_SORTED_ROWS = 20_000
_ROUGH, _FINE = 1e-3, 1e-8
_EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Start:
    """Coefficients (q,) and the robust scale of their residuals: 0 for an exact fit of half the rows."""

    theta: np.ndarray
    scale: float


def ols(objective: Objective) -> Start:
    """Least squares, of smallest norm in working units where rows do not determine it; refined once."""
    theta = np.zeros(len(objective.penalty))
    for _ in range(2):
        theta = theta - (objective.inverse @ objective.at(theta, Law(2.0, 1.0), cpu.SCORE).gradient)
    return Start(theta, objective.rows.m_scale(theta, objective.n_coefs))


def s_estimate(objective: Objective, plain: Start, random_state) -> Start:
    """Fast-S: subsets are searched on a few hundred rows, the best and least squares are iterated on a few thousand."""
    rng = check_random_state(random_state)
    rows, q, n_coefs = objective.rows, len(objective.penalty), objective.n_coefs
    columns, y, weights = _sample(rows, max(1000, 40 * q), rng).dense()
    few = slice(None) if len(y) <= max(200, 20 * q) else np.sort(_draw(rng, weights, max(200, 20 * q)))
    few_weights = weights if isinstance(few, slice) else np.ones(len(few))
    n_subsets = min(N_SUBSETS, int(_MOST_SUBSET_WORK / q**3))
    draws = _draw(rng, few_weights, (n_subsets, q + min(q, 10)))
    candidates, scales = screen_subsets(
        np.ascontiguousarray(columns[:, few]), y[few], few_weights, n_coefs, draws, min(N_KEPT, n_subsets + 1), N_STEPS
    )
    candidates = np.vstack((candidates[np.argsort(scales, kind="stable")][: min(N_REFINED, n_subsets)], plain.theta))
    tol = _ROUGH if objective.learns else _FINE  # a scale that is held is worth its last digits
    max_steps = int(np.clip(_MOST_STEP_WORK / (len(y) * q**2), 2, 100))
    refined = [refine_s(columns, y, weights, n_coefs, candidate, max_steps, tol) for candidate in candidates]
    theta, scale = min(refined, key=lambda candidate: candidate[1])
    theta = objective.inverse.project(theta)
    return Start(theta, scale if len(y) == len(rows) else rows.m_scale(theta, n_coefs))


def _sample(rows: Rows, most: int, rng) -> Rows:
    """At most so many rows, in an order of their own; drawn by weight, and then of weight 1, where there are more."""
    if len(rows) <= most:
        return rows.take(_order(rows))
    if len(rows) > _SORTED_ROWS and not rows.weights.size:
        return rows.take(spread_index(len(rows), most, rng))
    ordered = _order(rows) if len(rows) <= _SORTED_ROWS else np.arange(len(rows))
    taken = rows.take(ordered[np.sort(_draw(rng, rows.all_weights[ordered], most))])
    return Rows(taken.X, taken.y, NONE, taken.noise, taken.frame)


def _order(rows: Rows) -> np.ndarray:
    """The order of (y, X), with y in units of its noise."""
    y = rows.y
    if rows.noise.size:
        y = (y - rows.frame.y_center) / rows.noise
    order = np.argsort(y, kind="stable")
    if (np.diff(y[order]) == 0.0).any():
        order = np.lexsort((*([rows.noise] if rows.noise.size else []), *rows.X.T, y))
    return order


def spread_index(n_rows: int, size: int, rng) -> np.ndarray:
    """Row numbers in increasing order, one drawn from each of ``size`` equal stretches of the rows."""
    return ((np.arange(size) + rng.uniform(size=size)) * (n_rows / size)).astype(np.intp).clip(max=n_rows - 1)


def _draw(rng, weights, size) -> np.ndarray:
    """Row numbers drawn with probability proportional to weight."""
    if (weights == 1.0).all():
        return (rng.uniform(size=size) * len(weights)).astype(np.intp)
    below = np.cumsum(weights)
    return np.searchsorted(below, rng.uniform(size=size) * below[-1], side="right").clip(max=len(weights) - 1)


def find_start(objective: Objective, init: str, random_state) -> Start:
    """The start named by ``init``; ``auto`` compares robust scales where there are rows enough for subsets."""
    plain = ols(objective)
    passes_through_every_row = plain.scale <= 64 * _EPS * (1.0 + float(np.abs(plain.theta).sum()))
    too_few = objective.total <= 2 * len(objective.penalty)  # a subset would pass through half of them
    if init == "ols" or passes_through_every_row or (init == "auto" and too_few):
        return plain
    found = s_estimate(objective, plain, random_state)
    return plain if init == "auto" and plain.scale <= found.scale else found
