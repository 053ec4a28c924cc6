"""What f is made of: columns of X, a few directions of very many columns, landmarks of a kernel, or all rows of one.

A form turns X into rows for a fit, and what was fitted into attributes. ``kept`` names the rows of X that count.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import qr

from sklearn_robust import _checks
from sklearn_robust._kernel_checks import check_params, check_rows, check_symmetric
from sklearn_robust._rows import kernels
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.design import full_columns
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust._rows.kernels import Kernel, KernelRows, Landmarks, double_centred, draw_landmarks
from sklearn_robust._rows.on_device import DeviceArray
from sklearn_robust._rows.square import Square

# Attributes that one form has and another has not, and those of them that several targets share.
OF_FORMS = ("coef_", "dual_coef_", "X_fit_", "components_", "component_indices_")
SHARED = OF_FORMS[2:]
# Up to so many columns their gram costs next to nothing, however few the rows.
_MANY_COLUMNS = 200
_PREDICTED_ENTRIES = 2**22
# A sparse X with more columns than rows becomes a kernel of so many entries, or as many as it has itself.
_SPARSE_ENTRIES = 2**22
# Matrices of the size of the kernel's that a fit holds at once.
_MATRICES = 3
# Of a kernel's values: their squares times weights, and over squares of noise scales, are numbers.
_LARGEST, _LARGEST_LINEAR = 1e100, 1e200
_EPS = np.finfo(float).eps


def form_of(model, X, kept, seed: int):
    """The form that the parameters of a model ask for."""
    n_rows = X.shape[0] if kept is None else int(kept.sum())
    if model.n_components is not None and not model._is_linear:
        if model.n_components > n_rows:
            _checks.refuse(
                "n_components",
                model.n_components,
                f"at most the number of rows, n_samples={n_rows}",
                "None is the exact kernel",
            )
        return Nystroem(kernel_of(model, X, kept), model.n_components, seed)
    if not model._is_linear:
        return Exact(kernel_of(model, X, kept))
    if X.shape[1] <= max(n_rows, _MANY_COLUMNS):
        return Columns()
    penalised = not _checks.is_auto(model.l2_regularization) and model.l2_regularization > 0.0
    small = not sparse.issparse(X) or n_rows**2 <= max(_SPARSE_ENTRIES, X.nnz)
    # subsets of rows need columns; without a penalty the rows determine only some directions
    if penalised and model.init != "s" and small:
        uneven = not sparse.issparse(X) and _is_uneven(X if kept is None else X[kept], model)
        return Directions(scaled=False, flexible=True) if uneven else Exact(kernel_of(model, X, kept))
    return Columns() if sparse.issparse(X) else Directions(scaled=not penalised)


def _is_uneven(X, model) -> bool:
    """Whether the strength of ridge drowns beside the largest columns in a linear kernel, but not beside most."""
    squares = X - X.mean(axis=0) if model.fit_intercept else X.copy()
    np.square(squares, out=squares)
    rows, columns = squares.sum(axis=1), squares.mean(axis=0)
    strength = float(model.l2_regularization) / (kernels.LEAST_STRENGTH * len(X))
    return bool(X.shape[1] * np.median(columns) < strength < rows.max() < _LARGEST)


def check_kernel(model) -> None:
    """The parameters of a kernel, as those of KernelRidge."""
    if not (model._is_linear or callable(model.kernel)):
        from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

        choices = (*PAIRWISE_KERNEL_FUNCTIONS, "precomputed")
        _checks.check_choice("kernel", model.kernel, choices, "or a function of two rows")
    if model.gamma is not None and not (_checks.is_real(model.gamma) and 0.0 <= model.gamma < np.inf):
        _checks.refuse("gamma", model.gamma, "a finite number >= 0 or None", "None is the kernel's own")
    for name in ("degree", "coef0"):
        value = getattr(model, name)
        if not (_checks.is_real(value) and np.isfinite(value) and (value >= 0.0 or name == "coef0")):
            _checks.refuse(name, value, "a finite number" + (" >= 0" if name == "degree" else ""))
    check_params(model.kernel_params)
    if model.n_components is not None:
        _checks.check_count("n_components", model.n_components, 1, "None is the exact kernel")
    if model.init == "s" and not model._is_linear:
        _checks.refuse("init", model.init, "another start for a kernel", "'auto' takes 'gnc' there")


def kernel_of(model, X, kept) -> Kernel:
    """The kernel that the parameters of a model name, for the rows of X that count."""
    kernel = _named(model, X, kept)
    check_rows(kernel, X, kept)
    return kernel


def _named(model, X, kept) -> Kernel:
    if callable(model.kernel):
        return Kernel(model.kernel, dict(model.kernel_params or {}))
    params = {} if model._is_linear else {name: getattr(model, name) for name in ("gamma", "degree", "coef0")}
    shifts = model.kernel == "rbf" or (model._is_linear and model.fit_intercept)
    X = X if kept is None else X[kept]
    center = np.asarray(X.mean(axis=0)).ravel() if shifts else None
    if center is not None and sparse.issparse(X):
        center = np.where(full_columns(X), center, 0.0)
    return Kernel(model.kernel, params, center)


@dataclass(frozen=True)
class Columns:
    """f(x) = x'coef + intercept."""

    flexible = False

    def rows(self, X, kept, y, weights, noise, fit_intercept: bool) -> Rows:
        """Rows in working units."""
        X = X if kept is None else X[kept]
        frame = Frame.of(X, y, weights, fit_intercept, noise)
        return Rows(X, y, weights, noise / frame.noise_unit, frame)

    def attributes(self, frame: Frame, theta) -> dict:
        """Fitted attributes."""
        coef, intercept = frame.to_raw(theta)
        return {"coef_": coef, "intercept_": intercept}

    def warm(self, model, rows: Rows) -> np.ndarray | None:
        """Coefficients in working units of a model fitted before, where they fit."""
        coef = getattr(model, "coef_", NONE)
        return rows.frame.from_raw(coef, model.intercept_) if coef.shape == rows.frame.center.shape else None


@dataclass
class Directions:
    """The same with more columns than rows: (X - center) factor = Z Q', with no more columns of Z than rows.

    Neither the penalty of ridge nor the smallest norm minds the rotation; ``scaled`` tells whether columns are first
    brought to one scale, as where that norm decides; ``flexible`` whether a penalty has a say in the start.
    """

    scaled: bool
    flexible: bool = False

    def rows(self, X, kept, y, weights, noise, fit_intercept: bool) -> Rows:
        """Rows in working units."""
        X = X if kept is None else X[kept]
        frame = Frame.of(X, y, weights, fit_intercept, noise)
        self.center, X = frame.center, X - frame.center
        if fit_intercept:  # to the last digit, or what is left of it would be a direction of its own
            rest = np.average(X, axis=0, weights=weights if weights.size else None)
            self.center, X = self.center + rest, X - rest
        self.factor = np.where(np.isfinite(frame.scale), 1.0 / frame.scale if self.scaled else 1.0, 0.0)
        turn, root, order = qr((X * self.factor).T, mode="economic", pivoting=True, check_finite=False)
        sizes = np.abs(root.diagonal())
        rank = max(int((sizes > X.shape[1] * _EPS * sizes[0]).sum()), 1)
        self.turn = turn[:, :rank]
        Z = np.empty((len(X), rank))
        Z[order] = root[:rank].T
        unit = float(sizes[0]) / np.sqrt(len(X)) or 1.0
        frame = replace(frame, center=np.zeros(rank), scale=np.full(rank, unit))
        return Rows(Z, y, weights, noise / frame.noise_unit, frame)

    def attributes(self, frame: Frame, theta) -> dict:
        """Fitted attributes."""
        coef, intercept = frame.to_raw(theta)
        coef = self.factor * (self.turn @ coef)
        return {"coef_": coef, "intercept_": intercept - float(coef @ self.center)}

    def warm(self, model, rows: Rows) -> np.ndarray | None:
        """Coefficients in working units of a model fitted before, where they fit."""
        coef = getattr(model, "coef_", NONE)
        if coef.shape != self.center.shape:
            return None
        turned = self.turn.T @ np.divide(coef, self.factor, out=np.zeros_like(coef), where=self.factor > 0.0)
        return rows.frame.from_raw(turned, model.intercept_ + float(coef @ self.center))


@dataclass
class Nystroem:
    """f(x) = k(x, landmarks) dual_coef + intercept."""

    kernel: Kernel
    size: int
    seed: int
    flexible = True

    def rows(self, X, kept, y, weights, noise, fit_intercept: bool) -> Rows:
        """Rows in working units."""
        rng = np.random.default_rng(self.seed)
        counted = np.arange(len(X)) if kept is None else np.flatnonzero(kept)
        if self.kernel.precomputed:
            self.indices = np.sort(rng.choice(counted, self.size, replace=False))
            crossed = np.ix_(self.indices, counted)
            check_symmetric(X.T[crossed].T, X[crossed], counted, self.indices)
            self.landmarks = Landmarks.of(self.kernel, self.indices, X[np.ix_(self.indices, self.indices)])
        else:
            self.indices = counted[draw_landmarks(X if kept is None else X[kept], self.size, rng)]
            Z = X[self.indices]
            self.landmarks = Landmarks.of(self.kernel, Z, _check_finite(self.kernel, self.kernel(Z)))
        phi = self.landmarks.features(X if kept is None else X[kept])
        if isinstance(phi, np.ndarray):
            _check_finite(self.kernel, phi)
        frame = Frame.of(phi, y, weights, fit_intercept, noise, bounded=True)
        return Rows(phi, y, weights, noise / frame.noise_unit, frame)

    def attributes(self, frame: Frame, theta) -> dict:
        """Fitted attributes."""
        coef, intercept = frame.to_raw(theta)
        found = {"dual_coef_": self.landmarks.turn @ coef, "intercept_": intercept}
        if not self.kernel.precomputed:
            found["components_"] = self.landmarks.Z
        found["component_indices_"] = self.indices
        return found

    def warm(self, model, rows: Rows) -> np.ndarray | None:
        """Coefficients in working units of a model fitted before, where it had the same landmarks."""
        same = np.array_equal(getattr(model, "component_indices_", NONE), self.indices)
        if not same or model.dual_coef_.ndim != 1:
            return None
        coef = np.linalg.lstsq(self.landmarks.turn, model.dual_coef_, rcond=None)[0]
        return rows.frame.from_raw(coef, model.intercept_)


@dataclass
class Exact:
    """f(x) = k(x, rows) dual_coef + intercept; for a linear kernel ridge with more columns than rows."""

    kernel: Kernel
    flexible = True

    def rows(self, X, kept, y, weights, noise, fit_intercept: bool) -> KernelRows:
        """Rows in working units, with their kernel matrix."""
        _check_memory(len(y))
        self.basis, self.counted = X if kept is None else X[kept], kept
        if self.kernel.precomputed:
            K = X.copy() if kept is None else X[np.ix_(kept, kept)]
            numbers = np.arange(len(X)) if kept is None else np.flatnonzero(kept)
            check_symmetric(K, K, numbers, numbers)
        else:
            K = self.kernel(self.basis)
        _check_finite(self.kernel, K)
        self.means = K.mean(axis=0) if fit_intercept else np.zeros(len(y))
        frame = Frame.of(np.empty((len(y), 0)), y, weights, fit_intercept, noise)
        largest = _largest(K)
        K = double_centred(K) if fit_intercept else K
        return KernelRows(Square(K), y, weights, noise / frame.noise_unit, frame, largest)

    def attributes(self, frame: Frame, theta) -> dict:
        """Fitted attributes."""
        n = len(self.means)
        dual, intercept = frame.y_scale * theta[1 + n :], 0.0
        if frame.fit_intercept:
            dual = dual - dual.mean()
            intercept = float(frame.y_center + frame.y_scale * theta[0] - self.means @ dual)
        found = {"dual_coef_": dual, "intercept_": intercept}
        if self.kernel.metric == "linear":
            return found | _of_columns(self.kernel, self.basis, dual, intercept)
        if not self.kernel.precomputed:
            found["X_fit_"] = self.basis
        elif self.counted is not None:  # columns of rows that do not count have no part in it
            found["dual_coef_"] = np.zeros(len(self.counted))
            found["dual_coef_"][self.counted] = dual
        return found

    def warm(self, model, rows: KernelRows) -> np.ndarray | None:
        """Coefficients in working units of a model fitted before, where it had as many rows."""
        dual = getattr(model, "dual_coef_", NONE)
        if self.kernel.precomputed and self.counted is not None and dual.shape == self.counted.shape:
            dual = dual[self.counted]
        if dual.shape != (len(rows),):
            return None
        frame = rows.frame
        intercept = 0.0
        if frame.fit_intercept:
            intercept = _dual_intercept(model, self.kernel) - frame.y_center + float(self.means @ dual)
        return np.concatenate(([intercept], rows.X @ dual, dual)) / frame.y_scale


def _of_columns(kernel: Kernel, Z, dual, intercept: float) -> dict:
    """The attributes of a linear model, from those with a linear kernel."""
    center = np.zeros(Z.shape[1]) if kernel.center is None else kernel.center
    coef = dual @ Z - dual.sum() * center
    return {"coef_": coef, "intercept_": intercept - float(coef @ center)}


def _dual_intercept(model, kernel: Kernel) -> float:
    """The intercept beside the kernel, which may be centred where it is linear."""
    if kernel.metric != "linear" or kernel.center is None:
        return model.intercept_
    return model.intercept_ + float(model.coef_ @ kernel.center)


def _largest(K) -> float:
    """The largest size of an entry."""
    return float(max(K.max(), -K.min()))


def _check_finite(kernel: Kernel, K) -> np.ndarray:
    """Values of a kernel, or what is made of them, if they are numbers whose powers are such."""
    largest, most = _largest(K), _LARGEST_LINEAR if kernel.metric == "linear" else _LARGEST
    if not largest < most:  # which NaN is not, either
        raise ValueError(
            f"kernel must give finite numbers, below {most:g}. Got {largest:g} from kernel={kernel.metric!r}; "
            "scale the columns of X (sklearn.preprocessing), or take another gamma, degree or coef0."
        )
    return K


def _check_memory(n: int) -> None:
    """Whether the kernel matrix of n rows, and what is made of it, fit in memory."""
    needed, there = 8.0 * _MATRICES * n**2, kernels.memory()
    if needed > there:
        raise ValueError(
            f"An exact kernel of {n} rows needs {needed / 2**30:.1f} GiB ({_MATRICES} matrices of {n} x {n} numbers), "
            f"more than the {there / 2**30:.1f} GiB of memory there are; set n_components, for instance to 300."
        )


def settled_strength(rows: Rows, strength: float | None, form) -> float | None:
    """The strength (None to choose one), or the least with which an exact kernel can be solved, with a warning."""
    if not isinstance(rows, KernelRows):
        return strength
    least = found_strength(rows.least_strength)
    if strength is None or strength >= least:
        return strength
    linear = form.kernel.metric == "linear"
    what = "more columns than rows" if linear else "an exact kernel"
    remedy = "a larger one, or scale the columns of X" if linear else "'auto', a larger one, or n_components"
    warnings.warn(
        f"l2_regularization={strength:g} with {what} is as good as no penalty: the fit may pass through every "
        f"row, and nothing is left to tell noise from signal. It was raised to {least:.2g}, which can be solved; "
        f"take {remedy}.",
        UserWarning,
        stacklevel=4,
    )
    return least


def found_strength(strength: float, positive: bool = True) -> float:
    """The strength that a fit chose or has to take, if it is a number still."""
    if strength == np.inf or (positive and strength == 0.0):
        raise ValueError(
            f"l2_regularization must be a number in units of kernel * sample_weight / noise_scale**2. Got {strength}; "
            "scale the columns of X, sample_weight and noise_scale to a mean of 1."
        )
    return strength


def predicted(model, X) -> np.ndarray:
    """f (n,) or (n, n_targets) at rows X (n, p), that of a kernel in chunks."""
    if hasattr(model, "coef_"):
        coefs, intercept = model.coef_.T, model.intercept_
        return X.line(coefs, intercept) if isinstance(X, DeviceArray) else X @ coefs + intercept
    kernel, dual = model._kernel, model.dual_coef_
    if kernel.precomputed:
        columns = getattr(model, "component_indices_", slice(None))
        return X[:, columns] @ dual + model.intercept_
    check_rows(kernel, X)
    Z = getattr(model, "components_", None)
    Z = model.X_fit_ if Z is None else Z
    size = max(_PREDICTED_ENTRIES // len(Z), 1)
    parts = [kernel(X[first : first + size], Z) @ dual for first in range(0, len(X), size)]
    return np.concatenate(parts) + model.intercept_
