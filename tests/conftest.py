"""One fresh folder for compiled kernels: a cached kernel does not notice an edit in a helper of another file."""

import os
import tempfile

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read by SciPy when it is imported: checks of scikit-learn ask for it

if "NUMBA_CACHE_DIR" not in os.environ:  # workers of pytest-xdist inherit the folder of the run that starts them
    _FOLDER = tempfile.TemporaryDirectory(prefix="sklearn_robust_numba_", ignore_cleanup_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = _FOLDER.name
