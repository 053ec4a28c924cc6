"""Every solver reaches the same optimum, by another road."""

import numpy as np
import pytest
from problems import NOISES, ROADS, SOLVERS, each_solver, fresh, make_data, of_size, row_numbers
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor


@pytest.mark.parametrize("model", ROADS, ids=str)
@pytest.mark.parametrize("noise", NOISES)
def test_every_solver_reaches_the_same_optimum(model, noise):
    X, y = make_data(noise, n=80)
    s, v = row_numbers(len(y))
    fits = [fresh(model, solver=solver).fit(X, y, s, v) for solver in SOLVERS]
    for other in fits[1:]:
        assert of_size(other.coef_, fits[0].coef_) <= 1e-6
        assert other.alpha_ == pytest.approx(fits[0].alpha_, abs=1e-5)
        assert other.c_ == pytest.approx(fits[0].c_, rel=1e-5)
        if model.l2_regularization == "auto":  # with a penalty no one function is flat at the optimum
            assert other.objective_ == pytest.approx(fits[0].objective_, abs=1e-9 * s.sum())


@pytest.mark.parametrize("seed", range(40))
def test_solvers_agree_on_small_data_with_heavy_tails(seed):
    rng = np.random.default_rng(5000 + seed)
    n = int(rng.integers(10, 45))
    X = rng.normal(size=(n, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_t(2, size=n) + 5 * (rng.uniform(size=n) < 0.2 * (seed % 2))
    values = [AdaptiveRobustRegressor(solver=solver, max_iter=1000).fit(X, y).objective_ for solver in SOLVERS]
    assert max(values) - min(values) < 1e-6


@pytest.mark.slow
def test_every_solver_reaches_the_same_optimum_over_many_seeds():
    for seed in range(40):
        for noise in NOISES:
            X, y = make_data(noise, n=50, seed=seed)
            for model in ROADS:
                fits = [fresh(model, solver=solver).fit(X, y) for solver in SOLVERS]
                for other in fits[1:]:
                    assert of_size(other.coef_, fits[0].coef_) <= 1e-5, (seed, noise, model)


@each_solver
@pytest.mark.parametrize("alpha", [1.0, 0.0, -2.0, -np.inf])
@pytest.mark.parametrize("c", [1e9, 1e100, 1e154, 1e160, 1.7e308])
def test_c_far_above_all_residuals_is_least_squares(solver, alpha, c):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X.sum(axis=1) + rng.standard_t(2, size=60)
    model = GeneralRobustRegressor(alpha, c, solver=solver).fit(X, y)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=1e-8)


@each_solver
@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_c_below_the_rounding_error_of_y(solver, alpha):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X.sum(axis=1) + rng.standard_t(2, size=60)
    with pytest.warns(ConvergenceWarning, match="or a c far below the residuals"):
        assert not GeneralRobustRegressor(alpha, 1e-160, solver=solver).fit(X, y).converged_
