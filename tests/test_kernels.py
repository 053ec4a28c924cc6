"""Kernels: exact, through landmarks, and ridge with more columns than rows."""

import pickle
import re
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import naive_fit
import naive_kernels
import numpy as np
import pytest
from problems import SOLVERS, both, fresh, ignored, of_size, row_numbers
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import pairwise_kernels, rbf_kernel
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.utils import get_tags
from threadpoolctl import threadpool_info

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _forms
from sklearn_robust._fit import driver, flexible
from sklearn_robust._fit.objective import Law
from sklearn_robust._rows import blocks, cpu, kernels
from sklearn_robust._rows.frame import NONE, Frame

each_solver = pytest.mark.parametrize("solver", SOLVERS)

NAMES = ["linear", "rbf", "laplacian", "polynomial", "poly", "cosine", "chi2"]
LAWS = [
    *(GeneralRobustRegressor(alpha=alpha) for alpha in (2.0, 1.0, 0.0, -2.0, -np.inf, 3.0)),
    AdaptiveRobustRegressor(),
    AdaptiveRobustRegressor(contamination=0.0),
    AdaptiveRobustRegressor(alpha_bounds=(1.0, 1.0), fit_intercept=False),
]
each_law = pytest.mark.parametrize("law", LAWS, ids=str)


def dot(x, z, power=1):
    return float(x @ z) ** power


def make_data(n=80, p=3, seed=0, outliers=0.0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.1, 2.0, size=(n, p))
    y = np.sin(3 * X).sum(axis=1) + 0.1 * rng.normal(size=n)
    y[: int(outliers * n)] += rng.uniform(3, 20, size=int(outliers * n))
    return X, y


def make_wide(n=30, p=250, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.logspace(-1, 1, p) + np.linspace(-5, 5, p)
    return X, 3.0 + X[:, :5].sum(axis=1) + rng.standard_t(3, size=n)


def sine(seed, n=400):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n, 1))
    truth = np.sin(2 * X[:, 0])
    y = truth + 0.1 * rng.normal(size=n)
    bad = rng.permutation(n)[: int(0.15 * n)]
    y[bad] += rng.uniform(3, 20, size=len(bad)) * (rng.choice([-1, 1], size=len(bad)) if seed % 2 else 1)
    return X, y, truth


# --- what is known to the last digits -------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kernel", [*NAMES, dot, "precomputed"])
def test_least_squares_without_intercept_is_kernel_ridge(kernel, weighted):
    X, y = make_data()
    weights = row_numbers(80)[0] if weighted else None
    Z = X[:7] + 0.05
    if kernel == "precomputed":
        X, Z = pairwise_kernels(X, metric="rbf", gamma=0.7), pairwise_kernels(Z, X, metric="rbf", gamma=0.7)
    params = {"kernel": kernel, "gamma": 0.3, "degree": 2, "coef0": 0.5}
    peer = KernelRidge(alpha=0.3, **params).fit(X, y, weights)
    model = GeneralRobustRegressor(2.0, l2_regularization=0.3, fit_intercept=False, **params).fit(X, y, weights)
    np.testing.assert_allclose(model.predict(Z), peer.predict(Z), rtol=1e-8)
    if kernel not in ("linear", "precomputed") and not weighted:
        np.testing.assert_allclose(model.dual_coef_, peer.dual_coef_, rtol=1e-8, atol=1e-10)
        np.testing.assert_array_equal(model.X_fit_, X)
    assert model.l2_regularization_ == 0.3


def test_a_kernel_that_is_positive_but_for_a_constant():
    X, y = make_data(n=40)
    K = pairwise_kernels(X, metric="additive_chi2")
    assert np.linalg.eigvalsh(K)[0] < -1.0
    a, b = naive_kernels.weighted_ridge(K, y, np.ones(40), 0.3)
    model = GeneralRobustRegressor(2.0, kernel="additive_chi2", l2_regularization=0.3).fit(X, y)
    np.testing.assert_allclose(model.predict(X), K @ a + b, rtol=1e-8)


@pytest.mark.parametrize(
    ("kernel", "strength", "fit_intercept"),
    [("sigmoid", 10.0, True), ("sigmoid", 10.0, False), ("additive_chi2", 1000.0, False)],
)
def test_least_squares_with_negative_eigenvalues_below_the_strength(kernel, strength, fit_intercept):
    X, y = make_data(n=150, p=4)
    y, K = y if kernel == "sigmoid" else y + 20.0, pairwise_kernels(X, metric=kernel)
    a, b = naive_kernels.weighted_ridge(K, y, np.ones(150), strength, fit_intercept)
    assert a @ K @ a < 0.0
    model = GeneralRobustRegressor(2.0, kernel=kernel, l2_regularization=strength, fit_intercept=fit_intercept)
    np.testing.assert_allclose(model.fit(X, y).predict(X), K @ a + b, rtol=1e-8)
    assert model.converged_


def test_parameters_of_a_callable_kernel():
    X, y = make_data()
    params = {"kernel": dot, "kernel_params": {"power": 2}, "l2_regularization": 0.3, "fit_intercept": False}
    model = GeneralRobustRegressor(2.0, **params).fit(X, y)
    named = GeneralRobustRegressor(2.0, **params | {"kernel": "poly", "degree": 2, "coef0": 0, "gamma": 1}).fit(X, y)
    np.testing.assert_allclose(model.predict(X), named.predict(X), rtol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares_with_more_columns_than_rows_is_ridge(fit_intercept, weighted):
    X, y = make_wide()
    weights = np.resize([1.0, 2.0, 0.5], 30) if weighted else None
    model = GeneralRobustRegressor(2.0, l2_regularization=2.0, fit_intercept=fit_intercept).fit(X, y, weights)
    peer = Ridge(alpha=2.0, fit_intercept=fit_intercept).fit(X, y, weights)
    assert of_size(model.coef_, peer.coef_) <= 1e-8
    assert model.intercept_ == pytest.approx(peer.intercept_, rel=1e-8)
    assert not hasattr(model, "dual_coef_") or model.coef_.shape == (250,)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_more_columns_than_rows_in_very_different_units_are_ridge(strength, fit_intercept):
    X, y = make_wide(n=50)
    X *= np.repeat([1e6, 1e3, 1.0], [1, 1, 248])
    model = GeneralRobustRegressor(alpha=2.0, l2_regularization=strength, fit_intercept=fit_intercept).fit(X, y)
    expected = Ridge(strength, fit_intercept=fit_intercept, solver="svd").fit(X, y)
    assert of_size(model.coef_, expected.coef_) <= 1e-8
    assert model.l2_regularization_ == strength


def test_outliers_where_columns_have_very_different_units():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 300))
    y = X[:, 2:6].sum(axis=1) + X[:, 0] + 0.1 * rng.normal(size=60)
    clean, X[:, 0] = y.copy(), 1e6 * X[:, 0]
    y[:9] += 20.0
    model = AdaptiveRobustRegressor(l2_regularization=10.0).fit(X, y)
    assert model.contamination_ == pytest.approx(0.15, abs=0.05)
    assert rmse(model, X[9:], clean[9:]) < 0.2


def test_a_penalty_that_is_too_small_for_many_columns():
    X, y = make_wide()
    with pytest.warns(UserWarning, match=r"1e-12 with more columns than rows is as good .*scale the columns of X\.$"):
        GeneralRobustRegressor(l2_regularization=1e-12, c=1.0).fit(X, y)


@pytest.mark.parametrize("noised", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_least_squares_is_weighted_kernel_ridge_by_dense_systems(fit_intercept, noised):
    X, y = make_data(n=40)
    weights, noise = row_numbers(40)
    weights, noise = weights + 0.25, noise if noised else np.ones(40)
    K = pairwise_kernels(X, metric="rbf", gamma=0.5)
    a, b = naive_kernels.weighted_ridge(K, y, weights / noise**2, 0.3, fit_intercept)
    for params in ({}, {"n_components": 40}):
        model = GeneralRobustRegressor(2.0, kernel="rbf", gamma=0.5, l2_regularization=0.3, **params)
        model.set_params(fit_intercept=fit_intercept).fit(X, y, weights, noise)
        np.testing.assert_allclose(model.predict(X), K @ a + b, rtol=1e-7)


# --- one optimum, by many roads -------------------------------------------------------------------------------------


@each_law
@pytest.mark.parametrize("numbered", [False, True])
def test_a_fit_is_where_both_lines_are_flat(law, numbered):
    X, y = make_data(n=60, outliers=0.1)
    numbers = [values + 0.25 for values in row_numbers(60)] if numbered else []
    model = fresh(law, kernel="rbf", gamma=0.5).fit(X, y, *numbers)
    slopes, scale = naive_kernels.slopes(model, pairwise_kernels(X, metric="rbf", gamma=0.5), y, *numbers)
    assert np.abs(slopes).max() < 1e-6
    if isinstance(law, AdaptiveRobustRegressor):
        assert abs(scale) < 1e-6
    residuals = (y - model.predict(X)) / (numbers[1] if numbered else 1.0)
    np.testing.assert_allclose(model.weights_, naive_fit.model_weight(model, residuals), rtol=1e-6, atol=1e-307)


@each_law
@pytest.mark.parametrize(("strength", "numbers"), [("auto", ()), (0.3, row_numbers(80))], ids=["auto", "numbers"])
@pytest.mark.parametrize("n_components", [None, 25])
def test_every_solver_reaches_the_same_optimum(law, n_components, strength, numbers):
    X, y = make_data(outliers=0.1)
    fits = [
        fresh(law, kernel="rbf", gamma=0.5, n_components=n_components, solver=solver, l2_regularization=strength).fit(
            X, y, *numbers
        )
        for solver in SOLVERS
    ]
    for other in fits[1:]:
        assert of_size(other.predict(X), fits[0].predict(X)) <= 1e-6
        assert other.c_ == pytest.approx(fits[0].c_, rel=1e-5)
        assert other.alpha_ == pytest.approx(fits[0].alpha_, abs=1e-5)
        assert other.l2_regularization_ == fits[0].l2_regularization_


@each_law
@pytest.mark.parametrize("strength", ["auto", 0.2])
def test_as_many_landmarks_as_rows_are_the_exact_kernel(law, strength):
    X, y = make_data(outliers=0.1)
    c = {"c": 0.3} if isinstance(law, GeneralRobustRegressor) else {}  # "auto" is a multiple of the start's scale
    exact = fresh(law, kernel="rbf", gamma=0.5, l2_regularization=strength, **c).fit(X, y)
    primal = clone(exact).set_params(n_components=80).fit(X, y)
    assert primal.l2_regularization_ == pytest.approx(exact.l2_regularization_, rel=1e-4)
    assert of_size(primal.predict(X), exact.predict(X)) <= 1e-5
    assert primal.c_ == pytest.approx(exact.c_, rel=1e-4)


@pytest.mark.parametrize("law", [*LAWS[:3], LAWS[-1]], ids=str)
def test_more_columns_than_rows_by_the_columns(law, monkeypatch):
    X, y = make_wide()
    wide = fresh(law, l2_regularization=20.0).fit(X, y)
    assert "dual_coef_" in vars(wide)
    monkeypatch.setattr(_forms, "_MANY_COLUMNS", 1000)
    primal = clone(wide).fit(X, y)
    assert "dual_coef_" not in vars(primal)
    if wide.c_ != pytest.approx(primal.c_, rel=1e-6):  # c comes from another start
        assert isinstance(law, GeneralRobustRegressor)
        wide, primal = (fresh(law, c=2.0, l2_regularization=20.0).fit(X, y) for _ in range(2))
    assert of_size(wide.coef_, primal.coef_) <= 1e-6
    np.testing.assert_allclose(wide.predict(X), primal.predict(X), rtol=1e-6)


@both
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_more_columns_than_rows_without_penalty_are_the_smallest_norm(estimator, fit_intercept, monkeypatch):
    X, y = make_wide()
    with pytest.warns(UserWarning, match="through every row"):
        wide = estimator(fit_intercept=fit_intercept).fit(X, y)
    monkeypatch.setattr(_forms, "_MANY_COLUMNS", 1000)
    with pytest.warns(UserWarning, match="through every row"):
        primal = estimator(fit_intercept=fit_intercept).fit(X, y)
    assert of_size(wide.coef_, primal.coef_) <= 1e-8
    assert wide.intercept_ == pytest.approx(primal.intercept_, rel=1e-8)


def test_wide_rows_that_repeat_are_fitted_robustly(monkeypatch):
    X, y = make_wide()
    X, y = np.repeat(X, 5, axis=0), np.repeat(y, 5) + 0.1 * np.random.default_rng(0).normal(size=150)
    X = np.hstack((X, X))
    y[::5] += 100.0
    fits = []
    for many in (200, 1000):
        monkeypatch.setattr(_forms, "_MANY_COLUMNS", many)
        fits.append(GeneralRobustRegressor(alpha=1.0, c=1.0, init="ols").fit(X, y))
    assert of_size(fits[0].coef_, fits[1].coef_) <= 1e-5  # of columns that are there twice, in either basis
    assert fits[0].weights_[::5].max() < 0.05 < fits[0].weights_[1::5].min()


@each_law
@pytest.mark.parametrize("n_components", [None, 25])
def test_a_precomputed_kernel_is_the_named_one(law, n_components):
    X, y = make_data(outliers=0.1)
    K = pairwise_kernels(X, metric="rbf", gamma=0.5)
    named = fresh(law, kernel="rbf", gamma=0.5).fit(X, y, row_numbers(80)[0])
    given = fresh(law, kernel="precomputed", n_components=n_components).fit(K, y, row_numbers(80)[0])
    Z = X[:9] + 0.03
    predicted = given.predict(pairwise_kernels(Z, X, metric="rbf", gamma=0.5))
    if n_components is None:
        assert of_size(predicted, named.predict(Z)) <= 1e-9
        assert of_size(given.weights_, named.weights_) <= 1e-7
    else:
        assert given.component_indices_.shape == (25,)
    assert given.dual_coef_.shape == ((80,) if n_components is None else (25,))


@pytest.mark.parametrize("n_components", [None, 20])
def test_weights_are_repeated_rows(n_components):
    X, y = make_data(n=50, outliers=0.1)
    repeats = np.random.default_rng(0).integers(0, 4, size=50)
    for law in (GeneralRobustRegressor(alpha=0.0, c=0.3), AdaptiveRobustRegressor(contamination=0.0)):
        law.set_params(kernel="rbf", gamma=0.5, l2_regularization=0.1, n_components=n_components)
        weighted = clone(law).fit(X, y, repeats)
        repeated = clone(law).fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
        assert of_size(weighted.predict(X), repeated.predict(X)) <= 1e-6
        assert weighted.c_ == pytest.approx(repeated.c_, rel=1e-6)


@pytest.mark.parametrize("seed", [4, 5, 9, 10])
def test_repeated_rows_choose_the_strength_that_weights_do(seed):
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(40, 300)), int(rng.integers(1, 4))
    X = rng.uniform(-3.0, 3.0, size=(n, p))
    y = np.sin(2.0 * X).sum(axis=1) + 0.1 * rng.normal(size=n)
    y[: n // 8] += rng.uniform(3.0, 20.0, size=n // 8) if seed % 2 else 0.0
    repeats = rng.integers(0, 5, size=n)
    rows = rng.permutation(np.repeat(np.arange(n), repeats))  # more than there are landmarks
    weighted = AdaptiveRobustRegressor(kernel="rbf").fit(X, y, repeats)
    repeated = clone(weighted).fit(X[rows], y[rows])
    assert repeated.l2_regularization_ == pytest.approx(weighted.l2_regularization_, rel=1e-6)
    assert repeated.c_ == pytest.approx(weighted.c_, rel=1e-6)
    assert of_size(repeated.predict(X), weighted.predict(X)) <= 1e-6


def plane_and_wave(seed, n=100, spoiled=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    y = np.sin(X[:, 0]) + X[:, -1] + 0.3 * rng.normal(size=n)
    y[:spoiled] += rng.choice([-1.0, 1.0], size=spoiled) * rng.uniform(3, 20, size=spoiled)
    return X, y, rng


def test_weights_are_no_reason_to_call_a_held_scale_small():
    X, y, _ = plane_and_wave(0)
    model = GeneralRobustRegressor(-2.0, c=0.5, kernel="rbf", l2_regularization=0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, np.full(100, 4.0))


@pytest.mark.parametrize("n_components", [None, 60])
@pytest.mark.parametrize("spoiled", [0, 10])
def test_rows_that_are_there_more_than_once_are_no_signal(spoiled, n_components):
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=n_components)
    for seed in range(4):
        X, y, rng = plane_and_wave(seed, spoiled=spoiled)
        plain = clone(model).fit(X, y)
        repeats = rng.integers(1, 5, size=100)
        weighted = clone(model).fit(X, y, repeats)
        repeated = clone(model).fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
        for each in (weighted, repeated):
            assert 0.75 * plain.scale_ < each.scale_ < 1.2 * plain.scale_
            assert each.contamination_ == pytest.approx(plain.contamination_, abs=0.05 if spoiled else 0.0)
            assert plain.l2_regularization_ < each.l2_regularization_ < 4.0 * plain.l2_regularization_
        assert of_size(weighted.predict(X), repeated.predict(X)) <= 0.15


def test_of_many_rows_that_are_there_more_than_once_too():
    X, y, _ = plane_and_wave(0, n=3000)
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=60)
    plain = clone(model).fit(X, y)
    repeated = clone(model).fit(np.repeat(X, 3, axis=0), np.repeat(y, 3))
    assert repeated.l2_regularization_ == pytest.approx(3.0 * plain.l2_regularization_, rel=0.3)
    assert repeated.scale_ == pytest.approx(plain.scale_, rel=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_a_bootstrap_sample_has_the_noise_of_its_rows(seed):
    X, y, rng = plane_and_wave(seed, n=200)
    drawn = rng.integers(0, 200, size=200)
    model, once = AdaptiveRobustRegressor(kernel="rbf"), np.unique(drawn)
    expected = clone(model).fit(X[once], y[once]).scale_
    model.fit(X[drawn], y[drawn])
    assert 0.85 * expected < model.scale_ < 1.1 * expected
    assert model.contamination_ == 0.0


@pytest.mark.parametrize("strength", ["auto", 0.1])
@pytest.mark.parametrize("n_components", [None, 25])
@each_law
def test_weights_times_a_factor_are_the_same_fit(law, n_components, strength):
    X, y = make_data(n=60, outliers=0.1)
    plain = fresh(law, kernel="rbf", gamma=0.5, n_components=n_components, l2_regularization=strength).fit(X, y)
    heavy = clone(plain)
    heavy.set_params(l2_regularization=strength if strength == "auto" else 4.0 * strength).fit(X, y, np.full(60, 4.0))
    assert of_size(heavy.predict(X), plain.predict(X)) <= 1e-7
    for name in ("c_", "scale_", "alpha_"):
        assert getattr(heavy, name) == pytest.approx(getattr(plain, name), rel=1e-6)
    assert heavy.l2_regularization_ == pytest.approx(4.0 * plain.l2_regularization_, rel=1e-6)
    assert heavy.objective_ == pytest.approx(4.0 * plain.objective_, rel=1e-6)


@pytest.mark.parametrize("n_components", [None, 20])
def test_rows_of_weight_zero_are_no_rows(n_components):
    X, y = make_data(outliers=0.1)
    kept = np.arange(80) % 3 != 0
    model = AdaptiveRobustRegressor(kernel="rbf", gamma=0.5, n_components=n_components)
    zero, without = clone(model).fit(X, y, kept.astype(float)), clone(model).fit(X[kept], y[kept])
    np.testing.assert_allclose(zero.predict(X), without.predict(X), rtol=1e-9)
    np.testing.assert_allclose(zero.weights_[kept], without.weights_, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(zero.weights_, naive_fit.model_weight(zero, y - zero.predict(X)), rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("n_components", [None, 20])
def test_units_do_not_matter(n_components):
    X, y = make_data(outliers=0.1)
    model = AdaptiveRobustRegressor(kernel="rbf", gamma=0.5, n_components=n_components)
    plain = clone(model).fit(X, y)
    shifted = clone(model).fit(X + 1024.0, 1e6 * y + 1e7)
    np.testing.assert_allclose(shifted.predict(X + 1024.0), 1e6 * plain.predict(X) + 1e7, rtol=1e-6)
    assert shifted.c_ == pytest.approx(1e6 * plain.c_, rel=1e-6)
    order = np.random.default_rng(0).permutation(80)
    assert of_size(clone(model).fit(X[order], y[order]).predict(X), plain.predict(X)) <= 1e-7


# --- robust ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params", [{}, {"gamma": 0.1}, {"gamma": 10.0}, {"gamma": 100.0}, {"n_components": 50}], ids=str
)
@pytest.mark.parametrize("law", [AdaptiveRobustRegressor(), GeneralRobustRegressor(alpha=-2)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_outliers_do_not_move_a_curve(law, params, seed):
    X, y, truth = sine(seed)
    model = fresh(law, kernel="rbf", **params).fit(X, y)
    assert np.sqrt(np.mean((model.predict(X) - truth) ** 2)) < 0.08
    assert model.scale_ == pytest.approx(0.1, abs=0.02)
    peer = KernelRidge(kernel="rbf", gamma=params.get("gamma")).fit(X, y)
    assert np.sqrt(np.mean((peer.predict(X) - truth) ** 2)) > 1.0 or seed % 2
    if isinstance(law, AdaptiveRobustRegressor):
        assert model.contamination_ == pytest.approx(0.15, abs=0.03)
        flagged, bad = model.outlier_proba(X, y) > 0.5, np.abs(y - truth) > 1.0
        assert flagged[bad].all()
        assert flagged[~bad].mean() <= 0.01


@pytest.mark.parametrize("kind", ["scattered", "level"])
@pytest.mark.parametrize("law", [AdaptiveRobustRegressor(), GeneralRobustRegressor(alpha=-2)], ids=str)
def test_two_fifths_of_outliers_on_one_side(law, kind):
    errors = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-3, 3, size=(400, 1))
        truth = np.sin(2 * X[:, 0]) if kind == "scattered" else np.sin(X[:, 0])
        y = truth + 0.1 * rng.normal(size=400)
        bad = rng.permutation(400)[:160]
        y[bad] += rng.uniform(3, 20, size=160) if kind == "scattered" else 10.0 + 0.1 * rng.normal(size=160)
        errors.append(rmse(fresh(law, kernel="rbf").fit(X, y), X, truth))
    assert np.median(errors) < 0.06  # a few of such sets mislead any start


def friedman(spoiled, n=150, seed=0):
    X, y = make_friedman1(n, noise=1.0, random_state=seed)
    new, truth = make_friedman1(500, noise=0.0, random_state=seed + 100)
    rng = np.random.default_rng(seed)
    bad = rng.permutation(n)[: int(spoiled * n)]
    target = y.copy()
    target[bad] += rng.uniform(3, 20, size=len(bad)) * y.std()
    return X, target, np.isin(np.arange(n), bad), new, truth


def rmse(model, X, truth):
    return np.sqrt(np.mean((model.predict(X) - truth) ** 2))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("spoiled", [0.1, 0.3])
@pytest.mark.parametrize(
    "params",
    [{}, {"n_components": 60}, {"l2_regularization": 1e-3}, {"l2_regularization": 1.0}],
    ids=str,
)
def test_outliers_where_the_model_could_follow_every_row(params, spoiled, seed):
    X, y, bad, new, truth = friedman(spoiled, seed=seed)
    model = AdaptiveRobustRegressor(kernel="rbf", gamma=1.0, **params)
    clean = rmse(clone(model).fit(X[~bad], y[~bad]), new, truth)
    model.fit(X, y)
    assert model.contamination_ == pytest.approx(spoiled, abs=0.05)
    assert rmse(model, new, truth) < (1.15 if spoiled < 0.2 else 1.3) * clean


def test_plain_fits_that_could_follow_every_row_stay_robust():
    X, y, bad, new, truth = friedman(0.1)
    model = AdaptiveRobustRegressor(kernel="rbf", gamma=1.0, contamination=0.0)
    clean = rmse(clone(model).fit(X[~bad], y[~bad]), new, truth)
    assert rmse(model.fit(X, y), new, truth) < 1.3 * clean


@pytest.mark.parametrize("strength", ["auto", 1e-3, 1.0])
def test_clean_rows_that_a_model_could_follow_have_no_background(strength):
    for seed in range(10):
        X, y, _, _, _ = friedman(0.0, n=100, seed=seed)
        model = AdaptiveRobustRegressor(kernel="rbf", gamma=1.0, l2_regularization=strength)
        assert model.fit(X, y).contamination_ == 0.0


def test_a_curve_without_outliers_has_no_background():
    X, _, truth = sine(0)
    found = []
    for seed in range(20):
        y = truth + 0.1 * np.random.default_rng(seed).normal(size=400)
        model = AdaptiveRobustRegressor(kernel="rbf").fit(X, y)
        found.append((model.contamination_ > 0.0, model.scale_))
    share, scale = np.mean(found, axis=0)
    assert share <= 0.1
    assert scale == pytest.approx(0.1, rel=0.03)


def test_the_scale_does_not_shrink_where_the_model_is_flexible():
    rng = np.random.default_rng(0)
    scales = []
    for _ in range(10):
        X = rng.uniform(-3, 3, size=(100, 1))
        y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=100)
        model = AdaptiveRobustRegressor(kernel="rbf", gamma=30.0, l2_regularization=0.01).fit(X, y)
        scales.append((model.scale_, np.sqrt(np.mean((y - model.predict(X)) ** 2))))
    with_freedom, plain = np.mean(scales, axis=0)
    assert with_freedom == pytest.approx(0.1, rel=0.15)
    assert plain < 0.8 * with_freedom


@pytest.mark.parametrize("spoiled", [False, True])
def test_errors_on_real_data(spoiled):
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import scale

    X, y = load_diabetes(return_X_y=True)
    X, rng = scale(X), np.random.default_rng(0)
    train = y.copy()
    if spoiled:
        bad = rng.permutation(len(y))[: len(y) // 10]
        train[bad] += rng.uniform(3, 20, size=len(bad)) * y.std()
    folds = KFold(3, shuffle=True, random_state=0)
    errors = []
    for model in (AdaptiveRobustRegressor(kernel="rbf", gamma=0.01), KernelRidge(kernel="rbf", gamma=0.01)):
        predicted = np.empty(len(y))
        for some, rest in folds.split(X):
            predicted[rest] = model.fit(X[some], train[some]).predict(X[rest])
        errors.append(np.median(np.abs(y - predicted)))
    assert errors[0] < (0.8 if spoiled else 1.0) * errors[1]


# --- the strength of the penalty ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_likeliest_strength_by_dense_determinants(fit_intercept):
    X, y = make_data(n=40)
    K = pairwise_kernels(X, metric="rbf", gamma=0.5)
    phi = K @ kernels.whitening(K)
    frame = Frame.of(phi, y, NONE, fit_intercept)
    rows = blocks.Rows(phi, y, NONE, NONE, frame)
    objective = driver._objective(rows, GeneralRobustRegressor(2.0)._policy(frame), 1.0, None, True)
    point = objective.at(np.zeros(frame.n_coefs), Law(-2.0, 3.0), cpu.GRAM)
    spectrum = flexible.Spectrum.of(objective, point)
    grid = np.logspace(-4, 2, 241)
    if fit_intercept:
        costs = [naive_kernels.marginal_cost(K, y, point.weights, l2, spectrum.count) for l2 in grid]
        assert spectrum.likeliest() == pytest.approx(grid[np.argmin(costs)], rel=0.06)
        d = naive_kernels.degrees_of_freedom(K, 0.3, point.weights)
    else:
        d = np.trace(K @ np.linalg.inv(K + 0.3 * np.diag(1 / point.weights)))
    assert spectrum.dof(0.3) == pytest.approx(d, rel=1e-6)


def test_more_noise_asks_for_a_stronger_penalty():
    X, y = make_data(n=150)
    noise = np.random.default_rng(1).normal(size=150)
    models = [AdaptiveRobustRegressor(kernel="rbf", gamma=0.5).fit(X, y + s * noise) for s in (0.0, 0.5, 2.0)]
    strengths = [model.l2_regularization_ for model in models]
    assert strengths == sorted(strengths)
    assert strengths[2] > 10 * strengths[0]


# --- landmarks ------------------------------------------------------------------------------------------------------


def test_landmarks_are_ridge_on_their_features():
    X, y = make_data()
    model = GeneralRobustRegressor(2.0, kernel="rbf", gamma=0.5, n_components=15, l2_regularization=0.1).fit(X, y)
    assert model.components_.shape == (15, 3)
    np.testing.assert_array_equal(model.components_, X[model.component_indices_])
    values, vectors = np.linalg.eigh(pairwise_kernels(model.components_, metric="rbf", gamma=0.5))
    turn = vectors / np.sqrt(values)
    phi = pairwise_kernels(X, model.components_, metric="rbf", gamma=0.5) @ turn
    peer = Ridge(alpha=0.1).fit(phi, y)
    np.testing.assert_allclose(model.predict(X), peer.predict(phi), rtol=1e-7)


def test_landmarks_that_coincide_do_no_harm():
    X, y = make_data()
    X, y = np.vstack((X[:20],) * 4), np.tile(y[:20], 4) + 0.1 * np.random.default_rng(0).normal(size=80)
    few, many = (
        AdaptiveRobustRegressor(kernel="rbf", gamma=0.5, n_components=m, l2_regularization=0.1).fit(X, y)
        for m in (20, 70)
    )
    assert len(np.unique(few.components_, axis=0)) == 20
    assert few.c_ == pytest.approx(many.c_, rel=1e-5)
    np.testing.assert_allclose(few.predict(X), many.predict(X), rtol=1e-5)


@pytest.mark.parametrize("n_components", [None, 20])
def test_rows_far_from_most_others_keep_their_distances_to_the_rest(n_components):
    rng = np.random.default_rng(0)
    place = rng.uniform(-2, 2, size=80)
    X = (place + np.repeat(np.arange(4) * 1e8, 20))[:, None]
    y = np.sin(2 * place) + 0.1 * rng.normal(size=80)
    K = np.exp(-((X - X.T) ** 2))
    found = AdaptiveRobustRegressor(kernel="rbf", n_components=n_components, l2_regularization=0.1).fit(X, y)
    if n_components is None:
        given = AdaptiveRobustRegressor(kernel="precomputed", l2_regularization=0.1).fit(K, y)
        np.testing.assert_allclose(found.predict(X), given.predict(K), atol=1e-6)
    np.testing.assert_allclose(found.predict(X), np.sin(2 * place), atol=0.6)


def test_rows_of_weight_zero_may_be_anywhere():
    X, y = make_data()
    weights = np.ones(len(y))
    weights[::4] = 0.0
    wild = np.where(weights[:, None] > 0.0, X, 1e12)
    for model in (AdaptiveRobustRegressor(kernel="rbf"), AdaptiveRobustRegressor(kernel="rbf", n_components=10)):
        found, expected = clone(model).fit(wild, y, weights), clone(model).fit(X[weights > 0], y[weights > 0])
        np.testing.assert_allclose(found.predict(X), expected.predict(X), rtol=1e-9)


def test_a_constant_kernel_of_large_values():
    model = AdaptiveRobustRegressor(kernel="poly").fit(np.full((70, 2), 255.0), make_data(n=70)[1])
    # the dual coefficients sum to zero up to rounding, which the values of the kernel, 3e13, enlarge
    assert model.predict([[255.0, 255.0]]) == pytest.approx(model.intercept_, abs=0.01)


@pytest.mark.parametrize("n_components", [None, 5])
@both
def test_rows_that_are_all_the_same(estimator, n_components):
    _, y = make_data(n=30)
    model = estimator(kernel="rbf", n_components=n_components).fit(np.ones((30, 2)), y)
    np.testing.assert_allclose(model.predict([[1.0, 1.0]]), np.median(y), atol=2 * y.std())


def test_features_made_in_every_pass_are_those_kept(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 2))
    y = np.sin(X).sum(axis=1) + 0.1 * rng.standard_t(3, size=5000)
    kept = AdaptiveRobustRegressor(kernel="rbf", n_components=30).fit(X, y)
    monkeypatch.setattr(kernels, "kept_bytes", lambda: 80_000)
    made = clone(kept).fit(X, y)
    assert of_size(made.predict(X), kept.predict(X)) <= 1e-8
    assert made.c_ == pytest.approx(kept.c_, rel=1e-8)
    weights = np.ones(5000)
    weights[::7] = 0.0
    np.testing.assert_allclose(clone(made).fit(X, y, weights).weights_.shape, (5000,))


def test_features_that_are_not_kept_take_no_memory(monkeypatch):
    monkeypatch.setattr(kernels, "kept_bytes", lambda: 80_000)
    rng = np.random.default_rng(0)
    n, m = 60_000, 100
    X = rng.normal(size=(n, 2))
    y = np.sin(X).sum(axis=1) + rng.normal(size=n)
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=m, l2_regularization=1.0)
    model.fit(X[:5000], y[:5000])
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * 8 * n * m


def test_random_state_draws_landmarks():
    X, y = make_data()
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=10)
    one, same, other = (clone(model).set_params(random_state=seed).fit(X, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.dual_coef_, same.dual_coef_)
    assert (one.component_indices_ != other.component_indices_).any()


# --- citizens of scikit-learn ---------------------------------------------------------------------------------------


def test_pairwise_tag_and_cross_validation():
    X, y = make_data(outliers=0.1)
    K = pairwise_kernels(X, metric="rbf", gamma=0.5)
    named = AdaptiveRobustRegressor(kernel="rbf", gamma=0.5)
    given = AdaptiveRobustRegressor(kernel="precomputed")
    assert get_tags(given).input_tags.pairwise
    assert not get_tags(named).input_tags.pairwise
    np.testing.assert_allclose(cross_val_predict(given, K, y), cross_val_predict(named, X, y), rtol=1e-6)


@pytest.mark.parametrize("n_components", [None, 20])
def test_clone_pickle_and_grid_search(n_components):
    X, y = make_data(outliers=0.1)
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=n_components)
    search = GridSearchCV(model, {"gamma": [0.01, 0.5, 50.0]}, scoring="neg_median_absolute_error").fit(X, y)
    assert search.best_params_["gamma"] < 50.0
    best = search.best_estimator_
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(X), best.predict(X))
    assert clone(best).get_params() == best.get_params()


@pytest.mark.parametrize("params", [{"kernel": "rbf"}, {"kernel": "rbf", "n_components": 20}], ids=str)
@both
def test_warm_start_goes_on(estimator, params):
    X, y = make_data(outliers=0.1)
    cold = estimator(gamma=0.5, **params).fit(X, y)
    warm = estimator(gamma=0.5, warm_start=True, **params).fit(X, y).fit(X, y)
    assert warm.n_iter_ <= cold.n_iter_
    assert of_size(warm.predict(X), cold.predict(X)) <= 1e-6


def test_a_fit_leaves_nothing_of_the_one_before():
    X, y = make_data()
    model = AdaptiveRobustRegressor(kernel="rbf").fit(X, y)
    assert not hasattr(model, "coef_")
    assert list(model.history_.columns) == ["objective", "alpha", "c", "share", "gradient"]
    model.set_params(kernel="linear").fit(X, y)
    assert not hasattr(model, "dual_coef_")
    np.testing.assert_allclose(model.predict(X), X @ model.coef_ + model.intercept_)


# --- hard data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_hard_data_give_finite_predictions(seed):
    rng = np.random.default_rng(seed)
    n, p = int(rng.choice([1, 2, 3, 5, 12, 40])), int(rng.choice([1, 2, 6, 250]))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.choice([0, -6, 6]) + rng.choice([0.0, 1e3, 1e8])
    y = rng.choice([rng.standard_cauchy(size=n), np.zeros(n), np.full(n, 7.0), np.round(rng.normal(size=n))])
    y = y * 10.0 ** rng.choice([0, 6, -6, 100, -100])
    params = {
        "kernel": ("rbf", "laplacian", "linear", "cosine")[seed % 4],
        "l2_regularization": ("auto", 1.0, 0.0, 1e-6, 1e6)[seed % 5],
        "fit_intercept": bool(rng.random() < 0.7),
        "solver": SOLVERS[seed % 3],
        "init": ("auto", "ols", "lad")[rng.integers(3)],
        "n_components": None if seed % 2 else int(rng.integers(1, n + 1)),
    }
    weights = rng.choice([0.5, 1.0, 2.0], size=n) if seed % 7 == 0 else None
    for model in (AdaptiveRobustRegressor(**params), GeneralRobustRegressor(alpha=0.0, **params)):
        with ignored(UserWarning):  # of exact fits, of no penalty, of fits that did not converge
            predicted = model.fit(X, y, weights).predict(X)
        assert np.isfinite(predicted).all()
        assert np.abs(predicted).max() <= 10 * np.abs(y).max()


def test_threads_of_the_blas_are_given_back(monkeypatch):
    monkeypatch.setattr(kernels, "kept_bytes", lambda: 8000)
    X, y = make_data(n=3000)
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=10)
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    with ThreadPoolExecutor(3) as pool:
        fits = list(pool.map(lambda _: clone(model).fit(X, y).predict(X), range(3)))
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()] == before
    np.testing.assert_array_equal(fits[0], fits[1])


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kernel": "gauss"}, "kernel must be one of"),
        ({"kernel": "rbf", "gamma": -1.0}, "gamma must be"),
        ({"kernel": "rbf", "degree": -1}, "degree must be"),
        ({"kernel": "rbf", "coef0": np.inf}, "coef0 must be"),
        ({"kernel": dot, "kernel_params": [2]}, "kernel_params must be"),
        *(
            ({"kernel": kernel, "kernel_params": {name: 1}}, rf"^kernel_params must be .*Got kernel_params=.*{name!r}")
            for kernel in (dot, "rbf")
            for name in ("X", "Y", "metric", "filter_params", "n_jobs", 3)
        ),
        (
            {"kernel": dot, "kernel_params": {"pow": 2}},
            "^kernel must be a function of two rows .*raised TypeError: .*pow",
        ),
        ({"kernel": rbf_kernel}, r"^kernel must be a function of two rows .*raised ValueError: Expected 2D array"),
        (
            {"kernel": np.multiply, "n_components": 5},
            r"^kernel must be .*, which returned ndarray of shape \(3,\); .*by its",
        ),
        ({"kernel": lambda x, z: None}, "^kernel must be a function of two rows .*returned NoneType"),
        ({"kernel": lambda x, z: x[0] + x @ z}, "^kernel must be symmetric: .*rows 0 and 79"),
        ({"kernel": "rbf", "n_components": 0}, "n_components must be"),
        ({"kernel": "rbf", "n_components": 81}, "at most the number of rows, n_samples=80"),
        ({"kernel": "rbf", "l2_regularization": -1.0}, "l2_regularization must be"),
        ({"kernel": "rbf", "init": "s"}, "init must be"),
        ({"kernel": "sigmoid", "gamma": 5.0, "coef0": -3.0}, "without negative eigenvalues"),
        ({"kernel": "poly", "degree": 400, "gamma": 1e3}, "kernel must give finite numbers"),
        ({"kernel": "precomputed"}, "square matrix"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
@both
def test_bad_parameters_are_one_clear_line(estimator, params, message):
    X, y = make_data()
    with pytest.raises(ValueError, match=message) as caught:
        estimator(**params).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_components", [None, 20])
def test_a_precomputed_kernel_of_another_size_at_predict(n_components):
    X, y = make_data()
    model = AdaptiveRobustRegressor(kernel="precomputed", n_components=n_components)
    model.fit(pairwise_kernels(X, metric="rbf"), y)
    for width in (79, 20):
        with pytest.raises(ValueError, match=r"expecting 80 features .*pass k\(X_new, X\)") as caught:
            model.predict(np.ones((3, width)))
        assert "\n" not in str(caught.value)
        assert ("component_indices_" in str(caught.value)) == (n_components is not None)
        bad = np.ones((3, width))
        bad[2, 4] = np.nan
        with pytest.raises(ValueError, match=r"^X must be finite\. Got NaN at row 2, column 4"):
            model.predict(bad)


@pytest.mark.parametrize("n_components", [None, 20])
@pytest.mark.parametrize("kernel", ["chi2", "additive_chi2"])
def test_negative_entries_where_a_kernel_knows_none(kernel, n_components):
    X, y = make_data()
    model, bad = AdaptiveRobustRegressor(kernel=kernel, n_components=n_components), X.copy()
    bad[7, 2], bad[5, 1] = -0.25, -0.5
    weights = np.where(np.arange(80) == 5, 0.0, 1.0)
    asked = (lambda: model.fit(bad, y, weights), 7), (lambda: model.fit(X, y).predict(bad[6:]), 1)
    for ask, row in asked:
        line = f"^X must not be negative for kernel='{kernel}'. Got -0.25 at row {row}, column 2; scale"
        with pytest.raises(ValueError, match=line) as caught:
            ask()
        assert "\n" not in str(caught.value)


def asymmetric(kind, K):
    rng = np.random.default_rng(1)
    if kind == "half":
        return np.tril(K)
    if kind == "noise":
        return K + 1e-3 * np.triu(rng.normal(size=K.shape), 1)
    return K[rng.permutation(len(K))]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_components", [None, 20])
@pytest.mark.parametrize("kind", ["half", "noise", "permuted"])
@both
def test_a_precomputed_kernel_is_symmetric(estimator, kind, n_components, weighted):
    X, y = make_data()
    weights = 1.0 - (np.arange(80) % 4 == 1) if weighted else None
    model, K = estimator(kernel="precomputed", n_components=n_components), pairwise_kernels(X, metric="rbf")
    bad = asymmetric(kind, K)
    with pytest.raises(ValueError, match=r"X must be a symmetric matrix .*; pass k\(X, X\)") as caught:
        model.fit(bad, y, weights)
    found = re.search(r"Got (\S+) at row (\d+), column (\d+) and (\S+) at", str(caught.value)).groups()
    row, column = int(found[1]), int(found[2])
    assert (f"{bad[row, column]:.3g}", f"{bad[column, row]:.3g}") == (found[0], found[3])
    assert not weighted or weights[row] * weights[column] == 1.0
    model.fit(pairwise_kernels(X.astype(np.float32), metric="rbf").astype(np.float32), y, weights)
    if weighted:  # what is of no weight may be anything
        K[1] = 7.0
        model.fit(K, y, weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("strength", ["auto", 0.01, 10.0])
@both
def test_a_matrix_of_distances_is_no_kernel(estimator, strength, weighted):
    X, y = make_data()
    weights = np.where(np.arange(80) == 0, 2.0, 1.0) if weighted else None
    for kernel, given in (("precomputed", np.abs(X[:, :1] - X[:, :1].T)), ("additive_chi2", X)):
        model = estimator(kernel=kernel, l2_regularization=strength, fit_intercept=False)
        with ignored(UserWarning), pytest.raises(ValueError, match="without negative eigenvalues"):
            model.fit(given, y, weights)


def test_a_strength_that_shows_negative_eigenvalues_is_no_overflow():
    X, y = make_data(n=150, p=4)
    with pytest.raises(ValueError, match="without negative eigenvalues"):
        AdaptiveRobustRegressor(kernel="sigmoid", l2_regularization=10.0).fit(X, y)


def test_no_penalty_with_an_exact_kernel_is_warned_of():
    X, y = make_data()
    with pytest.warns(UserWarning, match="as good as no penalty"):
        model = GeneralRobustRegressor(c=1.0, kernel="laplacian", gamma=0.5, l2_regularization=0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-6)


def test_a_kernel_too_large_for_memory_is_refused(monkeypatch):
    X, y = make_data()
    monkeypatch.setattr(kernels, "memory", lambda: 100_000.0)
    with pytest.raises(ValueError, match=r"80 rows needs 0.0 GiB.*n_components"):
        AdaptiveRobustRegressor(kernel="rbf").fit(X, y)
    AdaptiveRobustRegressor(kernel="rbf", n_components=10).fit(X, y)
    monkeypatch.undo()
    X = np.zeros((2_000_000, 1))
    with pytest.raises(ValueError, match=r"needs 89407.0 GiB"):
        AdaptiveRobustRegressor(kernel="rbf").fit(X, np.arange(2e6))


FORMS = [{"kernel": "rbf"}, {"kernel": "rbf", "n_components": 20}]


def curve(n=120):
    rng = np.random.default_rng(0)
    X = rng.uniform(-3.0, 3.0, size=(n, 1))
    Y = np.column_stack((np.sin(2.0 * X[:, 0]), np.cos(X[:, 0]))) + 0.1 * rng.normal(size=(n, 2))
    Y[:12, 0] += 5.0
    return X, Y


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_tails_know_a_kernel_and_standard_errors_say_that_they_do_not(form):
    X, Y = curve()
    model = AdaptiveRobustRegressor(**form).fit(X, Y[:, 0])
    assert model.outlier_proba(X, Y[:, 0])[:12].min() > 0.99
    assert model.outlier_pvalue(X, Y[:, 0])[:12].max() < 1e-6 < model.outlier_pvalue(X, Y[:, 0])[12:].min()
    assert model.log_density(X, Y[:, 0])[:12].max() < model.log_density(X, Y[:, 0])[12:].min()
    asked = (
        model.conf_int,
        model.summary,
        lambda: model.covariance_,
        lambda: model.robust_r2_,
        lambda: model.predict_interval(X),
        lambda: model.influence(X, Y[:, 0]),
    )
    for ask in asked:
        with pytest.raises(ValueError, match=r"linear models with a dense X .* a kernel; bootstrap"):
            ask()


def test_standard_errors_are_for_rows_that_are_more_than_columns():
    X = np.random.default_rng(0).normal(size=(40, 300))
    model = GeneralRobustRegressor(l2_regularization=1.0).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="a fit with more columns than rows"):
        model.conf_int()


@both
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_several_targets(estimator, form, weighted):
    X, Y = curve()
    weights = np.ones(len(X))
    weights[20:30] = 0.0 if weighted else 1.0
    model = estimator(**form).fit(X, Y, sample_weight=weights)
    for j, y in enumerate(Y.T):
        alone = estimator(**form).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(model.predict(X)[:, j], alone.predict(X), atol=1e-8)
        np.testing.assert_allclose(model.weights_[:, j], alone.weights_, atol=1e-8)
        assert model.dual_coef_[:, j].shape == alone.dual_coef_.shape
        assert model.l2_regularization_[j] == pytest.approx(alone.l2_regularization_)
    straight = X[:, 0] + np.random.default_rng(1).normal(size=len(X))
    model.set_params(kernel="linear", n_components=None).fit(X, straight)
    assert not hasattr(model, "dual_coef_") and model.coef_.shape == (1,)


@both
def test_a_kernel_is_for_a_dense_X(estimator):
    X, Y = curve()
    with pytest.raises(TypeError, match="X must be dense for a kernel"):
        estimator(kernel="rbf").fit(sparse.csr_array(X), Y[:, 0])


def test_a_kernel_gets_its_own_default_of_gamma():
    X = np.abs(np.random.default_rng(0).normal(size=(40, 3)))
    y = X.sum(axis=1) + 0.1 * np.cos(7 * X[:, 0])
    ours = AdaptiveRobustRegressor(kernel="chi2").fit(X, y)
    given = AdaptiveRobustRegressor(kernel="chi2", gamma=1.0).fit(X, y)
    np.testing.assert_array_equal(ours.predict(X), given.predict(X))


@pytest.mark.parametrize("n_components", [None, 20])
def test_rows_whose_distances_overflow_are_predicted_as_far_away(n_components):
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = AdaptiveRobustRegressor(kernel="rbf", n_components=n_components).fit(X, X.sum(axis=1))
    np.testing.assert_allclose(model.predict(1e200 * X[:3]), model.intercept_, rtol=1e-12)
