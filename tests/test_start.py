"""Starts that outliers cannot move, and the random numbers they take."""

import numpy as np
import pytest
from problems import both, each_init, each_solver, fresh, make_data, outliers
from scipy import sparse
from sklearn.linear_model import LinearRegression
from sklearn.utils import check_random_state

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor


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


@pytest.mark.parametrize("turned", [False, True], ids=["in a column", "between the columns"])
def test_a_fifth_of_the_rows_in_a_cluster_that_a_line_passes_through(turned):
    """Clean rows are as far out in some of 20 columns, so the line through the cluster has the smaller scale."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, noise = rng.normal(size=(500, 20)), rng.normal(size=500)
        X[:100] *= 0.1
        X[:100, 0] += 4.0
        y = X.sum(axis=1) + noise
        y[:100] -= 2.0 * X[:100, 0] + 0.9 * noise[:100]
        turn = np.linalg.qr(rng.normal(size=(20, 20)))[0] if turned else np.eye(20)
        model = AdaptiveRobustRegressor().fit(X @ turn, y)
        assert np.abs(turn @ model.coef_ - 1.0).max() < 0.3  # 2 on the line through the cluster
        assert (model.outlier_proba(X @ turn, y)[:100] > 0.5).all()


def groups(seed):
    """A thousand rows in twenty groups of unequal size, a tenth of them far off: X, y, the plane and clean rows."""
    rng = np.random.default_rng(seed)
    group = rng.choice(20, size=1000, p=rng.dirichlet(np.ones(20)))
    dummies = (group[:, None] == np.arange(20)).astype(float)
    X = np.column_stack((dummies[:, dummies.sum(axis=0) >= 12], rng.normal(size=(1000, 3))))
    plane = X @ (3.0 * rng.normal(size=X.shape[1]))
    y, wrong = plane + rng.normal(size=1000), rng.permutation(1000)[:100]
    y[wrong] += rng.choice([-1, 1], size=100) * rng.uniform(10, 100, size=100)
    return X, y, plane, ~np.isin(np.arange(1000), wrong)


def splines(seed):
    """Two linear splines, the last knot of which a fifth of 300 rows have passed; 15 rows are lifted."""
    rng = np.random.default_rng(seed)
    columns = []
    for x in rng.gamma(2.0, size=(2, 300)):
        columns += [x, *(np.maximum(x - knot, 0.0) for knot in np.quantile(x, [0.2, 0.5, 0.8]))]
    X = np.column_stack(columns)
    plane = X @ (5.0 * rng.normal(size=8))
    y, wrong = plane + rng.normal(size=300), rng.permutation(300)[:15]
    y[wrong] += 10.0
    return X, y, plane, ~np.isin(np.arange(300), wrong)


@pytest.mark.parametrize(
    "model", [AdaptiveRobustRegressor(), GeneralRobustRegressor(alpha=-np.inf, init="s")], ids=["adaptive", "welsch"]
)
@pytest.mark.parametrize(
    ("make", "seeds"), [(groups, (26, 123, 133)), (splines, (21, 51, 56, 69))], ids=["groups", "splines"]
)
def test_what_only_some_rows_determine_is_not_lost_with_them(make, seeds, model):
    for seed in seeds:
        X, y, plane, clean = make(seed)
        for form in (X, sparse.csr_array(X)):
            fit = fresh(model).fit(form, y)
            assert np.abs(fit.predict(X) - plane)[clean].max() < 2.0, seed


def test_what_was_lost_is_found_in_any_order_units_and_number_of_rows():
    X, y, _, _ = splines(51)
    model, order = AdaptiveRobustRegressor().fit(X, y), np.random.default_rng(0).permutation(len(y))
    same = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(fresh(model).fit(X[order], y[order]).coef_, model.coef_, **same)
    np.testing.assert_allclose(fresh(model).fit(1e3 * X, 1e-6 * y).coef_, 1e-9 * model.coef_, rtol=1e-6, atol=1e-15)
    twice = fresh(model).fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    weighted = fresh(model).fit(X, y, sample_weight=np.full(len(y), 2.0))
    np.testing.assert_allclose(weighted.coef_, twice.coef_, **same)


def test_a_line_that_fits_the_rows_without_a_dummy_does_not_win():
    """Of two lines that differ in a dummy's coefficient the rows without it are near, and cannot tell them apart."""
    rng = np.random.default_rng([3635749135, 30, 50, 5])
    X, noise = rng.normal(size=(50, 5)), rng.normal(size=50)
    X[:, ::2] = rng.uniform(size=(50, 3)) < 0.2
    noise[rng.permutation(50)[:5]] += 10.0
    model = AdaptiveRobustRegressor().fit(X, X.sum(axis=1) + noise)
    assert np.abs(model.coef_ - 1.0).max() < 2.0  # 9 on the other line


@pytest.mark.parametrize("model", [AdaptiveRobustRegressor(), GeneralRobustRegressor()], ids=["adaptive", "general"])
def test_copies_of_few_rows_do_not_make_them_many(model):
    """Bootstrap samples: a plane through the rows drawn most often would pass through half of all."""
    for n, p, seed in [(60, 15, seed) for seed in range(8)] + [(40, 10, seed) for seed in range(8)]:
        rng = np.random.default_rng([seed, n])
        X = rng.normal(size=(n, p))
        y, drawn = X.sum(axis=1) + rng.normal(size=n), rng.integers(n, size=n)
        fit, plain = (each.fit(X[drawn], y[drawn]) for each in (fresh(model), LinearRegression()))
        assert np.sum((fit.coef_ - 1.0) ** 2) < 3.0 * np.sum((plain.coef_ - 1.0) ** 2)
        numbers, counts = np.unique(drawn, return_counts=True)
        weighted = fresh(model).fit(X[numbers], y[numbers], sample_weight=counts)
        np.testing.assert_allclose(weighted.coef_, fit.coef_, rtol=1e-6, atol=1e-8)


def coded(seed, n, coef, code):
    """A dummy of a fifth of the rows, which is a code for what is missing in 15% of them."""
    rng = np.random.default_rng(seed)
    X = np.column_stack((rng.uniform(size=n) < 0.2, rng.normal(size=(n, 3)))).astype(float)
    y = X @ [coef, 1.0, 1.0, 1.0] + rng.normal(size=n)
    X[: round(0.15 * n), 0] = code
    return X, y


@pytest.mark.parametrize(
    "model", [AdaptiveRobustRegressor(), GeneralRobustRegressor(alpha=-np.inf, init="s")], ids=["adaptive", "welsch"]
)
def test_a_code_for_what_is_missing_does_not_rule_a_dummy(model):
    """All rows but those of the dummy fit a line through the code, on which the dummy counts for nothing."""
    for seed in range(10):
        X, y = coded(seed, 400, 3.0, -9.0)  # only y tells that the dummy is not a code
        assert fresh(model).fit(X, y).coef_[0] == pytest.approx(3.0, abs=0.9), seed
        X, y = coded(seed, 120, 2.0, -999.0)
        assert fresh(model).fit(X, y).coef_[0] == pytest.approx(2.0, abs=0.9), seed
        if seed:
            continue
        order, s = np.random.default_rng(1).permutation(120), np.arange(120) % 3 + 1
        weighted = fresh(model).fit(X, y, sample_weight=s).coef_
        repeated = fresh(model).fit(np.repeat(X, s, axis=0), np.repeat(y, s)).coef_
        np.testing.assert_allclose(repeated, weighted, rtol=1e-6)
        np.testing.assert_allclose(fresh(model).fit(X[order], y[order], s[order]).coef_, weighted, rtol=1e-6)
        np.testing.assert_allclose(fresh(model).fit(1e6 * X - 5.0, y, s).coef_, 1e-6 * weighted, rtol=1e-6)


def test_means_filled_in_for_what_is_missing_do_not_make_leverage_of_a_dummy():
    for seed in range(4):
        rng = np.random.default_rng([seed, 6])
        d = (rng.uniform(size=(600, 3)) < 0.02).astype(float)
        X = np.column_stack((rng.normal(size=(600, 3)), d))
        coef = np.array([1.0, 1.0, 1.0, 5.0, -5.0, 5.0])
        y = X @ coef + rng.normal(size=600)
        for j in (3, 4, 5):
            missing = rng.uniform(size=600) < 0.2
            X[missing, j] = X[~missing, j].mean()
        np.testing.assert_allclose(AdaptiveRobustRegressor().fit(X, y).coef_, coef, atol=2.0)


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


@pytest.mark.parametrize(("alpha", "efficiency"), [(-np.inf, 0.95), (-2.0, 0.85)])
def test_mm_estimator_has_the_chosen_efficiency(alpha, efficiency):
    rng = np.random.default_rng(0)
    model = GeneralRobustRegressor(alpha, c="auto", init="s", efficiency=efficiency)
    squares = np.empty((1000, 2))
    for line in squares:
        X, y = rng.normal(size=(1000, 10)), rng.normal(size=1000)
        line[:] = [np.sum(fit.fit(X, y).coef_ ** 2) for fit in (LinearRegression(), model)]
    of_least_squares, ours = squares.sum(axis=0)
    simulated = of_least_squares / ours
    error = np.std(squares @ (1.0, -simulated)) * np.sqrt(len(squares)) / ours
    assert error < 0.01
    assert abs(simulated - efficiency) < 0.01 + 2.0 * error


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "p", "filled"), [(1000, 3, 0.1), (400, 20, 0.3)])
def test_error_bars_do_not_make_leverage_of_columns_that_are_mostly_zero(n, p, filled, seed):
    """Zeros of a centred column differ once they are divided by noise scales: the others were all far out then."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * (rng.uniform(size=(n, p)) < filled)
    noise_scale = rng.uniform(0.3, 3.0, size=n)
    coef = np.arange(1.0, p + 1.0)
    y = X @ coef + noise_scale * rng.normal(size=n)
    y[: n // 10] += 20.0
    model = AdaptiveRobustRegressor().fit(X, y, noise_scale=noise_scale)
    np.testing.assert_allclose(model.coef_, coef, atol=0.6)
    of_sparse = AdaptiveRobustRegressor().fit(sparse.csr_array(X), y, noise_scale=noise_scale)
    np.testing.assert_allclose(of_sparse.coef_, model.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.fit(X, 3.0 * y, noise_scale=noise_scale).coef_, 3.0 * of_sparse.coef_, rtol=1e-9)


@pytest.mark.parametrize("init", ["lad", "gnc"])
@pytest.mark.parametrize("alpha", [1.5, 1.0, 0.0, -2.0])
def test_one_target_sets_no_scale(init, alpha):
    """Least squares, where these begin, is as far off as one y is; each of their stages comes some digits nearer."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, -2.0, 3.0] + rng.normal(size=100)
    plain = GeneralRobustRegressor(alpha, init=init).fit(X, y)
    for size in (1e6, 1e20, 1e150) if alpha <= 1.0 else (1e6,):
        y[3] = size
        model = GeneralRobustRegressor(alpha, init=init).fit(X, y)
        assert model.c_ == pytest.approx(plain.c_, rel=0.05)
        if alpha <= 1.0:
            np.testing.assert_allclose(model.coef_, plain.coef_, atol=0.2)


def test_one_target_sets_no_scale_of_many_sparse_columns():
    rng = np.random.default_rng(0)
    X = sparse.random(1500, 301, density=0.05, format="csr", random_state=0, data_rvs=rng.standard_normal)
    coef = rng.normal(size=301)
    y = X @ coef + 0.5 * rng.normal(size=1500)
    plain = GeneralRobustRegressor().fit(X, y)
    y[3] = 1e9
    model = GeneralRobustRegressor().fit(X, y)
    assert model.c_ == pytest.approx(plain.c_, rel=0.05)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=0.05)
