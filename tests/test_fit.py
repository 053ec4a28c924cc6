"""What a fit finds: descent, optimality, agreement with other roads and peers, invariances, hard data."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import naive_fit
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import least_squares
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.utils import check_random_state

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


# --- data -----------------------------------------------------------------------------------------------------------


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


def leverage(seed=0):
    X, y = make_data(gaussian, seed=seed)
    X[:5] += 50.0
    return X, y


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


# --- descent --------------------------------------------------------------------------------------------------------

DESCENDING = [
    *(GeneralRobustRegressor(alpha=alpha, init="ols") for alpha in (2.0, 1.5, 1.0, 0.0, -2.0, -np.inf)),
    GeneralRobustRegressor(alpha=-2.0, init="s"),
    GeneralRobustRegressor(alpha=0.5, c=0.05, init="ols"),
    AdaptiveRobustRegressor(init="ols"),
    AdaptiveRobustRegressor(init="s"),
    AdaptiveRobustRegressor(alpha_bounds=(1.0, 1.0), init="ols"),
    AdaptiveRobustRegressor(alpha_bounds=(0.3, 1.7), fit_intercept=False),
]


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
            X, y, s, v, learns=learns, d=d,
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


# --- optimality -----------------------------------------------------------------------------------------------------


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
        learned = AdaptiveRobustRegressor().fit(X, y)
        for alpha in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 1.9, 2.0):
            held = AdaptiveRobustRegressor(alpha_bounds=(alpha, alpha)).fit(X, y)
            assert learned.objective_ <= held.objective_ + 1e-9 * len(y), (seed, alpha, learned.alpha_)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("noise", [gaussian, cauchy, outliers, uniform])
def test_joint_optimum_is_the_slow_one(noise, fit_intercept):
    X, y = make_data(noise, n=20, p=1, seed=3)
    J, alpha, c, coef, _ = naive_fit.joint_optimum(X, y, np.linspace(0, 2, 9), fit_intercept)
    model = AdaptiveRobustRegressor(fit_intercept=fit_intercept).fit(X, y)
    assert model.objective_ == pytest.approx(J, abs=1e-6)
    assert model.alpha_ == pytest.approx(alpha, abs=1e-2)
    assert model.c_ == pytest.approx(c, rel=1e-2)
    assert of_size(model.coef_, coef) < 1e-2


# --- other roads ----------------------------------------------------------------------------------------------------

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
        AdaptiveRobustRegressor(alpha_bounds=(2, 2), **common),
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


def test_without_coefficients_it_is_the_maximum_likelihood_of_scipy():
    rng = np.random.default_rng(0)
    X = np.zeros((300, 1))
    y = stats.cauchy.rvs(scale=3.0, size=300, random_state=rng)
    model = AdaptiveRobustRegressor(alpha_bounds=(0, 0), fit_intercept=False).fit(X, y)
    assert np.sqrt(2) * model.c_ == pytest.approx(stats.cauchy.fit(y, floc=0.0)[1], rel=1e-4)
    assert model.objective_ == pytest.approx(-stats.cauchy.logpdf(y, scale=np.sqrt(2) * model.c_).sum(), rel=1e-10)
    y = rng.normal(scale=3.0, size=300)
    model = AdaptiveRobustRegressor(alpha_bounds=(2, 2), fit_intercept=False).fit(X, y)
    assert model.c_ == pytest.approx(np.sqrt(np.mean(y**2)), rel=1e-9)
    assert model.objective_ == pytest.approx(-stats.norm.logpdf(y, scale=model.c_).sum(), rel=1e-10)


# --- invariances ----------------------------------------------------------------------------------------------------

MODELS = [
    GeneralRobustRegressor(alpha=1.0),
    GeneralRobustRegressor(alpha=-2.0, init="s"),
    GeneralRobustRegressor(alpha=0.0, init="ols", solver="lbfgs"),
    AdaptiveRobustRegressor(),
    AdaptiveRobustRegressor(init="ols", solver="lbfgs"),
    AdaptiveRobustRegressor(init="s"),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=str)


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
    assert of_size(A @ mixed.coef_, plain.coef_) < 1e-6
    assert mixed.c_ == pytest.approx(plain.c_, rel=1e-6)
    assert mixed.alpha_ == pytest.approx(plain.alpha_, abs=1e-6)


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
    plain = GeneralRobustRegressor(c=1.0, solver=solver).fit(X, y, s)
    with ignored(UserWarning):  # weights that sum to less than the coefficients are no frequencies
        scaled = GeneralRobustRegressor(c=1.0, solver=solver).fit(X, y, factor * s)
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


def test_noise_scale_is_not_a_weight():
    """A row of large error bar counts less, yet is no outlier at a large residual."""
    X, y = make_data(gaussian, n=200)
    v = np.where(np.arange(200) < 40, 30.0, 1.0)
    y[:40] += 30.0 * np.random.default_rng(5).normal(size=40)
    with_bars, without = AdaptiveRobustRegressor().fit(X, y, noise_scale=v), AdaptiveRobustRegressor().fit(X, y)
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
        expected = naive_fit.weight(naive_fit.residuals(model, X, y), model.alpha_, model.c_)
    np.testing.assert_allclose(model.weights_, expected, rtol=1e-9, atol=1e-290)


# --- hard data ------------------------------------------------------------------------------------------------------


def assert_finite(model):
    for name in ("coef_", "intercept_", "alpha_", "c_", "scale_", "weights_"):
        assert np.isfinite(getattr(model, name)).all(), name


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


def contaminated(kind, seed):
    """A hundred rows of a plane, thirty of them wild."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=100)
    if kind == "lifted":
        y[:30] += 1000.0
    elif kind == "mirrored":
        y[:30] = -100.0 * (y[:30] + np.sign(y[:30]))
    else:  # bad leverage: all together, far out in X
        X[:30] = 10.0 + 0.1 * rng.normal(size=(30, 3))
        y[:30] = -100.0
    return X, y


@each_solver
@pytest.mark.parametrize(
    "model",
    [*(GeneralRobustRegressor(alpha=alpha) for alpha in (0, -2, -np.inf)), AdaptiveRobustRegressor()],
    ids=str,
)
@pytest.mark.parametrize("kind", ["lifted", "mirrored", "cluster"])
def test_thirty_percent_of_wild_outliers(kind, model, solver):
    if kind == "cluster" and model.get_params().get("alpha") == 0:
        model = fresh(model, c=0.5)  # a loss without bound gives way to rows far out in X unless c is small
    for seed in range(5):
        X, y = contaminated(kind, seed)
        fit = fresh(model, solver=solver).fit(X, y)
        assert np.abs(fit.coef_ - [1.0, 2.0, 3.0]).max() < 0.7, (seed, fit.coef_)
        assert fit.weights_[:30].max() < 0.1


@each_solver
@pytest.mark.parametrize("kind", ["lifted", "mirrored"])
def test_a_convex_loss_bounds_what_wild_targets_do(kind, solver):
    for seed in range(5):
        X, y = contaminated(kind, seed)
        fit = GeneralRobustRegressor(alpha=1, solver=solver, max_iter=1000).fit(X, y)
        assert np.abs(fit.coef_ - [1.0, 2.0, 3.0]).max() < 2.0, (seed, fit.coef_)
        y[:30] *= 1e6
        again = GeneralRobustRegressor(alpha=1, solver=solver, max_iter=1000).fit(X, y)
        assert np.abs(again.coef_ - fit.coef_).max() < 0.2


def test_high_breakdown_start_of_a_redescending_loss_forgets_outliers_altogether():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=100)
    X[:40], y[:40] = 10.0 + 0.1 * rng.normal(size=(40, 3)), -100.0
    model = GeneralRobustRegressor(alpha=-np.inf, init="s").fit(X, y)
    clean = LinearRegression().fit(X[40:], y[40:])
    np.testing.assert_allclose(model.coef_, clean.coef_, atol=0.25)
    assert model.weights_[:40].max() < 1e-8


# --- state ----------------------------------------------------------------------------------------------------------


@both
@each_solver
def test_warm_start_needs_fewer_iterations(estimator, solver):
    X, y = make_data(cauchy, n=300)
    cold = estimator(solver=solver, init="ols").fit(X, y)
    model = estimator(solver=solver, init="ols", warm_start=True).fit(X, y)
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


@both
@each_init
def test_random_state(estimator, init):
    X, y = make_data(outliers)
    first = estimator(init=init).fit(X, y)
    for other in (estimator(init=init), estimator(init=init, random_state=np.random.RandomState(0)), first):
        np.testing.assert_array_equal(other.fit(X, y).coef_, first.coef_)
    shared = check_random_state(None)
    state = shared.get_state()[1].copy()
    estimator(init=init, random_state=1).fit(X, y)
    np.testing.assert_array_equal(shared.get_state()[1], state)  # the global generator is left alone


@both
def test_layout_and_type_of_the_input(estimator):
    X, y = make_data(outliers)
    X, y = X.astype(np.float32), y.astype(np.float32)
    s, v = row_numbers(60)
    plain = estimator().fit(X.astype(float), y.astype(float), s, v)

    def locked(a):
        a = a.copy()
        a.setflags(write=False)
        return a

    variants = {
        "float32": (X, y, s.astype(np.float32), v),
        "fortran": (np.asfortranarray(X.astype(float)), y, s, v),
        "strided": (np.repeat(X, 2, axis=0)[::2], np.repeat(y, 2)[::2], np.repeat(s, 2)[::2], np.repeat(v, 2)[::2]),
        "reversed": (X[:, ::-1].copy()[:, ::-1], y[::-1].copy()[::-1], s, v),
        "read-only": tuple(map(locked, (X.astype(float), y.astype(float), s, v))),
        "lists": (X.tolist(), y.tolist(), s.tolist(), v.tolist()),
        "big-endian": (X.astype(">f8"), y.astype(">f8"), s.astype(">f8"), v.astype(">f8")),
        "objects": (X.astype(object), y.astype(object), s, v),
    }
    for name, arguments in variants.items():
        model = estimator().fit(*arguments)
        assert model.coef_.dtype == np.float64, name
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-11, err_msg=name)
        np.testing.assert_allclose(model.weights_, plain.weights_, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(model.predict(arguments[0]), plain.predict(X), rtol=1e-11, err_msg=name)


@both
def test_integers_and_bools(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, size=(60, 2)), rng.integers(0, 50, size=60)
    plain = estimator().fit(X.astype(float), y.astype(float))
    np.testing.assert_allclose(estimator().fit(X, y).coef_, plain.coef_, rtol=1e-12)
    flags = X > 2
    np.testing.assert_allclose(
        estimator().fit(flags, y, sample_weight=np.ones(60, bool)).coef_,
        estimator().fit(flags.astype(float), y).coef_,
        rtol=1e-12,
    )


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
        model.alpha_, model.c_, model.coef_, model.intercept_, X, y, s, learns=estimator is AdaptiveRobustRegressor, d=3
    )
    assert model.objective_ == pytest.approx(value, rel=1e-11)
    np.testing.assert_array_equal(estimator(init="ols").fit(X, y, s).coef_, model.coef_)
    np.testing.assert_allclose(
        model.weights_, naive_fit.weight(naive_fit.residuals(model, X, y), model.alpha_, model.c_), rtol=1e-9
    )


@both
def test_fits_in_threads_do_not_disturb_each_other(estimator):
    tasks = [make_data(outliers, n=500, seed=seed) for seed in range(8)]
    alone = [estimator().fit(X, y).coef_ for X, y in tasks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: estimator().fit(*task).coef_, tasks))
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


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


@pytest.mark.slow
def test_every_solver_reaches_the_same_optimum_over_many_seeds():
    for seed in range(40):
        for noise in NOISES:
            X, y = make_data(noise, n=50, seed=seed)
            for model in ROADS:
                fits = [fresh(model, solver=solver).fit(X, y) for solver in SOLVERS]
                for other in fits[1:]:
                    assert of_size(other.coef_, fits[0].coef_) <= 1e-5, (seed, noise, model)


# --- what a floor, error bars and normalised weights do ------------------------------------------------------------


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


def test_weights_that_sum_to_one_keep_the_balance_with_the_penalty():
    X, y = make_data(n=50)
    s = np.full(50, 0.02)
    expected = Ridge(alpha=1.0).fit(X, y, sample_weight=s).coef_
    fixed = GeneralRobustRegressor(2.0, c=1.0, l2_regularization=1.0).fit(X, y, s)
    np.testing.assert_allclose(fixed.coef_, expected, rtol=1e-10)
    with pytest.warns(UserWarning, match="sample_weight sums to 1"):
        learned = AdaptiveRobustRegressor(alpha_bounds=(2.0, 2.0), l2_regularization=1.0).fit(X, y, s)
    np.testing.assert_allclose(learned.coef_, expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(40))
def test_solvers_agree_on_small_data_with_heavy_tails(seed):
    rng = np.random.default_rng(5000 + seed)
    n = int(rng.integers(10, 45))
    X = rng.normal(size=(n, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_t(2, size=n) + 5 * (rng.uniform(size=n) < 0.2 * (seed % 2))
    values = [AdaptiveRobustRegressor(solver=solver, max_iter=1000).fit(X, y).objective_ for solver in SOLVERS]
    assert max(values) - min(values) < 1e-6
