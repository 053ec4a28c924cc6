"""Standard errors and intervals: against textbook formulas and differences, and how they change with the data."""

import json
import pickle
from pathlib import Path

import naive_inference
import numpy as np
import pandas as pd
import pytest
from problems import both, cauchy, gaussian, ignored, make_data, of_size, outliers, row_numbers, student
from scipy import stats

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor
from sklearn_robust._fit import sandwich

both_types = pytest.mark.parametrize("cov_type", ["model", "hc"])


def named(value):
    return getattr(value, "__name__", str(value))


def errors_of(model, cov_type="model"):
    return model.summary(cov_type).table["standard error"].to_numpy()


def with_ones(X):
    return np.column_stack((np.ones(len(X)), X))


def one_sided(rng, n):
    noise = rng.normal(size=n)
    noise[rng.permutation(n)[: n // 10]] += 10.0
    return noise


# --- against the slow version ----------------------------------------------------------------------------------------

MODELS = [
    (AdaptiveRobustRegressor(tol=1e-11), student, 0.0),
    (AdaptiveRobustRegressor(tol=1e-11), one_sided, 0.0),
    (AdaptiveRobustRegressor(tol=1e-11, fit_intercept=False), student, 0.0),
    (AdaptiveRobustRegressor(tol=1e-11, alpha_bounds=(1.0, 1.0), contamination=0.0), gaussian, 0.0),
    (AdaptiveRobustRegressor(tol=1e-11, alpha_bounds=(1.2, 2.0), contamination=0.0), cauchy, 0.0),
    (AdaptiveRobustRegressor(tol=1e-11, solver="lbfgs", contamination=0.0), student, 0.0),
    (AdaptiveRobustRegressor(tol=1e-11, l2_regularization=5.0), gaussian, 5.0),
    (GeneralRobustRegressor(tol=1e-11), student, 0.0),
    (GeneralRobustRegressor(tol=1e-11, alpha=-np.inf, init="s"), outliers, 0.0),
    (GeneralRobustRegressor(tol=1e-11, alpha=0.0, solver="irls", max_iter=1000, fit_intercept=False), student, 0.0),
    (GeneralRobustRegressor(tol=1e-11, alpha=1.5, l2_regularization=3.0), student, 3.0),
]


@pytest.mark.parametrize("numbered", [False, True], ids=["plain", "numbered"])
@pytest.mark.parametrize(("model", "noise", "l2"), MODELS, ids=named)
def test_covariance_is_that_of_scores_and_hessian_by_differences(model, noise, l2, numbered):
    X, y = make_data(noise, n=150)
    s, v = row_numbers(150) if numbered else (None, None)
    with ignored(UserWarning):
        model.fit(X, y, s, v)
    q = X.shape[1] + model.fit_intercept
    for cov_type in ("model", "hc"):
        expected = naive_inference.covariance(model, X, y, cov_type, s, v, l2)
        table = model.summary(cov_type)
        errors = np.sqrt(expected.diagonal())
        np.testing.assert_allclose(table.table["standard error"], errors[:q], rtol=2e-5)
        law = dict(zip(naive_inference.free_law(model), errors[q:], strict=True))
        share = getattr(model, "contamination_", 0.0)
        expected_law = [law.get("alpha"), law.get("log c"), law.get("logit", np.nan) * share * (1 - share)]
        np.testing.assert_allclose(table.law["standard error"], np.array(expected_law, dtype=float), rtol=2e-4)
    expected = naive_inference.covariance(model, X, y, "model", s, v, l2)[:q, :q]
    assert of_size(model.covariance_, expected) < 1e-4


# --- least squares ---------------------------------------------------------------------------------------------------

SQUARES = [GeneralRobustRegressor(alpha=2.0), AdaptiveRobustRegressor(alpha_bounds=(2.0, 2.0), contamination=0.0)]
squares = pytest.mark.parametrize("model", SQUARES, ids=str)


@squares
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("solver", ["newton", "irls", "lbfgs"])
def test_least_squares_has_its_textbook_errors(model, intercept, solver):
    X, y = make_data(student, n=80)
    model.set_params(fit_intercept=intercept, solver=solver, tol=1e-11).fit(X, y)
    D = with_ones(X) if intercept else X
    coef, rest = np.linalg.lstsq(D, y, rcond=None)[:2]
    dof = 80 - D.shape[1]
    covariance = rest[0] / dof * np.linalg.inv(D.T @ D)
    errors = np.sqrt(covariance.diagonal())
    np.testing.assert_allclose(model.covariance_, covariance, rtol=1e-8)
    table = model.summary().table
    np.testing.assert_allclose(table["estimate"], coef, rtol=1e-8)
    np.testing.assert_allclose(table["standard error"], errors, rtol=1e-8)
    np.testing.assert_allclose(table["z"], coef / errors, rtol=1e-8)
    np.testing.assert_allclose(table["p"], 2 * stats.t.sf(np.abs(coef / errors), dof), rtol=1e-6)
    half = stats.t.ppf(0.95, dof) * errors
    np.testing.assert_allclose(model.conf_int(0.9), np.column_stack((coef - half, coef + half)), rtol=1e-7)
    new = np.random.default_rng(1).normal(size=(7, 3))
    E = with_ones(new) if intercept else new
    half = stats.t.ppf(0.95, dof) * np.sqrt(rest[0] / dof + np.einsum("ij,jk,ik->i", E, covariance, E))
    np.testing.assert_allclose(
        model.predict_interval(new, 0.9), np.column_stack((E @ coef - half, E @ coef + half)), rtol=1e-7
    )


@squares
def test_least_squares_of_many_rows_has_exact_errors_too(model):
    X, y = make_data(gaussian, n=60_000, p=9)
    model.set_params(fit_intercept=True, solver="auto", tol=1e-8).fit(X, y)
    D = with_ones(X)
    rest = y - D @ np.linalg.lstsq(D, y, rcond=None)[0]
    errors = np.sqrt((rest @ rest / (60_000 - 10) * np.linalg.inv(D.T @ D)).diagonal())
    np.testing.assert_allclose(errors_of(model), errors, rtol=1e-8)
    np.testing.assert_allclose(errors_of(model, "hc"), errors, rtol=0.05)


def test_clean_gaussian_data_have_the_errors_of_least_squares_by_default():
    X, y = make_data(gaussian, n=150)
    learned = AdaptiveRobustRegressor().fit(X, y)
    assert learned.alpha_ == 2.0
    np.testing.assert_allclose(errors_of(learned), errors_of(GeneralRobustRegressor(alpha=2.0).fit(X, y)), rtol=1e-8)
    assert learned.summary().law.loc["log c", "standard error"] == pytest.approx(1 / np.sqrt(2 * (150 - 4)), rel=1e-6)


def test_robust_r2_is_the_usual_one_for_least_squares_and_ignores_outliers():
    X, y = make_data(gaussian, n=300)
    assert GeneralRobustRegressor(alpha=2.0).fit(X, y).robust_r2_ == pytest.approx(
        GeneralRobustRegressor(alpha=2.0).fit(X, y).score(X, y), rel=1e-10
    )
    clean = AdaptiveRobustRegressor().fit(X, y)
    y[:30] += 1000.0
    assert AdaptiveRobustRegressor().fit(X, y).robust_r2_ == pytest.approx(clean.robust_r2_, abs=0.002)


@squares
def test_ridge_has_the_covariance_of_its_posterior(model):
    X, y = make_data(gaussian, n=60)
    model = type(model)(**model.get_params() | {"l2_regularization": 7.0, "fit_intercept": True}).fit(X, y)
    D, P = with_ones(X), np.diag([0.0, 7.0, 7.0, 7.0])
    r = y - model.predict(X)
    dof = 60 - np.trace(np.linalg.solve(D.T @ D + P, D.T @ D))
    np.testing.assert_allclose(model.covariance_, r @ r / dof * np.linalg.inv(D.T @ D + P), rtol=1e-6)


# --- lmrob -----------------------------------------------------------------------------------------------------------

CLASSICAL = json.loads((Path(__file__).parent / "classical.json").read_text(encoding="utf-8"))["sets"]


@pytest.mark.parametrize("name", [name for name, data in CLASSICAL.items() if "standard errors" in data])
def test_mm_estimates_have_the_errors_of_lmrob(name):
    """Bisquare there and Welsch's loss here, so single coefficients may differ more."""
    data = CLASSICAL[name]
    rows = np.array(data["rows"])
    model = GeneralRobustRegressor(alpha=-np.inf, init="s").fit(rows[:, :-1], rows[:, -1])
    ratio = errors_of(model, "hc") / data["standard errors"]
    assert abs(np.log(ratio).mean()) < 0.05
    assert np.abs(np.log(ratio)).max() < 0.2


# --- invariance ------------------------------------------------------------------------------------------------------

INVARIANT = [
    (AdaptiveRobustRegressor(tol=1e-11), student),
    (AdaptiveRobustRegressor(tol=1e-11), one_sided),
    (GeneralRobustRegressor(alpha=-2.0, init="s", tol=1e-11), outliers),
]
each_model = pytest.mark.parametrize(("model", "noise"), INVARIANT, ids=named)


@each_model
@both_types
def test_errors_are_equivariant(model, noise, cov_type):
    X, y = make_data(noise, n=100)
    plain = errors_of(model.fit(X, y), cov_type)
    limits = model.predict_interval(X[:5])
    k, shift = np.array([1e-6, 3.0, 1e4]), np.array([1e3, -5.0, 1e6])
    scaled = model.fit(X * k, 1e3 * y + 7.0)
    np.testing.assert_allclose(errors_of(scaled, cov_type), plain * 1e3 / [1.0, *k], rtol=1e-6)
    np.testing.assert_allclose(model.predict_interval(X[:5] * k), 1e3 * limits + 7.0, rtol=1e-6)
    moved = model.fit(X + shift, y + X @ [3.0, 2.0, 1.0])
    np.testing.assert_allclose(errors_of(moved, cov_type)[1:], plain[1:], rtol=1e-5)
    np.testing.assert_allclose(
        model.predict_interval(X[:5] + shift), limits + (X[:5] @ [3.0, 2.0, 1.0])[:, None], rtol=1e-6
    )
    A = np.random.default_rng(0).normal(size=(3, 3)) + 3 * np.eye(3)
    slopes = model.fit(X, y)._covariance(cov_type)[1:, 1:]
    mixed = model.fit(X @ A, y)._covariance(cov_type)[1:, 1:]
    assert of_size(A @ mixed @ A.T, slopes) < 1e-6


@each_model
@both_types
def test_weights_are_repeated_rows(model, noise, cov_type):
    X, y = make_data(noise, n=80)
    s = np.random.default_rng(3).integers(0, 4, size=80)
    v = row_numbers(80)[1]
    weighted = model.fit(X, y, s, v).summary(cov_type)
    limits = model.predict_interval(X, noise_scale=v)
    repeated = model.fit(np.repeat(X, s, axis=0), np.repeat(y, s), noise_scale=np.repeat(v, s)).summary(cov_type)
    np.testing.assert_allclose(weighted.table["standard error"], repeated.table["standard error"], rtol=1e-6)
    np.testing.assert_allclose(weighted.law["standard error"], repeated.law["standard error"], rtol=1e-5)
    np.testing.assert_allclose(limits, model.predict_interval(X, noise_scale=v), rtol=1e-6)


@each_model
def test_the_unit_of_noise_scale_does_not_matter(model, noise):
    X, y = make_data(noise, n=80)
    v = row_numbers(80)[1]
    plain = model.fit(X, y, noise_scale=v)
    before = errors_of(plain), plain.predict_interval(X, noise_scale=v), plain.influence(X, y, v), plain.robust_r2_
    other = model.fit(X, y, noise_scale=1e6 * v)
    after = errors_of(other), other.predict_interval(X, noise_scale=1e6 * v), other.influence(X, y, 1e6 * v)
    for one, two in zip((*before,), (*after, other.robust_r2_), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


# --- many rows, undetermined coefficients ----------------------------------------------------------------------------


@both_types
def test_a_part_of_many_rows_tells_the_errors(cov_type, monkeypatch):
    X, y = make_data(student, n=100_000, p=4)
    part = AdaptiveRobustRegressor().fit(X, y)
    monkeypatch.setattr(sandwich, "_FEW_ENTRIES", 10**9)
    every = AdaptiveRobustRegressor().fit(X, y)
    ratio = errors_of(part, cov_type) / errors_of(every, cov_type)
    assert 1e-6 < np.abs(np.log(ratio)).max() < 0.04


@pytest.mark.parametrize("noise", [gaussian, student])
def test_errors_of_many_clean_rows_hardly_ever_need_a_pass_over_all(noise, monkeypatch):
    is_like_all, told = sandwich._is_like_all, []
    monkeypatch.setattr(sandwich, "_is_like_all", lambda *given: told.append(is_like_all(*given)) or told[-1])
    for seed in range(12):
        X, y = make_data(noise, n=50_000, p=10, seed=seed)
        AdaptiveRobustRegressor().fit(X, y)
    assert len(told) == 12
    assert sum(told) >= 11


def test_a_column_with_few_rows_of_its_own_is_read_in_full(monkeypatch):
    X, y = make_data(student, n=100_000, p=2)
    X[:, 1] = 0.0
    X[::1000, 1] = 1.0
    rare = errors_of(AdaptiveRobustRegressor().fit(X, y))
    monkeypatch.setattr(sandwich, "_FEW_ENTRIES", 10**9)
    np.testing.assert_allclose(rare, errors_of(AdaptiveRobustRegressor().fit(X, y)), rtol=1e-12)


@both
@both_types
def test_undetermined_coefficients_have_no_errors_and_the_others_keep_theirs(estimator, cov_type):
    X, y = make_data(student, n=90)
    plain = estimator().fit(X, y)
    wide = np.column_stack((X, X[:, 1], np.full(90, 4.0)))
    model = estimator().fit(wide, y)
    errors = errors_of(model, cov_type)
    np.testing.assert_array_equal(np.isnan(errors), [False, False, True, False, True, True])
    np.testing.assert_allclose(errors[[0, 1, 3]], errors_of(plain, cov_type)[[0, 1, 3]], rtol=1e-6)
    np.testing.assert_allclose(model.predict_interval(wide), plain.predict_interval(X), rtol=1e-6)
    assert "do not determine 3" in str(model.summary(cov_type))


# --- frames, tables, pickles -----------------------------------------------------------------------------------------


@both
def test_names_of_columns_stand_in_the_tables(estimator):
    X, y = make_data(student)
    frame = pd.DataFrame(X, columns=["width", "a<b", "c"], index=np.arange(60)[::-1])
    model = estimator().fit(frame, y)
    names = ["intercept", "width", "a<b", "c"]
    assert list(model.conf_int().index) == names
    assert list(model.conf_int().columns) == ["lower", "upper"]
    summary = model.summary()
    assert list(summary.table.index) == names
    assert list(summary.table.columns) == ["estimate", "standard error", "z", "p", "lower", "upper"]
    assert str(summary) == repr(summary)
    for part in (estimator.__name__, "width", "alpha", "robust R²", model.stop_reason_):
        assert part in str(summary)
    html = summary._repr_html_()
    assert "a&lt;b" in html
    assert "a<b" not in html
    assert list(model.influence(frame, y).index) == list(frame.index)
    alone = estimator(fit_intercept=False).fit(X, y)
    assert list(alone.conf_int().index) == ["x0", "x1", "x2"]
    assert alone.covariance_.shape == (3, 3)


@both
def test_a_column_named_intercept_is_not_the_intercept(estimator):
    X, y = make_data(student)
    frame = pd.DataFrame(X, columns=["intercept", "coef_b", "c"])
    model = estimator().fit(frame, y)
    names = ["intercept", "coef_intercept", "coef_coef_b", "coef_c"]
    assert list(model.conf_int().index) == list(model.summary().table.index) == names
    assert list(model.history_.columns)[-4:] == names
    assert model.summary().table.loc["intercept", "estimate"] == model.intercept_
    assert model.summary().table.loc["coef_intercept", "estimate"] == model.coef_[0]
    both_targets = estimator().fit(frame, np.column_stack((y, -y)))
    assert list(both_targets.conf_int().loc[1].index) == names
    alone = estimator(fit_intercept=False).fit(frame, y)
    assert list(alone.conf_int().index) == ["intercept", "coef_b", "c"]


@both
def test_intervals_are_those_of_the_summary_and_widen_with_confidence(estimator):
    X, y = make_data(student)
    model = estimator().fit(X, y)
    pd.testing.assert_frame_equal(model.conf_int(), model.summary().table[["lower", "upper"]])
    pd.testing.assert_frame_equal(model.conf_int(0.95, "hc"), model.summary("hc").table[["lower", "upper"]])
    assert (model.conf_int(0.99)["upper"] > model.conf_int(0.9)["upper"]).all()
    wide, narrow = model.predict_interval(X, 0.99), model.predict_interval(X, 0.5)
    np.testing.assert_allclose(wide.mean(axis=1), model.predict(X))
    assert (np.ptp(wide, axis=1) > np.ptp(narrow, axis=1)).all()


@both
def test_a_pickle_knows_as_much(estimator):
    X, y = make_data(student)
    model = estimator().fit(X, y)
    back = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(back.summary("hc").table, model.summary("hc").table)
    np.testing.assert_array_equal(back.predict_interval(X), model.predict_interval(X))
