"""How a fit changes with the data: units, shifts, tilts, mixtures of columns, order and weights of rows."""

import naive_fit
import numpy as np
import pytest
from hypothesis import given
from problems import (
    assert_same_fit,
    both,
    each_init,
    each_solver,
    few,
    fresh,
    gaussian,
    ignored,
    make_data,
    of_size,
    outliers,
    row_numbers,
    seeds,
    student,
)

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor

MODELS = [
    GeneralRobustRegressor(alpha=1.0),
    GeneralRobustRegressor(alpha=-2.0, init="s"),
    GeneralRobustRegressor(alpha=0.0, init="ols", solver="lbfgs"),
    AdaptiveRobustRegressor(),
    AdaptiveRobustRegressor(init="ols", solver="lbfgs"),
    AdaptiveRobustRegressor(init="s"),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=str)

# what a change of the data does to a fit is the same where the fit warns of outliers
pytestmark = pytest.mark.filterwarnings("ignore:The fit has left its start")


@each_model
@given(seed=seeds)
@few
def test_regression_equivariance(model, seed):
    X, y = make_data(outliers, seed=seed)
    b = np.random.default_rng(seed).normal(size=3) * 10
    plain, moved = fresh(model).fit(X, y), fresh(model).fit(X, y + X @ b + 7.0)
    np.testing.assert_allclose(moved.coef_ - b, plain.coef_, rtol=0, atol=1e-6 * np.abs(b).max())
    assert moved.c_ == pytest.approx(plain.c_, rel=1e-6)
    assert moved.alpha_ == pytest.approx(plain.alpha_, abs=1e-6)
    np.testing.assert_allclose(moved.weights_, plain.weights_, rtol=0, atol=1e-6)


@each_model
@pytest.mark.parametrize("k", [1e-6, 1e6, -3.0])
@given(seed=seeds)
@few
def test_scale_equivariance(model, k, seed):
    X, y = make_data(outliers, seed=seed)
    plain, scaled = fresh(model).fit(X, y), fresh(model).fit(X, k * y)
    rtol = 1e-7 if k > 0 else 1e-6  # a mirrored y has other subsets of rows drawn for the start
    assert of_size(scaled.coef_ / k, plain.coef_) < rtol
    assert scaled.intercept_ / k == pytest.approx(plain.intercept_, abs=rtol * np.abs(y).max())
    assert scaled.c_ / abs(k) == pytest.approx(plain.c_, rel=rtol)
    assert scaled.scale_ / abs(k) == pytest.approx(plain.scale_, rel=rtol)
    assert scaled.alpha_ == pytest.approx(plain.alpha_, abs=1e-6)
    np.testing.assert_allclose(scaled.weights_, plain.weights_, rtol=0, atol=1e-6)


@each_model
@pytest.mark.parametrize("size", [1e-6, 1e3, 1e6])
@given(seed=seeds)
@few
def test_column_scale_and_shift_equivariance(model, size, seed):
    X, y = make_data(outliers, seed=seed)
    k = size ** np.linspace(-1, 1, 3)
    plain = fresh(model).fit(X, y)
    scaled = fresh(model).fit(X * k, y)
    assert of_size(scaled.coef_ * k, plain.coef_) < 1e-7
    assert scaled.c_ == pytest.approx(plain.c_, rel=1e-7)
    shift = size * np.array([1.0, -2.0, 1.0])
    moved = fresh(model).fit(X + shift, y)
    lost = 1e-7 + 1e-13 * size  # digits that the sum X + shift no longer holds
    assert of_size(moved.coef_, plain.coef_) < lost
    assert of_size(moved.predict(X + shift), plain.predict(X)) < lost
    assert moved.c_ == pytest.approx(plain.c_, rel=lost)


@each_model
@given(seed=seeds)
@few
def test_affine_equivariance(model, seed):
    X, y = make_data(outliers, seed=seed)
    A = np.random.default_rng(seed).normal(size=(3, 3)) + 3 * np.eye(3)
    plain, mixed = fresh(model).fit(X, y), fresh(model).fit(X @ A, y)
    # near rows are told column by column: now and then mixed columns start from another candidate, and a c or a width
    # that is a multiple of the start's scale is another
    held = isinstance(model, GeneralRobustRegressor) and model.init != "ols"
    rtol = 0.1 if held or getattr(plain, "contamination_", 0.0) > 0.0 else 1e-6
    assert of_size(A @ mixed.coef_, plain.coef_) < rtol
    assert mixed.c_ == pytest.approx(plain.c_, rel=rtol)
    assert mixed.alpha_ == pytest.approx(plain.alpha_, abs=rtol)


@pytest.mark.parametrize("model", [AdaptiveRobustRegressor(), GeneralRobustRegressor(alpha=-2.0, init="s")], ids=str)
def test_mixed_columns_rarely_start_elsewhere(model):
    close = 0
    for seed in range(60):
        X, y = make_data(outliers, seed=seed)
        A = np.random.default_rng(seed).normal(size=(3, 3)) + 3 * np.eye(3)
        plain, mixed = fresh(model).fit(X, y), fresh(model).fit(X @ A, y)
        close += of_size(A @ mixed.coef_, plain.coef_) < 1e-6
    assert close >= 57


@both
@each_solver
@each_init
@given(seed=seeds)
@few
def test_weights_are_repeated_rows(estimator, solver, init, seed):
    X, y = make_data(outliers, n=50, seed=seed)
    s = np.random.default_rng(seed).integers(0, 4, size=50)
    v = row_numbers(50, seed)[1]
    # steps of IRLS are summed by rounded rates: a small tol leaves no room for where it stops
    parameters = {"solver": solver, "init": init, "max_iter": 1000, "tol": 1e-11}
    weighted = estimator(**parameters).fit(X, y, s, v)
    repeated = estimator(**parameters).fit(np.repeat(X, s, axis=0), np.repeat(y, s), noise_scale=np.repeat(v, s))
    assert_same_fit(weighted, repeated, 1e-8, X)
    assert weighted.objective_ == pytest.approx(repeated.objective_, abs=1e-8 * s.sum())
    np.testing.assert_allclose(np.repeat(weighted.weights_, s), repeated.weights_, rtol=0, atol=1e-7)


@each_model
@given(seed=seeds)
@few
def test_permuted_rows(model, seed):
    X, y = make_data(outliers, seed=seed)
    s, v = row_numbers(60, seed)
    order = np.random.default_rng(seed).permutation(60)
    plain = fresh(model, tol=1e-11).fit(X, y, s, v)
    permuted = fresh(model, tol=1e-11).fit(X[order], y[order], s[order], v[order])
    assert_same_fit(permuted, plain, 1e-8, X)
    np.testing.assert_allclose(permuted.weights_, plain.weights_[order], rtol=0, atol=1e-7)


@each_solver
@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e6])
def test_weights_times_a_constant_change_nothing_where_the_law_is_held(factor, solver):
    X, y = make_data(student)
    s = row_numbers(60)[0]
    model = GeneralRobustRegressor(c=1.0, solver=solver, tol=1e-10)  # more digits than are compared: starts may differ
    plain = fresh(model).fit(X, y, s)
    with ignored(UserWarning):  # weights that sum to less than the coefficients are no frequencies
        scaled = fresh(model).fit(X, y, factor * s)
    assert of_size(scaled.coef_, plain.coef_) < 1e-8
    assert scaled.intercept_ == pytest.approx(plain.intercept_, rel=1e-8)


@each_model
@given(seed=seeds)
@few
def test_noise_scale_divides_rows(model, seed):
    X, y = make_data(outliers, seed=seed)
    s, v = row_numbers(60, seed)
    scaled = fresh(model, fit_intercept=False).fit(X, y, s, v)
    divided = fresh(model, fit_intercept=False).fit(X / v[:, None], y / v, s)
    assert_same_fit(scaled, divided, 1e-6)


@each_model
@given(seed=seeds)
@few
def test_constant_noise_scale_only_divides_c(model, seed):
    X, y = make_data(outliers, seed=seed)
    plain, scaled = fresh(model).fit(X, y), fresh(model).fit(X, y, noise_scale=np.full(60, 3.0))
    assert of_size(scaled.coef_, plain.coef_) < 1e-7
    assert 3 * scaled.c_ == pytest.approx(plain.c_, rel=1e-7)
    assert 3 * scaled.scale_ == pytest.approx(plain.scale_, rel=1e-7)


@both
@pytest.mark.parametrize("unit", [1e-150, 1e-12, 1e-6, 1e9, 1e18])
def test_the_unit_of_noise_scale_only_changes_the_unit_of_c(estimator, unit):
    X, y = make_data(outliers, n=60)
    _, v = row_numbers(len(y))
    plain = estimator().fit(X, y, noise_scale=v)
    other = estimator().fit(X, y, noise_scale=v * unit)
    np.testing.assert_allclose(other.coef_, plain.coef_, rtol=1e-9)
    assert other.c_ * unit == pytest.approx(plain.c_, rel=1e-9)
    assert other.scale_ * unit == pytest.approx(plain.scale_, rel=1e-9)
    assert (other.alpha_, other.n_iter_) == (pytest.approx(plain.alpha_, abs=1e-9), plain.n_iter_)


def test_noise_scale_is_not_a_weight():
    """A row of large error bar counts less, yet is no outlier at a large residual."""
    X, y = make_data(gaussian, n=200)
    v = np.where(np.arange(200) < 40, 30.0, 1.0)
    y[:40] += 30.0 * np.random.default_rng(5).normal(size=40)
    plain = AdaptiveRobustRegressor(contamination=0.0)
    with_bars, without = fresh(plain).fit(X, y, noise_scale=v), fresh(plain).fit(X, y)
    assert with_bars.alpha_ > 1.5 > without.alpha_
    assert with_bars.weights_[:40].mean() > 0.5 > without.weights_[:40].mean()


@each_model
@pytest.mark.parametrize("wild", [1e3, 1e150, 1e300])
def test_rows_of_zero_weight_are_ignored_however_wild(model, wild):
    X, y = make_data(outliers)
    s = np.ones(60)
    s[::7] = 0.0
    plain = fresh(model).fit(X[s > 0], y[s > 0])
    X[::7], y[::7] = wild, -wild
    model = fresh(model).fit(X, y, s)
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-12)
    assert model.intercept_ == pytest.approx(plain.intercept_, rel=1e-12)
    assert model.c_ == pytest.approx(plain.c_, rel=1e-12)
    np.testing.assert_allclose(model.weights_[s > 0], plain.weights_, rtol=1e-9)
    with np.errstate(over="ignore"):
        expected = naive_fit.model_weight(model, naive_fit.residuals(model, X, y))
    np.testing.assert_allclose(model.weights_, expected, rtol=1e-9, atol=1e-290)
