"""Kernels: f(x) = Σ_j k(x, z_j) a_j + b, with penalty a'K a; the z_j are the rows, or a few of them, the landmarks.

Landmarks make a feature map (Nyström). With K(Z, Z) = V S V', S > 0, the columns

    Phi = K(X, Z) T,    T = V S^-1/2

turn the penalty into that of ridge, since a = T theta gives K(X, Z) a = Phi theta and a'K(Z, Z) a = theta'theta.

C. K. I. Williams, M. Seeger, Using the Nyström Method to Speed Up Kernel Machines, NIPS 2001.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.design import less
from sklearn_robust._rows.frame import Frame
from sklearn_robust._rows.threads import run_all, serial_blas

# Directions of the landmarks' kernel below this share of the largest are rounding, or landmarks that coincide.
_RANK_TOL = 1e-12
# A feature matrix is kept up to so many bytes, or this share of the memory; a larger one is made in every pass.
_KEPT_BYTES, _KEPT_SHARE = 2**29, 0.125
_CHUNK_ROWS = 1024
# Of ridge, in units of the largest value of a kernel times the rows: with less, systems keep fewer than six digits.
LEAST_STRENGTH = 1e-10
_SORTED_ROWS = 20_000
# From such gamma ||x||² on, x'x + z'z - 2 x'z has too few digits for the distance of rows near each other.
_FAR_APART = 1e4


@dataclass(frozen=True)
class Kernel:
    """k by its name among scikit-learn's ``pairwise_kernels``, or a callable of two rows, with its parameters.

    ``center`` (p,) is taken off the rows where only their differences count: so these keep their digits. Of a sparse X
    it is zero but for full columns.
    For ``"precomputed"`` rows are values of k already, and Z are numbers of columns.
    """

    metric: str | Callable
    params: dict
    center: np.ndarray | None = None

    @property
    def precomputed(self) -> bool:
        """Whether rows are values of k."""
        return isinstance(self.metric, str) and self.metric == "precomputed"

    def __call__(self, X, Z=None) -> np.ndarray:
        """K (n, m) between the rows of X (n, p) and Z (m, p); of X with itself for None."""
        if self.precomputed:
            return X[:, Z]
        from sklearn.metrics.pairwise import pairwise_kernels

        if self.center is not None:
            X, Z = less(X, self.center), Z if Z is None else less(Z, self.center)
        if self.metric == "rbf":
            gamma = 1.0 / X.shape[1] if self.params["gamma"] is None else self.params["gamma"]
            with np.errstate(over="ignore"):  # infinitely far apart, where the kernel is 0
                if gamma * max(np.square(each).sum(axis=1).max() for each in (X, X if Z is None else Z)) > _FAR_APART:
                    return np.exp(-gamma * cdist(X, X if Z is None else Z, "sqeuclidean"))
        given = {name: value for name, value in self.params.items() if value is not None}
        return pairwise_kernels(X, Z, metric=self.metric, filter_params=True, **given)


@dataclass(frozen=True)
class Features:
    """The columns Phi (n, r) of a feature map ``columns``, as wanted: ``features[rows]`` makes those of some rows."""

    X: np.ndarray
    columns: Callable
    n_columns: int

    def __len__(self) -> int:
        return len(self.X)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, r)."""
        return len(self.X), self.n_columns

    def sum(self, axis: int) -> np.ndarray:
        """The sums of the rows (n,), for axis 1."""
        parts = (slice(first, first + _CHUNK_ROWS) for first in range(0, len(self), _CHUNK_ROWS))
        return np.concatenate([self[part].sum(axis=axis) for part in parts])

    def __getitem__(self, index) -> np.ndarray:
        if isinstance(index, tuple):
            rows, columns = index
            return np.ascontiguousarray(self[rows][:, columns])
        return _in_chunks(self.columns, self.X[index], self.n_columns)


def _in_chunks(columns: Callable, X, n_columns: int) -> np.ndarray:
    """The columns of all rows, made in threads."""
    if len(X) <= _CHUNK_ROWS:
        return columns(X)
    out = np.empty((len(X), n_columns))

    def fill(chunk):
        part = slice(chunk * _CHUNK_ROWS, (chunk + 1) * _CHUNK_ROWS)
        out[part] = columns(X[part])

    with serial_blas():
        run_all(fill, -(-len(X) // _CHUNK_ROWS))
    return out


@dataclass(frozen=True)
class Landmarks:
    """A Nyström feature map: the kernel, landmarks Z (m, p) (for a precomputed kernel their numbers) and T (m, r)."""

    kernel: Kernel
    Z: np.ndarray
    turn: np.ndarray

    @classmethod
    def of(cls, kernel: Kernel, Z, K) -> "Landmarks":
        """From landmarks and their kernel matrix K (m, m)."""
        return cls(kernel, Z, whitening(K))

    def columns(self, X) -> np.ndarray:
        """Phi (n, r) of rows X (n, p)."""
        return self.kernel(X, self.Z) @ self.turn

    def features(self, X) -> "np.ndarray | Features":
        """Phi of all rows: kept, or made when wanted where that would be large."""
        features = Features(X, self.columns, self.turn.shape[1])
        return features if 8 * len(X) * features.n_columns > kept_bytes() else features[:]


def kept_bytes() -> float:
    """The largest feature matrix that is kept."""
    there = memory()
    return max(_KEPT_BYTES, _KEPT_SHARE * there) if np.isfinite(there) else _KEPT_BYTES


def memory() -> float:
    """Bytes of memory of the machine; without end where that is not known."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return np.inf


def whitening(K) -> np.ndarray:
    """T (m, r) with T'K T = 1, from the positive part of K (m, m); a column of zeros where that is nothing."""
    values, vectors = eigh(K)
    kept = values > _RANK_TOL * max(values[-1], 0.0)
    if not kept.any():
        return np.zeros((len(K), 1))
    return vectors[:, kept] / np.sqrt(values[kept])


def draw_landmarks(X, size: int, rng) -> np.ndarray:
    """Row numbers (size,) of landmarks, drawn from rows X (n, p) in an order of their own, different ones first."""
    if len(X) > _SORTED_ROWS:
        return np.sort(rng.choice(len(X), size, replace=False))
    order = np.lexsort(X.T)
    new = np.concatenate(([True], (np.diff(X[order], axis=0) != 0.0).any(axis=1)))
    different, repeated = order[new], order[~new]
    if size <= len(different):
        return different[np.sort(rng.choice(len(different), size, replace=False))]
    return np.concatenate((different, repeated[: size - len(different)]))


def double_centred(K) -> np.ndarray:
    """K (n, n) less its means over rows and columns, in place: where there is an intercept, Σ a = 0 and f is the same.

    A kernel that is positive for such a alone, as ``additive_chi2``, then is so for all.
    """
    K -= float(K[0, 0])  # the means of equal numbers are not quite that number
    means = K.mean(axis=0)
    K -= means
    K -= means[:, None] - means.mean()
    return K


@dataclass(frozen=True)
class KernelRows(Rows):
    """Rows with their kernel matrix, a ``Square``, in the place of X; coefficients are theta = (b, K a, a), (1 + 2 n,).

    ``largest`` is the largest size of the kernel's values before they were centred, whose rounding they carry.
    """

    largest: float = 0.0

    @property
    def least_strength(self) -> float:
        """The least strength, in raw units, with which dual systems keep some six digits."""
        size = max(LEAST_STRENGTH * float(np.abs(self.X.diagonal()).max()), 4.0 * np.finfo(float).eps * self.largest)
        return float(len(self) * (size or 1.0) * self.precisions.max() / self.frame.noise_unit**2)

    def residuals(self, theta) -> np.ndarray:
        """Residuals (n,), in working units, divided by the noise scales."""
        residuals = self.working_y - theta[0] - theta[1 : 1 + len(self)]
        return residuals / self.noise if self.noise.size else residuals

    @cached_property
    def working_y(self) -> np.ndarray:
        """Targets (n,) in working units."""
        return (self.y - self.frame.y_center) / self.frame.y_scale

    @cached_property
    def levers(self) -> np.ndarray:
        """Sample weights over noise scales (n,)."""
        return self.all_weights / self.noise if self.noise.size else self.all_weights

    @cached_property
    def precisions(self) -> np.ndarray:
        """Sample weights over squared noise scales (n,)."""
        return self.levers / self.noise if self.noise.size else self.levers

    def on_landmarks(self, numbers: np.ndarray, size: int, rng) -> Rows:
        """The same rows with the features of a few landmarks, spread over some of the rows, in the order of targets."""
        if size < len(numbers):
            spread = (np.arange(size) + rng.uniform(size=size)) * (len(numbers) / size)
            numbers = numbers[spread.astype(np.intp).clip(max=len(numbers) - 1)]
        chosen = np.sort(numbers)
        columns = self.X.columns(chosen)
        phi = np.ascontiguousarray(columns @ whitening(columns[chosen]))
        raw_noise = self.noise * self.frame.noise_unit
        frame = Frame.of(phi, self.y, self.weights, self.frame.fit_intercept, raw_noise, bounded=True)
        return Rows(phi, self.y, self.weights, raw_noise / frame.noise_unit, frame)
