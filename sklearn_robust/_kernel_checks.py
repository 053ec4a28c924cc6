"""What a kernel must be like, and the rows or values that it gets: otherwise one line says so."""

import numbers

import numpy as np

from sklearn_robust import _checks
from sklearn_robust._rows.kernels import Kernel

# What scikit-learn's pairwise_kernels takes for itself.
_TAKEN = ("X", "Y", "metric", "filter_params", "n_jobs")
_NOT_NEGATIVE = ("chi2", "additive_chi2")
# Values across the diagonal, of float32 perhaps, differ by less, in units of the largest; so many columns are compared
# at a time.
_ASYMMETRIC, _CHECKED_COLUMNS = 1e-5, 64


def check_params(params) -> None:
    """The parameters of a callable kernel."""
    if params is None:
        return
    if not isinstance(params, dict):
        _checks.refuse("kernel_params", params, "a dict or None", "it is passed to a callable kernel")
    for name in params:
        if not isinstance(name, str) or name in _TAKEN:
            others = ", ".join(map(repr, _TAKEN))
            _checks.refuse(
                "kernel_params", params, f"a dict of names, none of them {others}", f"give {name!r} another name"
            )


def check_rows(kernel: Kernel, X, kept=None) -> None:
    """Whether a kernel takes the rows of X (n, p) that count."""
    if isinstance(kernel.metric, str):
        if kernel.metric in _NOT_NEGATIVE:
            _check_signs(kernel.metric, X, kept)
        return
    counted = np.arange(len(X)) if kept is None else np.flatnonzero(kept)
    i, j = int(counted[0]), int(counted[-1])
    values = [[_value(kernel, X[a].copy(), X[b].copy()) for b in (i, j)] for a in (i, j)]
    one, other = values[0][1], values[1][0]
    if abs(one - other) > _ASYMMETRIC * np.abs(values).max():
        raise ValueError(
            f"kernel must be symmetric: k(x, z) is k(z, x). Got {one:.3g} and {other:.3g} at rows {i} and {j} from "
            f"kernel={kernel.metric!r}; take (k(x, z) + k(z, x)) / 2."
        )


def _check_signs(metric: str, X, kept) -> None:
    negative = (X < 0.0).any(axis=1)
    if kept is not None:
        negative &= kept
    if negative.any():
        row = int(negative.argmax())
        column = int((X[row] < 0.0).argmax())
        raise ValueError(
            f"X must not be negative for kernel={metric!r}. Got {float(X[row, column]):.3g} at row {row}, column "
            f"{column}; scale the columns so that they begin at 0 (sklearn.preprocessing.MinMaxScaler with clip=True), "
            "or take another kernel."
        )


def _value(kernel: Kernel, x, z) -> float:
    """k of two rows (p,)."""
    try:
        value = kernel.metric(x, z, **kernel.params)  # type: ignore[operator]
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{_expected(kernel)}, which raised {_in_one_line(error)}; {_REMEDY}") from error
    if not (isinstance(value, numbers.Real) or (np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf")):
        what = type(value).__name__ + (f" of shape {np.shape(value)}" if isinstance(value, np.ndarray) else "")
        raise ValueError(f"{_expected(kernel)}, which returned {what}; {_REMEDY}")
    return float(value)


_REMEDY = (
    "look at it and at kernel_params, pass a function of matrices by its name, or its values with kernel='precomputed'."
)


def _expected(kernel: Kernel) -> str:
    return f"kernel must be a function of two rows (p,) that returns a number. Got kernel={kernel.metric!r}"


def _in_one_line(error: Exception) -> str:
    """An error, without the data that it may print in further lines."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0].rstrip(' :.')}"


def check_symmetric(K, turned, rows, columns) -> None:
    """Whether values K (n, m) of a precomputed kernel are those across the diagonal (m, n), but for rounding.

    With the numbers that their rows (n,) and columns (m,) have in X.
    """
    rounding = _ASYMMETRIC * max(K.max(), -K.min())
    for first in range(0, len(columns), _CHECKED_COLUMNS):
        part = slice(first, first + _CHECKED_COLUMNS)
        apart = np.abs(K[:, part] - turned[part].T)
        if not apart.max() > rounding:  # NaN is told of elsewhere
            continue
        i, j = np.unravel_index(apart.argmax(), apart.shape)
        row, column = int(rows[i]), int(columns[first + j])
        raise ValueError(
            "X must be a symmetric matrix of kernel values for kernel='precomputed'. "
            f"Got {K[i, first + j]:.3g} at row {row}, column {column} and {turned[first + j, i]:.3g} at row {column}, "
            f"column {row}; pass k(X, X) to fit, rows and columns in one order, or (X + X.T) / 2."
        )


def check_new_values(model, X) -> None:
    """The values (n, n_features_in_) of a precomputed kernel between new rows and those of the fit."""
    _checks.check_finite("X", X)
    n_rows = model.n_features_in_
    if X.shape[1] != n_rows:
        read = "; those of component_indices_ are read" if hasattr(model, "component_indices_") else ""
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(model).__name__} is expecting {n_rows} features as input for "
            f"kernel='precomputed': pass k(X_new, X), a column for each of the {n_rows} rows of the fit{read}."
        )
