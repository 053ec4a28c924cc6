"""Coverage, tails, densities, influence, and what is refused."""

import naive_fit
import numpy as np
import pytest
from problems import assert_finite, both, gaussian, ignored, make_data, outliers, row_numbers, student
from scipy import sparse, stats
from scipy.integrate import trapezoid
from sklearn.exceptions import NotFittedError

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor
from sklearn_robust._fit import sandwich

X, Y = make_data(student, n=60)


def laplace(rng, n):
    return rng.laplace(size=n)


def one_sided(rng, n):
    noise = rng.normal(size=n)
    noise[: n // 10] += 10.0
    return noise


# --- coverage --------------------------------------------------------------------------------------------------------


def coverages(noise, spread, cov_type, n=150, repeats=120):
    """Of 95% confidence intervals of the slopes, and 90% prediction intervals and 1% tails of clean new rows."""
    found = np.zeros((repeats, 3))
    clean = noise if noise is not one_sided else gaussian
    for k in range(repeats):
        rng = np.random.default_rng([7, k])
        rows, new = rng.normal(size=(n, 3)), rng.normal(size=(200, 3))
        y = rows.sum(axis=1) + spread(rows) * noise(rng, n)
        y_new = new.sum(axis=1) + spread(new) * clean(rng, 200)
        model = AdaptiveRobustRegressor().fit(rows, y)
        inside = (model.conf_int(0.95, cov_type).to_numpy() - [[0.0], [1.0], [1.0], [1.0]])[1:]
        limits = model.predict_interval(new, 0.9)
        found[k] = (
            ((inside[:, 0] < 0) & (inside[:, 1] > 0)).mean(),
            ((limits[:, 0] < y_new) & (y_new < limits[:, 1])).mean(),
            (model.outlier_pvalue(new, y_new) < 0.01).mean(),
        )
    return found.mean(axis=0)


def equal(rows):
    return 1.0


def unequal(rows):
    return 0.5 + np.abs(rows[:, 0])


@pytest.mark.parametrize("noise", [gaussian, student, laplace, one_sided])
def test_intervals_cover_as_they_say(noise):
    confidence, prediction, tail = coverages(noise, equal, "model")
    assert 0.92 < confidence < 0.98  # 360 intervals: two standard errors are 0.023
    assert 0.87 < prediction < 0.93
    assert 0.003 < tail < 0.02


def test_unequal_variances_need_hc():
    model, hc = (coverages(gaussian, unequal, cov_type)[0] for cov_type in ("model", "hc"))
    assert model < 0.925 < hc < 0.98


@pytest.mark.parametrize("noise", [student, one_sided])
def test_prediction_intervals_know_noise_scales_and_weights(noise):
    inside, repeats = [], 60
    clean = noise if noise is not one_sided else gaussian
    for k in range(repeats):
        rng = np.random.default_rng([8, k])
        rows, new = rng.normal(size=(150, 3)), rng.normal(size=(200, 3))
        v, v_new = rng.uniform(0.2, 5.0, 150), rng.uniform(0.2, 5.0, 200)
        s = rng.integers(0, 3, 150)
        y, y_new = rows.sum(axis=1) + v * noise(rng, 150), new.sum(axis=1) + v_new * clean(rng, 200)
        limits = AdaptiveRobustRegressor().fit(rows, y, s, v).predict_interval(new, 0.9, v_new)
        inside.append(((limits[:, 0] < y_new) & (y_new < limits[:, 1])).mean())
    assert 0.87 < np.mean(inside) < 0.93


# --- tails and densities ---------------------------------------------------------------------------------------------


@both
def test_p_values_are_tails_of_the_clean_law(estimator):
    rows, y = make_data(gaussian, n=200)
    model = estimator().fit(rows, y)
    u = (y - model.predict(rows)) / model.scale_
    np.testing.assert_allclose(model.outlier_pvalue(rows, y), 2 * stats.norm.sf(np.abs(u)), rtol=1e-8)
    v = np.full(200, 2.0)
    np.testing.assert_allclose(model.outlier_pvalue(rows, y, v), 2 * stats.norm.sf(np.abs(u) / 2), rtol=1e-8)
    far = model.outlier_pvalue(rows[:1], y[:1] + 20 * model.scale_)
    assert 0 < far[0] < 1e-50


def test_p_values_of_heavy_tails_and_next_to_a_background():
    rows, y = make_data(student, n=300)
    heavy = AdaptiveRobustRegressor(contamination=0.0).fit(rows, y)
    assert heavy.alpha_ < 1.5
    r = np.abs(y - heavy.predict(rows))
    grid = np.linspace(0, r[0], 20001)
    density = np.exp(-naive_fit.rho(grid, heavy.alpha_, heavy.c_) - naive_fit.log_z(heavy.alpha_)) / heavy.c_
    assert heavy.outlier_pvalue(rows[:1], y[:1])[0] == pytest.approx(1 - 2 * trapezoid(density, grid), abs=1e-7)
    rows, y = make_data(outliers, n=300)
    mixed = AdaptiveRobustRegressor().fit(rows, y)
    assert mixed.contamination_ > 0.1
    p, outlying = mixed.outlier_pvalue(rows, y), mixed.outlier_proba(rows, y) > 0.5
    assert p[outlying].max() < 0.005
    assert p[~outlying].min() > 1e-5


@pytest.mark.parametrize(
    ("model", "noise"),
    [(AdaptiveRobustRegressor(), student), (AdaptiveRobustRegressor(), outliers), (GeneralRobustRegressor(), student)],
    ids=["learned", "mixture", "held"],
)
def test_log_density_is_that_of_the_law_or_its_mixture(model, noise):
    rows, y = make_data(noise, n=200)
    _, v = row_numbers(200)
    model.fit(rows, y, noise_scale=v)
    r = naive_fit.residuals(model, rows, y, v)
    share, width = naive_fit.background(model)
    expected = np.exp(-naive_fit.rho(r, model.alpha_, model.c_) - naive_fit.log_z(model.alpha_)) / model.c_
    expected = ((1 - share) * expected + (share / width if share else 0.0)) / v
    np.testing.assert_allclose(model.log_density(rows, y, v), np.log(expected), rtol=1e-8, atol=1e-10)
    if hasattr(model, "contamination_"):  # J is minus its sum, up to -d log c
        total = -model.log_density(rows, y, v).sum() - np.log(v).sum() - 4 * np.log(model.c_)
        assert model.objective_ == pytest.approx(total, rel=1e-9)


def test_a_constant_target_has_a_law_of_one_point():
    model = AdaptiveRobustRegressor().fit(X, np.full(60, 3.0))
    np.testing.assert_array_equal(model.outlier_pvalue(X[:2], [3.0, 4.0]), [1.0, 0.0])
    np.testing.assert_array_equal(model.log_density(X[:2], [3.0, 4.0]), [np.inf, -np.inf])
    np.testing.assert_allclose(model.predict_interval(X), 3.0, rtol=1e-12)
    np.testing.assert_allclose(model.conf_int(), [[3.0, 3.0], *[[0.0, 0.0]] * 3], atol=1e-12)
    assert str(model.summary())


# --- influence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
def test_influence_is_classical_for_least_squares(intercept):
    model = GeneralRobustRegressor(alpha=2.0, fit_intercept=intercept).fit(X, Y)
    D = np.column_stack((np.ones(60), X)) if intercept else X
    hat = np.einsum("ij,ij->i", D @ np.linalg.inv(D.T @ D), D)
    coef = np.linalg.lstsq(D, Y, rcond=None)[0]
    r, q = Y - D @ coef, D.shape[1]
    found = model.influence(X, Y)
    assert list(found.columns) == ["residual", "weight", "leverage", "cook_distance"]
    np.testing.assert_allclose(found["residual"], r, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(found["weight"], np.ones(60))
    np.testing.assert_allclose(found["leverage"], hat, rtol=1e-8)
    without = [np.linalg.lstsq(np.delete(D, i, 0), np.delete(Y, i), rcond=None)[0] for i in range(60)]
    moves = (np.array(without) - coef) @ D.T
    cook = (moves**2).sum(axis=1) / q / (r @ r / (60 - q))
    np.testing.assert_allclose(found["cook_distance"], cook, rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [AdaptiveRobustRegressor(), GeneralRobustRegressor(alpha=-2.0, init="s"), GeneralRobustRegressor()],
    ids=str,
)
def test_influence_tells_leverage_from_harm(model):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(100, 2))
    rows[0] = 20.0, -20.0
    rows[1] = 10.0, -20.0
    y = rows @ [1.0, 2.0] + rng.normal(size=100)
    y[1] += 500.0
    with ignored(UserWarning):
        model.fit(rows, y)
    _, v = row_numbers(100)
    found = model.influence(rows, y)
    np.testing.assert_allclose(found["weight"], model.weights_, rtol=1e-7, atol=1e-12)
    assert (found["leverage"][:2] > 10 * found["leverage"][2:].max() / 3).all()
    if model.alpha_ != 1.0:  # this loss is one that the bad point rules
        assert found["weight"][1] < 1e-3
        assert found["cook_distance"][1] < found["cook_distance"][0] + 0.1
    noisy = model.influence(rows, y, v)
    np.testing.assert_allclose(noisy["residual"], found["residual"], rtol=1e-12)
    np.testing.assert_allclose(noisy["leverage"], found["leverage"] / v**2, rtol=1e-10)


# --- what is refused -------------------------------------------------------------------------------------------------


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


METHODS = {
    "covariance_": lambda model: model.covariance_,
    "robust_r2_": lambda model: model.robust_r2_,
    "conf_int": lambda model: model.conf_int(),
    "summary": lambda model: model.summary(),
    "predict_interval": lambda model: model.predict_interval(X),
    "log_density": lambda model: model.log_density(X, Y),
    "outlier_pvalue": lambda model: model.outlier_pvalue(X, Y),
    "influence": lambda model: model.influence(X, Y),
}


@both
@pytest.mark.parametrize("method", METHODS)
def test_not_fitted(estimator, method):
    with pytest.raises(NotFittedError) as error:
        METHODS[method](estimator())
    assert estimator.__name__ in str(error.value)


@both
@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 95, np.nan, "high", None, True])
def test_probabilities_lie_between_0_and_1(estimator, value):
    model = estimator().fit(X, Y)
    for name, method in {"confidence": model.conf_int, "coverage": lambda c: model.predict_interval(X, c)}.items():
        with pytest.raises(ValueError, match=rf"^{name} must be a number in \(0, 1\). Got {name}=") as error:
            method(value)
        one_line(error)


@both
@pytest.mark.parametrize("value", ["hc3", "HC", None, 1])
def test_covariances_have_two_names(estimator, value):
    model = estimator().fit(X, Y)
    for method in (lambda c: model.conf_int(cov_type=c), model.summary):
        with pytest.raises(ValueError, match=r"^cov_type must be one of 'model', 'hc'\. Got cov_type=") as error:
            method(value)
        one_line(error)


@both
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_no_errors_without_more_rows_than_coefficients(estimator, n):
    with ignored(UserWarning):
        model = estimator().fit(X[:n], Y[:n])
    for method in ("covariance_", "conf_int", "summary", "predict_interval", "influence"):
        with pytest.raises(ValueError, match="more rows than coefficients") as error:
            METHODS[method](model)
        assert f"total weight {n} for 4 coefficients" in one_line(error)
    assert (model.outlier_pvalue(X, Y) >= 0).all()


WITHOUT_ERRORS = {
    "kernel": (X, Y, {"kernel": "rbf"}, "bootstrap"),
    "landmarks": (X, Y, {"kernel": "rbf", "n_components": 5}, "bootstrap"),
    "precomputed": (X @ X.T, Y, {"kernel": "precomputed"}, "bootstrap"),
    "sparse": (sparse.csr_array(X), Y, {}, "toarray"),
    "wide": (np.random.default_rng(0).normal(size=(60, 250)), Y, {}, "drop columns"),
    "few rows": (X[:4], Y[:4], {}, "add rows"),
    "two targets": (X, np.column_stack((Y, Y)), {"kernel": "rbf"}, "bootstrap"),
}


@both
@pytest.mark.parametrize("case", WITHOUT_ERRORS)
def test_attributes_that_cannot_be_given_are_not_there(estimator, case):
    rows, y, parameters, remedy = WITHOUT_ERRORS[case]
    model = estimator(**parameters)
    assert not hasattr(model, "covariance_")
    with ignored(UserWarning):
        model.fit(rows, y)
    assert not hasattr(model, "covariance_")
    assert getattr(model, "covariance_", None) is None
    with pytest.raises(AttributeError, match=remedy) as error:
        _ = model.covariance_
    one_line(error)
    assert case == "few rows" or not hasattr(model, "robust_r2_")
    assert hasattr(estimator().fit(X, Y), "covariance_")


def test_a_bounded_loss_has_no_density():
    model = GeneralRobustRegressor(alpha=-2.0, init="s").fit(X, Y)
    with pytest.raises(ValueError, match=r"alpha >= 0\. Got alpha=-2\.0") as error:
        model.log_density(X, Y)
    one_line(error)
    assert (model.outlier_pvalue(X, Y) <= 1).all()


@both
def test_rows_are_checked(estimator):
    model = estimator().fit(X, Y)
    for method in (model.log_density, model.outlier_pvalue, model.influence):
        with pytest.raises(ValueError, match="y must have one entry"):
            method(X, Y[:-1])
        with pytest.raises(ValueError, match="noise_scale must be positive"):
            method(X, Y, np.zeros(60))
        with pytest.raises(ValueError, match="X has 2 features"):
            method(X[:, :2], Y)
    with pytest.raises(ValueError, match="X has 2 features"):
        model.predict_interval(X[:, :2])
    with pytest.raises(ValueError, match="noise_scale must have one entry"):
        model.predict_interval(X, noise_scale=np.ones(3))


HARD = {
    "exact": (X, X @ [1.0, 2.0, 3.0]),
    "mostly exact": (X, np.where(np.arange(60) < 50, X.sum(axis=1), 100.0)),
    "huge": (X * 1e100, Y * 1e-100),
    "one huge y": (X, np.where(np.arange(60) == 7, 1e300, Y)),
    "shifted": (X + 1e9, Y),
    "n = q + 1": (X[:5], Y[:5]),
    "binary y": (X, (np.median(Y) < Y).astype(float)),
}


@both
@pytest.mark.parametrize("case", HARD)
def test_hard_data_have_answers_or_one_line(estimator, case):
    rows, y = HARD[case]
    with ignored(UserWarning):
        model = estimator().fit(rows, y)
    assert_finite(model)
    try:
        found = [model.summary(kind).table["standard error"].to_numpy() for kind in ("model", "hc")]
        found += [model.predict_interval(rows), model.influence(rows, y).to_numpy()]
    except ValueError as error:
        assert str(error).startswith("Standard errors must have")
        return
    for values in found:
        assert not np.isnan(values).any()
    assert ((model.outlier_pvalue(rows, y) >= 0) & (model.outlier_pvalue(rows, y) <= 1)).all()


def test_a_column_of_one_target_has_the_summary_of_that_target():
    X = np.random.default_rng(0).normal(size=(50, 2))
    y = X.sum(axis=1) + np.random.default_rng(1).normal(size=50)
    text = str(AdaptiveRobustRegressor().fit(X, y[:, None]).summary())
    assert text == str(AdaptiveRobustRegressor().fit(X, y).summary())


def few_rows_matter(kind, n=60_000):
    """X, y and noise scales of which a few rows carry much of what the errors are made of."""
    rng = np.random.default_rng(1)
    X, errors, noise_scale = rng.normal(size=(n, 10)), rng.standard_t(3, size=n), np.ones(n)
    if kind == "leverage":
        X[1000, 0] = 1000.0
    elif kind == "one bad row":
        errors[1000] = 1e6
    elif kind == "precise rows":
        noise_scale[rng.permutation(n)[:60]] = 0.01
    else:  # two dummies that differ in few rows
        X[:, 0] = rng.random(n) < 0.5
        X[:, 1] = (X[:, 0] == 1.0) ^ (rng.random(n) < 0.001)
    return X, X.sum(axis=1) + noise_scale * errors, noise_scale


@pytest.mark.parametrize("kind", ["leverage", "one bad row", "precise rows", "two dummies"])
@pytest.mark.parametrize(
    "model", [AdaptiveRobustRegressor(), GeneralRobustRegressor(), GeneralRobustRegressor(alpha=2.0)], ids=str
)
def test_errors_of_many_rows_are_those_of_all_where_few_of_them_matter(model, kind, monkeypatch):
    X, y, noise_scale = few_rows_matter(kind)

    def errors():
        summaries = (model.fit(X, y, noise_scale=noise_scale).summary(cov_type) for cov_type in ("model", "hc"))
        return [summary.table["standard error"].to_numpy() for summary in summaries]

    found = errors()
    monkeypatch.setattr(sandwich, "_enough", lambda rows, seed: rows)
    np.testing.assert_allclose(found, errors(), rtol=0.25)


def test_cook_distance_does_not_depend_on_redundant_columns():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 3))
    y = rows.sum(axis=1) + rng.normal(size=80)
    redundant = np.column_stack((rows, rows[:, 0] - rows[:, 1], 2.0 * rows[:, 2]))
    found, expected = (GeneralRobustRegressor(alpha=2.0).fit(X, y).influence(X, y) for X in (redundant, rows))
    np.testing.assert_allclose(found["cook_distance"], expected["cook_distance"], rtol=1e-6)
