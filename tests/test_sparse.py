"""Sparse X: the fit of the same X as an array, in little memory."""

import tracemalloc
import warnings

import numpy as np
import pytest
from problems import LEARNERS, assert_same_fit, both, each_solver, ignored, row_numbers
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor
from sklearn_robust._fit.ridge import ConjugateGradients, Diagonal, residual_dof
from sklearn_robust._rows import design
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.design import Gram, SparseDesign
from sklearn_robust._rows.frame import Frame


def make_data(n=300, p=8, share=0.3, outliers=0.1, seed=0):
    """Rows of which a share of the entries is not zero, t3 noise, and some outliers in y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * (rng.uniform(size=(n, p)) < share)
    y = X @ np.linspace(-2.0, 3.0, p) + 1.5 + rng.standard_t(3, size=n)
    y[: int(outliers * n)] += 25.0
    return X, y


def make_long(n, p, per_row=10, seed=0):
    """Compressed sparse rows with so many entries each, never an array."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, p, size=n * per_row)
    X = sparse.csr_array((rng.normal(size=n * per_row), columns, np.arange(n + 1) * per_row), shape=(n, p))
    X.sum_duplicates()
    return X, X @ np.ones(p) + 1.0 + rng.standard_t(3, size=n)


@pytest.fixture
def without_matrix(monkeypatch):
    """No gram is a matrix."""
    monkeypatch.setattr(design, "MOST_COLUMNS", 0)


# --- verbs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_verbs_are_those_of_the_array(fit_intercept, monkeypatch):
    X, y = make_data()
    X[:, 2] = 0.0
    X[:, 5] = 3.0
    rng = np.random.default_rng(1)
    weights = rng.uniform(size=len(y))
    csr = sparse.csr_array(X)
    frame, expected = (Frame.of(each, y, weights, fit_intercept) for each in (csr, X))
    np.testing.assert_allclose(frame.center, expected.center, atol=1e-14)
    np.testing.assert_allclose(frame.scale, expected.scale, rtol=1e-13)
    columns = Rows(X, y, np.empty(0), np.empty(0), frame).dense(np.arange(len(y)))[0].T
    theta, g = rng.normal(size=frame.n_coefs), rng.uniform(size=len(y))
    seen = SparseDesign.of(csr, frame)
    np.testing.assert_allclose(seen.predict(theta), columns @ theta, atol=1e-12)
    np.testing.assert_allclose(seen.adjoint(g), columns.T @ g, atol=1e-11)
    gram = (columns.T * g) @ columns
    np.testing.assert_allclose(seen.gram(g), gram, atol=1e-11)
    monkeypatch.setattr(design, "MOST_COLUMNS", 0)
    operator = seen.gram(g)
    assert isinstance(operator, Gram)
    np.testing.assert_allclose(operator @ theta, gram @ theta, atol=1e-10)
    np.testing.assert_array_equal(operator.diagonal() > 0, gram.diagonal() > 0)


def test_conjugate_gradients_solve():
    rng = np.random.default_rng(0)
    X, y = make_data(n=400, p=30)
    frame = Frame.of(sparse.csr_array(X), y, np.empty(0), True)
    seen = SparseDesign.of(sparse.csr_array(X), frame)
    g = rng.uniform(0.2, 1.0, size=len(y))
    penalty = frame.penalty(5.0)
    matrix, operator, rhs = seen.gram(g), Gram(seen, g), rng.normal(size=31)
    expected = np.linalg.solve(matrix + np.diag(penalty), rhs)
    found = ConjugateGradients(operator, penalty) @ rhs
    assert np.linalg.norm(found - expected) < 1e-2 * np.linalg.norm(expected)
    trace = np.trace(np.linalg.solve(matrix + np.diag(penalty), matrix))
    assert residual_dof(400.0, operator, penalty) == pytest.approx(400.0 - trace, abs=0.1)
    np.testing.assert_allclose(Diagonal.of(operator, penalty) @ rhs, rhs / (g.sum() + penalty))
    assert Diagonal.of(operator, penalty).rank == 31


# --- the fit of the array --------------------------------------------------------------------------------------------

MODELS = [
    AdaptiveRobustRegressor(),
    AdaptiveRobustRegressor(contamination=0.1, init="gnc"),
    AdaptiveRobustRegressor(contamination=0.0, alpha_bounds=(0.0, np.inf), init="ols"),
    AdaptiveRobustRegressor(fit_intercept=False, init="lad"),
    AdaptiveRobustRegressor(l2_regularization=5.0, init="ols"),
    GeneralRobustRegressor(),
    GeneralRobustRegressor(alpha=-2.0, init="s"),
    GeneralRobustRegressor(alpha=0.0, l2_regularization=0.5, init="gnc"),
    GeneralRobustRegressor(alpha=2.0, fit_intercept=False),
    GeneralRobustRegressor(alpha=3.0, c=3.0),
]


@pytest.mark.parametrize("numbers", [False, True], ids=["plain", "weights"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_as_the_array(model, numbers):
    X, y = make_data()
    arguments = row_numbers(len(X)) if numbers else ()
    found, expected = (clone(model).fit(each, y, *arguments) for each in (sparse.csr_array(X), X))
    assert_same_fit(found, expected, 1e-7, X)
    np.testing.assert_allclose(found.weights_, expected.weights_, atol=1e-6)
    assert found.n_iter_ == expected.n_iter_
    assert found.objective_ == pytest.approx(expected.objective_, rel=1e-10)
    np.testing.assert_allclose(found.predict(sparse.csc_matrix(X)), expected.predict(X), rtol=1e-6, atol=1e-9)
    assert found.score(sparse.csr_array(X), y) == pytest.approx(expected.score(X, y), rel=1e-9)


def make_counts(n, p, seed):
    """Rows of counts, a tenth of them twenty times as far out, and a fifth of y wrong."""
    rng = np.random.default_rng(seed)
    X = rng.negative_binomial(0.3, 0.1, size=(n, p)).astype(float)
    y = X @ rng.normal(size=p) + rng.standard_t(3, size=n)
    y[: n // 5] += rng.uniform(10.0, 50.0, size=n // 5)
    X[: n // 10] *= 20.0
    return X, y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [300, 600, 2000])
@both
def test_starts_that_are_as_good_are_the_same(estimator, n, seed):
    X, y = make_counts(n, 40, seed)
    for arguments in ((), row_numbers(n)):
        with ignored(UserWarning):  # rows far out rule a loss that is held
            found, expected = (estimator().fit(each, y, *arguments) for each in (sparse.csr_array(X), X))
        assert_same_fit(found, expected, 1e-6, X)


@pytest.mark.parametrize("rare", [False, True])
def test_many_rows_with_a_background(rare):
    X, y = make_data(n=30_000, p=12)
    if rare:
        X[:, 3] = np.arange(len(y)) % 2000 == 7
    found, expected = (AdaptiveRobustRegressor().fit(each, y) for each in (sparse.csr_array(X), X))
    assert expected.contamination_ > 0.0
    assert_same_fit(found, expected, 1e-8, X)
    assert found.contamination_ == pytest.approx(expected.contamination_, rel=1e-8)


@pytest.mark.parametrize("solver", ["auto", "irls", "lbfgs"])
@pytest.mark.parametrize("model", MODELS[1:6] + MODELS[7:], ids=str)
def test_as_the_array_without_a_matrix(model, solver, without_matrix):
    X, y = make_data()
    weights = row_numbers(len(X))[0]
    fits = [clone(model).set_params(max_iter=1000) for _ in range(2)]
    found = fits[0].set_params(solver=solver).fit(sparse.csr_array(X), y, weights)
    expected = fits[1].fit(X, y, weights)
    estimated = model.l2_regularization != "auto"  # degrees of freedom, and with them the scale
    assert_same_fit(found, expected, 1e-3 if estimated else 1e-6, X)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_full_columns_far_from_zero_keep_their_digits(fit_intercept):
    X, y = make_data()
    near = np.random.default_rng(1).normal(size=(len(y), 2))
    X, y = np.column_stack((X, near + np.array([1e8, -1e5]))), y + near @ [2.0, -1.0]
    for model in (AdaptiveRobustRegressor(fit_intercept=fit_intercept), GeneralRobustRegressor(l2_regularization=1.0)):
        found, expected = (clone(model).fit(each, y) for each in (sparse.csr_array(X), X))
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-5, atol=1e-6)
        assert found.objective_ == pytest.approx(expected.objective_, rel=1e-6)


@each_solver
@both
def test_every_solver(estimator, solver):
    X, y = make_data(seed=2)
    models = [estimator(solver=solver, max_iter=1000) for _ in range(2)]
    assert_same_fit(models[0].fit(sparse.csr_array(X), y), models[1].fit(X, y), 1e-7, X)


FORMATS = [
    *(getattr(sparse, f"{name}_{kind}") for name in ("csr", "csc", "coo", "lil") for kind in ("array", "matrix")),
]


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.__name__)
def test_every_format(kind):
    X, y = make_data()
    model = AdaptiveRobustRegressor()
    expected = model.fit(sparse.csr_array(X), y).coef_
    given = kind(X)
    np.testing.assert_array_equal(model.fit(given, y).coef_, expected)
    assert type(given) is kind
    np.testing.assert_array_equal(given.toarray(), X)
    assert type(model.predict(given)) is np.ndarray
    np.testing.assert_allclose(model.outlier_proba(given, y), model.outlier_proba(X, y), atol=1e-12)


def test_indices_in_any_order_twice_and_long():
    X, y = make_data()
    csr = sparse.csr_array(X)
    expected = AdaptiveRobustRegressor().fit(csr, y).coef_
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)])
    wild = sparse.csr_array(
        (np.repeat(csr.data[order] / 2, 2), np.repeat(csr.indices[order], 2).astype(np.int64), 2 * csr.indptr),
        shape=X.shape,
    )
    data = wild.data.copy()
    np.testing.assert_allclose(AdaptiveRobustRegressor().fit(wild, y).coef_, expected, rtol=1e-12)
    np.testing.assert_array_equal(wild.data, data)
    long = sparse.csr_array((csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64)), shape=X.shape)
    np.testing.assert_allclose(AdaptiveRobustRegressor().fit(long, y).coef_, expected, rtol=1e-12)
    zeros = csr.copy()
    zeros.data[:30] = 0.0
    np.testing.assert_allclose(
        AdaptiveRobustRegressor().fit(zeros, y).coef_,
        AdaptiveRobustRegressor().fit(zeros.toarray(), y).coef_,
        rtol=1e-7,
    )


def test_single_precision_and_read_only():
    X, y = make_data()
    for dtype in (np.float32, np.float64):
        csr = sparse.csr_array(X.astype(dtype))
        for array in (csr.data, csr.indices, csr.indptr):
            array.flags.writeable = False
        found = AdaptiveRobustRegressor().fit(csr, y)
        assert_same_fit(found, AdaptiveRobustRegressor().fit(X.astype(dtype), y), 1e-7, X)


@both
@pytest.mark.parametrize("matrix", [True, False], ids=["matrix", "operator"])
def test_columns_without_spread_and_of_any_size(estimator, matrix, monkeypatch):
    if not matrix:
        monkeypatch.setattr(design, "MOST_COLUMNS", 0)
    X, y = make_data()
    plain = estimator(init="gnc", max_iter=1000).fit(X, y)
    units = np.array([1e100, 1e-100, 1e6, 1e-6, 1.0, 1.0, 1.0, 1.0])
    odd = sparse.csr_array(np.column_stack((X * units, np.zeros(len(y)), np.full(len(y), 7.0))))
    found = estimator(init="gnc", max_iter=1000).fit(odd, y)
    np.testing.assert_allclose(found.coef_[:8] * units, plain.coef_, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.coef_[8:], 0.0)
    assert found.intercept_ == pytest.approx(plain.intercept_, rel=1e-6)


@both
def test_weights_are_repeated_rows(estimator):
    X, y = make_data()
    counts = np.random.default_rng(3).integers(0, 4, size=len(y))
    rows = np.repeat(np.arange(len(y)), counts)
    weighted = estimator(init="ols").fit(sparse.csr_array(X), y, counts)
    assert_same_fit(weighted, estimator(init="ols").fit(sparse.csr_array(X[rows]), y[rows]), 1e-6, X)
    assert weighted.weights_.shape == y.shape


@both
def test_ties_in_y_and_the_order_of_rows(estimator):
    X, y = make_data()
    X, y = np.round(X), np.round(y)
    assert_same_fit(estimator(init="s").fit(sparse.csr_array(X), y), estimator(init="s").fit(X, y), 1e-7, X)
    turned = np.random.default_rng(0).permutation(len(y))
    found = estimator(init="s").fit(sparse.csr_array(X), y)
    assert_same_fit(found, estimator(init="s").fit(sparse.csr_array(X[turned]), y[turned]), 1e-7, X)


@both
def test_warm_start(estimator):
    X, y = make_data()
    csr = sparse.csr_array(X)
    model = estimator(warm_start=True).fit(csr, y)
    cold, coef = model.n_iter_, model.coef_
    assert model.fit(csr, y).n_iter_ <= cold
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-6)
    np.testing.assert_allclose(model.fit(X, y).coef_, coef, rtol=1e-6)


@both
@pytest.mark.parametrize("matrix", [True, False], ids=["matrix", "operator"])
def test_several_targets(estimator, matrix, monkeypatch):
    if not matrix:
        monkeypatch.setattr(design, "MOST_COLUMNS", 0)
    X, y = make_data()
    Y = np.column_stack((y, 2.0 * y[::-1] + X[:, 0], X[:, 1] - y))
    csr = sparse.csr_array(X)
    several = estimator(init="gnc").fit(csr, Y)
    for j in range(3):
        alone = estimator(init="gnc").fit(csr, Y[:, j])
        np.testing.assert_allclose(several.coef_[j], alone.coef_, rtol=1e-9, atol=1e-9)
        assert several.c_[j] == pytest.approx(alone.c_, rel=1e-9)
    assert several.predict(csr).shape == Y.shape


@pytest.mark.parametrize("matrix", [True, False], ids=["matrix", "operator"])
def test_many_rows_begin_at_a_part(matrix, monkeypatch):
    if not matrix:
        monkeypatch.setattr(design, "MOST_COLUMNS", 0)
    X, y = make_long(40_000, 20, per_row=5)
    assert_same_fit(AdaptiveRobustRegressor().fit(X, y), AdaptiveRobustRegressor().fit(X.toarray(), y), 1e-6)


@pytest.mark.parametrize("numbers", [False, True], ids=["plain", "weights"])
@pytest.mark.parametrize("model", [*MODELS, AdaptiveRobustRegressor(l2_regularization=0.1)], ids=str)
def test_more_columns_than_rows_as_the_array(model, numbers):
    rng = np.random.default_rng(0)
    X, y = make_data(n=60, p=400, share=0.05)
    X[:, :3] = rng.normal(size=(60, 3)) + np.array([1e3, 0.0, -30.0])
    X[:, 7] = 0.0
    y = X[:, 1] + X[:, 8:16].sum(axis=1) + rng.standard_t(3, size=60)
    y[:6] += 25.0
    arguments = row_numbers(60) if numbers else ()
    penalised = clone(model).set_params(init="auto", max_iter=1000)
    if model.l2_regularization == "auto":
        penalised.set_params(l2_regularization=2.0)
    found, expected = (clone(penalised).fit(each, y, *arguments) for each in (sparse.csr_array(X), X))
    assert_same_fit(found, expected, 1e-6, X)
    np.testing.assert_allclose(found.predict(sparse.csc_matrix(X)), expected.predict(X), rtol=1e-6, atol=1e-6)
    assert np.asarray(found.weights_) == pytest.approx(expected.weights_, abs=1e-6)


def test_wide_ridge():
    X, y = make_long(300, 1500)
    found = GeneralRobustRegressor(alpha=2.0, c=1.0, l2_regularization=2.0, max_iter=1000, tol=1e-10).fit(X, y)
    expected = Ridge(2.0).fit(X.toarray(), y)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-6)
    assert found.intercept_ == pytest.approx(expected.intercept_, abs=1e-6)
    robust = AdaptiveRobustRegressor(l2_regularization=2.0).fit(X, y)
    assert robust.converged_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (UserWarning, ConvergenceWarning))
        interpolated = AdaptiveRobustRegressor().fit(X, y)
    assert "no more rows than coefficients" in interpolated.stop_reason_


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "p"), [(200_000, 50), (60_000, 5000)])
@both
def test_memory_is_a_few_times_that_of_x(estimator, n, p):
    X, y = make_long(n, p)
    estimator().fit(X, y)  # compiles
    tracemalloc.start()
    try:
        estimator().fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)


def test_many_columns_fit():
    X, y = make_long(60_000, 3000)
    model = AdaptiveRobustRegressor().fit(X, y)
    assert model.converged_
    assert np.sqrt(np.mean((model.coef_ - 1.0) ** 2)) < 0.12
    y[:6000] += 30.0
    model.fit(X, y)
    assert model.contamination_ > 0.05
    assert np.sqrt(np.mean((model.coef_ - 1.0) ** 2)) < 0.15


# --- errors ----------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_infinite_entries_are_named(estimator, value):
    X, y = make_data()
    X[7, 3] = value
    with pytest.raises(ValueError, match=r"^X must be finite\. Got -?(NaN|inf) at row 7, column 3 \(1 such entries\)"):
        estimator().fit(sparse.csr_array(X), y)
    with pytest.raises(ValueError, match="row 7, column 3"):
        estimator().fit(np.zeros_like(X), y).predict(sparse.csr_array(X))


@pytest.mark.parametrize("estimator", LEARNERS)
def test_many_columns_and_what_needs_a_matrix(estimator):
    X, y = make_long(4000, 1200)
    with pytest.raises(
        ValueError, match=r"^init must be .* for sparse X with more than 300 coefficients\. Got init='s'"
    ):
        estimator(init="s").fit(X, y)
    with pytest.raises(ValueError, match=r"^solver must be .* more than 1000 coefficients\. Got solver='newton'"):
        estimator(solver="newton").fit(X, y)


# --- inference -------------------------------------------------------------------------------------------------------


def test_tails_need_no_standard_errors():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = X.sum(axis=1) + rng.normal(size=120)
    dense, model = AdaptiveRobustRegressor().fit(X, y), AdaptiveRobustRegressor().fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(model.outlier_pvalue(sparse.csr_array(X), y), dense.outlier_pvalue(X, y), atol=1e-7)
    np.testing.assert_allclose(dense.predict_interval(sparse.csr_array(X)), dense.predict_interval(X))
    for ask in (model.conf_int, model.summary, lambda: model.covariance_, lambda: model.predict_interval(X)):
        with pytest.raises(ValueError, match=r"linear models with a dense X .* a fit with a sparse X"):
            ask()
