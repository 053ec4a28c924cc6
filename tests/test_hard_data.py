"""Data at the edge of what a line can be drawn through."""

import tempfile
from functools import lru_cache

import naive_fit
import numpy as np
import pytest
from problems import (
    SOLVERS,
    assert_finite,
    both,
    each_init,
    each_solver,
    gaussian,
    ignored,
    make_data,
    of_size,
    outliers,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor


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
    if init in ("ols", "lad", "gnc"):
        model = estimator(solver=solver, init=init, max_iter=1000)
        with ignored(UserWarning):  # it may find the exact fit and say so, or end where the scale is not zero
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
    # the scale of an annealed start depends a little on how its steps were taken
    assert model.c_ == pytest.approx(plain.c_, rel=1e-5 if init in ("lad", "gnc") else 1e-6)


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
    if init not in ("ols", "gnc"):  # a start from least squares may stay near it: 20 of 100 rows are lifted
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


# --- one well-scaled problem, and what changes of the data do to its answer -----------------------------------------

EIGHT = [
    AdaptiveRobustRegressor(),
    *(GeneralRobustRegressor(alpha=alpha) for alpha in (1.0, 0.0, -2.0, -np.inf, 3.0, 8.0, np.inf)),
]
each_of_eight = pytest.mark.parametrize("model", EIGHT, ids=str)
COEF, INTERCEPT = np.array([1.0, -2.0, 0.5]), 3.0


def plain_rows(n=200):
    """Rows of a plane, heavy-tailed noise, a tenth lifted."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    y = X @ COEF + INTERCEPT + rng.standard_t(3, size=n)
    y[: n // 10] += 30.0
    return X, y


@lru_cache
def plain_fit(index):
    return clone(EIGHT[index]).fit(*plain_rows())


def memory_mapped(a):
    with tempfile.TemporaryFile() as file:
        file.write(a.tobytes())
        file.flush()
        return np.memmap(file, dtype=a.dtype, mode="r", shape=a.shape)


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


DECADES = np.array([1e-8, 1.0, 1e8])
ORDER = np.random.default_rng(1).permutation(200)
# name: X, y, what the coefficients, X and y are then multiplied by, and the digits that the numbers of the data leave
CHANGES = {
    **{f"X+{s:g}": (lambda X, y, s=s: (X + s, y), 1.0, 1.0, 1e-8 + 2e-15 * s) for s in (1e3, 1e6, 1e9)},
    **{f"X*{k:g}": (lambda X, y, k=k: (X * k, y), k, 1.0, 1e-8) for k in (1e-6, 1e6, 1e-100, 1e100)},
    **{f"y*{k:g}": (lambda X, y, k=k: (X, y * k), 1.0, k, 1e-8) for k in (1e-6, 1e6, 1e-100, 1e100)},
    "columns-16-decades-apart": (lambda X, y: (X * DECADES, y), DECADES, 1.0, 1e-8),
    "y+1e7": (lambda X, y: (X, y + 1e7), 1.0, 1.0, 1e-7),
    "permuted": (lambda X, y: (X[ORDER], y[ORDER]), 1.0, 1.0, 1e-8),
    "fortran": (lambda X, y: (np.asfortranarray(X), y), 1.0, 1.0, 1e-8),
    "read-only": (lambda X, y: (read_only(X), read_only(y)), 1.0, 1.0, 0.0),
    "memory-mapped": (lambda X, y: (memory_mapped(X), memory_mapped(y)), 1.0, 1.0, 0.0),
}


@pytest.mark.parametrize("index", range(len(EIGHT)), ids=map(str, EIGHT))
@pytest.mark.parametrize("change", CHANGES)
def test_the_answer_follows_the_data(change, index):
    move, x_unit, y_unit, rtol = CHANGES[change]
    plain, model = plain_fit(index), clone(EIGHT[index]).fit(*move(*plain_rows()))
    assert model.converged_
    np.testing.assert_allclose(model.coef_ * x_unit / y_unit, plain.coef_, rtol=0, atol=rtol * np.abs(COEF).max())
    assert model.c_ / y_unit == pytest.approx(plain.c_, rel=rtol)
    assert model.scale_ / y_unit == pytest.approx(plain.scale_, rel=rtol)
    assert model.alpha_ == pytest.approx(plain.alpha_, abs=10 * rtol)


@each_of_eight
def test_float32_is_its_numbers_in_float64(model):
    X, y = (a.astype(np.float32) for a in plain_rows())
    narrow, wide = clone(model).fit(X, y), clone(model).fit(X.astype(float), y.astype(float))
    np.testing.assert_array_equal(narrow.coef_, wide.coef_)
    assert narrow.coef_.dtype == np.float64


@pytest.mark.parametrize("index", range(len(EIGHT)), ids=map(str, EIGHT))
def test_rows_of_weight_zero_are_no_rows(index):
    X, y = plain_rows()
    X, y = np.vstack((X[:5], X, X[:5])), np.concatenate((y[:5] * 1e300, y, y[:5] * -1e6))
    s = np.r_[np.zeros(5), np.ones(200), np.zeros(5)]
    np.testing.assert_allclose(clone(EIGHT[index]).fit(X, y, s).coef_, plain_fit(index).coef_, rtol=1e-12)


@pytest.mark.parametrize("index", range(len(EIGHT)), ids=map(str, EIGHT))
def test_weights_that_sum_to_one_are_said_to_be_no_frequencies(index):
    X, y = plain_rows()
    with pytest.warns(UserWarning, match=r"sample_weight sums to 1, .* rescaled to mean 1"):
        model = clone(EIGHT[index]).fit(X, y, np.full(200, 1 / 200))
    np.testing.assert_allclose(model.coef_, plain_fit(index).coef_, rtol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_absurd", [1, 8])
@pytest.mark.parametrize("size", [1e4, 1e9, 1e20, 1e90])
@pytest.mark.parametrize(
    "model",
    [AdaptiveRobustRegressor(), AdaptiveRobustRegressor(solver="irls"), GeneralRobustRegressor(-np.inf, init="s")],
    ids=str,
)
def test_absurd_entries_of_a_column_do_not_move_the_line(model, size, n_absurd, container):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, 2.0, 3.0] + 4.0 + 0.1 * rng.normal(size=100)
    X[10 : 10 + n_absurd, 0] = size
    model = clone(model).fit(container(X), y)
    np.testing.assert_allclose(model.coef_, [1.0, 2.0, 3.0], atol=0.05)
    assert model.weights_[10 : 10 + n_absurd].max() < 0.01


def test_a_share_that_could_not_be_held_is_told():
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = X @ [1.0, 2.0, 3.0]
    y[:26] += 50.0
    with (
        pytest.warns(UserWarning, match=r"^More than half of the rows lie exactly on the fit"),
        pytest.warns(UserWarning, match=r"^contamination=0\.1 was not held"),
    ):
        model = AdaptiveRobustRegressor(contamination=0.1).fit(X, y)
    assert model.contamination_ == 0.0


@pytest.mark.parametrize("alpha", [-np.inf, -2.0, 0.0])
def test_a_scale_far_below_the_residuals_is_told(alpha):
    X, y = make_data(n=60)
    with pytest.warns(UserWarning, match=r"c=1e-09 is far below the residuals, of scale .* Raise c") as caught:
        model = GeneralRobustRegressor(alpha, c=1e-9).fit(X, y)
    assert "scale reached" not in model.stop_reason_
    assert len(caught) <= 2


@pytest.mark.parametrize("index", range(5), ids=map(str, EIGHT[:5]))
def test_one_target_of_1e300(index):
    X, y = plain_rows()
    y[100] = 1e300
    model = clone(EIGHT[index]).fit(X, y)
    # one row of 200 moves a bounded or redescending estimate by its share of the spread
    assert np.abs(model.coef_ - plain_fit(index).coef_).max() < 0.05
    assert model.c_ == pytest.approx(plain_fit(index).c_, rel=0.05)
    assert model.weights_[100] < 1e-250


def test_one_target_of_1e300_among_zeros():
    X, y = np.random.default_rng(9).normal(size=(116, 2)), np.zeros(116)
    y[30] = 1e300
    with pytest.warns(UserWarning, match="More than half of the rows lie exactly on the fit"):
        model = AdaptiveRobustRegressor(init="ols", fit_intercept=False).fit(X, y)
    assert_finite(model)
    assert model.weights_[30] < 1e-6


@pytest.mark.parametrize("alpha", [2.0, 3.0, 8.0])
def test_one_target_of_1e300_is_all_that_a_loss_without_bound_to_its_pull_sees(alpha):
    X, y = plain_rows()
    y[100] = 1e300
    model = GeneralRobustRegressor(alpha=alpha).fit(X, y)
    alone = GeneralRobustRegressor(alpha=alpha).fit(X, np.arange(200) == 100)
    np.testing.assert_allclose(model.coef_ / 1e300, alone.coef_, rtol=1e-6)
    assert model.c_ / 1e300 == pytest.approx(alone.c_, rel=1e-6)


def test_one_target_of_1e300_is_too_much_for_a_loss_that_grows_exponentially():
    X, y = plain_rows()
    y[100] = 1e300
    with pytest.warns(ConvergenceWarning, match="The loss of some residual overflows: alpha and c make this row"):
        model = GeneralRobustRegressor(alpha=np.inf).fit(X, y)
    assert np.isfinite([*model.coef_, model.intercept_, model.c_, model.scale_]).all()


@each_of_eight
def test_every_row_on_the_plane(model):
    X, _ = plain_rows()
    model = clone(model).fit(X, X @ COEF + INTERCEPT)
    np.testing.assert_allclose(model.coef_, COEF, rtol=0, atol=1e-13)
    assert model.intercept_ == pytest.approx(INTERCEPT, rel=1e-13)
    assert "lie exactly on the fit" in model.stop_reason_
    assert model.c_ < 1e-13
    assert model.scale_ < 1e-13


@each_of_eight
def test_87_percent_of_the_rows_on_the_plane(model):
    X, _ = plain_rows()
    y = X @ COEF + INTERCEPT
    y[:26] += 100.0 + 10.0 * np.random.default_rng(2).normal(size=26)
    model = clone(model)
    if model.get_params().get("alpha", 0.0) > 2:  # which takes no half of the rows for the whole
        model.fit(X, y)
        assert model.converged_
        assert np.median(model.weights_[:26]) > 1.5 * np.median(model.weights_[26:])
        return
    with pytest.warns(UserWarning, match="More than half of the rows lie exactly on the fit"):
        model.fit(X, y)
    np.testing.assert_allclose(model.coef_, COEF, rtol=0, atol=1e-12)
    assert model.intercept_ == pytest.approx(INTERCEPT, rel=1e-12)
    assert model.weights_[:26].max() < 1e-6 < model.weights_[26:].min()


@each_of_eight
@pytest.mark.parametrize("value", [0.0, 5.0, -1e7])
def test_a_constant_target_is_its_own_prediction(model, value):
    X, _ = plain_rows()
    model = clone(model).fit(X, np.full(200, value))
    np.testing.assert_allclose(model.coef_, 0.0, rtol=0, atol=1e-14 * abs(value))
    np.testing.assert_allclose(model.predict(X), value, rtol=1e-14)


@pytest.mark.parametrize("index", range(len(EIGHT)), ids=map(str, EIGHT))
def test_columns_that_add_nothing_change_no_prediction(index):
    X, y = plain_rows()
    wide = np.column_stack((X, np.full(200, 7.0), X[:, 0], np.zeros(200)))
    plain, model = plain_fit(index), clone(EIGHT[index]).fit(wide, y)
    np.testing.assert_allclose(model.predict(wide), plain.predict(X), rtol=0, atol=1e-7)
    np.testing.assert_allclose(model.coef_[[0, 4]], plain.coef_[0] / 2, rtol=0, atol=1e-7)
    assert model.c_ == pytest.approx(plain.c_, rel=1e-7)


@each_of_eight
def test_a_dummy_of_two_percent_of_the_rows(model):
    X, y = plain_rows()
    rare = np.zeros(200)
    rare[[50, 100, 150, 199]] = 1.0
    y = y + 8.0 * rare
    model = clone(model).fit(np.column_stack((X, rare)), y)
    assert model.converged_
    steep = max(1.0, model.objective_ / 200)  # alpha = inf costs the outliers exp(11)
    assert np.abs(naive_fit.coefficient_gradient(model, np.column_stack((X, rare)), y)).max() < 1e-6 * steep
    if model.alpha_ <= 1:  # a loss that grows faster than squares is drawn to the middle of the outliers
        # three standard errors: noise of variance 3 in 180 rows, and in 4
        assert (np.abs(model.coef_ - [*COEF, 8.0]) <= [0.4, 0.4, 0.4, 2.6]).all(), model.coef_


@each_of_eight
@pytest.mark.parametrize(("n", "p"), [(4, 3), (3, 3), (2, 3), (1, 3), (1, 1)])
def test_no_more_rows_than_coefficients(model, n, p):
    X, y = plain_rows()
    X, y = X[:n, :p], y[:n]
    with pytest.warns(UserWarning, match="no more rows than coefficients: the fit passes through every row"):
        model = clone(model).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-12)


@each_of_eight
def test_one_row_more_than_coefficients_of_all_losses(model):
    """The fit leaves a residual, and is stationary where it is said to have converged."""
    X, y = plain_rows()
    X, y = X[30:35], y[30:35]
    model = clone(model).set_params(init="ols").fit(X, y)
    assert np.isfinite([*model.coef_, model.intercept_, model.c_, model.scale_, *model.weights_]).all()
    assert model.converged_
    assert np.abs(naive_fit.coefficient_gradient(model, X, y)).max() < 1e-6


@pytest.mark.parametrize("size", [-9999.0, 1e8, -999999999.0, 1e20, 1e99])
@pytest.mark.parametrize("n", [200, 2000, 30_000])
@pytest.mark.parametrize(
    "model",
    [*(AdaptiveRobustRegressor(solver=solver) for solver in SOLVERS), GeneralRobustRegressor(alpha=-2.0, init="s")],
    ids=str,
)
def test_a_row_of_fill_values_does_not_hide_what_the_others_determine(model, n, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    y = X @ [1.0, 2.0, 3.0, 4.0] + 2.0 + rng.normal(size=n)
    X[5] = size
    model.fit(X, y)
    assert np.abs([*(model.coef_ - [1.0, 2.0, 3.0, 4.0]), model.intercept_ - 2.0]).max() < 5.0 / np.sqrt(n)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_of_fill_values_is_no_exact_fit(seed):
    """What it rounds is large, and the scale is not."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(19_999, 10))
    y = X.sum(axis=1) + rng.laplace(size=len(X))
    X[5000] = 1e8
    np.testing.assert_allclose(AdaptiveRobustRegressor().fit(X, y).coef_, 1.0, atol=0.05)


def test_least_squares_goes_through_a_row_of_fill_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = X.sum(axis=1) + rng.normal(size=200)
    X[5] = 1e6
    model = GeneralRobustRegressor(alpha=2.0).fit(X, y)
    np.testing.assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=1e-6)


@both
@each_init
@pytest.mark.parametrize("size", [1e-308, 1e-310, 1e-314])
def test_subnormal_target(estimator, init, size):
    X, y = make_data(outliers)
    plain = estimator(init=init).fit(X, y)
    model = estimator(init=init).fit(X, y * size)
    rounding = 50.0 * 5e-324 / size
    np.testing.assert_allclose(model.coef_ / size, plain.coef_, rtol=1e-6, atol=rounding)
    assert model.c_ / size == pytest.approx(plain.c_, rel=1e-6, abs=rounding)


@both
@each_init
def test_subnormal_column(estimator, init):
    X, y = make_data(outliers)
    X[:, 1] *= 1e-312
    with pytest.raises(ValueError, match=r"coefficients are finite numbers\. Got coef_ that is not; scale the columns"):
        estimator(init=init).fit(X, y)
