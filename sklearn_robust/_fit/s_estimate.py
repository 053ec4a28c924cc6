"""The S-estimate: coefficients of the smallest M-scale of the residuals, which half of the rows cannot move.

It is the best of several kinds of candidates, each of which finds what others miss: fits of small random subsets, of
the nearest half of the rows, of halves without the ends of the sensitivity components, and least squares. Subsets of
rows are drawn by cumulative weight along the rows in an order of their own, so that neither the order of the rows nor
weights written as repeated rows change the start. That order is the one of X, and so is all that is known of the rows
before y is looked at: several targets share it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sklearn_robust._fit.objective import NORMAL_QUARTILE, Objective
from sklearn_robust._loss.bisquare import WIDE_TUNING
from sklearn_robust._rows.blocks import Rows, spread_index
from sklearn_robust._rows.scales import m_scale
from sklearn_robust._rows.subsets import Eliminated, refine_s, screen
from sklearn_robust._rows.threads import run_all
from sklearn_robust._rows.vector import STEP

# Subsets drawn; sensitivity components, each of which makes three halves, where columns are few; candidates of either
# kind that take N_STEPS steps, at most and where steps are dear; those of all that other rows judge, and that are
# iterated to the end.
N_SUBSETS, N_COMPONENTS, N_KEPT, N_KEPT_DEAR, N_STEPS, N_JUDGED, N_REFINED = 50, 5, 12, 4, 2, 16, 3
# Minima whose scales differ by less, times the square root of the rows, count as equal.
_NEARLY = 1.06
# What is dear: arithmetic of eliminations, of halves, of steps, which only many columns meet.
_MOST_SUBSET_WORK, _MOST_HALF_WORK, _MOST_STEP_WORK, _CHEAP_WORK, _JUDGED_WORK = 4e6, 1e8, 2e8, 1e5, 5e6
_FEW_COLUMNS, _MORE_HALF_WORK = 12, 3e7
_SORTED_ROWS, _STRETCH, _FEW_ENTRIES, _MOST_JUDGED = 20_000, 256, 2**16, 100_000  # the last ones in entries of X
_SPREAD_ROWS = 1024  # tell how far a row is out
_ENDLESS = 5  # steps that are too few to come to a minimum's last digits
_ROUGH, _FINE = 1e-3, 1e-8
# From so many robust standard deviations on a row counts as far out.
_NEAR = 2.0
_EPS = np.finfo(float).eps


def s_estimate(objective: Objective, plain, seed: int) -> "tuple[np.ndarray, float, Some | None]":
    """Fast-S: candidates are screened on a few hundred rows, the best and least squares iterated on a thousand or more.

    Where columns are many, a few rows fit a wrong plane so well that their scale says little: so all are judged by
    rows that they were not fitted to. ``plain`` (q,) is least squares.

    Returns coefficients (q,) and the scale; rough where the law is learned, with the rows to sharpen them on: a law
    that is held is worth its last digits.
    """
    rows, n_coefs = objective.rows, objective.n_coefs
    judges, few, tried = _Drawn.of(rows, seed)
    targets = [rows.targets(some.numbers) for some in (judges, few, tried.some)]
    judged = len(few) < len(judges)
    candidates = _screened(tried, targets[2], n_coefs, N_JUDGED if judged else N_REFINED)
    if judged:
        order = np.argsort(judges.scales(candidates, targets[0], n_coefs), kind="stable")
        candidates = candidates[order[:N_REFINED]]
    candidates = np.vstack((candidates, plain))
    max_steps = _max_steps(few, 100)
    ends, scales = refine_s(few.columns, targets[1], few.near, n_coefs * few.share, candidates, max_steps, _ROUGH)
    theta = judges.best(ends[np.isfinite(scales)], targets[0], n_coefs)
    if objective.learns:
        return *_minimum(objective, few, theta, 100, _ROUGH), few
    return *_minimum(objective, few, theta, 100, _FINE), None


def can_be_sharpened(few: "Some") -> bool:
    """Whether steps on some rows are cheap enough to come to the last digits."""
    return _max_steps(few, _ENDLESS) == _ENDLESS


def sharpened(objective: Objective, theta, few: "Some") -> tuple[np.ndarray, float]:
    """The last digits of rough coefficients and their scale, so that what is a multiple of this is equivariant."""
    return _minimum(objective, few, theta, 2000, _FINE)  # some minima are slow to come to


def _minimum(objective: Objective, few: "Some", theta, most_steps: int, tol: float) -> tuple[np.ndarray, float]:
    """The minimum of the M-scale of some rows near theta (q,), and the scale of all rows there."""
    rows, n_coefs = objective.rows, objective.n_coefs
    y = rows.targets(few.numbers)
    max_steps = _max_steps(few, most_steps)
    (theta,), (scale,) = refine_s(few.columns, y, few.weights, n_coefs, theta[None], max_steps, tol)
    theta = objective.inverse.project(theta)
    return theta, float(scale) if len(few) == len(rows) else rows.m_scale(theta, n_coefs)


@dataclass(frozen=True)
class Some:
    """Some rows, written out but for y: their numbers (m,), columns (q, m), weights (m,) and ``near`` (m,).

    ``near`` are weights that fall off with leverage.
    """

    numbers: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    near: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Median and robust standard deviation of each column (q, 1)."""
        middle, size = np.empty((2, len(self.columns), 1))
        for part in _stretches(self.columns):
            middle[part, 0], deviations = _deviations(self.columns[part], self.weights)
            size[part, 0] = _medians(deviations, self.weights) / NORMAL_QUARTILE
        return middle, size

    def weighted(self, spread) -> "Some":
        """With weights ``near`` that fall off where a row is far out in some column.

        Of lines that fit about as many rows the one that does not owe it to leverage is the better start; the fit
        itself gives far rows their full weight.
        """
        middle, size = spread
        size = np.where(size > 0.0, size, np.inf)
        far = np.empty(len(self))
        for first in range(0, len(far), _STRETCH):  # without a copy of all columns
            part = slice(first, first + _STRETCH)
            far[part] = (np.abs(self.columns[:, part] - middle) / size).max(axis=0)
        return replace(self, near=self.weights * (_NEAR / np.maximum(far, _NEAR)) ** 4)

    @property
    def distances(self) -> np.ndarray:
        """How many robust standard deviations each row (m,) is out in the column where it is farthest, two at least."""
        return _NEAR * (self.weights / self.near) ** 0.25

    @property
    def share(self) -> float:
        """How much of the weight is near."""
        return self.near.sum() / self.weights.sum()

    def thinned(self, most: int) -> "Some":
        """At most so many of them, of weight 1, evenly along the order that they stand in."""
        if len(self) <= most:
            return self
        below = np.cumsum(self.weights)
        return self.chosen(
            np.searchsorted(below, (np.arange(most) + 0.5) * (below[-1] / most)).clip(max=len(below) - 1)
        )

    def chosen(self, taken) -> "Some":
        """Rows drawn by weight, and then of weight 1."""
        near = self.near[taken] / self.weights[taken]
        return Some(self.numbers[taken], np.ascontiguousarray(self.columns[:, taken]), np.ones(len(taken)), near)

    def scales(self, candidates, y, n_coefs: float) -> np.ndarray:
        """The M-scale (k,) of each of some coefficients (k, q), by near rows."""
        residuals, total = y - candidates @ self.columns, float(self.near.sum())
        return np.array([m_scale(line, self.near, total, n_coefs * self.share, 0.0, _ROUGH) for line in residuals])

    def best(self, candidates, y, n_coefs: float) -> np.ndarray:
        """The coefficients (q,) of smallest M-scale; of nearly equal ones those that fit most rows, by a wide bisquare.

        At the smallest scale: the scales are noisier than the count of rows that one judges by.
        """
        if len(candidates) == 1:
            return candidates[0]
        scales = self.scales(candidates, y, n_coefs)
        smallest = scales.min()
        if smallest > 0.0:
            n = max(float(self.weights.sum()), len(y))  # weights may be frequencies
            candidates = candidates[scales <= (1.0 + _NEARLY / np.sqrt(n)) * smallest]
            u = (y - candidates @ self.columns) / (smallest * WIDE_TUNING)
            fitted = np.maximum(1.0 - u * u, 0.0) ** 3 @ self.near
            return candidates[np.argmax(fitted)]
        return candidates[np.argmin(scales)]


@dataclass(frozen=True)
class _Tried:
    """Rows that candidates are made of, and what is known of them before y.

    Squared distances (m,) from the centre of X, orthonormal functions (r, m) of the columns, how many halves and
    sensitivity components there will be, and small subsets.
    """

    some: Some
    distances: np.ndarray
    basis: np.ndarray
    n_halves: int
    n_components: int
    subsets: Eliminated

    @classmethod
    def of(cls, some: Some, rng) -> "_Tried":
        """Of some rows at most."""
        q, m = len(some.columns), max(200, min(20 * len(some.columns), 500), 5 * len(some.columns))
        m = -(-m // STEP) * STEP
        if len(some) > m:
            some = some.chosen(np.sort(_draw(rng, some.weights, m)))
        columns, weights = some.columns, some.weights
        work = len(some) * q**2
        most = N_COMPONENTS
        if q > _FEW_COLUMNS:  # a small subset is hardly ever clean
            most = max(most, min(q, int(_MORE_HALF_WORK / (3 * work))))
        n_halves = int(np.clip(_MOST_HALF_WORK / work, 1, 1 + 3 * most))
        n_components = min(-(-(n_halves - 1) // 3), most, q)
        draws = _draw(rng, weights, (min(N_SUBSETS, int(_MOST_SUBSET_WORK / q**3)), q + min(q, 10)))
        distances, basis = np.zeros(len(some)), np.empty((0, len(some)))
        for part in _stretches(columns):
            distances += _distances(columns[part], weights)
        if n_components:
            values, vectors = np.linalg.eigh((columns * weights) @ columns.T)
            kept = values > len(values) * _EPS * values[-1]
            basis = (vectors[:, kept] / np.sqrt(values[kept])).T @ columns
        return cls(some, distances, basis, n_halves, n_components, Eliminated.of(columns, draws))


class _Drawn(NamedTuple):
    """Rows that judge the best candidates, those of them that these are iterated on, and those that they come from."""

    judges: Some
    few: Some
    tried: _Tried

    @classmethod
    def of(cls, rows: Rows, seed: int) -> "_Drawn":
        """What was drawn for another target, or what is drawn now."""
        q, rng = rows.frame.n_coefs, np.random.default_rng(seed)
        n_few = -(-max(1000, 20 * q) // STEP) * STEP
        numbers, drawn, by_x = _sample(rows, max(n_few, min(200 * q, _MOST_JUDGED // q) // STEP * STEP), rng)

        def draw() -> "_Drawn":
            columns, _, weights = rows.dense(numbers)
            weights = np.ones(len(numbers)) if drawn else weights
            judges = Some(numbers, columns, weights, weights)
            few = judges.thinned(n_few)
            spread = few.thinned(_SPREAD_ROWS).spread()
            all_judges = judges.weighted(spread)
            few = all_judges if few is judges else few.weighted(spread)
            return cls(all_judges, few, _Tried.of(few, rng))

        return rows.once("drawn", draw, seed) if by_x else draw()


def _max_steps(some: Some, most: int) -> int:
    return int(np.clip(_MOST_STEP_WORK / (len(some) * len(some.columns) ** 2), 2, most))


def _screened(tried: _Tried, y, n_coefs: float, n_best: int) -> np.ndarray:
    """The best few candidates (k, q): fits of halves of the rows, which resist clusters, and of small subsets."""
    some = tried.some
    columns, weights, near = some.columns, some.weights, some.near
    q, work = len(columns), len(y) * len(columns) ** 2
    n_kept = int(min(max(_CHEAP_WORK / work, N_KEPT_DEAR), N_KEPT, max(_MOST_HALF_WORK / (N_STEPS * work), 1)))
    n_kept_halves = n_kept
    if n_best > N_REFINED:  # which will be judged: worth their steps
        n_kept_halves = int(np.clip(_JUDGED_WORK / work, n_kept, N_KEPT))
    n_coefs *= some.share

    def of_halves() -> tuple[np.ndarray, Eliminated]:
        halves = [_nearest_half(tried, y), *_sensitive_halves(tried, y)]
        return np.vstack(halves)[: tried.n_halves] * weights, Eliminated.none(q)

    kinds: list[Callable[[], tuple[np.ndarray, Eliminated]]] = [of_halves]
    if len(tried.subsets.rows):
        kinds.append(lambda: (np.empty((0, len(y))), tried.subsets))
    screened: list = [None] * len(kinds)

    def search(k: int) -> None:
        halves, subsets = kinds[k]()
        found = screen(columns, y, near, n_coefs, halves, subsets, n_kept if k else n_kept_halves)
        screened[k] = refine_s(columns, y, near, n_coefs, found, N_STEPS, 0.0, _ROUGH, 0.0)

    if work > _CHEAP_WORK:
        run_all(search, len(kinds))
    else:  # sooner done than handed to another thread
        for k in range(len(kinds)):
            search(k)
    candidates, scales = (np.concatenate(parts) for parts in zip(*screened, strict=True))
    order = np.argsort(scales, kind="stable")[:n_best]
    return candidates[order[np.isfinite(scales[order])]]


def _nearest_half(tried: _Tried, y) -> np.ndarray:
    """The half of the rows (1, m) nearest to the centre of (X, y), in medians and median deviations (BACON's start).

    N. Billor, A. S. Hadi, P. F. Velleman, Computational Statistics & Data Analysis 34, 2000.
    """
    weights = tried.some.weights
    distances = (tried.distances + _distances(y[None], weights))[None]
    return (distances <= _medians(distances, weights)[:, None]).astype(float)


def _distances(variables, weights) -> np.ndarray:
    """Squared distances (m,) from the medians of variables (k, m), in median deviations."""
    deviations = _deviations(variables, weights)[1]
    sizes = _medians(deviations, weights)
    sizes = np.where(sizes > 0.0, sizes, deviations.max(axis=1))
    deviations /= np.where(sizes > 0.0, sizes, 1.0)[:, None]
    return np.einsum("ji,ji->i", deviations, deviations)


def _stretches(columns) -> Iterator[slice]:
    """Some of the columns (q, m) after the other, so that what is made of them takes little memory."""
    size = max(_FEW_ENTRIES // columns.shape[1], 1)
    return (slice(first, first + size) for first in range(0, len(columns), size))


def _deviations(variables, weights) -> tuple[np.ndarray, np.ndarray]:
    """Medians of the lines of variables (k, m), and the distances from them."""
    middle = _medians(variables, weights)
    return middle, np.abs(variables - middle[:, None])


def _sensitive_halves(tried: _Tried, y) -> list[np.ndarray]:
    """Halves (3, m) without the lowest, the highest and the largest of the first principal sensitivity components.

    The components of how the fit of each row answers to leaving others out: outliers that hide each other stand at an
    end of one. D. Peña, V. J. Yohai, JASA 94, 1999.
    """
    basis, weights = tried.basis, tried.some.weights
    if not len(basis):
        return []
    residuals = y - (basis @ (weights * y)) @ basis
    pull = residuals / np.maximum(1.0 - (basis**2).sum(axis=0), 1e-6)
    pull /= max(np.abs(pull).max(), 1e-300)
    _, turn = np.linalg.eigh((basis * (weights * pull**2)) @ basis.T)
    components = turn[:, : -1 - tried.n_components : -1].T @ basis
    middles = _medians(np.vstack((components, np.abs(components))), weights)[:, None]
    k = len(components)
    return [
        np.vstack((part <= middle, part >= middle, np.abs(part) <= size)).astype(float)
        for part, middle, size in zip(components, middles[:k], middles[k:], strict=True)
    ]


def _medians(variables, weights) -> np.ndarray:
    """The upper weighted median of each line of variables (k, m)."""
    if (weights == 1.0).all():
        middle = variables.shape[1] // 2
        return np.partition(variables, middle, axis=1)[:, middle]
    order = np.argsort(variables, axis=1, kind="stable")
    below = np.cumsum(weights[order], axis=1)
    middle = (below > 0.5 * below[:, -1:]).argmax(axis=1)
    lines = np.arange(len(variables))
    return variables[lines, order[lines, middle]]


def _sample(rows: Rows, most: int, rng) -> tuple[np.ndarray, bool, bool]:
    """Numbers of at most so many rows, in an order of their own.

    And whether they are drawn by weight, and so of weight 1, and whether X alone decides on them.
    """
    if len(rows) > max(most, _SORTED_ROWS) and not rows.weights.size:
        return spread_index(len(rows), most, rng), True, True
    order, by_x = np.arange(len(rows)), True
    if len(rows) <= max(most, _SORTED_ROWS):
        key, order, by_x = rows.once("order", lambda: _order(rows))
        if not by_x:
            order = np.lexsort((rows.targets(slice(None)), *([rows.noise] if rows.noise.size else []), key))
    if len(rows) <= most:
        return order, False, by_x
    return order[np.sort(_draw(rng, rows.all_weights[order], most))], True, by_x


def _order(rows: Rows) -> tuple[np.ndarray, np.ndarray, bool]:
    """A function (n,) of the rows of X, the order in which it grows, and whether no two values are the same."""
    frame, key = rows.frame, np.zeros(len(rows))
    factors = np.random.default_rng(0).uniform(0.5, 1.5, len(frame.center))
    for j, column in enumerate(rows.columns()):  # by numbers that do not depend on where a row stands
        key += factors[j] * ((column - frame.center[j]) / frame.scale[j])
    order = np.argsort(key, kind="stable")
    return key, order, bool((np.diff(key[order]) > 0.0).all())


def _draw(rng, weights, size) -> np.ndarray:
    """Row numbers drawn with probability proportional to weight."""
    if (weights == 1.0).all():
        return (rng.uniform(size=size) * len(weights)).astype(np.intp)
    below = np.cumsum(weights)
    return np.searchsorted(below, rng.uniform(size=size) * below[-1], side="right").clip(max=len(weights) - 1)
