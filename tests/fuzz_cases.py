"""Random fits: a case is a few choices and a seed, from which NumPy builds the data; simple choices come first.

Rows are built from columns of size one, Z, and a plane through them: then come the units, the shifts, the types and
the layouts, so that every case has a plain twin in float64.
"""

import tempfile
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _base

INF = float("inf")
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 300, 700)
COLUMNS = (
    "gaussian", "heavy", "constant", "zero", "duplicate", "collinear", "dummies", "rare", "integers", "bools", "mixed",
)  # fmt: skip
TARGETS = ("gaussian", "heavy", "exact", "plane", "constant", "zero", "huge", "rounded", "outliers", "leverage")
WEIGHTS = ("none", "integers", "zeros", "uniform", "tiny", "huge", "sum-one", "wide")
NOISES = ("none", "uniform", "wide", "tiny", "huge")
NOISE_UNITS = {"tiny": 1e-100, "huge": 1e100}
LAYOUTS = ("C", "F", "strided", "reversed", "read-only", "memory-mapped", "frame", "list", "big-endian", "csr", "csc")
TYPES = ("float64", "float32", "int64", "uint8", "bool", "object")
EXPONENTS = (0, 1, -1, 3, -3, 8, -8, 30, -30, 100, -100, 140, -140)
SHIFTS = (0.0, 1.0, -1e3, 1e6, 1e9)
RELATIONS = (
    "layout", "permuted", "repeated", "y-units", "x-units", "y-shifted", "y-tilted", "zero-weights", "targets",
)  # fmt: skip
ALPHAS = (1.0, 0.0, -2.0, -INF, 2.0, 3.0, 8.0, INF, 0.5, 1.5, 1.99, 2.01, 2.5, -0.1, -8.0, 1e-9)
MOST_KERNEL_ROWS = 60
BOUNDS = ((0.0, 2.0), (0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (0.5, 1.5), (0.0, 4.0), (0.0, INF), (3.0, 3.0))


class Data(NamedTuple):
    """What a fit takes."""

    X: Any
    y: Any
    weights: Any = None
    noise: Any = None


@dataclass(frozen=True)
class Case:
    """One fit, and how its data are changed for another fit that must agree with it."""

    seed: int = 0
    n: int = 30
    p: int = 2
    columns: str = "gaussian"
    x_exponent: int = 0
    spread_exponents: bool = False
    x_shift: float = 0.0
    target: str = "gaussian"
    y_exponent: int = 0
    y_shift: float = 0.0
    weights: str = "none"
    noise: str = "none"
    dtype: str = "float64"
    layout: str = "C"
    bad: str = "none"
    learns: bool = True
    alpha: float = 1.0
    c: float | str = "auto"
    efficiency: float = 0.95
    alpha_bounds: tuple[float, float] = (0.0, 2.0)
    c_min: float | None = None
    contamination: float | str = "auto"
    kernel: str = "linear"
    n_components: int | None = None
    fit_intercept: bool = True
    l2_regularization: float | str = "auto"
    solver: str = "auto"
    init: str = "auto"
    max_iter: int = 1000
    tol: float = 1e-8
    random_state: int = 0
    relation: str = "layout"

    def rng(self, salt: int = 0) -> np.random.Generator:
        """Random numbers of this case."""
        return np.random.default_rng((self.seed, salt))

    @property
    def has_kernel(self) -> bool:
        """Whether the model has a kernel: of few rows only."""
        return self.kernel != "linear" and self.n <= MOST_KERNEL_ROWS

    def model(self, y_factor: float = 1.0):
        """The estimator; scales that are held are in units of the typical size of y, here times a factor."""
        unit = 10.0 ** float(self.y_exponent) * y_factor / NOISE_UNITS.get(self.noise, 1.0)
        common = {
            name: getattr(self, name)
            for name in ("fit_intercept", "l2_regularization", "solver", "init", "max_iter", "tol", "random_state")
        }
        if self.has_kernel:
            common |= {"kernel": self.kernel, "n_components": self.n_components}
        if self.learns:
            c_min = None if self.c_min is None else self.c_min * unit
            return AdaptiveRobustRegressor(
                alpha_bounds=self.alpha_bounds, c_min=c_min, contamination=self.contamination, **common
            )
        c = self.c if isinstance(self.c, str) else self.c * unit
        return GeneralRobustRegressor(self.alpha, c, efficiency=self.efficiency, **common)

    def plain(self) -> Data:
        """The numbers in float64, contiguous."""
        rng = self.rng()
        Z = _columns(self, rng)
        exponents = np.full(self.p, float(self.x_exponent))
        if self.spread_exponents:
            exponents *= rng.uniform(-1, 1, size=self.p)
        if self.target == "huge":  # in units of such columns it has coefficients that are numbers
            exponents = exponents.clip(0.0)
        with np.errstate(over="ignore", under="ignore"):
            X = (Z + self.x_shift) * 10.0**exponents
            X = np.ascontiguousarray(_typed(X, self.dtype), dtype=np.float64)
            y = _target(self, Z, rng) * 10.0 ** float(self.y_exponent)
        if self.target == "huge":
            # and far from zero, or nearly dependent on each other, too; or in units of y over the least penalty
            lost = max(1.0, abs(self.x_shift)) * (1e15 if self.columns in ("collinear", "mixed") else 1.0)
            lost = 1e200 if self.has_kernel else lost
            y[rng.integers(self.n)] = 1e300 / lost
        if self.bad != "none":
            value = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}[self.bad[2:]]
            (X if self.bad[0] == "X" else y)[rng.integers(self.n)] = value
        # a residual of 1e300 in units of such a noise would be no number
        noise = "uniform" if self.target == "huge" and self.noise in NOISE_UNITS else self.noise
        return Data(X, y, _weights(self.weights, self.n, rng), _noise(noise, self.n, rng))

    def data(self) -> Data:
        """The numbers as the case lays them out."""
        X, y, weights, noise = self.plain()
        if self.bad == "none":
            X = _typed(X, self.dtype)
        return Data(_laid_out(X, self.layout), *(_laid_out(a, self.layout) for a in (y, weights, noise)))


def _columns(case: Case, rng) -> np.ndarray:
    n, p = case.n, case.p
    Z = rng.standard_t(1.5, size=(n, p)) if case.columns == "heavy" else rng.normal(size=(n, p))
    kinds = rng.choice(COLUMNS[2:-1], size=p) if case.columns == "mixed" else np.full(p, case.columns)
    for j, kind in enumerate(kinds):
        if kind in ("constant", "duplicate", "collinear") and case.columns != "mixed" and j < p - 1 and p > 1:
            continue  # one such column among others
        if kind == "constant":
            Z[:, j] = 0.7
        elif kind == "zero":
            Z[:, j] = -case.x_shift if j == p - 1 else Z[:, j]
        elif kind == "duplicate":
            Z[:, j] = Z[:, 0]
        elif kind == "collinear":
            Z[:, j] = Z[:, 0] + 10.0 ** rng.uniform(-14, -3) * Z[:, j]
        elif kind == "dummies":
            Z[:, j] = rng.integers(p, size=n) == j
        elif kind == "rare":
            Z[:, j] = np.arange(n) % 50 == j
        elif kind == "integers":
            Z[:, j] = np.rint(3 * Z[:, j])
        elif kind == "bools":
            Z[:, j] = Z[:, j] > 0
    return Z


def _target(case: Case, Z, rng) -> np.ndarray:
    n, kind = case.n, case.target
    plane = Z @ rng.integers(-3, 4, size=case.p) + 2.0
    if kind == "constant":
        return np.full(n, 3.0) + case.y_shift
    if kind == "zero":
        return np.zeros(n)
    y = plane + case.y_shift
    if kind in ("gaussian", "huge"):
        y = y + rng.normal(size=n)
    elif kind == "heavy":
        y = y + rng.standard_t(1, size=n)
    elif kind == "plane":
        off = rng.permutation(n)[: int(0.13 * n)]
        y[off] += 100.0 + 10.0 * rng.normal(size=len(off))
    elif kind == "rounded":
        y = np.rint(y + rng.normal(size=n))
    elif kind == "outliers":
        y = y + rng.normal(size=n) + 50.0 * (rng.uniform(size=n) < 0.3)
    elif kind == "leverage":
        y = y + rng.normal(size=n) - 20.0 * np.abs(Z[:, 0]) * (np.abs(Z[:, 0]) > 1.5)
    return y


def _weights(kind: str, n: int, rng):
    if kind == "none":
        return None
    s = rng.uniform(0.1, 3.0, size=n)
    if kind == "integers":
        s = rng.integers(1, 4, size=n).astype(float)
    elif kind == "zeros":
        s = rng.integers(0, 3, size=n).astype(float)
        s[rng.integers(n)] = 1.0
    elif kind == "wide":
        s = 10.0 ** rng.uniform(-6, 6, size=n)
    return s * {"tiny": 1e-200, "huge": 1e90, "sum-one": 1.0 / s.sum()}.get(kind, 1.0)


def _noise(kind: str, n: int, rng):
    if kind == "none":
        return None
    v = rng.uniform(0.3, 3.0, size=n)
    if kind == "wide":
        v = 10.0 ** rng.uniform(-3, 3, size=n)
    return v * NOISE_UNITS.get(kind, 1.0)


def _typed(X, dtype: str) -> np.ndarray:
    """In another type, a large number clipped to what an integer holds."""
    with np.errstate(over="ignore", under="ignore"):
        if dtype == "int64":
            return np.rint(X.clip(-1e15, 1e15)).astype(np.int64)
        if dtype == "uint8":
            return np.rint(np.abs(X).clip(0, 255)).astype(np.uint8)
        if dtype == "bool":
            return X > 0
        return X.astype(dtype)


def _laid_out(a, layout: str):
    if a is None:
        return None
    if layout == "F":
        return np.asfortranarray(a)
    if layout == "strided":
        return np.repeat(np.repeat(a, 2, axis=0), 3, axis=-1)[::2, ::3] if a.ndim == 2 else np.repeat(a, 2)[::2]
    if layout == "reversed":
        return a[::-1, ::-1].copy()[::-1, ::-1] if a.ndim == 2 else a[::-1].copy()[::-1]
    if layout == "read-only":
        a = a.copy()
        a.setflags(write=False)
        return a
    if layout == "memory-mapped" and a.dtype != object:
        with tempfile.TemporaryFile() as file:
            file.write(a.tobytes())
            file.flush()
            return np.memmap(file, dtype=a.dtype, mode="r", shape=a.shape)
    if layout == "frame":
        index = np.arange(len(a))[::-1]  # labels are no positions
        return pd.DataFrame(a, index, [f"x{j}" for j in range(a.shape[1])]) if a.ndim == 2 else pd.Series(a, index)
    if layout == "list":
        return a.tolist()
    if layout in ("csr", "csc") and a.ndim == 2:
        return sparse.csr_array(np.asarray(a, float)) if layout == "csr" else sparse.csc_matrix(np.asarray(a, float))
    if layout == "big-endian" and a.dtype != object:
        return a.astype(a.dtype.newbyteorder(">"))
    return a


def _mostly(simple, others) -> tuple:
    """The simple choice about half of the time."""
    return (simple,) * max(len(others) - 1, 1) + tuple(others)


# What each choice is drawn from; the seed is drawn from all integers.
CHOICES: dict[str, tuple] = {
    "n": SIZES,
    "p": (1, 2, 3, 4, 5, 8),
    "columns": _mostly("gaussian", COLUMNS),
    "x_exponent": _mostly(0, EXPONENTS),
    "spread_exponents": (False, True),
    "x_shift": _mostly(0.0, SHIFTS),
    "target": _mostly("gaussian", TARGETS),
    "y_exponent": _mostly(0, EXPONENTS),
    "y_shift": _mostly(0.0, SHIFTS),
    "weights": _mostly("none", WEIGHTS),
    "noise": _mostly("none", NOISES),
    "dtype": _mostly("float64", TYPES),
    "layout": _mostly("C", LAYOUTS),
    "bad": ("none",) * 60 + ("X-nan", "X-inf", "y-nan", "y--inf"),
    "learns": (True, False),
    "alpha": ALPHAS,
    "c": _mostly("auto", (1e-3, 0.1, 1.0, 30.0)),
    "efficiency": _mostly(0.95, (0.5, 0.85, 0.999)),
    "alpha_bounds": _mostly((0.0, 2.0), BOUNDS),
    "c_min": _mostly(None, (1e-6, 0.1, 1.0, 100.0)),
    "contamination": _mostly("auto", (0.0, 0.1, 0.3)),
    "kernel": ("linear",) * 4 + ("rbf", "poly"),
    "n_components": (None, None, 1, 3, 10),
    "fit_intercept": (True, True, False),
    "l2_regularization": _mostly("auto", (0.0, 1e-6, 1.0, 1e6)),
    "solver": tuple(_base.SOLVERS),
    "init": _base.INITS,
    "max_iter": _mostly(1000, (1000, 200, 1, 2, 5)),
    "tol": _mostly(1e-8, (1e-4, 1e-6, 1e-10)),
    "random_state": _mostly(0, (1, 2)),
    "relation": RELATIONS,
}


def cases() -> st.SearchStrategy[Case]:
    """Cases of all kinds."""
    drawn = {name: st.sampled_from(values) for name, values in CHOICES.items()}
    return st.builds(Case, seed=st.integers(0, 2**32 - 1), **drawn)


def random_case(rng: np.random.Generator) -> Case:
    """The same, without a search: for very many."""
    drawn = {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
    return Case(seed=int(rng.integers(2**32)), **drawn)
