"""Rows on a GPU: X, y, weights and noise scales are there, and a pass brings back sums, p² numbers and a few scalars.

What begins a fit, a few thousand rows, is taken to the CPU. What came from there, but for X, the CPU has as well.
Residuals stay where they are until somebody on the CPU looks at them, as whoever wants a robust scale of all rows does;
so do the weights of the loss, which are not even made before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_robust._loss import mixture
from sklearn_robust._rows import cpu, gpu
from sklearn_robust._rows.aside import below, beyond, far_out, spreads
from sklearn_robust._rows.blocks import RowLaw, Rows
from sklearn_robust._rows.cuda import MOST_COLUMNS
from sklearn_robust._rows.frame import NONE
from sklearn_robust._rows.spread import evenly_spread
from sklearn_robust._rows.sums import Sums

# Entries of X that are taken to the CPU when so many rows or fewer are asked for.
_FEW_ENTRIES = 2**21
# Entries that are formed at once: of features, or of the design where there are too many columns for one kernel.
_CHUNK_ENTRIES = 2**22
_PREDICTED_ENTRIES = 2**26  # at once
_LOOKED_AT = 2**24  # residuals at a time
_ONE = np.ones(1)


class DeviceArray:
    """X (n, p) of float32 or float64, or y (n,), on the device, row by row.

    An index into it gives a copy on the CPU, in float64; but a mask of rows (n,) gives these rows on the device.
    """

    def __init__(self, array):
        self.array = gpu.xp.ascontiguousarray(array)
        self.shape, self.ndim, self.size = array.shape, array.ndim, array.size

    @classmethod
    def of(cls, X) -> "DeviceArray":
        """A copy of X (n, p) on the CPU, or of its rows as they are made, where X makes them."""
        if isinstance(X, np.ndarray):
            return cls(gpu.to_device(X))
        array, size = gpu.xp.empty(X.shape), max(_CHUNK_ENTRIES // X.shape[1], 1)
        for first in range(0, len(X), size):
            array[first : first + size] = gpu.to_device(X[first : first + size])
        return cls(array)

    @cached_property
    def entries(self):
        """All entries, as kernels take them."""
        return gpu.for_kernels(self.array.reshape(-1))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index):
        if isinstance(index, np.ndarray):
            if index.dtype == bool:
                return self.take(np.flatnonzero(index))
            index = gpu.to_device(index)
        elif isinstance(index, tuple):
            index = tuple(map(gpu.to_device, index))
        return np.asarray(gpu.to_host(self.array[index]), dtype=np.float64)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def line(self, coefs: np.ndarray, intercept):
        """The products of the rows with coefficients (p,) or (p, k), and the intercepts on top, on the device."""
        coefs, intercept = gpu.to_device(coefs), gpu.to_device(intercept)
        out, size = gpu.xp.empty((len(self), *coefs.shape[1:])), max(_PREDICTED_ENTRIES // self.shape[1], 1)
        for first in range(0, len(self), size):  # a product with float64 makes a copy of float32
            out[first : first + size] = self.array[first : first + size] @ coefs + intercept
        return out

    def infinite(self) -> np.ndarray:
        """Where the entries are (m, ndim) that are no finite numbers, on the CPU."""
        found = (~gpu.xp.isfinite(self.array)).reshape(-1).nonzero()[0]
        return np.column_stack(np.unravel_index(gpu.to_host(found), self.shape))

    def sum(self, axis: int | None = None) -> np.ndarray:
        """The sum of all, or of rows or columns, on the CPU."""
        return gpu.to_host(self.array.sum(axis=axis))

    def min(self) -> np.ndarray:
        """The smallest entry, on the CPU."""
        return gpu.to_host(self.array.min())

    def max(self) -> np.ndarray:
        """The largest entry, on the CPU."""
        return gpu.to_host(self.array.max())

    def take(self, index: np.ndarray) -> "DeviceArray":
        """Some of the rows, on the device."""
        return DeviceArray(self.array[gpu.to_device(index)])


class DeviceVector:
    """Residuals or weights (n,) on the device, copied to the CPU when they are looked at."""

    def __init__(self, array):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @cached_property
    def _here(self) -> np.ndarray:
        return gpu.to_host(self.array)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self._here, dtype=dtype) if copy else np.asarray(self._here, dtype=dtype)

    def min(self) -> float:
        """The smallest entry."""
        return float(self.array.min())

    def max(self) -> float:
        """The largest entry."""
        return float(self.array.max())

    def __sub__(self, other) -> np.ndarray:
        return self._here - np.asarray(other)


class LazyWeights:
    """The weights of the loss (n,) at coefficients and a law, found when they are looked at."""

    def __init__(self, rows: "DeviceRows", theta, law: RowLaw):
        self._rows, self._theta, self._law = rows, theta, law

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def array(self):
        """On the device."""
        return self._rows.loss_weights(self._theta, self._law).array

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(gpu.to_host(self.array), dtype=dtype)


class _WideDesign:
    """The design of many columns, formed in chunks of rows: the verbs of ``SparseDesign``, for arrays on the device."""

    def __init__(self, rows: "DeviceRows"):
        self._rows = rows

    def chunks(self):
        """Parts of the rows, and the design of each."""
        frame, X = self._rows.frame, self._rows.X.array
        first = int(frame.fit_intercept)
        size = max(_CHUNK_ENTRIES // frame.n_coefs, 1)
        for start in range(0, len(X), size):
            part = slice(start, min(start + size, len(X)))
            design = gpu.xp.ones((part.stop - start, frame.n_coefs))
            design[:, first:] = (X[part] - self._rows.there.center) * self._rows.there.inv_scale
            yield part, design

    def predict(self, theta):
        """The fit (n,) at coefficients theta (q,)."""
        fitted, theta = gpu.xp.empty(len(self._rows)), gpu.to_device(theta)
        for part, design in self.chunks():
            fitted[part] = design @ theta
        return fitted

    def adjoint(self, g) -> np.ndarray:
        """The sum (q,) of the rows, each times its g (n,)."""
        return gpu.to_host(sum(g[part] @ design for part, design in self.chunks()))

    def gram(self, g) -> np.ndarray:
        """The rows' outer products, each times its g (n,): a matrix (q, q)."""
        return gpu.to_host(sum(design.T @ (g[part, None] * design) for part, design in self.chunks()))


@dataclass(frozen=True)
class _There:
    """What belongs to rows, on the device; one number where there are no weights, no noise scales."""

    y: Any
    weights: Any
    noise: Any
    center: Any
    inv_scale: Any

    @cached_property
    def for_kernels(self) -> tuple[Any, Any, Any]:
        """y, weights and noise scales, as kernels take them."""
        return tuple(gpu.for_kernels(values) for values in (self.y, self.weights, self.noise))


@dataclass(frozen=True)
class DeviceRows(Rows):
    """Rows whose X is a ``DeviceArray``, and y perhaps; ``held`` is X on the CPU, where it came from there."""

    held: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Rows) -> "DeviceRows":
        """Rows in memory as a copy on the device, or those whose X is there."""
        if isinstance(rows.X, DeviceArray):
            return cls(rows.X, rows.y, rows.weights, rows.noise, rows.frame)
        return cls(DeviceArray.of(rows.X), rows.y, rows.weights, rows.noise, rows.frame, rows.X)

    @cached_property
    def there(self) -> _There:
        """What kernels read beside X."""
        numbers = (values if values.size else _ONE for values in (self.weights, self.noise))
        frame = (values if values.size else _ONE for values in (self.frame.center, 1.0 / self.frame.scale))
        y = self.y.array if isinstance(self.y, DeviceArray) else gpu.to_device(self.y)
        return _There(y, *(gpu.to_device(values) for values in (*numbers, *frame)))

    @property
    def host(self) -> Rows:
        """The same rows on the CPU."""
        X = self.X[:] if self.held is None else self.held
        return Rows(X, np.asarray(self.y), self.weights, self.noise, self.frame)

    def take(self, index) -> Rows:
        """Some of the rows, in the same frame: on the CPU if they are few."""
        few = len(index) * self.frame.n_coefs <= _FEW_ENTRIES
        if few and self.held is not None:
            return self.host.take(index)
        weights = self.weights[index] if self.weights.size else self.weights
        noise = self.noise[index] if self.noise.size else self.noise
        if few:
            return Rows(self.X[index], self.y[index], weights, noise, self.frame)
        y = self.y.take(index) if isinstance(self.y, DeviceArray) else self.y[index]
        return DeviceRows(self.X.take(index), y, weights, noise, self.frame)

    def columns(self) -> Iterator[np.ndarray]:
        """The columns of X (n,) in turn, as they were given."""
        return self.host.columns()

    def dense(self, index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The design, y and sample weights in working units, on the CPU."""
        rows = self.take(index)
        return (rows.host if isinstance(rows, DeviceRows) else rows).dense(np.arange(len(index)))

    @property
    def _wide(self) -> _WideDesign | None:
        return _WideDesign(self) if len(self.frame.center) > MOST_COLUMNS else None

    def _launch(self, theta, law: RowLaw, want: int, learn_shape: bool, out=None):
        """One pass over X: what the blocks have summed, added up; residuals go to ``out``."""
        frame, there = self.frame, self.there
        columns, head = np.vstack((frame.center, 1.0 / frame.scale)), [frame.y_center, 1.0 / frame.y_scale, *law]
        return gpu.sweep(
            self.X.entries, *there.for_kernels, bool(self.weights.size), bool(self.noise.size),
            len(self), columns, head, theta, learn_shape and law.alpha != 2.0, want,
            there.for_kernels[1] if out is None else out,
        )  # fmt: skip

    def sweep(
        self, theta, law: RowLaw, want: int, learn_shape: bool = False, beside: RowLaw | None = None
    ) -> tuple[Sums, Any]:
        """One pass over X, at coefficients theta (q,) in working units: the sums, and the loss's weights (n,)."""
        weights = LazyWeights(self, theta, law)
        if self._wide is not None:
            if want == cpu.MEAT:
                return self.host.sweep(theta, law, want, learn_shape)[0], weights
            return self._sweep_by_terms(self._wide, self.residuals(theta).array, law, want, learn_shape)[0], weights
        return Sums(*self._launch(theta, law, want, learn_shape)), weights

    def residuals(self, theta) -> DeviceVector:  # type: ignore[override]
        """Residuals (n,), in working units, divided by the noise scales: on the device."""
        if self._wide is not None:
            residuals = (self.there.y - self.frame.y_center) / self.frame.y_scale - self._wide.predict(theta)
            return DeviceVector(residuals / self.there.noise if self.noise.size else residuals)
        out = gpu.xp.empty(len(self))
        self._launch(theta, RowLaw(2.0, 1.0), cpu.RESIDUALS, False, out)
        return DeviceVector(out)

    def gram(self) -> np.ndarray:
        """X'SX (q, q), of the sample weights alone, in working units."""
        q = self.frame.n_coefs
        if self._wide is not None:
            weights, noise = self._row_numbers()
            return self._wide.gram(weights / noise**2)
        return self._launch(np.zeros(q), RowLaw(2.0, 1.0), cpu.PLAIN_GRAM, False)[-1]

    def _row_numbers(self):
        """Sample weights and noise scales on the device, ones where none were given."""
        ones = gpu.xp.ones(len(self))
        return (self.there.weights if self.weights.size else ones), (self.there.noise if self.noise.size else ones)

    def _terms_at(self, residuals, law: RowLaw, learn_shape: bool, kept):
        """Scalars (11,), and the terms ``kept`` (., n), on the device."""
        there = self.there
        terms = gpu.xp.empty((len(kept), len(self)))
        scalars = gpu.known(residuals, there.for_kernels[1], bool(self.weights.size), [law], learn_shape, kept, terms)
        return scalars[0], terms

    def residual_sums(self, residuals, laws: list[RowLaw], learn_shape: bool) -> np.ndarray:
        """The scalars (k, 11) of known residuals (n,) at k laws: X is not read."""
        residuals = gpu.to_device(residuals.array if isinstance(residuals, DeviceVector) else residuals)
        return gpu.known(residuals, self.there.for_kernels[1], bool(self.weights.size), laws, learn_shape)

    def loss_weights(self, theta, law: RowLaw) -> DeviceVector:  # type: ignore[override]
        """The weight of the loss at each row (n,)."""
        return DeviceVector(self._terms_at(self.residuals(theta).array, law, False, np.array([mixture.WEIGHT]))[1][0])

    def aside(self, values, limit: float, most: int) -> tuple[np.ndarray, float]:
        """Numbers of at most so many of the rows of value (n,) below a limit, and the weighted sum of all values."""
        if isinstance(values, np.ndarray):
            return super().aside(values, limit, most)
        numbers, total = below(values.array, self.there.weights if self.weights.size else NONE, limit)
        return gpu.to_host(numbers[gpu.to_device(evenly_spread(len(numbers), most))]), total

    def _far_sizes(self) -> np.ndarray | None:
        """Sizes of the rows (n,), more than 1 where a row is so far out; None where none is."""
        sizes, first = gpu.xp.empty(len(self)), int(self.frame.fit_intercept)
        for part, design in _WideDesign(self).chunks():
            sizes[part] = abs(design[:, first:]).max(axis=1)
        sizes = far_out(sizes)
        return None if sizes is None else gpu.to_host(sizes)

    def spreads(self, stride: int, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squared deviations of columns, and of these squared, over every so many-th row."""
        sample = self.X.array[::stride, columns].astype(np.float64)
        return tuple(map(gpu.to_host, spreads(sample)))  # type: ignore[return-value]

    def far(self, theta, reach: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Numbers of the rows with residuals beyond reach, sizes of these (k,), and the largest size of the others."""
        sizes = abs(self.residuals(theta).array)
        numbers, nearest = beyond(sizes, reach, at_once=_LOOKED_AT, here=gpu.to_host)
        return numbers, gpu.to_host(sizes[gpu.to_device(numbers)]), nearest

    def m_scale(self, theta, n_coefs: float) -> float:
        """The M-scale of the residuals."""
        return self._known(np.asarray(self.residuals(theta))).m_scale(NONE, n_coefs)

    def clean_scale(self, theta, robust: bool, n_coefs: float) -> float:
        """Gaussian-consistent scale of the residuals: or their root mean square where none is doubted."""
        return self._known(np.asarray(self.residuals(theta))).clean_scale(NONE, robust, n_coefs)

    def of_target(self, y) -> "DeviceRows":
        """The same rows with another y (n,)."""
        return replace(self, y=y, frame=self.frame.of_target(y, self.weights))
