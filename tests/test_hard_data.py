"""Data at the edge of what a line can be drawn through."""

import numpy as np
import pytest
from problems import assert_finite, both, each_init, each_solver, gaussian, ignored, make_data, of_size, outliers
from sklearn.exceptions import ConvergenceWarning


@both
@each_solver
@each_init
def test_interpolation_is_warned_of(estimator, solver, init):
    rng = np.random.default_rng(0)
    for n, p in ((1, 1), (1, 3), (2, 1), (3, 5), (4, 3), (10, 12)):
        X, y = rng.normal(size=(n, p)), rng.normal(size=n)
        with pytest.warns(UserWarning, match="no more rows than coefficients") as caught:
            model = estimator(solver=solver, init=init).fit(X, y)
        assert len(caught) == 1, [str(each.message) for each in caught]
        assert "\n" not in str(caught[0].message)
        assert_finite(model)
        np.testing.assert_allclose(model.predict(X), y, rtol=0, atol=1e-10)


@both
@each_solver
@each_init
def test_one_row_more_than_coefficients(estimator, solver, init):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        for p in (1, 2, 5):
            X, y = rng.normal(size=(p + 2, p)), rng.normal(size=p + 2)
            assert_finite(estimator(solver=solver, init=init, max_iter=1000).fit(X, y))


@both
@each_solver
@each_init
@pytest.mark.parametrize("value", [0.0, 5.0, -1e6, 1e-300, 1e150])
def test_constant_target(estimator, solver, init, value):
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = estimator(solver=solver, init=init).fit(X, np.full(30, value))
    np.testing.assert_allclose(model.coef_, 0.0, atol=1e-14 * abs(value))
    assert model.intercept_ == pytest.approx(value, rel=1e-14)
    assert_finite(model)
    assert model.c_ <= 1e-14 * abs(value) if model.get_params().get("c", "auto") == "auto" else True
    assert "scale reached its floor" in model.stop_reason_


@both
@each_solver
@each_init
def test_exact_fit_of_most_rows(estimator, solver, init):
    X, _ = make_data(n=50)
    y = X @ [1.0, -2.0, 3.0] + 4.0
    y[:10] += np.linspace(5, 50, 10)
    if init == "ols":
        model = estimator(solver=solver, init=init, max_iter=1000)
        with ignored(ConvergenceWarning):
            assert_finite(model.fit(X, y))
        return
    with pytest.warns(UserWarning, match="lie exactly on the fit"):
        model = estimator(solver=solver, init=init, max_iter=1000).fit(X, y)
    assert_finite(model)
    np.testing.assert_allclose(model.coef_, [1.0, -2.0, 3.0], rtol=1e-10)
    assert model.intercept_ == pytest.approx(4.0, rel=1e-10)
    assert model.c_ < 1e-10


@both
@each_solver
@each_init
@pytest.mark.parametrize("value", [0.0, 1.0, 1e10])
def test_constant_column(estimator, solver, init, value):
    X, y = make_data(outliers)
    plain = estimator(solver=solver, init=init).fit(X, y)
    model = estimator(solver=solver, init=init).fit(np.column_stack((X, np.full(60, value))), y)
    assert model.coef_[3] == pytest.approx(0.0, abs=1e-10)
    assert of_size(model.coef_[:3], plain.coef_) < 1e-6
    assert model.c_ == pytest.approx(plain.c_, rel=1e-6)


@both
@each_solver
@each_init
def test_duplicate_columns_share_the_coefficient(estimator, solver, init):
    X, y = make_data(outliers)
    plain = estimator(solver=solver, init=init).fit(X, y)
    model = estimator(solver=solver, init=init).fit(np.column_stack((X, X[:, 0])), y)
    np.testing.assert_allclose(model.coef_[[0, 3]], plain.coef_[0] / 2, rtol=1e-5)
    assert of_size(model.coef_[1:3], plain.coef_[1:]) < 1e-6
    assert model.c_ == pytest.approx(plain.c_, rel=1e-6)


@both
@each_init
def test_rare_dummies(estimator, init):
    rng = np.random.default_rng(0)
    group = np.concatenate((np.zeros(70, int), np.repeat([1, 2, 3], 9), [4, 4, 5]))
    X = np.column_stack((rng.normal(size=100), np.eye(6)[group]))  # all six: one too many beside the intercept
    y = X @ [2.0, 0, 1, 2, 3, 4, 5] + 0.1 * rng.normal(size=100)
    y[:20] += 50.0
    model = estimator(init=init, max_iter=1000).fit(X, y)
    assert_finite(model)
    if init != "ols":
        assert model.coef_[0] == pytest.approx(2.0, abs=0.1)
        np.testing.assert_allclose(np.diff(model.coef_[1:5]), 1.0, atol=0.3)


@both
@each_solver
@pytest.mark.parametrize("size", [1e-150, 1e-30, 1e30, 1e150])
def test_extreme_units(estimator, solver, size):
    X, y = make_data(outliers)
    plain = estimator(solver=solver).fit(X, y)
    model = estimator(solver=solver).fit(X, y * size)
    assert of_size(model.coef_ / size, plain.coef_) < 1e-7
    assert model.c_ / size == pytest.approx(plain.c_, rel=1e-7)
    model = estimator(solver=solver).fit(X * size, y)
    assert of_size(model.coef_ * size, plain.coef_) < 1e-7
    assert model.c_ == pytest.approx(plain.c_, rel=1e-7)


@both
@each_solver
def test_single_huge_value(estimator, solver):
    X, y = make_data(gaussian)
    plain = estimator(solver=solver, init="s").fit(X[1:], y[1:])
    for huge in (1e6, 1e100, 1e150, 1e200):
        y[0] = huge
        model = estimator(solver=solver, init="s", max_iter=1000).fit(X, y)
        assert_finite(model)
        assert np.abs(model.coef_ - plain.coef_).max() < 1.0
        assert model.weights_[0] < 1e-3
