"""The package as it is installed: where nothing can be written, and what an import of it brings along."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sklearn_robust"
NOT_IMPORTED = ("matplotlib", "dask", "distributed", "cupy", "numba.cuda", "statsmodels", "polars", "pylmrob")
NOWHERE = os.path.join(os.devnull, "nowhere")  # below a file there is no folder, for root either

NO_CACHE = """
from numba import njit
from sklearn_robust import losses
from sklearn_robust._loss.rho import fading_mean
try:
    njit(cache=True)(fading_mean.py_func)
except RuntimeError as error:
    assert "no locator available" in str(error), error
else:
    raise AssertionError("a cache can be written after all")
assert abs(losses.weight(1.0, 0.0) - 1.0 / 1.5) < 1e-15
"""
FIT = """
import numpy as np
from sklearn_robust import AdaptiveRobustRegressor
X = np.arange(20.0)[:, None]
y = 2.0 * X[:, 0] + 1.0 + 0.1 * np.sin(7.0 * X[:, 0])
y[3] = 1000.0
model = AdaptiveRobustRegressor().fit(X, y)
assert abs(model.coef_[0] - 2.0) < 0.01 and abs(model.intercept_ - 1.0) < 0.1, (model.coef_, model.intercept_)
"""
BITS = """
import warnings
import numpy as np
from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
for n, p in (80, 3), (300, 10), (1500, 7), (2000, 33):
    for df in 2.0, 100.0:
        X, noise = rng.normal(size=(n, p)), rng.standard_t(df, size=n)
        noise[: n // 10] += 20.0
        for model in (
            AdaptiveRobustRegressor(),
            AdaptiveRobustRegressor(contamination=0.0, l2_regularization=10.0),
            AdaptiveRobustRegressor(contamination=0.2, solver="irls", max_iter=5),
            GeneralRobustRegressor(alpha=-np.inf, init="s"),
        ):
            for weights in None, rng.uniform(size=n):
                model.fit(X, X.sum(axis=1) + noise, sample_weight=weights)
                print(model.coef_.tobytes().hex(), model.c_, model.covariance_.tobytes().hex())
"""
IMPORT = f"""
import sys
import sklearn_robust, sklearn_robust.losses, sklearn_robust.distributions, sklearn_robust.datasets
print(*[name for name in {NOT_IMPORTED} if name in sys.modules])
"""


def run(script, folder, **environment):
    """Output of a script in a process of its own that finds the package in a folder."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-B", "-c", script],
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    return found.stdout.strip()


@pytest.fixture
def installed(tmp_path):
    """A copy of the package where nobody can write, root included: the folders of caches are files."""
    copy = tmp_path / "site"
    shutil.copytree(PACKAGE, copy / "sklearn_robust", ignore=shutil.ignore_patterns("__pycache__"))
    folders = [copy, *(path for path in copy.rglob("*") if path.is_dir())]
    for folder in folders:
        (folder / "__pycache__").touch()
        folder.chmod(0o555)
    yield copy
    for folder in folders:
        folder.chmod(0o755)


def run_without_cache(script, folder):
    # numba looks for a folder in NUMBA_CACHE_DIR, beside the file, and in the user's cache
    places = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "IPYTHONDIR")
    return run(script, folder, **dict.fromkeys(places, NOWHERE))


@pytest.mark.skipif(os.name == "nt", reason="the null device is no file there")
def test_functions_of_a_read_only_installation_work_without_a_cache(installed):
    assert run_without_cache(NO_CACHE, installed) == ""


@pytest.mark.slow  # every kernel is compiled
@pytest.mark.skipif(os.name == "nt", reason="the null device is no file there")
def test_a_fit_of_a_read_only_installation_works_without_a_cache(installed):
    assert run_without_cache(NO_CACHE + FIT, installed) == ""


def test_a_process_that_compiles_gets_the_bits_of_one_that_reads_the_cache(tmp_path):
    compiled, cached = (run(BITS, PACKAGE.parent, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert len(compiled) > 10_000
    assert compiled == cached


def test_an_import_brings_no_heavy_library_along():
    assert run(IMPORT, PACKAGE.parent) == ""
