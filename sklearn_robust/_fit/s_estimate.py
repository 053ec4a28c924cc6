"""The S-estimate: coefficients of the smallest M-scale of the residuals, which half of the rows cannot move.

It is the best of several kinds of candidates, each of which finds what others miss: fits of small random subsets, of
the nearest half of the rows, of halves without the ends of the sensitivity components, of halves on either side where X
is least like one cloud, and least squares.

The smallest scale alone is a poor judge: a line through a cluster of a fifth of the rows can have it. So two lines are
told apart by the rows that are not far out in the direction in which the two differ, where such a cluster is. In single
columns it need not be, nor can it be told there from clean rows, which are far out in some column where these are many.
"""

import numpy as np

from sklearn_robust._fit.drawn import MOST_HALF_WORK, Drawn, Some, Tried, distances_of, medians
from sklearn_robust._fit.lost import of_some_rows, regained
from sklearn_robust._fit.objective import Objective
from sklearn_robust._loss.bisquare import WIDE_TUNING
from sklearn_robust._rows.frame import rounded
from sklearn_robust._rows.scales import m_scale
from sklearn_robust._rows.subsets import Eliminated, refine_s, screen
from sklearn_robust._rows.threads import run_all

# Candidates of either kind that take N_STEPS steps, at most and where steps are dear; those of all that other rows
# judge, and that are iterated to the end.
N_KEPT, N_KEPT_DEAR, N_STEPS, N_JUDGED, N_REFINED = 12, 4, 2, 16, 3
# Minima whose scales differ by less, times the square root of the rows, count as equal.
_NEARLY = 1.06
# What is dear: arithmetic of steps, which only many columns meet.
_MOST_STEP_WORK, _CHEAP_WORK, _JUDGED_WORK = 2e8, 1e5, 5e6
_ENDLESS = 5  # steps that are too few to come to a minimum's last digits
_ROUGH, _FINE = 1e-3, 1e-8
_BITS = 20  # that all sums agree on, of what is solved for
# How often coefficients that are lost are looked for, and what a scale may grow by where more rows are near.
_MOST_RETURNS, _NO_WIDER = 5, 1.01


def s_estimate(objective: Objective, plain, seed: int) -> tuple[np.ndarray, float, Some | None]:
    """Fast-S: candidates are screened on a few hundred rows, the best and least squares iterated on a thousand or more.

    Where columns are many, a few rows fit a wrong plane so well that their scale says little: so all are judged by
    rows that they were not fitted to. ``plain`` (q,) is least squares.

    Returns coefficients (q,) and the scale; rough where the law is learned, with the rows to sharpen them on: a law
    that is held is worth its last digits.
    """
    rows, n_coefs = objective.rows, _n_coefs(objective)
    judges, few, tried = Drawn.of(rows, seed)
    targets = [rows.targets(some.numbers) for some in (judges, few, tried.some)]
    judged = len(few) < len(judges)
    candidates = _screened(tried, targets[2], n_coefs, N_JUDGED if judged else N_REFINED)
    if judged:
        scales = _scales(judges, candidates, targets[0], n_coefs)
        candidates = _first(judges, candidates, scales, targets[0], n_coefs, N_REFINED)
    candidates = np.vstack((candidates, rounded(plain, np.abs(plain).max(), _BITS)))
    max_steps = _max_steps(few, 100)
    ends, scales = refine_s(few.columns, targets[1], few.near, n_coefs * few.share, candidates, max_steps, _ROUGH)
    theta = _best(judges, ends[np.isfinite(scales)], targets[0], n_coefs)
    tol = _ROUGH if objective.learns else _FINE
    theta, scale = _minimum(objective, few, theta, 100, tol)
    some = of_some_rows(objective)
    for _ in range(_MOST_RETURNS):
        moved = regained(some, theta, scale) if scale > 0.0 else None
        if moved is None:
            break
        there = _minimum(objective, few, moved, 100, tol)
        if not there[1] <= _NO_WIDER * scale:
            break
        theta, scale = there
    return theta, scale, few if objective.learns else None


def can_be_sharpened(few: Some) -> bool:
    """Whether steps on some rows are cheap enough to come to the last digits."""
    return _max_steps(few, _ENDLESS) == _ENDLESS


def sharpened(objective: Objective, theta, few: Some) -> tuple[np.ndarray, float]:
    """The last digits of rough coefficients and their scale, so that what is a multiple of this is equivariant."""
    return _minimum(objective, few, theta, 2000, _FINE)  # some minima are slow to come to


def _n_coefs(objective: Objective) -> float:
    return float(rounded(objective.n_coefs, objective.n_coefs, _BITS))


def _minimum(objective: Objective, few: Some, theta, most_steps: int, tol: float) -> tuple[np.ndarray, float]:
    """The minimum of the M-scale of some rows near theta (q,), and the scale of all rows there."""
    rows, n_coefs = objective.rows, _n_coefs(objective)
    y = rows.targets(few.numbers)
    max_steps = _max_steps(few, most_steps)
    (theta,), (scale,) = refine_s(few.columns, y, few.weights, n_coefs, theta[None], max_steps, tol)
    theta = objective.inverse.project(theta)
    return theta, float(scale) if len(few) == len(rows) else rows.m_scale(theta, n_coefs)


def _max_steps(some: Some, most: int) -> int:
    return int(np.clip(_MOST_STEP_WORK / (len(some) * len(some.columns) ** 2), 2, most))


def _scales(some: Some, candidates, y, n_coefs: float) -> np.ndarray:
    """The M-scale (k,) of each of some coefficients (k, q), by near rows."""
    residuals, total = candidates @ some.columns, float(some.near.sum())
    np.subtract(y, residuals, out=residuals)
    return np.array([m_scale(line, some.near, total, n_coefs * some.share, 0.0, _ROUGH) for line in residuals])


def _best(some: Some, candidates, y, n_coefs: float) -> np.ndarray:
    """The coefficients (q,) of smallest M-scale; of nearly equal ones those that fit most rows, by a wide bisquare.

    At the smallest scale: the scales are noisier than the count of rows that one judges by.
    """
    if len(candidates) == 1:
        return candidates[0]
    scales = _scales(some, candidates, y, n_coefs)
    smallest = scales.min()
    if smallest > 0.0:
        alike = np.flatnonzero(scales <= _margin(some, y) * smallest)
        u = (y - candidates[alike] @ some.columns) / (smallest * WIDE_TUNING)
        fitted = np.maximum(1.0 - u * u, 0.0) ** 3 @ some.near
        return candidates[_winner(some, candidates, scales, y, n_coefs, alike[np.argmax(fitted)])]
    return candidates[np.argmin(scales)]


def _margin(some: Some, y) -> float:
    """By how much scales of equal lines differ, as a factor."""
    return 1.0 + _NEARLY / np.sqrt(max(float(some.weights.sum()), len(y)))  # weights may be frequencies


def _first(some: Some, candidates, scales, y, n_coefs: float, most: int) -> np.ndarray:
    """Of candidates (k, q), at most so many of smallest scale (k,), and the winner among them all."""
    order = np.argsort(scales, kind="stable")
    order = order[np.isfinite(scales[order])]
    candidates, scales = candidates[order], scales[order]
    if len(order) <= most or scales[0] == 0.0:
        return candidates[:most]
    winner = _winner(some, candidates, scales, y, n_coefs, 0)
    return candidates[[*range(most - 1), max(winner, most - 1)]]


def _winner(some: Some, candidates, scales, y, n_coefs: float, number: int) -> int:
    """The number of the candidate (k, q) that no later one beats, in the order of their scales (k,), after a first.

    One beats another by a clearly smaller scale of the rows that are near in the direction in which the two differ.
    Those that hardly differ from the first are not asked.
    """
    # few rows may be near: of lines that differ in a dummy's coefficient, those without it
    margin, total = 2.0 * _margin(some, y) - 1.0, some.weights.sum()
    spread = np.sqrt(((candidates - candidates[number]) @ some.columns) ** 2 @ some.weights / total)
    for k in np.argsort(scales, kind="stable"):
        if spread[k] <= scales[number]:
            continue
        pair = candidates[[number, k]]
        judges = some.near_along(pair[1] - pair[0], float(scales[number]))
        if judges is not None:
            holds, beats = _scales(judges, pair, y, n_coefs)
            number = k if margin * beats < holds else number
    return int(number)


def _screened(tried: Tried, y, n_coefs: float, n_best: int) -> np.ndarray:
    """The best few candidates (k, q): fits of halves of the rows, which resist clusters, and of small subsets.

    The halves that X alone tells are no rivals of the others, all of which may follow one cluster.
    """
    some = tried.some
    columns, weights, near = some.columns, some.weights, some.near
    q, work = len(columns), tried.work
    n_kept = int(min(max(_CHEAP_WORK / work, N_KEPT_DEAR), N_KEPT, max(MOST_HALF_WORK / (N_STEPS * work), 1)))
    n_kept_halves = n_kept
    if n_best > N_REFINED:  # which will be judged: worth their steps
        n_kept_halves = int(np.clip(_JUDGED_WORK / work, n_kept, N_KEPT))
    near_coefs = n_coefs * some.share
    none = Eliminated.none(q)

    def of_halves() -> tuple[np.ndarray, Eliminated]:
        halves = [_nearest_half(tried, y), *_sensitive_halves(tried, y)]
        return np.vstack(halves)[: tried.n_halves] * weights, none

    kinds = [(n_kept_halves, of_halves)]
    if len(tried.ends):
        kinds.append((len(tried.ends), lambda: (tried.ends * weights, none)))
    if len(tried.subsets.rows):
        kinds.append((n_kept, lambda: (np.empty((0, len(y))), tried.subsets)))
    screened: list = [None] * len(kinds)

    def search(k: int) -> None:
        kept, made = kinds[k]
        found = screen(columns, y, near, near_coefs, *made(), kept)
        screened[k] = refine_s(columns, y, near, near_coefs, found, N_STEPS, 0.0, _ROUGH, 0.0)

    if work > _CHEAP_WORK:
        run_all(search, len(kinds))
    else:  # sooner done than handed to another thread
        for k in range(len(kinds)):
            search(k)
    candidates, scales = (np.concatenate(parts) for parts in zip(*screened, strict=True))
    return _first(some, candidates, scales, y, n_coefs, n_best)


def _nearest_half(tried: Tried, y) -> np.ndarray:
    """Which rows (1, m) are in the half nearest to the centre of (X, y), in medians and median deviations.

    BACON's start: N. Billor, A. S. Hadi, P. F. Velleman, Computational Statistics & Data Analysis 34, 2000.
    """
    weights = tried.some.weights
    distances = (tried.distances + distances_of(y[None] * tried.some.noise, weights))[None]
    return distances <= medians(distances, weights)[:, None]


def _sensitive_halves(tried: Tried, y) -> list[np.ndarray]:
    """Which rows (3, m) are in halves without an end of one of the first principal sensitivity components.

    Without the lowest, the highest and the largest: the components tell how the fit of each row answers to leaving
    others out, and outliers that hide each other stand at an end of one. D. Peña, V. J. Yohai, JASA 94, 1999.
    """
    basis, weights = tried.basis, tried.some.weights
    if not len(basis):
        return []
    residuals = y - (basis @ (weights * y)) @ basis
    pull = residuals / np.maximum(1.0 - (basis**2).sum(axis=0), 1e-6)
    pull /= max(np.abs(pull).max(), 1e-300)
    _, turn = np.linalg.eigh((basis * (weights * pull**2)) @ basis.T)
    components = turn[:, : -1 - tried.n_components : -1].T @ basis
    middles = medians(np.vstack((components, np.abs(components))), weights)[:, None]
    k = len(components)
    return [
        np.vstack((part <= middle, part >= middle, np.abs(part) <= size))
        for part, middle, size in zip(components, middles[:k], middles[k:], strict=True)
    ]
