"""Data, models and comparisons that tests of fits share."""

import warnings
from contextlib import contextmanager
from unittest import SkipTest

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _base

SOLVERS = [solver for solver in _base.SOLVERS if solver != "auto"]
INITS = _base.INITS
LEARNERS = [GeneralRobustRegressor, AdaptiveRobustRegressor]

each_solver = pytest.mark.parametrize("solver", SOLVERS)
each_init = pytest.mark.parametrize("init", INITS)
both = pytest.mark.parametrize("estimator", LEARNERS)

seeds = st.integers(0, 10_000)
few = settings(max_examples=5, deadline=None, derandomize=True)


@contextmanager
def ignored(*categories):
    with warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield


def fresh(model, **changes):
    return type(model)(**model.get_params() | {"max_iter": 1000} | changes)


def gaussian(rng, n):
    return rng.normal(size=n)


def cauchy(rng, n):
    return rng.standard_cauchy(size=n)


def student(rng, n):
    return rng.standard_t(3, size=n)


def outliers(rng, n):
    noise = rng.normal(size=n)
    noise[rng.permutation(n)[: n // 5]] += 30.0
    return noise


def uniform(rng, n):
    return rng.uniform(-1, 1, size=n)


def skewed(rng, n):
    return rng.exponential(size=n) ** 2


NOISES = [gaussian, cauchy, student, outliers, uniform, skewed]


def make_data(noise=student, n=60, p=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.logspace(-1, 1, p) + np.arange(p)
    return X, X @ np.linspace(-2, 3, p) + 1.5 + noise(rng, n)


def row_numbers(n, seed=0):
    """Sample weights with zeros and halves, and noise scales."""
    rng = np.random.default_rng(seed + 1)
    return rng.choice([0.0, 0.5, 1.0, 2.0, 3.0], size=n), rng.uniform(0.3, 3.0, size=n)


def of_size(values, expected):
    """Largest difference, relative to the largest entry."""
    values, expected = np.asarray(values), np.asarray(expected)
    return np.abs(values - expected).max() / np.abs(expected).max()


def assert_same_fit(one, other, rtol, X=None):
    """Coefficients relative to the largest of them, law and, where rows are given, predictions."""
    assert of_size(one.coef_, other.coef_) <= rtol
    assert one.alpha_ == pytest.approx(other.alpha_, abs=10 * rtol)
    assert one.c_ == pytest.approx(other.c_, rel=10 * rtol)
    assert one.scale_ == pytest.approx(other.scale_, rel=10 * rtol)
    if X is None:
        assert one.intercept_ == pytest.approx(other.intercept_, rel=rtol, abs=rtol * np.abs(other.coef_).max())
    else:
        assert of_size(one.predict(X), other.predict(X)) <= rtol


def assert_finite(model):
    for name in ("coef_", "intercept_", "alpha_", "c_", "scale_", "weights_"):
        assert np.isfinite(getattr(model, name)).all(), name


DESCENDING = [
    *(GeneralRobustRegressor(alpha=alpha, init="ols") for alpha in (2.0, 1.5, 1.0, 0.0, -2.0, -np.inf)),
    GeneralRobustRegressor(alpha=-2.0, init="s"),
    GeneralRobustRegressor(alpha=0.5, c=0.05, init="ols"),
    AdaptiveRobustRegressor(init="ols"),
    AdaptiveRobustRegressor(init="s"),
    AdaptiveRobustRegressor(alpha_bounds=(1.0, 1.0), init="ols"),
    AdaptiveRobustRegressor(alpha_bounds=(0.3, 1.7), fit_intercept=False),
]

ROADS = [
    *(GeneralRobustRegressor(alpha=alpha) for alpha in (2.0, 1.0, 0.0, -2.0, -np.inf)),
    GeneralRobustRegressor(alpha=3.0, c=3.0),
    GeneralRobustRegressor(alpha=1.0, fit_intercept=False),
    GeneralRobustRegressor(alpha=0.5, l2_regularization=5.0),
    AdaptiveRobustRegressor(),
    AdaptiveRobustRegressor(init="ols"),
    AdaptiveRobustRegressor(alpha_bounds=(0.0, np.inf)),
    AdaptiveRobustRegressor(alpha_bounds=(1.0, 1.0)),
    AdaptiveRobustRegressor(l2_regularization=5.0),
    AdaptiveRobustRegressor(fit_intercept=False),
]


def pass_check(estimator, check):
    """A check of scikit-learn's passes, and is not skipped."""
    with warnings.catch_warnings():
        # the checks pass tiny, random and duplicated data on purpose, and watch the warnings that matter to them
        warnings.simplefilter("ignore")
        try:
            check(estimator)
        except SkipTest as reason:
            pytest.fail(f"skipped: {reason}")
