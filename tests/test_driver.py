"""The loop of a fit: no step raises the objective, and warm or short fits are parts of long ones."""

import naive_fit
import numpy as np
import pytest
from problems import (
    DESCENDING,
    NOISES,
    both,
    cauchy,
    each_solver,
    fresh,
    gaussian,
    ignored,
    make_data,
    of_size,
    outliers,
    row_numbers,
    student,
    uniform,
)
from sklearn.exceptions import ConvergenceWarning

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor
from sklearn_robust._fit import newton
from sklearn_robust._rows import cpu


@each_solver
@pytest.mark.parametrize("model", DESCENDING, ids=str)
@pytest.mark.parametrize("noise", NOISES)
def test_no_iteration_raises_the_objective(model, noise, solver):
    X, y = make_data(noise)
    s, v = row_numbers(len(y))
    model = fresh(model, solver=solver).fit(X, y, s, v)
    assert model.converged_, model.stop_reason_
    values = naive_history(model, X, y, s, v)
    slack = 1e-12 * (np.abs(values).max() + s.sum())
    assert np.diff(values).max(initial=0.0) <= slack
    np.testing.assert_allclose(model.history_["objective"], values, rtol=0, atol=10 * slack)
    assert model.objective_ == model.history_["objective"].iloc[-1]


def naive_history(model, X, y, s, v):
    """The objective of every line of the history, the slow way."""
    learns = isinstance(model, AdaptiveRobustRegressor)
    d = naive_fit.degrees_of_freedom(X, s, v, model.fit_intercept)
    return [
        naive_fit.objective(
            row["alpha"], row["c"], np.array([row[f"x{j}"] for j in range(X.shape[1])]), row["intercept"],
            X, y, s, v, learns=learns, d=d, mixture=(row["share"], model._width),
        )
        for row in model.history_.to_dict("records")
    ]  # fmt: skip


@each_solver
@pytest.mark.parametrize(
    "model", [GeneralRobustRegressor(alpha=0.0, init="ols"), AdaptiveRobustRegressor(init="ols")], ids=str
)
def test_max_iter_ends_the_same_way_earlier(model, solver):
    X, y = make_data(cauchy)
    s, v = row_numbers(len(y))
    whole = fresh(model, solver=solver).fit(X, y, s, v)
    learns = isinstance(model, AdaptiveRobustRegressor)
    d = naive_fit.degrees_of_freedom(X, s, v)
    values = []
    for k in range(1, whole.n_iter_):
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            part = fresh(model, solver=solver, max_iter=k).fit(X, y, s, v)
        assert part.n_iter_ == k
        np.testing.assert_array_equal(part.history_, whole.history_.iloc[: k + 1])
        values.append(naive_fit.objective(part.alpha_, part.c_, part.coef_, part.intercept_, X, y, s, v,
                                          learns=learns, d=d))  # fmt: skip
        assert part.objective_ == pytest.approx(values[-1], rel=1e-12)
    assert len(values) >= 2
    assert np.diff(values).max() <= 1e-12 * np.abs(values).max()


@each_solver
@pytest.mark.parametrize("alpha", [2.5, 4.0, 8.0])
def test_no_iteration_raises_the_loss_where_weights_grow(alpha, solver):
    for noise in (gaussian, uniform, student):
        X, y = make_data(noise)
        model = GeneralRobustRegressor(alpha=alpha, c=2.0, solver=solver, max_iter=1000).fit(X, y)
        assert model.converged_, model.stop_reason_
        history = model.history_["objective"].to_numpy()
        assert np.diff(history).max(initial=0.0) <= 1e-12 * np.abs(history).max()
        assert np.abs(naive_fit.coefficient_gradient(model, X, y)).max() < 1e-6


@both
@each_solver
def test_warm_start_needs_fewer_iterations(estimator, solver):
    X, y = make_data(cauchy, n=300)
    parameters = {"contamination": 0.0} if estimator is AdaptiveRobustRegressor else {}
    cold = estimator(solver=solver, init="ols", **parameters).fit(X, y)
    model = estimator(solver=solver, init="ols", warm_start=True, **parameters).fit(X, y)
    np.testing.assert_array_equal(model.coef_, cold.coef_)
    model.fit(X, y)
    assert model.n_iter_ <= 1 < cold.n_iter_
    assert of_size(model.coef_, cold.coef_) < 1e-6
    assert model.c_ == pytest.approx(cold.c_, rel=1e-6)
    model.fit(X, y + 0.01 * np.sin(np.arange(300)))
    assert model.n_iter_ < cold.n_iter_


@both
@each_solver
def test_interrupted_and_warm_started_fits_end_at_the_same_optimum(estimator, solver):
    X, y = make_data(student, n=100)
    parameters = {"c": 1.0} if estimator is GeneralRobustRegressor else {}
    whole = estimator(solver=solver, **parameters).fit(X, y)
    model = estimator(solver=solver, warm_start=True, max_iter=2, **parameters)
    with ignored(ConvergenceWarning):
        for _ in range(50):
            model.fit(X, y)
    assert model.converged_
    assert of_size(model.coef_, whole.coef_) < 1e-6
    assert model.alpha_ == pytest.approx(whole.alpha_, abs=1e-5)


@both
def test_warm_start_with_other_columns_starts_afresh(estimator):
    X, y = make_data(student)
    model = estimator(warm_start=True).fit(X, y).fit(X[:, :2], y)
    assert of_size(model.coef_, estimator().fit(X[:, :2], y).coef_) < 1e-12


OTHER_DATA = {
    "larger columns": lambda X, y: (X * 1e3, y),
    "shifted columns": lambda X, y: (X + 1e6, y),
    "smaller target": lambda X, y: (X, y * 1e-6),
    "larger target": lambda X, y: (X, y * 1e6),
    "shifted target": lambda X, y: (X, y + 1e3),
    "negative target": lambda X, y: (X, 100.0 - y),
}


def lifted(n=400):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 4))
    y = X @ (3.0 * rng.normal(size=4)) + 5.0 * rng.normal() + rng.standard_t(3, size=n)
    y[rng.choice(n, n // 10, replace=False)] += rng.uniform(20.0, 100.0, size=n // 10)
    return X, y


@pytest.mark.parametrize("other", OTHER_DATA.values(), ids=OTHER_DATA.keys())
@pytest.mark.parametrize(
    "model",
    [
        GeneralRobustRegressor(-np.inf),
        GeneralRobustRegressor(-2.0),
        GeneralRobustRegressor(-2.0, 3.0),
        AdaptiveRobustRegressor(),
        AdaptiveRobustRegressor(kernel="rbf", n_components=20),
    ],
    ids=str,
)
def test_warm_start_on_other_data_starts_afresh(model, other):
    X, y = lifted()
    Z, t = other(X, y)
    if model.kernel == "rbf" and Z is not X:
        pytest.skip("other landmarks")
    with ignored(UserWarning):  # of a c that is far below the residuals
        cold = fresh(model).fit(Z, t)
        warm = fresh(model, warm_start=True).fit(X, y).fit(Z, t)
    np.testing.assert_array_equal(warm.predict(Z), cold.predict(Z))
    assert warm.c_ == cold.c_


def test_warm_start_of_several_targets_starts_those_afresh_that_are_others():
    X, y = lifted()
    model = AdaptiveRobustRegressor(warm_start=True).fit(X, np.column_stack((y, y)))
    cold = model.n_iter_[0]
    model.fit(X, np.column_stack((y, 1e-6 * y)))
    assert model.n_iter_[0] < cold == model.n_iter_[1]
    np.testing.assert_array_equal(model.coef_[1], AdaptiveRobustRegressor().fit(X, 1e-6 * y).coef_)


@both
def test_many_chunks_are_one_fit(estimator):
    """More rows than one chunk holds: the sums are those of all rows, and threads do not change a bit."""
    rng = np.random.default_rng(0)
    n = 150_000
    X = rng.normal(size=(n, 2))
    y = X @ [1.0, 2.0] + 3.0 + rng.standard_t(3, size=n)
    s = rng.integers(0, 3, size=n).astype(float)
    model = estimator(init="ols").fit(X, y, s)
    assert np.abs(naive_fit.coefficient_gradient(model, X, y, s)).max() < 3e-7
    value = naive_fit.objective(
        model.alpha_, model.c_, model.coef_, model.intercept_, X, y, s,
        learns=estimator is AdaptiveRobustRegressor, d=3, mixture=naive_fit.background(model),
    )  # fmt: skip
    assert model.objective_ == pytest.approx(value, rel=1e-11)
    np.testing.assert_array_equal(estimator(init="ols").fit(X, y, s).coef_, model.coef_)
    np.testing.assert_allclose(
        model.weights_, naive_fit.model_weight(model, naive_fit.residuals(model, X, y)), rtol=1e-9
    )


@pytest.mark.parametrize("noise", [student, outliers])
def test_last_step_of_many_rows_ends_where_a_pass_would_find_the_optimum(noise, monkeypatch):
    lands, landed = newton.Newton.landed, []

    def recorded(solver, objective, policy, point):
        end = lands(solver, objective, policy, point)
        if end is not None:
            seen = objective.at(end.theta, end.law, cpu.SCORE)
            slopes = policy.gradient(objective, seen.sums.scalars, seen.law)
            landed.append(max(objective.coef_gradient(seen), slopes))
        return end

    monkeypatch.setattr(newton.Newton, "landed", recorded)
    n_landed = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(100_000, 10))
        y = X @ np.arange(10) + noise(rng, len(X))
        exact = AdaptiveRobustRegressor(tol=1e-13).fit(X, y)
        landed.clear()
        model = AdaptiveRobustRegressor().fit(X, y)
        if not landed:
            continue
        n_landed += 1
        assert landed == [pytest.approx(0.0, abs=model.tol)]
        assert of_size(model.coef_, exact.coef_) < 1e-9
        assert model.c_ == pytest.approx(exact.c_, rel=1e-8)
        assert model.objective_ == pytest.approx(exact.objective_, rel=1e-12)
        np.testing.assert_allclose(model.weights_, exact.weights_, atol=1e-6)
        np.testing.assert_allclose(model.covariance_, exact.covariance_, rtol=1e-6, atol=1e-10)
        history = model.history_
        assert history["gradient"].iloc[-1] <= model.tol < history["gradient"].iloc[-2]
        assert history["objective"].is_monotonic_decreasing
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            AdaptiveRobustRegressor(max_iter=model.n_iter_ - 1).fit(X, y)
    assert n_landed > 0


@pytest.mark.slow
@pytest.mark.parametrize("model", DESCENDING, ids=str)
@each_solver
def test_descent_and_convergence_over_many_seeds(model, solver):
    for seed in range(40):
        for noise in NOISES:
            X, y = make_data(noise, n=30, seed=seed)
            fit = fresh(model, solver=solver).fit(X, y)
            history = fit.history_["objective"].to_numpy()
            assert fit.converged_, (seed, noise, fit.stop_reason_)
            assert np.diff(history).max(initial=0.0) <= 1e-12 * (np.abs(history).max() + 30), (seed, noise)
