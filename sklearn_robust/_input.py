"""X as a user passes it."""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, validate_data

from sklearn_robust import _checks
from sklearn_robust._device import matrix
from sklearn_robust._kernel_checks import check_new_values
from sklearn_robust._rows import gpu

_MANY_ENTRIES = 1_000_000


def validated(model, X, reset: bool) -> np.ndarray:
    """X (n, p) of float64, dense or in compressed sparse rows, for ``fit`` (reset) or later.

    X that lies on a GPU stays there, but for kernels.
    """
    if gpu.is_there(X):
        X = matrix("X", X, model.device)
        if model._is_linear:
            validate_data(model, X, reset=reset, skip_check_array=True)
            _checks.check_finite("X", X)
            return X
        X = X[:]
    if sparse.issparse(X) and not model._is_linear:
        raise TypeError(  # as scikit-learn's validation does where sparse X is not taken
            f"X must be dense for a kernel. Got a sparse X with kernel={model.kernel!r}; take X.toarray(), or "
            "kernel='linear'."
        )
    if model._is_precomputed and not reset:
        with _checks.naming("X"):
            values = check_array(X, dtype=np.float64, ensure_all_finite=False)
        check_new_values(model, values)
    with _checks.naming("X"):
        done = reset and type(X) is np.ndarray and X.dtype == np.float64 and X.ndim == 2 and X.size > 0
        more = {} if done else {"accept_sparse": "csr", "dtype": np.float64, "ensure_all_finite": False}
        X = validate_data(model, X, reset=reset, skip_check_array=done, **more)
    if sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    # in many rows it shows in the first sums, and X is not read for it alone
    if sparse.issparse(X) or X.size < _MANY_ENTRIES or not reset:
        _checks.check_finite("X", X)
    if reset and model._is_precomputed and X.shape[0] != X.shape[1]:
        raise ValueError(
            f"X must be a square matrix of kernel values for kernel='precomputed'. Got shape {X.shape}; pass "
            "k(X, X) to fit, and k(X_new, X) to predict."
        )
    return X
