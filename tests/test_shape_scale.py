"""The learned law: a stationary point of line 2, no worse than held ones, the maximum likelihood of SciPy."""

import naive_fit
import numpy as np
import pytest
from problems import (
    NOISES,
    cauchy,
    each_solver,
    gaussian,
    ignored,
    make_data,
    of_size,
    outliers,
    row_numbers,
    student,
    uniform,
)
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from sklearn_robust import AdaptiveRobustRegressor


@each_solver
@pytest.mark.parametrize("bounds", [(0.0, 2.0), (0.0, 0.0), (1.0, 1.0), (0.4, 1.6), (2.0, 2.0), (0.0, 6.0)])
@pytest.mark.parametrize("l2", [0.0, 3.0])
@pytest.mark.parametrize("noise", NOISES)
def test_learned_law_is_a_stationary_point_of_line_2(noise, l2, bounds, solver):
    X, y = make_data(noise, n=80)
    s, v = row_numbers(len(y))
    model = AdaptiveRobustRegressor(alpha_bounds=bounds, l2_regularization=l2, solver=solver, max_iter=1000)
    model.fit(X, y, s, v)
    assert model.converged_, model.stop_reason_
    low, high = bounds
    assert low <= model.alpha_ <= high
    assert np.abs(naive_fit.coefficient_gradient(model, X, y, s, v, l2)).max() < 3e-7
    shape, scale = naive_fit.law_gradient(model, X, y, s, v, l2)
    assert abs(scale) < 3e-7
    if low < high and model.alpha_ != 2.0:
        if model.alpha_ == low:
            assert shape > -1e-6
        elif model.alpha_ == high:
            assert shape < 1e-6
        else:
            assert abs(shape) < 1e-5 if model.alpha_ < 1e-2 else abs(shape) < 3e-7


@pytest.mark.parametrize("noise", NOISES)
def test_no_held_shape_is_better_than_the_learned_one(noise):
    for seed in range(5):
        X, y = make_data(noise, n=100, seed=seed)
        learned = AdaptiveRobustRegressor(contamination=0.0).fit(X, y)
        for alpha in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 1.9, 2.0):
            held = AdaptiveRobustRegressor(alpha_bounds=(alpha, alpha), contamination=0.0).fit(X, y)
            assert learned.objective_ <= held.objective_ + 1e-9 * len(y), (seed, alpha, learned.alpha_)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("noise", [gaussian, cauchy, outliers, uniform])
def test_joint_optimum_is_the_slow_one(noise, fit_intercept):
    X, y = make_data(noise, n=20, p=1, seed=3)
    J, alpha, c, coef, _ = naive_fit.joint_optimum(X, y, np.linspace(0, 2, 9), fit_intercept)
    model = AdaptiveRobustRegressor(contamination=0.0, fit_intercept=fit_intercept).fit(X, y)
    assert model.objective_ == pytest.approx(J, abs=1e-6)
    assert model.alpha_ == pytest.approx(alpha, abs=1e-2)
    assert model.c_ == pytest.approx(c, rel=1e-2)
    assert of_size(model.coef_, coef) < 1e-2


def test_without_coefficients_it_is_the_maximum_likelihood_of_scipy():
    rng = np.random.default_rng(0)
    X = np.zeros((300, 1))
    y = stats.cauchy.rvs(scale=3.0, size=300, random_state=rng)
    model = AdaptiveRobustRegressor(alpha_bounds=(0, 0), contamination=0.0, fit_intercept=False).fit(X, y)
    assert np.sqrt(2) * model.c_ == pytest.approx(stats.cauchy.fit(y, floc=0.0)[1], rel=1e-4)
    assert model.objective_ == pytest.approx(-stats.cauchy.logpdf(y, scale=np.sqrt(2) * model.c_).sum(), rel=1e-10)
    y = rng.normal(scale=3.0, size=300)
    model = AdaptiveRobustRegressor(alpha_bounds=(2, 2), contamination=0.0, fit_intercept=False).fit(X, y)
    assert model.c_ == pytest.approx(np.sqrt(np.mean(y**2)), rel=1e-9)
    assert model.objective_ == pytest.approx(-stats.norm.logpdf(y, scale=model.c_).sum(), rel=1e-10)


@each_solver
@pytest.mark.parametrize("factor", [1.1, 1.5, 4.0])
def test_alpha_is_learned_where_c_min_holds_the_scale(solver, factor):
    X, y = make_data(outliers, n=60)
    c_min = factor * AdaptiveRobustRegressor().fit(X, y).c_
    model = AdaptiveRobustRegressor(c_min=c_min, solver=solver, max_iter=1000).fit(X, y)
    assert model.c_ == pytest.approx(c_min, rel=1e-12)
    assert model.stop_reason_ == "The scale reached c_min."
    for alpha in np.linspace(0, 2, 21):  # no other shape is better at the same floor
        other = AdaptiveRobustRegressor(c_min=c_min, alpha_bounds=(alpha, alpha), init="ols", max_iter=1000).fit(X, y)
        if other.c_ <= c_min * (1 + 1e-9):
            assert model.objective_ <= other.objective_ + 1e-7


def errors_among_few_rows(noise, models, n=60, p=12, sets=40):
    """Root mean square error of the coefficients of each model, and the shapes of the first, over some data sets."""
    squares, shapes = np.zeros((sets, len(models))), np.zeros(sets)
    for seed in range(sets):
        rng = np.random.default_rng([seed, n, p])
        X = rng.normal(size=(n, p))
        y = X.sum(axis=1) + noise(rng, n)
        fits = [model.fit(X, y) for model in models]
        squares[seed] = [np.mean((fit.coef_ - 1.0) ** 2) for fit in fits]
        shapes[seed] = fits[0].alpha_
    return np.sqrt(squares.mean(axis=0)), shapes


def test_few_rows_a_coefficient_do_not_pass_for_gaussian():
    models = AdaptiveRobustRegressor(), AdaptiveRobustRegressor(alpha_bounds=(0.0, 1.9999)), LinearRegression()
    (ours, plain, _), shapes = errors_among_few_rows(student, models)
    assert np.mean(shapes <= 1.5) >= 0.75
    assert ours <= 0.97 * plain
    (ours, _, squares), shapes = errors_among_few_rows(gaussian, models)
    assert ours <= 1.02 * squares
    assert {1.5, 2.0} <= set(shapes)
    _, shapes = errors_among_few_rows(uniform, models[:1])
    assert np.mean(shapes == 2.0) >= 0.9  # tails so light are no matter of few rows


@pytest.mark.parametrize("contamination", ["auto", 0.0])
@each_solver
def test_shape_of_few_rows_a_coefficient_is_at_its_bound_of_15_or_at_an_optimum(solver, contamination):
    for seed in range(10):
        X, y = make_data(noise=gaussian, n=40, p=9, seed=seed)
        model = AdaptiveRobustRegressor(contamination=contamination, solver=solver, max_iter=1000).fit(X, y)
        held = AdaptiveRobustRegressor(alpha_bounds=(0.0, 1.5), contamination=0.0, solver=solver, max_iter=1000)
        assert model.converged_
        if model.contamination_ > 0.0:
            assert contamination == "auto"
        elif model.alpha_ <= 1.5:
            held.fit(X, y)
            assert of_size(model.coef_, held.coef_) < 1e-6
            assert model.alpha_ == pytest.approx(held.alpha_, abs=1e-5)
        else:
            assert model.alpha_ == 2.0
            residuals = np.abs(y - model.predict(X))
            assert residuals.mean() ** 2 >= 2.0 / np.pi * np.mean(residuals**2)


def test_a_fit_of_few_rows_a_coefficient_goes_on_where_it_was_cut_short():
    X, y = make_data(noise=gaussian, n=50, p=10)
    whole = AdaptiveRobustRegressor().fit(X, y)
    assert whole.alpha_ == 1.5
    model = AdaptiveRobustRegressor(warm_start=True, max_iter=2)
    with ignored(ConvergenceWarning):
        for _ in range(8):
            model.fit(X, y)
    assert model.converged_
    assert (model.history_["alpha"] == 1.5).all()
    assert of_size(model.coef_, whole.coef_) < 1e-6


@pytest.mark.parametrize(
    ("bounds", "alpha"), [((1.6, 2.0), 2.0), ((1.5, 2.0), 2.0), ((1.4, 2.0), 1.5), ((0.0, 1.9), 1.9)]
)
def test_a_bound_that_few_rows_would_pass_leaves_alpha_free(bounds, alpha):
    X, y = make_data(noise=gaussian, n=50, p=10)
    assert AdaptiveRobustRegressor(alpha_bounds=bounds).fit(X, y).alpha_ == alpha


def test_from_ten_rows_a_coefficient_on_alpha_may_be_two():
    _, shapes = errors_among_few_rows(gaussian, [AdaptiveRobustRegressor()], n=130)
    assert np.mean(shapes == 2.0) > 0.6
    assert not np.any(shapes == 1.5)


def test_a_shape_that_grows_without_bound():
    rng = np.random.default_rng(62)
    n, p = int(rng.integers(5, 14)), int(rng.integers(1, 6))
    X, y, noise = rng.normal(size=(n, p)), rng.standard_t(2, size=n), 10.0 ** rng.uniform(-4, 4, size=n)
    with pytest.warns(ConvergenceWarning, match="max_iter was reached"):
        model = AdaptiveRobustRegressor(alpha_bounds=(0, np.inf), max_iter=150).fit(X, y, noise_scale=noise)
    assert model.alpha_ > 1e10
    assert np.isfinite(model.coef_).all()
