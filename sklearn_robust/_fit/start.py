"""Where a fit begins: least squares, or the S-estimate that half of the rows can not move.

``auto`` takes whichever has the smaller robust scale. Subsets of rows are drawn by cumulative weight along the rows in
the order of (y, X), so that neither the order of the rows nor weights written as repeated rows change the start.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from sklearn_robust._fit.objective import Law, Objective
from sklearn_robust._rows import cpu
from sklearn_robust._rows.subsets import fast_s, m_scale

N_SUBSETS = 200
N_STEPS = 2
N_BEST = 5
_SORTED_ROWS = 20_000


@dataclass(frozen=True)
class Start:
    """Coefficients (q,), the robust scale of their residuals (0 for an exact fit of half the rows), and their name."""

    theta: np.ndarray
    scale: float
    name: str


def ols(objective: Objective) -> Start:
    """Least squares, of smallest norm in working units where rows do not determine it; refined once."""
    theta = np.zeros(len(objective.penalty))
    for _ in range(2):
        theta = theta - (objective.inverse @ objective.sweep(theta, Law(2.0, 1.0), cpu.SCORE)[3])
    return Start(theta, robust_scale(objective, theta), "ols")


def robust_scale(objective: Objective, theta) -> float:
    """The M-scale of all residuals at theta."""
    residuals = objective.residuals(theta)
    weights = objective.rows.weights if objective.rows.weights.size else np.ones(len(residuals))
    return float(m_scale(residuals, weights, objective.total - objective.dof, 0.0, 1e-10))


def s_estimate(objective: Objective, random_state) -> Start:
    """Fast-S on at most a few thousand rows; its scale is that of all rows."""
    rng = check_random_state(random_state)
    rows = objective.rows
    q = len(objective.penalty)
    most = max(2000, 40 * q)
    everything = np.arange(len(rows))
    weights = rows.weights if rows.weights.size else np.ones(len(rows))
    if len(rows) <= _SORTED_ROWS:
        everything = np.lexsort((*rows.X.T, rows.y))
    if len(rows) > most:
        everything = np.sort(_draw(rng, weights[everything], most))
    design, y, weights = rows.take_dense(everything)
    draws = _draw(rng, weights, (N_SUBSETS, q + min(2 * q, 20)))
    theta, scale = fast_s(design, y, weights, objective.total - objective.dof, draws, N_STEPS, N_BEST)
    theta = objective.inverse.project(theta)
    return Start(theta, robust_scale(objective, theta) if len(y) < len(rows) else float(scale), "s")


def _draw(rng, weights, size) -> np.ndarray:
    """Row numbers drawn with probability proportional to weight."""
    below = np.cumsum(weights)
    return np.searchsorted(below, rng.uniform(size=size) * below[-1], side="right").clip(max=len(weights) - 1)


def find_start(objective: Objective, init: str, random_state) -> Start:
    """The start named by ``init``; ``auto`` compares robust scales where there are rows enough for subsets."""
    plain = ols(objective)
    passes_through_every_row = plain.scale <= 64 * np.finfo(float).eps * (1.0 + float(np.abs(plain.theta).sum()))
    n_coefs = objective.total - objective.dof
    if init == "ols" or passes_through_every_row or (init == "auto" and objective.total <= 2 * n_coefs):
        return plain
    found = s_estimate(objective, random_state)
    return plain if init == "auto" and plain.scale <= found.scale else found
