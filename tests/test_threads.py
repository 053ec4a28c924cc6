"""Fits at once, in threads and processes, give the bits of one fit alone."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_robust import AdaptiveRobustRegressor
from sklearn_robust._rows.threads import run_all


def fitted(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120_000, 10))  # several chunks of rows
    y = X.sum(axis=1) + rng.standard_t(3, size=len(X))
    return AdaptiveRobustRegressor().fit(X, y).coef_


@pytest.fixture(scope="module")
def alone():
    with threadpool_limits(1):
        return fitted()


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_every_part_is_done_once_and_none_after_a_failure(n_threads):
    done = []

    def fails(part):
        done.append(part)
        if part == 3:
            raise ZeroDivisionError("of a part")
        time.sleep(0.001)

    with threadpool_limits(n_threads):
        run_all(done.append, 100)
        assert sorted(done) == list(range(100))
        done.clear()
        with pytest.raises(ZeroDivisionError, match="of a part"):
            run_all(fails, 100)
    ended = len(done)
    assert ended < 100  # those that nobody has begun are left
    time.sleep(0.05)
    assert len(done) == ended  # nobody goes on after the call


def test_a_thread_that_is_held_up_holds_up_no_other():
    others = threading.Semaphore(0)

    def task(part):
        if part == 0:
            for _ in range(19):
                assert others.acquire(timeout=10.0)
        else:
            others.release()

    with threadpool_limits(2):
        run_all(task, 20)


def test_in_threads(alone):
    with ThreadPoolExecutor(3) as pool:
        for coef in pool.map(lambda _: fitted(), range(4)):
            np.testing.assert_array_equal(coef, alone)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_under_joblib(alone, backend):
    for coef in Parallel(n_jobs=2, backend=backend)(delayed(fitted)() for _ in range(2)):
        np.testing.assert_array_equal(coef, alone)


OF_A_PROCESS = """
import sys
import numpy as np
from sklearn_robust._rows.scales import clean_scale
from sklearn_robust._rows.subsets import refine_s
rng = np.random.default_rng(0)
Xt, y, ones = rng.normal(size=(3, 200)), rng.normal(size=200), np.ones(200)
if sys.argv[1] == "after another":
    clean_scale(y, ones, 200.0, 3.0)
print(*(refine_s(Xt, y, ones, 3.0, theta[None], 100, 1e-8)[0].tobytes().hex() for theta in rng.normal(size=(20, 3))))
"""


def test_what_was_compiled_before_does_not_change_a_bit(tmp_path):
    def bits(what):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / what)}
        command = [sys.executable, "-c", OF_A_PROCESS, what]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    assert bits("alone") == bits("after another") != ""


def test_after_fork(alone):
    np.testing.assert_array_equal(fitted(), alone)  # the pool of threads exists before the fork
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for coef in pool.map(fitted, [0, 0]):
            np.testing.assert_array_equal(coef, alone)


def test_nan_in_many_rows_is_found_without_reading_them_for_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(110_000, 10))
    y = X.sum(axis=1)
    for value, row in ((np.nan, 0), (np.inf, 99_999)):
        wrong = X.copy()
        wrong[row, 3] = value
        with pytest.raises(ValueError, match=rf"^X must be finite\. Got {'NaN' if np.isnan(value) else 'inf'} at row"):
            AdaptiveRobustRegressor().fit(wrong, y)


def test_linear_algebra_gets_its_threads_back():
    X = np.random.default_rng(0).normal(size=(300, 5))
    y = X.sum(axis=1)

    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: AdaptiveRobustRegressor().fit(X, y), range(12)))
    assert threads() == before
    with pytest.raises(ValueError, match="y must be finite"):
        AdaptiveRobustRegressor().fit(X, np.full(len(X), np.nan))
    assert threads() == before
