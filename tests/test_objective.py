"""What is lowered: coefficients are stationary points of line 1, and for held laws those of Ridge and SciPy."""

import naive_fit
import numpy as np
import pytest
from problems import NOISES, each_solver, make_data, of_size, row_numbers, student
from scipy.optimize import least_squares
from sklearn.linear_model import LinearRegression, Ridge

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor


@each_solver
@pytest.mark.parametrize("l2", [0.0, 3.0])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("alpha", [2.0, 1.5, 1.0, 0.0, -2.0, -np.inf])
def test_coefficients_are_a_stationary_point_of_line_1(alpha, noise, l2, solver):
    X, y = make_data(noise)
    s, v = row_numbers(len(y))
    model = GeneralRobustRegressor(alpha=alpha, l2_regularization=l2, solver=solver, max_iter=1000).fit(X, y, s, v)
    assert model.converged_, model.stop_reason_
    assert np.abs(naive_fit.coefficient_gradient(model, X, y, s, v, l2)).max() < 3e-7


@each_solver
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_alpha_2_is_ridge(weighted, l2, fit_intercept, solver):
    X, y = make_data(student, p=4)
    s = row_numbers(len(y))[0] if weighted else None
    peer = (Ridge(l2, fit_intercept=fit_intercept) if l2 else LinearRegression(fit_intercept=fit_intercept)).fit(
        X, y, s
    )
    common = {"l2_regularization": l2, "fit_intercept": fit_intercept, "solver": solver}
    for model in (
        GeneralRobustRegressor(alpha=2, **common),
        GeneralRobustRegressor(alpha=2, c=0.01, **common),
        AdaptiveRobustRegressor(alpha_bounds=(2, 2), contamination=0.0, **common),
    ):
        model.fit(X, y, s)
        assert of_size(model.coef_, peer.coef_) < 1e-8
        assert model.intercept_ == pytest.approx(peer.intercept_, abs=1e-8 * np.abs(peer.coef_).max())
        np.testing.assert_allclose(model.predict(X), peer.predict(X), rtol=0, atol=1e-8 * np.abs(y).max())
    weights = naive_fit.ones_for_none(s, y)
    d = naive_fit.degrees_of_freedom(X, s, None, fit_intercept, l2)
    rss = weights @ (y - peer.predict(X)) ** 2
    assert model.c_ == pytest.approx(np.sqrt(rss / (weights.sum() - d)), rel=1e-9)
    assert model.scale_ == pytest.approx(model.c_, rel=1e-9)
    assert model.alpha_ == 2.0


@each_solver
@pytest.mark.parametrize(("alpha", "loss", "factor"), [(1.0, "soft_l1", 1.0), (0.0, "cauchy", np.sqrt(2))])
def test_held_shape_is_the_least_squares_of_scipy(alpha, loss, factor, solver):
    X, y = make_data(student)
    model = GeneralRobustRegressor(alpha=alpha, c=1.5, solver=solver).fit(X, y)
    design = np.column_stack((np.ones(len(y)), X))
    peer = least_squares(
        lambda theta: y - design @ theta,
        np.linalg.lstsq(design, y, rcond=None)[0],
        jac=lambda theta: -design,
        loss=loss, f_scale=factor * 1.5, xtol=1e-15, ftol=1e-15, gtol=1e-13,
    )  # fmt: skip
    np.testing.assert_allclose([model.intercept_, *model.coef_], peer.x, rtol=1e-6)


def test_weights_that_sum_to_one_keep_the_balance_with_the_penalty():
    X, y = make_data(n=50)
    s = np.full(50, 0.02)
    expected = Ridge(alpha=1.0).fit(X, y, sample_weight=s).coef_
    fixed = GeneralRobustRegressor(2.0, c=1.0, l2_regularization=1.0).fit(X, y, s)
    np.testing.assert_allclose(fixed.coef_, expected, rtol=1e-10)
    with pytest.warns(UserWarning, match="sample_weight sums to 1"):
        learned = AdaptiveRobustRegressor(alpha_bounds=(2.0, 2.0), l2_regularization=1.0).fit(X, y, s)
    np.testing.assert_allclose(learned.coef_, expected, rtol=1e-10)
