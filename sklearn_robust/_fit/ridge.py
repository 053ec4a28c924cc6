"""Weighted ridge by its gram: (G + P) delta = rhs, rank-deficient or not."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

# Directions whose share of the equilibrated gram is below this are undetermined by the rows.
_RANK_TOL = 64 * np.finfo(float).eps


def _equilibrated(gram, penalty):
    """The matrix with unit diagonal, and the factors that gave it one."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found out by the factorisation
        matrix = gram + np.diag(penalty) if penalty.any() else gram
        diagonal = matrix.diagonal()
        factor = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        return matrix * factor * factor[:, None], factor


@dataclass(frozen=True)
class Inverse:
    """The pseudo-inverse of G + P: a Cholesky factor, or eigenvectors where directions are undetermined."""

    factor: np.ndarray
    cholesky: np.ndarray | None
    vectors: np.ndarray | None = None
    values: np.ndarray | None = None

    @classmethod
    def of(cls, gram, penalty) -> "Inverse":
        """Factorise G (q, q) plus the diagonal P (q,)."""
        matrix, factor = _equilibrated(gram, penalty)
        cholesky, info = dpotrf(matrix, lower=1)
        if info == 0 and cholesky.diagonal().min() ** 2 > len(factor) * _RANK_TOL:
            return cls(factor, cholesky)
        values, vectors = eigh(matrix)
        kept = values > len(factor) * _RANK_TOL * max(values[-1], 0.0)
        return cls(factor, None, vectors[:, kept], values[kept])

    def scaled(self, factor: float) -> "Inverse":
        """The inverse of the matrix divided by ``factor``."""
        return replace(self, factor=self.factor * np.sqrt(factor))

    @property
    def rank(self) -> int:
        """The number of determined directions."""
        return len(self.factor) if self.vectors is None else self.vectors.shape[1]

    @property
    def largest_variance(self) -> float:
        """The largest diagonal entry of the inverse."""
        if self.vectors is not None:
            return float((self.factor**2 * (self.vectors**2 / self.values).sum(axis=1)).max(initial=0.0))
        return float((self.factor**2 * dpotri(self.cholesky, lower=1)[0].diagonal()).max())

    @property
    def basis(self) -> np.ndarray | None:
        """A basis (q, rank) of what the rows determine, where that is not everything."""
        return None if self.vectors is None else self.factor[:, None] * self.vectors

    def project(self, theta) -> np.ndarray:
        """The part of theta (q,) that the rows determine."""
        if self.vectors is None:
            return theta
        return self.factor * (self.vectors @ (self.vectors.T @ (theta / self.factor)))

    def __matmul__(self, rhs) -> np.ndarray:
        scaled = self.factor * rhs
        if self.vectors is not None:
            return self.factor * (self.vectors @ (self.vectors.T @ scaled / self.values))
        return self.factor * dpotrs(self.cholesky, scaled, lower=1)[0]


def effective_dof(inverse: Inverse, gram, penalty) -> float:
    """Effective degrees of freedom tr (G + P)^-1 G: the rank where P = 0."""
    if not penalty.any():
        return float(inverse.rank)
    return float(sum((inverse @ gram[:, j])[j] for j in range(len(gram))))
