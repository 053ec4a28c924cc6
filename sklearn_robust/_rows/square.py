"""The matrix of a kernel, and the systems that a fit solves with it, by LAPACK or by the libraries of a GPU.

Vectors come from the CPU and go back to it; only matrices are where their ``algebra`` is: this module's own, or
``gpu``, which has the same words.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import dsymv, dtrsv
from scipy.linalg.lapack import dpotrf, dtrtri


class _Lapack:
    """Linear algebra on the CPU."""

    @staticmethod
    def to_device(values):
        """The array itself."""
        return values

    to_host = to_device

    @staticmethod
    def product(matrix, vector):
        """The product (n,) of a symmetric matrix, of which half is read."""
        return dsymv(1.0, matrix.T, vector)

    @staticmethod
    def cholesky(matrix):
        """The lower Cholesky factor of a symmetric matrix, which it overwrites; None where there is none."""
        factor, info = dpotrf(matrix.T, lower=1, overwrite_a=1)
        return factor if info == 0 else None

    @staticmethod
    def cholesky_solve(factor, right):
        """The solution (n,) of the system of a factored matrix."""
        return dtrsv(factor, dtrsv(factor, right, lower=1), lower=1, trans=1)  # dpotrs is for many at once

    @staticmethod
    def inverse_trace(factor) -> float:
        """The trace of the inverse of a factored matrix."""
        inverse = dtrtri(factor, lower=1)[0].T
        return float(np.vdot(inverse, inverse))

    @staticmethod
    def solve(matrix, rights):
        """The solution (n, k) of a system; None where the matrix is singular."""
        try:
            return np.linalg.solve(matrix, rights)
        except np.linalg.LinAlgError:
            return None


@dataclass(frozen=True)
class Factor:
    """A Cholesky factor."""

    lower: Any
    algebra: Any

    def solve(self, right: np.ndarray) -> np.ndarray:
        """The solution (n,) of its system."""
        return self.algebra.to_host(self.algebra.cholesky_solve(self.lower, self.algebra.to_device(right)))

    def inverse_trace(self) -> float:
        """The trace of the inverse."""
        return self.algebra.inverse_trace(self.lower)


@dataclass(frozen=True)
class Square:
    """A symmetric matrix K (n, n)."""

    values: Any
    algebra: Any = _Lapack

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.values.shape

    def moved(self, algebra) -> "Square":
        """A copy where another algebra has its matrices."""
        return Square(algebra.to_device(self.values), algebra)

    def diagonal(self) -> np.ndarray:
        """The diagonal (n,)."""
        return self.algebra.to_host(self.values.diagonal())

    def columns(self, chosen: np.ndarray) -> np.ndarray:
        """Some of the columns (n, m)."""
        return self.algebra.to_host(self.values[:, self.algebra.to_device(chosen)])

    def __matmul__(self, vector: np.ndarray) -> np.ndarray:
        return self.algebra.to_host(self.algebra.product(self.values, self.algebra.to_device(vector)))

    def factor(self, root: np.ndarray, strength: float) -> Factor | None:
        """The factor of λ I + D K D, D the diagonal ``root`` (n,); None where it is not positive."""
        root = self.algebra.to_device(root)
        matrix = self.values * root
        matrix *= root[:, None]
        matrix.ravel()[:: len(root) + 1] += strength
        lower = self.algebra.cholesky(matrix)
        return None if lower is None else Factor(lower, self.algebra)

    def solve(self, omega: np.ndarray, strength: float, rights: np.ndarray) -> np.ndarray | None:
        """The solution (n, k) of the system of λ I + Ω K, Ω the diagonal ``omega`` (n,); None where it is singular."""
        matrix = self.values * self.algebra.to_device(omega)[:, None]
        matrix.ravel()[:: len(omega) + 1] += strength
        solved = self.algebra.solve(matrix, self.algebra.to_device(rights))
        return None if solved is None else self.algebra.to_host(solved)
