"""Where a fit begins: least squares, least absolute deviations, graduated non-convexity, or the S-estimate.

Half of the rows cannot move the S-estimate, and ``auto`` takes it where rows are enough. It is the best of several
kinds of candidates, each of which finds what others miss: fits of small random subsets, of the nearest half of the
rows, of halves without the ends of the sensitivity components, and least squares. Subsets of rows are drawn by
cumulative weight along the rows in the order of (y, X), so that neither the order of the rows nor weights written as
repeated rows change the start.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sklearn_robust._fit.irls import IRLS
from sklearn_robust._fit.objective import NORMAL_QUARTILE, Law, Objective
from sklearn_robust._fit.ridge import Inverse, solver_of
from sklearn_robust._loss.bisquare import WIDE_TUNING
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.subsets import m_scale, refine_s, screen
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
_ANNEALING_STEPS = 8
# Of a sparse design, whose rows the S-estimate has to write out.
MOST_S_COLUMNS = 300
# From so many robust standard deviations on a row counts as far out.
_NEAR = 2.0
_EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Start:
    """Coefficients (q,) and the robust scale of their residuals: 0 for an exact fit of half the rows.

    ``few`` are the rows it was fitted to, where it was left rough, for its last digits were not worth the time.
    """

    theta: np.ndarray
    scale: float
    few: "_Some | None" = None


def ols(objective: Objective) -> Start:
    """Least squares, of smallest norm in working units where rows do not determine it; refined once."""
    theta = np.zeros(len(objective.penalty))
    exact = isinstance(objective.inverse, Inverse)
    inverse = objective.inverse if exact else solver_of(objective.rows.gram(), objective.penalty)
    for _ in range(2 if exact else 4):
        theta = theta - (inverse @ objective.at(theta, Law(2.0, 1.0), cpu.SCORE).gradient)
    return Start(theta, objective.rows.m_scale(theta, objective.n_coefs))


def s_estimate(objective: Objective, plain: Start, seed: int) -> Start:
    """Fast-S: candidates are screened on a few hundred rows, the best and least squares iterated on a thousand or more.

    Where columns are many, a few rows fit a wrong plane so well that their scale says little: so all are judged by
    rows that they were not fitted to. The scale is rough where the law is learned; one that is held is worth its last
    digits.
    """
    rng = np.random.default_rng(seed)
    rows, q, n_coefs = objective.rows, len(objective.penalty), objective.n_coefs
    judges = _Some.of(rows, _n_judges(q), rng)
    few = judges.thinned(_n_rows(q))
    spread = few.thinned(_SPREAD_ROWS).spread()
    max_steps = _max_steps(len(few.y), q, 100)
    judged = few is not judges
    judges = judges.weighted(spread)
    few = few.weighted(spread) if judged else judges
    n_best = N_JUDGED if judged else N_REFINED
    candidates = _screened(few, n_coefs, n_best, rng)
    if judged:
        candidates = candidates[np.argsort(judges.scales(candidates, n_coefs), kind="stable")[:N_REFINED]]
    candidates = np.vstack((candidates, plain.theta))
    ends, scales = refine_s(few.columns, few.y, few.near, n_coefs * few.share, candidates, max_steps, _ROUGH)
    theta = judges.best(ends[np.isfinite(scales)], n_coefs)
    found = _minimum(objective, few, theta, 100, _ROUGH if objective.learns else _FINE)
    return replace(found, few=few) if objective.learns else found


def _minimum(objective: Objective, few: "_Some", theta, most_steps: int, tol: float) -> Start:
    """The minimum of the M-scale of some rows near theta (q,), and the scale of all rows there."""
    rows, n_coefs = objective.rows, objective.n_coefs
    max_steps = _max_steps(len(few.y), len(theta), most_steps)
    (theta,), (scale,) = refine_s(few.columns, few.y, few.weights, n_coefs, theta[None], max_steps, tol)
    theta = objective.inverse.project(theta)
    return Start(theta, float(scale) if len(few.y) == len(rows) else rows.m_scale(theta, n_coefs))


@dataclass(frozen=True)
class _Some:
    """Some rows, written out: columns (q, m), and (m,) each y, weights, and ``near``, which fall off with leverage."""

    columns: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    near: np.ndarray

    @classmethod
    def of(cls, rows: Rows, most: int, rng) -> "_Some":
        """At most so many rows."""
        index, drawn = _sample(rows, most, rng)
        columns, y, weights = rows.dense(index)
        weights = np.ones(len(index)) if drawn else weights
        return cls(columns, y, weights, weights)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Median and robust standard deviation of each column (q, 1)."""
        middle, size = np.empty((2, len(self.columns), 1))
        for part in _stretches(self.columns):
            middle[part, 0], deviations = _deviations(self.columns[part], self.weights)
            size[part, 0] = _medians(deviations, self.weights) / NORMAL_QUARTILE
        return middle, size

    def weighted(self, spread) -> "_Some":
        """With weights ``near`` that fall off where a row is far out in some column.

        Of lines that fit about as many rows the one that does not owe it to leverage is the better start; the fit
        itself gives far rows their full weight.
        """
        middle, size = spread
        size = np.where(size > 0.0, size, np.inf)
        far = np.empty(len(self.y))
        for first in range(0, len(far), _STRETCH):  # without a copy of all columns
            part = slice(first, first + _STRETCH)
            far[part] = (np.abs(self.columns[:, part] - middle) / size).max(axis=0)
        return replace(self, near=self.weights * (_NEAR / np.maximum(far, _NEAR)) ** 4)

    @property
    def share(self) -> float:
        """How much of the weight is near."""
        return self.near.sum() / self.weights.sum()

    def thinned(self, most: int) -> "_Some":
        """At most so many of them, of weight 1, evenly along the order that they stand in."""
        if len(self.y) <= most:
            return self
        below = np.cumsum(self.weights)
        return self.chosen(
            np.searchsorted(below, (np.arange(most) + 0.5) * (below[-1] / most)).clip(max=len(below) - 1)
        )

    def chosen(self, taken) -> "_Some":
        """Rows drawn by weight, and then of weight 1."""
        near = self.near[taken] / self.weights[taken]
        return _Some(np.ascontiguousarray(self.columns[:, taken]), self.y[taken], np.ones(len(taken)), near)

    def scales(self, candidates, n_coefs: float) -> np.ndarray:
        """The M-scale (k,) of each of some coefficients (k, q), by near rows."""
        residuals, total = self.y - candidates @ self.columns, float(self.near.sum())
        return np.array([m_scale(line, self.near, total, n_coefs * self.share, 0.0, _ROUGH) for line in residuals])

    def best(self, candidates, n_coefs: float) -> np.ndarray:
        """The coefficients (q,) of smallest M-scale; of nearly equal ones those that fit most rows, by a wide bisquare.

        At the smallest scale: the scales are noisier than the count of rows that one judges by.
        """
        if len(candidates) == 1:
            return candidates[0]
        scales = self.scales(candidates, n_coefs)
        smallest = scales.min()
        if smallest > 0.0:
            n = max(float(self.weights.sum()), len(self.y))  # weights may be frequencies
            candidates = candidates[scales <= (1.0 + _NEARLY / np.sqrt(n)) * smallest]
            u = (self.y - candidates @ self.columns) / (smallest * WIDE_TUNING)
            fitted = np.maximum(1.0 - u * u, 0.0) ** 3 @ self.near
            return candidates[np.argmax(fitted)]
        return candidates[np.argmin(scales)]


def _n_rows(q: int) -> int:
    """On how many rows the best candidates are iterated."""
    return -(-max(1000, 20 * q) // STEP) * STEP


def _n_judges(q: int) -> int:
    """By how many rows they are judged."""
    return max(_n_rows(q), min(200 * q, _MOST_JUDGED // q) // STEP * STEP)


def _max_steps(n_rows: int, q: int, most: int) -> int:
    return int(np.clip(_MOST_STEP_WORK / (n_rows * q**2), 2, most))


def sharpened(objective: Objective, start: Start) -> Start:
    """A rough start to its last digits, so that what is a multiple of its scale is equivariant."""
    few, q = start.few, len(start.theta)
    if few is None or _max_steps(len(few.y), q, _ENDLESS) < _ENDLESS:
        return start
    return _minimum(objective, few, start.theta, 2000, _FINE)  # some minima are slow to come to


def _screened(some: _Some, n_coefs: float, n_best: int, rng) -> np.ndarray:
    """The best few candidates (k, q): fits of halves of the rows, which resist clusters, and of small subsets."""
    q, m = len(some.columns), max(200, min(20 * len(some.columns), 500), 5 * len(some.columns))
    m = -(-m // STEP) * STEP
    if len(some.y) > m:
        some = some.chosen(np.sort(_draw(rng, some.weights, m)))
    columns, y, weights, near = some.columns, some.y, some.weights, some.near
    work = len(y) * q**2
    most = N_COMPONENTS
    if q > _FEW_COLUMNS:  # a small subset is hardly ever clean
        most = max(most, min(q, int(_MORE_HALF_WORK / (3 * work))))
    n_halves = int(np.clip(_MOST_HALF_WORK / work, 1, 1 + 3 * most))
    n_kept = int(min(max(_CHEAP_WORK / work, N_KEPT_DEAR), N_KEPT, max(_MOST_HALF_WORK / (N_STEPS * work), 1)))
    n_kept_halves = n_kept
    if n_best > N_REFINED:  # which will be judged: worth their steps
        n_kept_halves = int(np.clip(_JUDGED_WORK / work, n_kept, N_KEPT))
    n_components = min(-(-(n_halves - 1) // 3), most, q)
    draws = _draw(rng, weights, (min(N_SUBSETS, int(_MOST_SUBSET_WORK / q**3)), q + min(q, 10)))
    n_coefs *= some.share

    def of_halves() -> tuple[np.ndarray, np.ndarray]:
        halves = [_nearest_half(columns, y, weights), *_sensitive_halves(columns, y, weights, n_components)]
        return np.vstack(halves)[:n_halves] * weights, draws[:0]

    kinds: list[Callable[[], tuple[np.ndarray, np.ndarray]]] = [of_halves]
    if len(draws):
        kinds.append(lambda: (np.empty((0, len(y))), draws))
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


def _nearest_half(columns, y, weights) -> np.ndarray:
    """The half of the rows (1, m) nearest to the centre of (X, y), in medians and median deviations (BACON's start).

    N. Billor, A. S. Hadi, P. F. Velleman, Computational Statistics & Data Analysis 34, 2000.
    """
    distances = np.zeros((1, len(y)))
    for variables in (y[None], *(columns[part] for part in _stretches(columns))):
        deviations = _deviations(variables, weights)[1]
        sizes = _medians(deviations, weights)
        sizes = np.where(sizes > 0.0, sizes, deviations.max(axis=1))
        deviations /= np.where(sizes > 0.0, sizes, 1.0)[:, None]
        distances += np.einsum("ji,ji->i", deviations, deviations)
    return (distances <= _medians(distances, weights)[:, None]).astype(float)


def _stretches(columns) -> Iterator[slice]:
    """Some of the columns (q, m) after the other, so that what is made of them takes little memory."""
    size = max(_FEW_ENTRIES // columns.shape[1], 1)
    return (slice(first, first + size) for first in range(0, len(columns), size))


def _deviations(variables, weights) -> tuple[np.ndarray, np.ndarray]:
    """Medians of the lines of variables (k, m), and the distances from them."""
    middle = _medians(variables, weights)
    return middle, np.abs(variables - middle[:, None])


def _sensitive_halves(columns, y, weights, n_components: int) -> list[np.ndarray]:
    """Halves (3, m) without the lowest, the highest and the largest of the first principal sensitivity components.

    The components of how the fit of each row answers to leaving others out: outliers that hide each other stand at an
    end of one. D. Peña, V. J. Yohai, JASA 94, 1999.
    """
    if n_components == 0:
        return []
    values, vectors = np.linalg.eigh((columns * weights) @ columns.T)
    kept = values > len(values) * _EPS * values[-1]
    basis = (vectors[:, kept] / np.sqrt(values[kept])).T @ columns
    residuals = y - (basis @ (weights * y)) @ basis
    pull = residuals / np.maximum(1.0 - (basis**2).sum(axis=0), 1e-6)
    pull /= max(np.abs(pull).max(), 1e-300)
    _, turn = np.linalg.eigh((basis * (weights * pull**2)) @ basis.T)
    components = turn[:, : -1 - n_components : -1].T @ basis
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


def _sample(rows: Rows, most: int, rng) -> tuple[np.ndarray, bool]:
    """Numbers of at most so many rows, in an order of their own, and whether they are drawn by weight: of weight 1."""
    if len(rows) <= most:
        return _order(rows), False
    if len(rows) > _SORTED_ROWS and not rows.weights.size:
        return spread_index(len(rows), most, rng), True
    ordered = _order(rows) if len(rows) <= _SORTED_ROWS else np.arange(len(rows))
    return ordered[np.sort(_draw(rng, rows.all_weights[ordered], most))], True


def _order(rows: Rows) -> np.ndarray:
    """The order of (y, X), with y in units of its noise."""
    y = np.asarray(rows.y)
    if rows.noise.size:
        y = (y - rows.frame.y_center) / rows.noise
    order = np.argsort(y, kind="stable")
    if (np.diff(y[order]) == 0.0).any():
        order = np.arange(len(y))
        for key in (*([rows.noise] if rows.noise.size else []), *rows.columns(), y):  # the last one counts most
            order = order[np.argsort(key[order], kind="stable")]
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


def is_rounding(objective: Objective, start: Start) -> bool:
    """Whether the scale of a start is a rounding error: it passes through most rows."""
    return bool(start.scale <= 64 * _EPS * (objective.rows.frame.typical + objective.size(start.theta)))


def too_wide_for_subsets(rows: Rows) -> bool:
    """Whether the subsets of the S-estimate, as arrays, would be large beside a sparse X."""
    return rows.design is not None and rows.frame.n_coefs > MOST_S_COLUMNS


def lad(objective: Objective, plain: Start) -> Start:
    """Least absolute deviations, as Charbonnier's loss (alpha = 1) with ever smaller c."""
    return annealed(objective, plain, [(1.0, 10.0**-k) for k in range(4)])


def gnc(objective: Objective, plain: Start, alpha: float) -> Start:
    """Graduated non-convexity: from least squares, the shape falls to ``alpha`` in steps.

    H. Yang et al., IEEE Robotics and Automation Letters 5, 2020; J. T. Barron, CVPR 2019, section 3.2.
    """
    shapes = [shape for shape in (1.5, 1.0, 0.5, 0.0, -1.0, -2.0, -4.0, -16.0) if shape > alpha]
    return annealed(objective, plain, [(shape, 1.0 / NORMAL_QUARTILE) for shape in (*shapes, alpha)])


def annealed(objective: Objective, start: Start, stages) -> Start:
    """Steps of IRLS under one loss after the other: stages of (alpha, c as a multiple of the robust scale)."""
    theta, scale = start.theta, start.scale
    for alpha, factor in stages:
        solver = IRLS()
        for _ in range(_ANNEALING_STEPS):
            if scale == 0.0:
                return Start(theta, scale)
            theta = solver.coefficients(objective, objective.at(theta, Law(alpha, factor * scale), cpu.GRAM))
        scale = objective.rows.m_scale(theta, objective.n_coefs)
    return Start(theta, scale)


def find_start(objective: Objective, init: str, seed: int, alpha: float) -> Start:
    """The start named by ``init``, on the way to a shape; ``auto`` is ``s`` where there are rows enough for subsets."""
    plain = ols(objective)
    too_few = objective.total <= 2 * len(objective.penalty)  # a subset would pass through half of them
    if init == "ols" or is_rounding(objective, plain) or (init == "auto" and too_few):
        return plain
    if init == "auto" and too_wide_for_subsets(objective.rows):
        init = "gnc"
    if init == "lad":
        return lad(objective, plain)
    if init == "gnc":
        return gnc(objective, plain, min(alpha, 2.0))
    return s_estimate(objective, plain, seed)
