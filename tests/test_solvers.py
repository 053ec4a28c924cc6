"""Every solver reaches the same optimum, by another road."""

import numpy as np
import pytest
from problems import NOISES, ROADS, SOLVERS, fresh, make_data, of_size, row_numbers

from sklearn_robust import AdaptiveRobustRegressor


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
