"""A sparse design in working units, seen through three verbs: predict, adjoint and gram. X is read, never densified.

Centring and the intercept are implicit. With u = 1 / scale, m = center and X as it was given, for g, w (n,)

    predict   X' theta   = theta_0 + X (u theta) - m · (u theta)
    adjoint   X'' g      = (Σ g, u (X' g - m Σ g))
    gram      X'' W X'   = u u' [X' W X - (X' w) m' - m (X' w)' + m m' Σ w], bordered by the adjoint of w

A full column far from zero would lose its digits so: it is centred in a copy of its entries instead, once.

Where there are more columns than ``MOST_COLUMNS`` the gram is no matrix but an operator, made of the other two.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sklearn_robust._loss.jit import jit
from sklearn_robust._rows.frame import MOST_COLUMNS, Frame

# A mean of so many spreads costs more digits in the gram than others can spare.
_FAR = 100.0


def full_columns(X) -> np.ndarray:
    """Which columns (p,) of compressed sparse rows have an entry in every row."""
    return np.bincount(X.indices, minlength=X.shape[1]) == X.shape[0]


def less(X, center):
    """X less center (p,), which for a sparse X is zero but for full columns."""
    if not sparse.issparse(X):
        return X - center
    return sparse.csr_array((X.data - center[X.indices], X.indices, X.indptr), X.shape)


@dataclass(frozen=True)
class SparseDesign:
    """X (n, p), in compressed sparse rows, as a frame sees it; noise scales are left to those who call.

    ``center`` (p,) is what is left to take off the columns.
    """

    X: sparse.csr_array
    frame: Frame
    center: np.ndarray

    @classmethod
    def of(cls, X, frame: Frame) -> "SparseDesign":
        """Centres full columns far from zero: there are no others whose spread is small beside their mean."""
        far = (np.abs(frame.center) > _FAR * frame.scale) & np.isfinite(frame.scale)
        far = far & full_columns(X) if far.any() else far
        if not far.any():
            return cls(X, frame, frame.center)
        return cls(less(X, np.where(far, frame.center, 0.0)), frame, np.where(far, 0.0, frame.center))

    @property
    def has_matrix(self) -> bool:
        """Whether the gram is a matrix."""
        return self.frame.n_coefs <= MOST_COLUMNS

    def predict(self, theta) -> np.ndarray:
        """The fit (n,) at coefficients theta (q,)."""
        first = int(self.frame.fit_intercept)
        coef = theta[first:] / self.frame.scale
        return self.X @ coef + (theta[:first].sum() - coef @ self.center)

    def adjoint(self, g) -> np.ndarray:
        """The sum (q,) of the rows, each times its g (n,)."""
        total = g.sum()
        columns = (self.X.T @ g - self.center * total) / self.frame.scale
        return np.concatenate(([total], columns)) if self.frame.fit_intercept else columns

    def gram(self, g) -> "np.ndarray | Gram":
        """The rows' outer products, each times its g (n,): a matrix (q, q) or, where that is too large, an operator."""
        if not self.has_matrix:
            return Gram(self, g)
        gram = self._matrix(g)
        return gram if np.isfinite(gram).all() else self._scaled()._matrix(g)

    def _scaled(self) -> "SparseDesign":
        """The same with columns in units of their scales: products of their entries overflow later, and take a copy."""
        frame, scale = self.frame, self.frame.scale
        X = sparse.csr_array((self.X.data / scale[self.X.indices], self.X.indices, self.X.indptr), self.X.shape)
        unit = replace(frame, center=frame.center / scale, scale=np.where(np.isfinite(scale), 1.0, np.inf))
        return SparseDesign(X, unit, self.center / scale)

    def _matrix(self, g) -> np.ndarray:
        frame = self.frame
        first = int(frame.fit_intercept)
        gram = np.zeros((frame.n_coefs, frame.n_coefs))
        gram[:first] = border = self.adjoint(g)
        gram[:, :first] = border[:, None]
        inner = gram[first:, first:]
        _add_gram(self.X.data, self.X.indices, self.X.indptr, g, inner)
        inner += np.tril(inner, -1).T
        if first:
            sums = border[1:] * np.where(np.isinf(frame.scale), 0.0, frame.scale)
            both = sums[:, None] * self.center
            inner -= both + both.T + g.sum() * self.center * self.center[:, None]
        inner /= frame.scale * frame.scale[:, None]
        return gram


@dataclass(frozen=True)
class Gram:
    """X' diag(g) X of a design, for g (n,) >= 0, as an operator."""

    design: SparseDesign
    g: np.ndarray

    def __matmul__(self, theta) -> np.ndarray:
        return self.design.adjoint(self.g * self.design.predict(theta))

    def diagonal(self) -> np.ndarray:
        """Its diagonal (q,) if g has nothing to do with X: columns have unit length in working units."""
        spread = np.isfinite(self.design.frame.scale).astype(float)
        ones = np.ones(int(self.design.frame.fit_intercept))
        return float(self.g.sum()) * np.concatenate((ones, spread))


@jit
def _add_gram(data, indices, indptr, g, gram):
    """Add X' diag(g) X on and below the diagonal, of rows whose columns are in increasing order."""
    for i in range(g.size):
        for k in range(indptr[i], indptr[i + 1]):
            value = g[i] * data[k]
            a = indices[k]
            for e in range(indptr[i], k + 1):
                gram[a, indices[e]] += value * data[e]
