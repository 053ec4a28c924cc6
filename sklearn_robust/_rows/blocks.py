"""Rows in memory, read in chunks of a fixed size by the one thread pool.

Partial sums are added in the order of the chunks, so the number of threads does not change a bit.
"""

from dataclasses import dataclass

import numpy as np

from sklearn_robust._rows import cpu
from sklearn_robust._rows.frame import Frame
from sklearn_robust._rows.subsets import tau_scale
from sklearn_robust._rows.sums import N_SCALARS, Sums
from sklearn_robust._rows.threads import run_all

CHUNK = 65_536
NONE = np.empty(0)


@dataclass(frozen=True)
class Rows:
    """X (n, p), y (n,), sample weights and noise scales (n,) or empty for ones, and the frame they are seen in."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    noise: np.ndarray
    frame: Frame

    def __len__(self) -> int:
        return len(self.y)

    @property
    def total_weight(self) -> float:
        """S, the sum of the sample weights."""
        return float(self.weights.sum()) if self.weights.size else float(len(self))

    def _map_sum(self, task, n_coefs: int) -> Sums:
        """Task(first, last, scalars, score, gram) over all chunks, added up in their order."""
        n_chunks = -(-len(self) // CHUNK)
        scalars = np.zeros((n_chunks, N_SCALARS))
        score = np.zeros((n_chunks, n_coefs))
        gram = np.zeros((n_chunks, n_coefs, n_coefs))

        def one(chunk: int) -> None:
            first = chunk * CHUNK
            task(first, min(first + CHUNK, len(self)), scalars[chunk], score[chunk], gram[chunk])

        run_all(one, n_chunks)
        lower = gram.sum(axis=0)
        return Sums(scalars.sum(axis=0), score.sum(axis=0), np.tril(lower) + np.tril(lower, -1).T)

    def sweep(self, theta, alpha: float, c: float, want: int, learn_shape: bool = False):
        """One pass over X: (residuals (n,), sums), in working units."""
        frame = self.frame
        residuals = np.empty(len(self))

        def task(first, last, scalars, score, gram):
            cpu.sweep(
                self.X, self.y, self.weights, self.noise, frame.center, 1.0 / frame.scale, frame.y_center,
                1.0 / frame.y_scale, theta, alpha, c, want, learn_shape, first, last, residuals, scalars, score, gram,
            )  # fmt: skip

        return residuals, self._map_sum(task, theta.size)

    def gram(self) -> np.ndarray:
        """X'SX (q, q), of the sample weights alone, in working units."""
        zero = np.zeros(self.frame.n_coefs)
        return self.sweep(zero, 2.0, 1.0, cpu.PLAIN_GRAM)[1].gram

    def residual_sums(self, residuals, alpha: float, c: float, learn_shape: bool) -> Sums:
        """The scalars of known residuals: X is not read."""

        def task(first, last, scalars, score, gram):
            cpu.residual_sums(residuals, self.weights, alpha, c, learn_shape, first, last, scalars)

        return self._map_sum(task, 0)

    def map_weights(self, residuals, alpha: float, c: float) -> np.ndarray:
        """The weight of the loss at each residual (n,)."""
        out = np.empty(len(residuals))
        n_chunks = -(-len(residuals) // CHUNK)

        def one(chunk: int) -> None:
            first = chunk * CHUNK
            cpu.row_weights(residuals, alpha, c, first, min(first + CHUNK, len(residuals)), out)

        run_all(one, n_chunks)
        return out

    def clean_scale(self, residuals, robust: bool, n_coefs: float) -> float:
        """Gaussian-consistent scale of residuals: the tau-scale, or the root mean square where no row is doubted."""
        weights = self.weights if self.weights.size else np.ones(len(residuals))
        if robust:
            return float(tau_scale(residuals, weights, n_coefs))
        dof = self.total_weight - n_coefs
        return float(np.sqrt(weights @ residuals**2 / dof)) if dof > 0 else 0.0

    def take_dense(self, index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Design (m, q) with its intercept, y and sample weights (m,) of some rows, in working units."""
        frame = self.frame
        inverse = 1.0 / self.noise[index] if self.noise.size else np.ones(len(index))
        design = (self.X[index] - frame.center) / frame.scale
        if frame.fit_intercept:
            design = np.column_stack((np.ones(len(index)), design))
        y = (self.y[index] - frame.y_center) / frame.y_scale
        weights = self.weights[index] if self.weights.size else np.ones(len(index))
        return np.ascontiguousarray(design * inverse[:, None]), y * inverse, weights
