"""Rows in memory, read in chunks of equal size by the one thread pool.

Partial sums are added in the order of the chunks, so the number of threads does not change a bit.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse

from sklearn_robust._loss import mixture
from sklearn_robust._rows import cpu
from sklearn_robust._rows.aside import below, beyond, far_out, spreads
from sklearn_robust._rows.design import Gram, SparseDesign
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust._rows.scales import clean_scale, m_scale
from sklearn_robust._rows.spread import evenly_spread
from sklearn_robust._rows.sums import N_CROSS, N_SCALARS, Sums
from sklearn_robust._rows.threads import run_all, serial_blas
from sklearn_robust._rows.vector import BLOCK, LINE

# Entries of X and rows in a chunk, at most, but for what fills its last block.
CHUNK_ENTRIES, CHUNK_ROWS = 2**19, 2**16
# Chunks come by so many, for as many threads. Fewer rows are divided by two until there are so many entries in each,
# where a row counts as so many at least.
_TOGETHER, _LEAST_ENTRIES, _LEAST_WIDTH = 8, 2**17, 8
_STRETCH = 256  # rows that are written out together
_LOOKED_AT = 2**16  # entries of X, together
# Entries of X that are kept as a pass packs them, at most, where several targets read them.
_PACKED_ENTRIES = 2**21


class RowLaw(NamedTuple):
    """What a pass knows of the law: alpha, c, and the background as ``vector.mix`` takes it; tail -inf for none."""

    alpha: float
    c: float
    tail: float = -np.inf
    slope: float = 0.0
    curve: float = 0.0
    knee: float = np.inf


_N_LAW = len(RowLaw._fields)
_WITHOUT_COLUMNS = Frame(NONE, NONE, 0.0, 1.0, 1.0, False)
_NO_TERMS = np.empty(0, dtype=np.int64)
_NOT_GIVEN = _NOT_PACKED = np.empty((0, 0, 0))
_WEIGHT = np.array([mixture.WEIGHT])
_OF_HESSIAN = np.array([mixture.CURVATURE, mixture.PULL, mixture.STRETCH, mixture.PULL_ALPHA, mixture.SHARED_PULL])


def _chunk_size(n: int, width: int) -> int:
    """How many of n rows of so many entries are read at once."""
    most = max(min(CHUNK_ROWS, CHUNK_ENTRIES // max(width, 1)), 1)
    enough = n * max(width, _LEAST_WIDTH) // _LEAST_ENTRIES
    n_chunks = 1 << (min(_TOGETHER, max(enough, 1)).bit_length() - 1)
    if n > n_chunks * most:
        n_chunks = _TOGETHER * -(-n // (_TOGETHER * most))
    size = max(-(-n // n_chunks), 1)
    return size + -size % BLOCK if size > BLOCK else size


def clean_probability(residuals, law: RowLaw) -> np.ndarray:
    """The probability (n,) that rows with these residuals (n,), in units of the law, are no outliers."""
    if law.tail == -np.inf:
        return np.ones(len(residuals))
    return row_terms(residuals, law, mixture.CLEAN)


def row_terms(residuals, law: RowLaw, row: int) -> np.ndarray:
    """A term (n,), of ``mixture``, at known residuals (n,): WEIGHT, CLEAN (with a background) or CURVATURE."""
    out = np.array(residuals, dtype=float)
    lines, bits = cpu.scratch(0)[:2]
    if not cpu.row_terms(law.alpha, law.c, law.tail, row, out, lines, bits):
        rows = Rows(np.empty((len(out), 0)), np.array(residuals, dtype=float), NONE, NONE, _WITHOUT_COLUMNS)
        rows._sweep(NONE, [law], cpu.SCORE, False, np.array([row]), out[None])
    return out


@dataclass(frozen=True)
class Rows:
    """X (n, p), y (n,), sample weights and noise scales (n,) or empty for ones, and the frame they are seen in.

    X is an array, or in compressed sparse rows, or ``Features``, whose rows are made for each chunk when it is read. A
    sparse X is read for residuals and for sums of its rows alone: what the loss makes of residuals is a pass over rows
    that have no columns.

    ``shared`` holds what was found of X, weights and noise scales alone, where several targets ask for it.
    """

    X: Any
    y: np.ndarray
    weights: np.ndarray
    noise: np.ndarray
    frame: Frame
    shared: dict[str, tuple] | None = field(default=None, kw_only=True, repr=False)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def total_weight(self) -> float:
        """S, the sum of the sample weights."""
        return float(self.weights.sum()) if self.weights.size else float(len(self))

    @cached_property
    def _chunk(self) -> int:
        return _chunk_size(len(self), self.frame.n_coefs if self.design is None else 0)  # of what is read with a row

    @cached_property
    def n_chunks(self) -> int:
        """How many chunks the rows are read in."""
        return -(-len(self) // self._chunk)

    def for_targets(self) -> Self:
        """The same rows, which keep for other targets what is found of X, weights and noise scales alone."""
        return replace(self, shared={})

    def once(self, name: str, find: Callable, given: Hashable = None):
        """What ``find()`` makes of X, weights, noise scales and what is ``given`` alone: found once for all targets.

        The first that is given is kept.
        """
        if self.shared is None:
            return find()
        if name not in self.shared:
            self.shared[name] = given, find()
        known, found = self.shared[name]
        return found if known == given else find()

    def _map(self, task) -> None:
        """Task(chunk, first, last) for all chunks."""
        size, n = self._chunk, len(self)
        if n <= size:
            task(0, 0, n)
        else:
            run_all(lambda chunk: task(chunk, chunk * size, min((chunk + 1) * size, n)), self.n_chunks)

    @cached_property
    def _units(self):
        """What turns rows into working units, as a sweep takes it."""
        frame = self.frame
        return frame.center, 1.0 / frame.scale, frame.y_center, 1.0 / frame.y_scale

    def _sweep(self, theta, laws: list[RowLaw], want: int, learn_shape: bool, kept=_NO_TERMS, out=NONE[None]):
        """(scalars (k, 11), score (q,), cross (3, q), gram): the parts of the chunks added up in their order."""
        law_rows = np.array(laws).reshape(-1, _N_LAW)
        width = 0 if want == cpu.RESIDUALS else theta.size + N_CROSS if want == cpu.MEAT else theta.size
        side = 0 if want <= cpu.SCORE else width
        shapes = (len(laws), N_SCALARS), (1 + N_CROSS, width), (side, side)
        units = self._units
        several = self.n_chunks > 1
        parts = [np.zeros((self.n_chunks, *shape) if several else shape) for shape in shapes]
        packed = self._packed if theta.size else _NOT_PACKED

        def task(chunk, first, last):
            X, y, weights, noise, result = self.X, self.y, self.weights, self.noise, out
            if not isinstance(X, np.ndarray):
                part = slice(first, last)
                X, y, weights, noise, result = X[part], y[part], weights[part], noise[part], out[:, part]
                first, last = 0, last - first
            sums = [part[chunk] for part in parts] if several else parts
            seen = X, packed, y, weights, noise, *units, theta
            buffers = cpu.scratch(theta.size)
            if cpu.sweep(*seen, law_rows, want, learn_shape, first, last, _NOT_GIVEN, kept, result, *sums, *buffers):
                return
            residuals = np.empty((1, last))
            without = _NOT_GIVEN, _NO_TERMS
            cpu.sweep(*seen, law_rows, cpu.RESIDUALS, False, first, last, *without, residuals, *sums, *buffers)
            for part in sums:
                part[:] = 0.0
            terms = cpu.scalar_terms(residuals[0, first:], law_rows)
            cpu.sweep(*seen, law_rows, want, learn_shape, first, last, terms, kept, result, *sums, *buffers)

        if isinstance(self.X, np.ndarray):
            self._map(task)
        else:
            with serial_blas():
                self._map(task)
        scalars, linear, gram = (part.sum(axis=0) for part in parts) if several else parts
        return scalars, linear[0], linear[1:], gram

    @property
    def _packed(self) -> np.ndarray:
        """The columns of each block (n_blocks, q, LINE) as a pass packs them, kept where several targets read them."""
        small = self.shared is not None and isinstance(self.X, np.ndarray) and self.X.size <= _PACKED_ENTRIES
        if not small or (self.n_chunks > 1 and self._chunk % BLOCK):
            return _NOT_PACKED
        return self.once("packed", self._pack)

    def _pack(self) -> np.ndarray:
        frame, n = self.frame, len(self)
        inverse, first = 1.0 / self.noise if self.noise.size else 1.0, int(frame.fit_intercept)
        n_blocks = -(-n // BLOCK)
        columns = np.zeros((frame.n_coefs, n_blocks * BLOCK))
        columns[:first, :n] = inverse
        columns[first:, :n] = ((self.X - frame.center) * (1.0 / frame.scale)).T * inverse
        packed = np.zeros((n_blocks, frame.n_coefs, LINE))
        packed[:, :, :BLOCK] = columns.reshape(frame.n_coefs, n_blocks, BLOCK).swapaxes(0, 1)
        return packed

    def sweep(
        self, theta, law: RowLaw, want: int, learn_shape: bool = False, beside: RowLaw | None = None
    ) -> tuple[Sums, np.ndarray]:
        """One pass over X, at coefficients theta (q,) in working units: the sums, and the loss's weights (n,)."""
        if self.design is not None:
            return self._sweep_by_terms(self.design, self.residuals(theta), law, want, learn_shape)
        weights, laws = np.empty((1, len(self))), [law] if beside is None else [beside, law]
        scalars, score, cross, gram = self._sweep(theta, laws, want, learn_shape, _WEIGHT, weights)
        return Sums(scalars[-1], score, cross, gram, None if beside is None else scalars[0]), weights[0]

    @cached_property
    def design(self) -> SparseDesign | None:
        """What reads a sparse X; None for an array."""
        return SparseDesign.of(self.X, self.frame) if sparse.issparse(self.X) else None

    def _sweep_by_terms(self, design, residuals, law: RowLaw, want: int, learn_shape: bool) -> tuple[Sums, np.ndarray]:
        """The same by a design that knows three verbs, and known residuals (n,)."""
        kept = np.append(_WEIGHT, _OF_HESSIAN) if want == cpu.HESSIAN else _WEIGHT
        scalars, terms = self._terms_at(residuals, law, learn_shape, kept)
        weights, (per_row, noise) = terms[0], self._row_numbers()
        per_row, inverse_noise = per_row / noise, 1.0 / noise
        score = design.adjoint(per_row * weights * residuals / law.c)
        cross, gram = np.zeros((N_CROSS, 0)), np.zeros((0, 0))
        if want == cpu.GRAM:
            gram = design.gram(per_row * weights * inverse_noise)
        elif want == cpu.HESSIAN:
            curvature, pull, stretch, pull_alpha, shared_pull = terms[1:]
            gram = design.gram(per_row * curvature * inverse_noise)
            cross = np.zeros((N_CROSS, score.size))
            cross[0] = design.adjoint(per_row * (pull + stretch))
            if learn_shape and law.alpha != 2.0:
                cross[1] = -design.adjoint(per_row * pull_alpha)
            if law.tail > -np.inf:
                cross[2] = design.adjoint(per_row * shared_pull)
        return Sums(scalars, score, cross, gram), weights

    def _terms_at(self, residuals, law: RowLaw, learn_shape: bool, kept) -> tuple[np.ndarray, np.ndarray]:
        """The scalars (11,) of known residuals (n,), and the terms ``kept`` (., n)."""
        terms = np.empty((len(kept), len(self)))
        scalars = self._known(residuals)._sweep(NONE, [law], cpu.SCORE, learn_shape, kept, terms)[0]
        return scalars[0], terms

    def _row_numbers(self):
        """Sample weights (n,), and noise scales (n,) or 1."""
        return self.all_weights, self.noise if self.noise.size else 1.0

    def residuals(self, theta) -> np.ndarray:
        """Residuals (n,), in working units, divided by the noise scales."""
        if self.design is not None:
            residuals = (self.y - self.frame.y_center) / self.frame.y_scale - self.design.predict(theta)
            return residuals / self.noise if self.noise.size else residuals
        residuals = np.empty((1, len(self)))
        self._sweep(theta, [], cpu.RESIDUALS, False, out=residuals)
        return residuals[0]

    def _known(self, residuals) -> "Rows":
        """Rows without columns, whose target are these residuals (n,): made in no time, for they serve one pass."""
        rows = object.__new__(Rows)
        rows.__dict__.update(self._without_columns, y=residuals)
        return rows

    @cached_property
    def _without_columns(self) -> dict[str, Any]:
        """What all rows without columns have in common, their properties among it."""
        rows = Rows(np.empty((len(self), 0)), self.y, self.weights, NONE, _WITHOUT_COLUMNS)
        return rows.__dict__ | {name: getattr(rows, name) for name in ("_chunk", "n_chunks", "_units", "design")}

    def gram(self) -> np.ndarray | Gram:
        """X'SX (q, q), of the sample weights alone, in working units."""
        if self.design is not None:
            return self.design.gram(self.all_weights / self.noise**2 if self.noise.size else self.all_weights)
        return self._sweep(np.zeros(self.frame.n_coefs), [], cpu.PLAIN_GRAM, False)[-1]

    def tamed_weights(self) -> np.ndarray | None:
        """Sample weights (n,), smaller where a row is so far out that a gram knows no other; None where none is."""
        sizes = self._far_sizes()
        return None if sizes is None else self.all_weights / np.maximum(sizes, 1.0) ** 2

    def _far_sizes(self) -> np.ndarray | None:
        """Sizes of the rows (n,), more than 1 where a row is so far out; None where none is."""
        if not isinstance(self.X, np.ndarray):
            return None
        sizes, stretch = np.empty(len(self)), max(_LOOKED_AT // max(self.X.shape[1], 1), 1)
        for first in range(0, len(self), stretch):
            part = slice(first, first + stretch)
            sizes[part] = np.abs((self.X[part] - self.frame.center) / self.frame.scale).max(axis=1, initial=0.0)
        return far_out(sizes)

    def residual_sums(self, residuals, laws: list[RowLaw], learn_shape: bool) -> np.ndarray:
        """The scalars (k, 11) of known residuals (n,) at k laws: X is not read."""
        return self._known(residuals)._sweep(NONE, laws, cpu.SCORE, learn_shape)[0]

    def loss_weights(self, theta, law: RowLaw) -> np.ndarray:
        """The weight of the loss at each row (n,)."""
        out = self.residuals(theta)

        def task(_, first, last):
            out[first:last] = row_terms(out[first:last], law, mixture.WEIGHT)

        self._map(task)
        return out

    def aside(self, values, limit: float, most: int) -> tuple[np.ndarray, float]:
        """Numbers of at most so many of the rows of value (n,) below a limit, and the weighted sum of all values."""
        numbers, total = below(values, self.weights, limit)
        return numbers[evenly_spread(len(numbers), most)], total

    def spreads(self, stride: int, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squared deviations of columns, and of these squared, over every so many-th row."""
        return spreads(self.X[::stride, columns])

    def far(self, theta, reach: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Numbers of the rows with residuals beyond reach, sizes of these (k,), and the largest size of the others."""
        sizes = self.residuals(theta)
        numbers, nearest = beyond(np.abs(sizes, out=sizes), reach)
        return numbers, sizes[numbers], nearest

    def m_scale(self, theta, n_coefs: float) -> float:
        """The M-scale of the residuals."""
        return self.scale_of(self.residuals(theta), n_coefs)

    def scale_of(self, residuals, n_coefs: float) -> float:
        """The M-scale of known residuals (n,)."""
        return float(m_scale(np.asarray(residuals), self.weights, self.total_weight, n_coefs, 0.0, 1e-10))

    def clean_scale(self, theta, robust: bool, n_coefs: float) -> float:
        """Gaussian-consistent scale of the residuals: or their root mean square where none is doubted."""
        residuals = self.residuals(theta)
        weights, total = self.weights, self.total_weight
        if weights.size and total <= n_coefs + 1.0:  # weights that are no frequencies
            weights, total = weights / weights.mean(), float(len(self))
        if robust:
            return float(clean_scale(residuals, weights, total, n_coefs))
        dof = total - n_coefs
        largest = float(np.abs(residuals).max())
        if dof <= 1e-12 * total or largest == 0.0:
            return 0.0
        residuals /= largest
        squares = float((residuals * weights if weights.size else residuals) @ residuals)
        return largest * float(np.sqrt(squares / dof))

    def take(self, index) -> "Rows":
        """Some of the rows, in the same frame."""
        weights = self.weights[index] if self.weights.size else self.weights
        noise = self.noise[index] if self.noise.size else self.noise
        return Rows(self.X[index], self.y[index], weights, noise, self.frame)

    def part(self, name: str, draw: Callable, given: Hashable = None) -> "Rows":
        """Some of the rows, in the same frame; their numbers, by ``draw()``, depend on X and what is given alone."""
        if self.shared is None:
            return self.take(draw())

        def taken():
            numbers = draw()
            return numbers, self.take(numbers).for_targets()

        numbers, rows = self.once(name, taken, given)
        return replace(rows, y=self.y[numbers], frame=self.frame)

    def columns(self) -> Iterator[np.ndarray]:
        """The columns of X (n,) in turn, as they were given."""
        if self.design is None:
            yield from self.X.T
        else:
            by_column = sparse.csc_array(self.X)
            yield from (by_column[:, [j]].toarray().ravel() for j in range(self.X.shape[1]))

    def of_target(self, y) -> "Rows":
        """The same rows with another y (n,)."""
        return replace(self, y=y, frame=self.frame.of_target(y, self.weights))

    def targets(self, index) -> np.ndarray:
        """Of some rows, y (m,) in working units, divided by the noise scales."""
        y = (self.y[index] - self.frame.y_center) / self.frame.y_scale
        return y / self.noise[index] if self.noise.size else y

    def dense(self, index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of some rows (m,), the columns of the design (q, m), y and sample weights (m,), in working units."""
        frame = self.frame
        intercept = int(frame.fit_intercept)
        columns = np.empty((frame.n_coefs, len(index)))
        columns[:intercept] = 1.0
        for first in range(0, len(index), _STRETCH):  # X is not copied as a whole
            part = slice(first, first + _STRETCH)
            X = self.X[index[part]]
            X = X.toarray() if self.design is not None else X
            np.divide((X - frame.center).T, frame.scale[:, None], out=columns[intercept:, part])
        if self.noise.size:
            columns /= self.noise[index]
        return columns, self.targets(index), self.weights[index] if self.weights.size else np.ones(len(index))

    @property
    def all_weights(self) -> np.ndarray:
        """Sample weights (n,), ones where none were given."""
        return self.weights if self.weights.size else np.ones(len(self))
