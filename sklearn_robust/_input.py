"""X as a user passes it."""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from sklearn_robust import _checks

_MANY_ENTRIES = 1_000_000


def validated(model, X, reset: bool) -> np.ndarray:
    """X (n, p) of float64, dense or in compressed sparse rows, for ``fit`` (reset) or later."""
    if sparse.issparse(X) and not model._is_linear:
        raise TypeError(  # as scikit-learn's validation does where sparse X is not taken
            f"X must be dense for a kernel. Got a sparse X with kernel={model.kernel!r}; take X.toarray(), or "
            "kernel='linear'."
        )
    with _checks.naming("X"):
        # what is not finite is said before the number of columns, which a precomputed kernel may well have wrong
        finite = model._is_precomputed and not reset
        X = validate_data(model, X, reset=reset, accept_sparse="csr", dtype=np.float64, ensure_all_finite=finite)
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
