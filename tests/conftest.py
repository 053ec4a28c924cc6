"""One fresh folder for compiled kernels, and how many examples properties take.

A cached kernel does not notice an edit in a helper of another file. ``--hypothesis-profile=long`` looks for failures
in many other examples each time; without it the examples are always the same.
"""

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("problems")

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read by SciPy when it is imported: checks of scikit-learn ask for it

if "NUMBA_CACHE_DIR" not in os.environ:  # workers of pytest-xdist inherit the folder of the run that starts them
    _FOLDER = tempfile.TemporaryDirectory(prefix="sklearn_robust_numba_", ignore_cleanup_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = _FOLDER.name

CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much]  # the first example compiles kernels
settings.register_profile("ordinary", max_examples=600, derandomize=True, deadline=None, suppress_health_check=CALM)
settings.register_profile("long", max_examples=20_000, derandomize=False, deadline=None, suppress_health_check=CALM)
settings.load_profile("ordinary")
