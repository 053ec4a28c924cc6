"""The rows that an S-estimate is found on, and all that is known of them before y is looked at.

They are drawn by cumulative weight along the rows in an order of their own, so that neither the order of the rows nor
weights written as repeated rows change the start. That order is the one of X, and so several targets share what is
drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sklearn_robust._fit.gap import are_gaps
from sklearn_robust._fit.objective import NORMAL_QUARTILE
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.spread import spread_index
from sklearn_robust._rows.subsets import Eliminated
from sklearn_robust._rows.vector import STEP

# Subsets drawn; sensitivity components, each of which makes three halves, where columns are few.
N_SUBSETS, N_COMPONENTS = 50, 5
# What is dear: arithmetic of eliminations and of halves, which only many columns meet.
_MOST_SUBSET_WORK, MOST_HALF_WORK = 4e6, 1e8
_FEW_COLUMNS, _MORE_HALF_WORK = 12, 3e7
_SORTED_ROWS, _STRETCH, _FEW_ENTRIES, _MOST_JUDGED = 20_000, 256, 2**16, 100_000  # the last ones in entries of X
_SPREAD_ROWS = 1024  # tell how far a row is out
# From so many robust standard deviations on a row counts as far out: in some column, or along one direction.
_NEAR, _NEAR_ALONG = 2.0, 1.5
# Of a column that is mostly one number: how far the mean is above what is before a gap, and how many of all other
# numbers are beyond, at most.
_ABOVE_MEAN, _MOST_BEYOND = 3.0, 0.75
# Of a sparse design, whose rows the S-estimate has to write out.
MOST_S_COLUMNS = 300
_EPS = np.finfo(float).eps
# Of a column that is mostly one number, divided by noise scales and multiplied again.
_ROUNDING = 8.0 * _EPS


@dataclass(frozen=True)
class Some:
    """Some rows, written out but for y: their numbers (m,), columns (q, m), weights (m,) and ``near`` (m,).

    ``near`` are weights that fall off with leverage, as it was before columns with a centre were divided by the noise
    scales (m,), or by ones: zeros of such a column would differ then.
    """

    numbers: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    near: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Median and robust standard deviation of each column (q, 1).

        Of one that is mostly one number, a dummy with a code for what is missing say, how far its other numbers are
        from that before a gap; 0 without one.
        """
        middle, size = np.empty((2, len(self.columns), 1))
        for part in _stretches(self.columns):
            middle[part, 0], deviations = _deviations(self.columns[part] * self.noise, self.weights)
            size[part, 0] = _spreads(deviations, self.weights)
            least = _ROUNDING * np.abs(middle[part])
            for j in np.flatnonzero(~(size[part] > least)):
                others = np.flatnonzero((deviations[j] > least[j]) & (self.weights > 0.0))
                size[part][j] = _before_gap(deviations[j, others], self.weights[others], self.weights.sum())
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
            far[part] = (np.abs(self.columns[:, part] * self.noise[part] - middle) / size).max(axis=0)
        return self._without_far(far, _NEAR)

    def near_along(self, direction, scale: float) -> "Some | None":
        """With weights ``near`` that fall off along a direction (q,); None where no row tells.

        Most rows may agree in it, those without a dummy say: no row is farther out than a quarter of those that it
        moves by more than the scale of the residuals.
        """
        moves = direction @ self.columns
        (middle,), apart = _deviations((moves * self.noise)[None], self.weights)
        (size,) = _spreads(apart, self.weights)
        telling = np.flatnonzero((np.abs(moves) > scale) & (self.weights > 0.0))
        if len(telling):
            (quarter,) = medians(apart[:, telling], self.weights[telling], 0.25)
            size = max(size, quarter)
        return self._without_far(apart[0] / size, _NEAR_ALONG) if size > _ROUNDING * abs(middle) else None

    def _without_far(self, far, limit: float) -> "Some":
        return replace(self, near=self.weights * (limit / np.maximum(far, limit)) ** 4)

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
        columns = np.ascontiguousarray(self.columns[:, taken])
        return Some(self.numbers[taken], columns, np.ones(len(taken)), near, self.noise[taken])


@dataclass(frozen=True)
class Tried:
    """Rows that candidates are made of, and what is known of them before y.

    The arithmetic of a step, squared distances (m,) from the centre of X, orthonormal functions (r, m) of the columns,
    how many halves and sensitivity components there will be, which rows (2, m) are on either side where X is least like
    one cloud, and small subsets.
    """

    some: Some
    work: float
    distances: np.ndarray
    basis: np.ndarray
    n_halves: int
    n_components: int
    ends: np.ndarray
    subsets: Eliminated

    @classmethod
    def of(cls, some: Some, rng) -> "Tried":
        """Of some rows at most."""
        q, m = len(some.columns), max(200, min(20 * len(some.columns), 500), 5 * len(some.columns))
        m = -(-m // STEP) * STEP
        if len(some) > m:
            some = some.chosen(np.sort(_draw(rng, some.weights, m)))
        columns, weights = some.columns, some.weights
        work = min(max(len(some), float(weights.sum())), m) * q**2  # were rows of more weight so many rows
        most = N_COMPONENTS
        if q > _FEW_COLUMNS:  # a small subset is hardly ever clean
            most = max(most, min(q, int(_MORE_HALF_WORK / (3 * work))))
        n_halves = int(np.clip(MOST_HALF_WORK / work, 1, 1 + 3 * most))
        n_components = min(-(-(n_halves - 1) // 3), most, q)
        draws = _draw(rng, weights, (min(N_SUBSETS, int(_MOST_SUBSET_WORK / q**3)), q + min(q, 10)))
        distances, basis = np.zeros(len(some)), np.empty((0, len(some)))
        for part in _stretches(columns):
            distances += distances_of(columns[part] * some.noise, weights)
        if n_components:
            values, vectors = np.linalg.eigh((columns * weights) @ columns.T)
            kept = values > len(values) * _EPS * values[-1]
            basis = (vectors[:, kept] / np.sqrt(values[kept])).T @ columns
        ends = _ends(basis, weights)
        return cls(some, work, distances, basis, n_halves, n_components, ends, Eliminated.of(columns, draws))


def _ends(basis, weights) -> np.ndarray:
    """Which rows (2, m) are on either side of the middle along that of orthonormal functions (r, m) of least kurtosis.

    A cluster stands at one of its ends. J.-F. Cardoso, Proc. IEEE ICASSP, 1989 (fourth-order blind identification).
    """
    if not len(basis):
        return np.empty((0, len(weights)), bool)
    _, turn = np.linalg.eigh((basis * (weights * (basis**2).sum(axis=0))) @ basis.T)
    along = turn[:, :1].T @ basis
    middle = medians(along, weights)[:, None]
    return np.vstack((along <= middle, along >= middle))


class Drawn(NamedTuple):
    """Rows that judge the best candidates, those of them that these are iterated on, and those that they come from."""

    judges: Some
    few: Some
    tried: Tried

    @classmethod
    def of(cls, rows: Rows, seed: int) -> "Drawn":
        """What was drawn for another target, or what is drawn now."""
        q, rng = rows.frame.n_coefs, np.random.default_rng(seed)
        n_few = -(-max(1000, 20 * q) // STEP) * STEP
        numbers, drawn, by_x = _sample(rows, max(n_few, min(200 * q, _MOST_JUDGED // q) // STEP * STEP), rng)

        def draw() -> "Drawn":
            columns, _, weights = rows.dense(numbers)
            weights = np.ones(len(numbers)) if drawn else weights
            divided = rows.noise.size and rows.frame.fit_intercept
            noise = rows.noise[numbers] if divided else np.ones(len(numbers))
            judges = Some(numbers, columns, weights, weights, noise)
            few = judges.thinned(n_few)
            spread = few.thinned(_SPREAD_ROWS).spread()
            all_judges = judges.weighted(spread)
            few = all_judges if few is judges else few.weighted(spread)
            return cls(all_judges, few, Tried.of(few, rng))

        return rows.once("drawn", draw, seed) if by_x else draw()


def too_wide_for_subsets(rows: Rows) -> bool:
    """Whether the subsets of the S-estimate, as arrays, would be large beside a sparse X."""
    return rows.design is not None and rows.frame.n_coefs > MOST_S_COLUMNS


def distances_of(variables, weights) -> np.ndarray:
    """Squared distances (m,) from the medians of variables (k, m), in median deviations."""
    middle, deviations = _deviations(variables, weights)
    sizes = medians(deviations, weights)
    sizes = np.where(sizes > _ROUNDING * np.abs(middle), sizes, deviations.max(axis=1))
    deviations /= np.where(sizes > 0.0, sizes, 1.0)[:, None]
    return np.einsum("ji,ji->i", deviations, deviations)


def _deviations(variables, weights) -> tuple[np.ndarray, np.ndarray]:
    """Medians of the lines of variables (k, m), and the distances from them."""
    middle = medians(variables, weights)
    return middle, np.abs(variables - middle[:, None])


def _spreads(deviations, weights) -> np.ndarray:
    """The robust standard deviation of each line of distances (k, m) from its median."""
    return medians(deviations, weights) / NORMAL_QUARTILE


def _before_gap(sizes, weights, total: float) -> float:
    """The largest of sizes (k,) before the first gap, as seen from either side; 0 without one.

    All others of as much weight in total are 0, which also have a tail, of numbers near 0. What is before is far below
    the mean: means may have been filled in for missing numbers, and the numbers beyond be right.
    """
    if len(sizes) < 2:
        return 0.0
    order = np.argsort(-sizes)
    logs, counts = np.log(sizes[order]), weights[order]
    beyond = np.cumsum(counts[:-1])
    is_gap = are_gaps(logs, counts[:-1]) & are_gaps(-logs[::-1], counts[:0:-1])[::-1]
    is_gap &= logs[:-1] - logs[1:] > np.log(_ABOVE_MEAN * total / beyond)
    is_gap &= beyond <= _MOST_BEYOND * (beyond[-1] + counts[-1])
    gaps = np.flatnonzero(is_gap)
    return float(sizes[order[gaps[-1] + 1]]) if len(gaps) else 0.0


def medians(variables, weights, share=0.5) -> np.ndarray:
    """The upper weighted median of each line of variables (k, m), or what another share of the weight is below."""
    if (weights == 1.0).all():
        middle = int(share * variables.shape[1])
        return np.partition(variables, middle, axis=1)[:, middle]
    order = np.argsort(variables, axis=1, kind="stable")
    below = np.cumsum(weights[order], axis=1)
    middle = (below > share * below[:, -1:]).argmax(axis=1)
    lines = np.arange(len(variables))
    return variables[lines, order[lines, middle]]


def _stretches(columns) -> Iterator[slice]:
    """Some of the columns (q, m) after the other, so that what is made of them takes little memory."""
    size = max(_FEW_ENTRIES // columns.shape[1], 1)
    return (slice(first, first + size) for first in range(0, len(columns), size))


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
