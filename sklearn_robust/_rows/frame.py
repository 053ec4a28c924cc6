"""Working units: a change of basis that makes columns and y comparable, whatever their units.

    x'_j = (x_j - center_j) / scale_j     y' = (y - y_center) / y_scale     v' = v / noise_unit  (noise scales)
    coef = y_scale theta / scale          c = c_unit c'                     c_unit = y_scale / noise_unit

A column without spread has scale inf, so x' and its coefficient are 0: what rounding makes of it is no information.
Nothing is copied: the loops over rows apply it as they read. It is no statistic, so rows may be subsampled for it.
Without intercept nothing is centred. All conversions between raw and working units are here.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import inplace_column_scale, mean_variance_axis, min_max_axis

# Coefficients of a sparse design whose gram is a matrix, at most.
MOST_COLUMNS = 1000
# Sample weights or noise scales that were not given: ones.
NONE = np.empty(0)
_MANY_ROWS, _SOME_ROWS = 20_000, 4_000
_ENTRIES = 2**16  # of X that are copied at a time
# A column's root mean square is that many typical deviations only where entries are absurd; so many rows are
# looked at first. No x' is larger than the last number.
_WILD, _GLANCED, _LARGEST_X = 1e6, 15, 1e100
# No y' is larger: times the largest sum of weights it is a number still.
_LARGEST_Y = 1e180
# No scale is smaller: its inverse is a number still.
_LEAST_SCALE = float(np.finfo(float).tiny)
_LEAST_C, _LARGEST_C = 1e-290, 1e290
# The power of the least number that has all its bits, and whole numbers that are exact.
_LEAST_POWER, _EXACT = -1022, 2.0**53
_LARGEST_STRENGTH = 1e290


@dataclass(frozen=True)
class Frame:
    """Centres and scales of the columns (p,), of y, and the typical sizes of y and y' (1, but for absurd y)."""

    center: np.ndarray
    scale: np.ndarray
    y_center: float
    y_scale: float
    y_size: float
    fit_intercept: bool
    noise_unit: float = 1.0
    typical: float = 1.0

    @classmethod
    def of(cls, X, y, weights, fit_intercept: bool, noise=NONE, bounded=False) -> "Frame":
        """Weighted mean and root mean square of the columns, weighted median and spread of y, median noise scale.

        ``bounded`` tells that no entry of X is absurd, however few are large.
        """
        wide = sparse.issparse(X) and X.shape[1] + fit_intercept > MOST_COLUMNS
        step = 1 if wide else _step(y)  # without a gram, columns have to be of unit length
        center, scale = _of_columns(X[::step], weights[::step], fit_intercept, bounded)
        flat = np.flatnonzero(np.isinf(scale)) if step > 1 else np.empty(0, int)  # they may have spread in other rows
        for part in [flat] if sparse.issparse(X) else flat[:, None]:
            center[part], scale[part] = _of_columns(X[:, part], weights, fit_intercept, bounded)
        center, scale = rounded(center, scale), rounded(scale, scale)
        noise_unit = median(noise[::step], weights[::step]) if noise.size else 1.0
        y_center, y_scale, y_size, typical = _of_target(y, weights, fit_intercept)
        return cls(center, scale, y_center, y_scale, y_size, fit_intercept, noise_unit, typical)

    def of_target(self, y, weights) -> "Frame":
        """The frame of the same X and another y."""
        y_center, y_scale, y_size, typical = _of_target(y, weights, self.fit_intercept)
        return replace(self, y_center=y_center, y_scale=y_scale, y_size=y_size, typical=typical)

    @property
    def c_unit(self) -> float:
        """The c that is 1 in working units."""
        return self.y_scale / self.noise_unit

    def working_c(self, c) -> float:
        """A scale in working units, where it is a positive number still."""
        return min(max(float(c) / self.c_unit, _LEAST_C), _LARGEST_C)

    @property
    def n_coefs(self) -> int:
        """The number of coefficients, the intercept among them."""
        return self.center.size + self.fit_intercept

    def to_raw(self, theta) -> tuple[np.ndarray, float]:
        """Coefficients and intercept in raw units; theta (q,), intercept first."""
        coef = theta[int(self.fit_intercept) :] / self.scale * self.y_scale
        if not self.fit_intercept:
            return coef, 0.0
        return coef, float(self.y_center + self.y_scale * theta[0] - coef @ self.center)

    def from_raw(self, coef, intercept: float) -> np.ndarray:
        """The inverse of ``to_raw``."""
        theta = np.where(np.isinf(self.scale), 0.0, coef) * np.minimum(self.scale, 1e300) / self.y_scale
        if not self.fit_intercept:
            return theta
        return np.concatenate(([(intercept - self.y_center + coef @ self.center) / self.y_scale], theta))

    def to_raw_matrix(self) -> np.ndarray:
        """The derivative (q, q) of the coefficients in raw units, intercept first, in theta."""
        k = int(self.fit_intercept)
        slopes = self.y_scale / self.scale
        matrix = np.diag(np.concatenate((np.full(k, self.y_scale), slopes)))
        if k:
            matrix[0, 1:] = -slopes * self.center
        return matrix

    def design(self, X, noise=NONE) -> np.ndarray:
        """Rows X (n, p) of the design in working units (n, q), divided by the noise scales (n,), given in raw units."""
        k = int(self.fit_intercept)
        design = np.ones((len(X), self.n_coefs))
        np.divide(X - self.center, self.scale, out=design[:, k:])
        design *= self.noise_unit / noise[:, None] if noise.size else self.noise_unit
        return design

    def working_strength(self, strength: float) -> float:
        """The strength of ridge in working units of y and the noise scales, whatever the columns' are."""
        return min(strength * self.noise_unit * self.noise_unit, _LARGEST_STRENGTH)

    def penalty(self, strength: float) -> np.ndarray:
        """The diagonal of the ridge penalty in working units (q,): none on the intercept."""
        with np.errstate(over="ignore"):
            penalty = np.minimum((np.sqrt(strength) * self.noise_unit / self.scale) ** 2, 1e300)
        return np.concatenate((np.zeros(int(self.fit_intercept)), penalty))


def _step(y) -> int:
    """A frame looks at every so many-th row."""
    return 1 if len(y) <= _MANY_ROWS else len(y) // _SOME_ROWS


def _of_target(y, weights, fit_intercept: bool) -> tuple[float, float, float, float]:
    """Centre and scale of y, and the typical sizes of y and y'."""
    largest = float(max(y.max(), -y.min()))
    step = _step(y)
    y, weights = y[::step], weights[::step]
    y_center = median(y, weights) if fit_intercept else 0.0
    spread = _typical(np.abs(y - y_center), weights)
    y_size = _typical(np.abs(y), weights) if spread else 0.0
    y_scale = max(spread, largest / _LARGEST_Y, _LEAST_SCALE) if spread else 1.0
    return y_center, y_scale, y_size, spread / y_scale if spread else 1.0


def _of_columns(X, weights, fit_intercept: bool, bounded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Centres and scales of the columns (p,)."""
    if sparse.issparse(X):
        return _of_sparse(X, weights, fit_intercept)
    return _of_dense(X, weights, fit_intercept, bounded)


def rounded(values, sizes, bits: int = 30) -> np.ndarray:
    """Values to so many bits of sizes; as they are where these are no numbers, or the values far larger.

    Sums round otherwise where X is sparse, rows stand in another order or weights are repeated rows. Where many starts
    are as good, the last bit would decide between them: so all begin with the same numbers, to that bit.
    """
    step = np.ldexp(1.0, np.maximum(np.frexp(sizes)[1] - bits, _LEAST_POWER))
    steps = values / step
    return np.where(np.isfinite(sizes) & (np.abs(steps) < _EXACT), np.round(steps) * step, values)


def _of_sparse(X, weights, fit_intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """What ``_of_dense`` finds, of compressed sparse rows."""
    low, high = min_max_axis(X, axis=0)
    largest = np.maximum(np.abs(low), np.abs(high))
    largest[largest == 0.0] = 1.0
    unit = sparse.csr_matrix((X.data.copy(), X.indices, X.indptr), shape=X.shape)
    inplace_column_scale(unit, 1.0 / largest)
    mean, variance = mean_variance_axis(unit, axis=0, weights=weights if weights.size else None)
    size = np.sqrt(np.maximum(variance if fit_intercept else variance + mean**2, 0.0))
    spread = size > 8.0 * np.finfo(float).eps
    center, size = mean * largest if fit_intercept else np.zeros_like(mean), size * largest
    for j in np.flatnonzero(spread & (size > _WILD * _glanced_sparse(X))):
        center[j], size[j] = _of_column(j, X[:, [j]].toarray().ravel(), weights, fit_intercept, center[j], size[j])
    return center, np.where(spread, np.maximum(size, _LEAST_SCALE), np.inf)


def _glanced_sparse(X) -> np.ndarray:
    """The geometric mean of the non-zero entries of the columns (p,), in a few of the rows; inf where there is none."""
    few = X[:: max(X.shape[0] // _SOME_ROWS, 1)]
    given = few.data != 0.0
    columns, sizes = few.indices[given], np.abs(few.data[given])
    counts = np.bincount(columns, minlength=X.shape[1])
    logs = np.bincount(columns, np.log(sizes), X.shape[1])
    return np.where(counts > 0, np.exp(logs / np.maximum(counts, 1)), np.inf)


def _of_dense(X, weights, fit_intercept, bounded) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and root mean square of the columns; a column without spread gets its value, and inf.

    Relative to a first row and the largest entry, so that columns far from zero or near overflow keep their digits.
    """
    largest, center, square, spread = moments = np.zeros((4, X.shape[1]))
    share = weights / weights.sum() if weights.size else np.full(len(X), 1.0 / len(X))
    size = max(_ENTRIES // len(X), 1)
    for first in range(0, X.shape[1], size):
        _write_moments(X[:, first : first + size], share, fit_intercept, *moments[:, first : first + size])
    found = spread > 8.0 * np.finfo(float).eps
    size = np.sqrt(square) * largest
    for j in () if bounded else np.flatnonzero(found & (size > _WILD * _glanced(X))):
        center[j], size[j] = _of_column(j, X[:, j], weights, fit_intercept, center[j], size[j])
    if not found.all() and fit_intercept:
        center = np.where(found, center, X[0])
    return center, np.where(found, np.maximum(size, _LEAST_SCALE), np.inf)


def _glanced(X) -> np.ndarray:
    """The typical deviation of the columns (p,) from their middle, in a few of the rows."""
    few = np.sort(X[:: max(len(X) // _GLANCED, 1)][:_GLANCED], axis=0)
    return np.sort(np.abs(few - few[len(few) // 2]), axis=0)[len(few) // 2]


def _of_column(j, column, weights, fit_intercept, center: float, size: float) -> tuple[float, float]:
    """Centre and size of a column; from medians, where a few entries would make all others look the same."""
    middle = median(column, weights) if fit_intercept else 0.0
    deviations = np.abs(column - middle)
    typical, largest = _typical(deviations, weights), float(deviations.max())
    if size <= _WILD * typical or typical == 0.0:
        return center, size
    if largest > _LARGEST_X * typical:
        raise ValueError(
            f"X must have no entry that is more than {_LARGEST_X:.0e} times as far out as its column's typical ones. "
            f"Got {column[deviations.argmax()]:.3g} in column {j}, of typical deviation {typical:.3g}; "
            "correct the entry, or drop the row."
        )
    return middle, typical


def _write_moments(X, share, fit_intercept, largest, center, square, spread) -> None:
    """Write the largest entries, centres, and the mean squares and largest of the deviations, in units of the first."""
    columns = np.array(X.T, dtype=float, order="C")
    np.maximum(columns.max(axis=1), -columns.min(axis=1), out=largest)
    largest[largest == 0.0] = 1.0
    columns /= largest[:, None]
    if fit_intercept:
        columns -= columns[:, :1].copy()
        mean = columns @ share
        columns -= mean[:, None]
        center[:] = X[0] + mean * largest
    np.maximum(columns.max(axis=1), -columns.min(axis=1), out=spread)
    columns *= columns
    square[:] = columns @ share


def median(values, weights) -> float:
    """Weighted median, of weights 1 if empty: the mean of the two middle values where the weights split evenly."""
    if not weights.size:
        middle = [(len(values) - 1) // 2, len(values) // 2]
        low, high = np.partition(values, middle)[middle]
        return float(0.5 * low + 0.5 * high)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    half = 0.5 * below[-1]
    low = order[np.searchsorted(below, half * (1.0 - 1e-12))]
    high = order[min(int(np.searchsorted(below, half * (1.0 + 1e-12))), len(order) - 1)]
    return float(0.5 * values[low] + 0.5 * values[high])


def _typical(sizes, weights) -> float:
    """Median of non-negative sizes; of the positive ones where more than half are zero; 0 if all are."""
    middle = median(sizes, weights)
    if middle > 0:
        return middle
    positive = sizes > 0
    return median(sizes[positive], weights[positive] if weights.size else weights) if positive.any() else 0.0
