"""The estimators as citizens of scikit-learn, and what a fit leaves behind."""

import pickle
import warnings
from contextlib import contextmanager

import naive_fit
import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import parallel_backend
from problems import pass_check
from scipy import stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor, _base

ESTIMATORS = [GeneralRobustRegressor, AdaptiveRobustRegressor]
SOLVERS = [solver for solver in _base.SOLVERS if solver != "auto"]

both = pytest.mark.parametrize("estimator", ESTIMATORS)


def make_data(n=120, p=3, noise=1.0, outliers=0.1, seed=0):
    """Rows of a plane with Gaussian noise, some of them lifted by 20 sigma."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    coef = np.arange(1.0, p + 1)
    y = X @ coef + 3.0 + noise * rng.normal(size=n)
    y[: int(outliers * n)] += 20 * noise
    return X, y, coef


@contextmanager
def no_warnings_but(category):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", category)
        yield


# --- every check of scikit-learn, in every mode --------------------------------------------------------------------

MODES = [
    *(GeneralRobustRegressor(solver=solver) for solver in _base.SOLVERS),
    *(GeneralRobustRegressor(alpha=0, init=init) for init in _base.INITS),
    *(GeneralRobustRegressor(alpha=alpha) for alpha in (2, -2, -np.inf, 3)),
    GeneralRobustRegressor(alpha=2, init="ols"),
    GeneralRobustRegressor(c=1.0, l2_regularization=1.0),
    GeneralRobustRegressor(alpha=-2, init="s", solver="lbfgs", fit_intercept=False),
    GeneralRobustRegressor(warm_start=True),
    *(AdaptiveRobustRegressor(solver=solver) for solver in _base.SOLVERS),
    *(AdaptiveRobustRegressor(init=init) for init in _base.INITS if init != "auto"),
    *(AdaptiveRobustRegressor(alpha_bounds=bounds) for bounds in ((1, 1), (2, 2), (0, np.inf))),
    AdaptiveRobustRegressor(l2_regularization=1.0),
    AdaptiveRobustRegressor(fit_intercept=False, c_min=1e-3),
    AdaptiveRobustRegressor(warm_start=True),
    *(AdaptiveRobustRegressor(kernel="rbf", solver=solver) for solver in _base.SOLVERS),
    AdaptiveRobustRegressor(kernel="poly", degree=1, n_components=8),
    AdaptiveRobustRegressor(kernel="precomputed"),
    AdaptiveRobustRegressor(kernel="poly", degree=2, l2_regularization=1.0, warm_start=True),
    GeneralRobustRegressor(kernel="rbf", fit_intercept=False),
    GeneralRobustRegressor(kernel="poly", gamma=0.01, n_components=8, init="lad"),
    GeneralRobustRegressor(kernel="precomputed", alpha=-2),
]


@parametrize_with_checks(MODES)
def test_scikit_learn_check(estimator, check):
    pass_check(estimator, check)


# --- company --------------------------------------------------------------------------------------------------------


@both
def test_pipeline(estimator):
    X, y, _ = make_data()
    alone = estimator().fit(StandardScaler().fit_transform(X), y)
    model = make_pipeline(StandardScaler(), estimator()).fit(X, y)
    np.testing.assert_array_equal(model[-1].coef_, alone.coef_)
    np.testing.assert_array_equal(model.predict(X), alone.predict(StandardScaler().fit_transform(X)))
    assert model.score(X[12:], y[12:]) > 0.9


@both
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search_in_parallel_is_the_one_in_line(estimator, backend):
    X, y, _ = make_data()
    grid = {"l2_regularization": [0.0, 1.0, 1000.0], "solver": SOLVERS}
    alone = GridSearchCV(estimator(), grid, cv=3, error_score="raise").fit(X, y)
    with parallel_backend(backend, n_jobs=2):
        search = GridSearchCV(estimator(), grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)
    found, expected = (each.cv_results_["mean_test_score"] for each in (search, alone))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert search.best_params_["l2_regularization"] < 1000.0


@both
def test_cross_val_predict(estimator):
    X, y, _ = make_data()
    found = cross_val_predict(estimator(), X, y, cv=KFold(3))
    for train, test in KFold(3).split(X):
        np.testing.assert_array_equal(found[test], estimator().fit(X[train], y[train]).predict(X[test]))


@both
def test_clone_forgets_the_fit_and_keeps_the_parameters(estimator):
    X, y, _ = make_data()
    parameters = {"l2_regularization": 0.5, "max_iter": 77, "solver": "lbfgs"}
    model = estimator(**parameters).fit(X, y)
    copy = clone(model)
    assert {name: copy.get_params()[name] for name in parameters} == parameters
    assert not hasattr(copy, "coef_")
    np.testing.assert_array_equal(copy.fit(X, y).coef_, model.coef_)


@both
def test_pickle_round_trip(estimator):
    X, y, _ = make_data()
    model = estimator().fit(X, y)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    np.testing.assert_array_equal(back.weights_, model.weights_)
    pd.testing.assert_frame_equal(back.history_, model.history_)
    assert back.get_params() == model.get_params()


@both
def test_a_fit_leaves_parameters_and_data_alone(estimator):
    X, y, _ = make_data()
    X0, y0, s, v = X.copy(), y.copy(), np.arange(120.0), np.linspace(1, 2, 120)
    model = estimator()
    before = model.get_params()
    assert model.fit(X, y, s, v) is model
    assert model.get_params() == before
    np.testing.assert_array_equal(X, X0)
    np.testing.assert_array_equal(y, y0)
    np.testing.assert_array_equal(s, np.arange(120.0))
    np.testing.assert_array_equal(v, np.linspace(1, 2, 120))


@both
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_give_feature_names(estimator, library):
    X, y, _ = make_data()
    frame = library(dict(zip(["b", "a", "c"], X.T, strict=True)))
    model = estimator().fit(frame, y)
    np.testing.assert_array_equal(model.feature_names_in_, ["b", "a", "c"])
    np.testing.assert_allclose(model.coef_, estimator().fit(X, y).coef_, rtol=1e-12)
    np.testing.assert_allclose(model.predict(frame), X @ model.coef_ + model.intercept_, rtol=1e-14)
    # a column named c would stand there twice
    assert list(model.history_.columns)[-4:] == ["intercept", "coef_b", "coef_a", "coef_c"]
    other = estimator().fit(library(dict(zip(["b", "a", "d"], X.T, strict=True))), y)
    assert list(other.history_.columns)[-4:] == ["intercept", "b", "a", "d"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(library(dict(zip(["a", "b", "c"], X.T, strict=True))))


@both
def test_series_as_target_and_weights(estimator):
    X, y, _ = make_data()
    index = np.arange(120)[::-1]  # labels are no positions
    s = np.linspace(0.5, 2, 120)
    model = estimator().fit(pd.DataFrame(X, index=index), pd.Series(y, index=index), pd.Series(s, index=index))
    np.testing.assert_allclose(model.coef_, estimator().fit(X, y, s).coef_, rtol=1e-12)


@both
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output_of_the_step_before(estimator, output):
    X, y, _ = make_data()
    model = make_pipeline(PolynomialFeatures(2, include_bias=False), estimator()).set_output(transform=output)
    model.fit(pd.DataFrame(X, columns=["u", "v", "w"]), y)
    assert list(model[-1].feature_names_in_[:4]) == ["u", "v", "w", "u^2"]
    assert model.predict(pd.DataFrame(X, columns=["u", "v", "w"])).shape == y.shape


@both
def test_metadata_routing(estimator):
    X, y, _ = make_data(n=60)
    rng = np.random.default_rng(1)
    s, v = rng.integers(0, 3, 60).astype(float), rng.uniform(0.5, 2.0, 60)
    plain, direct = estimator().fit(X, y), estimator().fit(X, y, s, v)
    assert np.abs(plain.coef_ - direct.coef_).max() > 1e-4
    with config_context(enable_metadata_routing=True):
        asks = estimator().set_fit_request(sample_weight=True, noise_scale=True).set_score_request(sample_weight=True)
        model = make_pipeline("passthrough", asks).fit(X, y, sample_weight=s, noise_scale=v)
        np.testing.assert_array_equal(model[-1].coef_, direct.coef_)

        with pytest.raises(TypeError, match="sample_weight"):
            make_pipeline("passthrough", estimator().set_fit_request(sample_weight=False)).fit(X, y, sample_weight=s)
        half = estimator().set_fit_request(sample_weight=False, noise_scale=True)
        model = make_pipeline("passthrough", half).fit(X, y, noise_scale=v)
        np.testing.assert_array_equal(model[-1].coef_, estimator().fit(X, y, noise_scale=v).coef_)

        search = GridSearchCV(asks, {"l2_regularization": [0.0]}, cv=2, error_score="raise")
        search.fit(X, y, sample_weight=s, noise_scale=v)
        np.testing.assert_array_equal(search.best_estimator_.coef_, direct.coef_)

        folds = cross_validate(
            asks, X, y, cv=KFold(2), params={"sample_weight": s, "noise_scale": v}, return_estimator=True,
            error_score="raise",
        )  # fmt: skip
        for (train, test), model, score in zip(KFold(2).split(X), folds["estimator"], folds["test_score"], strict=True):
            by_hand = estimator().fit(X[train], y[train], s[train], v[train])
            np.testing.assert_array_equal(model.coef_, by_hand.coef_)
            assert score == by_hand.score(X[test], y[test], s[test])


# --- what a fit leaves behind ---------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_attributes(estimator, solver, fit_intercept):
    X, y, _ = make_data(p=4)
    model = estimator(solver=solver, fit_intercept=fit_intercept).fit(X, y)
    assert model.coef_.shape == (4,)
    assert model.coef_.dtype == np.float64
    for name in ("intercept_", "alpha_", "c_", "scale_", "objective_"):
        assert type(getattr(model, name)) is float, name
    assert model.intercept_ != 0.0 if fit_intercept else model.intercept_ == 0.0
    assert model.c_ > 0.0
    assert model.scale_ > 0.0
    assert model.n_features_in_ == 4
    assert not hasattr(model, "feature_names_in_")
    assert type(model.n_iter_) is int
    assert 1 <= model.n_iter_ < 200
    assert model.converged_ is True
    assert type(model.stop_reason_) is str
    assert model.stop_reason_.endswith(".")
    assert model.weights_.shape == (120,)
    assert model.weights_.dtype == np.float64
    assert (model.weights_ >= 0.0).all()
    assert (model.weights_ <= 1.0).all()
    r = naive_fit.residuals(model, X, y)
    np.testing.assert_allclose(model.weights_, naive_fit.model_weight(model, r), rtol=1e-9)
    np.testing.assert_allclose(model.predict(X), X @ model.coef_ + model.intercept_, rtol=1e-14)


@both
@pytest.mark.parametrize("solver", SOLVERS)
def test_history(estimator, solver):
    X, y, _ = make_data()
    model = estimator(solver=solver).fit(X, y)
    history = model.history_
    assert isinstance(history, pd.DataFrame)
    assert list(history.columns) == ["objective", "alpha", "c", "share", "gradient", "intercept", "x0", "x1", "x2"]
    assert len(history) == model.n_iter_ + 1
    last = history.iloc[-1]
    assert last["objective"] == model.objective_
    assert last["alpha"] == model.alpha_
    assert last["c"] == model.c_
    assert last["intercept"] == model.intercept_
    np.testing.assert_array_equal(last[["x0", "x1", "x2"]], model.coef_)
    assert last["gradient"] <= model.tol
    assert (history["gradient"] >= 0).all()
    learns = estimator is AdaptiveRobustRegressor
    for row in history.to_dict("records"):
        coef = np.array([row["x0"], row["x1"], row["x2"]])
        mixture = row["share"], model._width
        value = naive_fit.objective(
            row["alpha"], row["c"], coef, row["intercept"], X, y, learns=learns, d=4.0, mixture=mixture
        )
        assert row["objective"] == pytest.approx(value, rel=1e-11)


@pytest.mark.parametrize(
    "model",
    [
        *(GeneralRobustRegressor(alpha=alpha) for alpha in (2, 1, 0, -2, -np.inf)),
        GeneralRobustRegressor(alpha=-2, init="s"),
        AdaptiveRobustRegressor(),
    ],
    ids=str,
)
def test_scale_is_sigma_on_clean_gaussian_rows(model):
    X, y, _ = make_data(n=4000, noise=3.0, outliers=0.0)
    # four standard errors of a scale of efficiency 0.8 or more
    assert model.fit(X, y).scale_ == pytest.approx(3.0, abs=4 * 3.0 / np.sqrt(2 * 0.8 * 4000))


@both
def test_scale_hardly_sees_outliers(estimator):
    X, y, _ = make_data(n=4000, noise=3.0, outliers=0.1)
    y[:400] *= 1e3
    assert 2.5 < estimator().fit(X, y).scale_ < 4.5


def test_weights_tell_outliers_from_clean_rows():
    X, y, _ = make_data()
    for model in (GeneralRobustRegressor(alpha=-2), AdaptiveRobustRegressor()):
        weights = model.fit(X, y).weights_
        assert weights[:12].max() < 0.05
        assert np.median(weights[12:]) > 0.4
        assert weights[:12].max() < weights[12:].min()


@both
def test_rows_of_zero_weight_have_a_weight_too(estimator):
    X, y, _ = make_data()
    v = np.linspace(1, 2, 120)
    s = np.tile([1.0, 0.0, 2.0], 40)
    model = estimator().fit(X, y, s, v)
    assert model.weights_.shape == (120,)
    r = naive_fit.residuals(model, X, y, v)
    np.testing.assert_allclose(model.weights_, naive_fit.model_weight(model, r), rtol=1e-9)


def test_weights_of_alpha_above_two_grow():
    X, y, _ = make_data()
    model = GeneralRobustRegressor(alpha=3, c=5.0).fit(X, y)
    assert model.weights_.min() >= 1.0
    assert model.weights_.max() > 2.0
    np.testing.assert_allclose(model.weights_, naive_fit.weight(naive_fit.residuals(model, X, y), 3, 5.0), rtol=1e-9)


@pytest.mark.parametrize("level", [0.85, 0.95])
@pytest.mark.parametrize("alpha", [1.5, 1.0, 0.0, -2.0, -np.inf])
def test_automatic_c_is_efficient_scale_times_m_scale_of_the_start(alpha, level):
    X, y, _ = make_data()
    s = np.tile([1.0, 2.0, 0.5], 40)
    model = GeneralRobustRegressor(alpha=alpha, init="ols", efficiency=level).fit(X, y, s)
    design = np.column_stack((np.ones(120), X)) * np.sqrt(s)[:, None]
    start = np.linalg.lstsq(design, np.sqrt(s) * y, rcond=None)[0]
    k = model.c_ / naive_fit.m_scale(y - start[0] - X @ start[1:], s, d=4.0)
    assert k > 1.0 - 1e-9
    if k > 1.0 + 1e-9:
        assert naive_fit.efficiency(alpha, k) == pytest.approx(level, abs=1e-9)
    else:
        assert naive_fit.efficiency(alpha, 1.0) >= level


def test_automatic_c_never_falls_below_the_scale():
    X, y, _ = make_data()
    scales = [GeneralRobustRegressor(alpha=alpha, init="ols").fit(X, y).c_ for alpha in (1.7, 2.0, 2.4)]
    np.testing.assert_allclose(scales, scales[1], rtol=1e-9)


@both
@pytest.mark.parametrize("solver", SOLVERS)
def test_too_few_iterations_are_warned_of(estimator, solver):
    X, y, _ = make_data()
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model = estimator(max_iter=1, solver=solver).fit(X, y)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "\n" not in message
    assert "tol=1e-08" in message
    assert caught[0].filename == __file__
    assert model.n_iter_ == 1
    assert len(model.history_) == 2
    assert model.converged_ is False
    assert "max_iter" in model.stop_reason_


@both
def test_verbose_prints_a_line_for_each_step(estimator, capsys):
    X, y, _ = make_data()
    model = estimator(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ + 1
    assert all(line.startswith(f"[{estimator.__name__}] iteration {k}: ") for k, line in enumerate(lines))
    estimator().fit(X, y)
    assert capsys.readouterr().out == ""


LAWS = [(0.0, 1.0), (-3.0, 0.1), (100.0, 5.0), (1000.0, 20.0)]


@pytest.mark.parametrize(("centre", "scale"), LAWS)
@pytest.mark.parametrize("fit_intercept_of", [np.zeros, np.ones])
@pytest.mark.parametrize("law", [stats.norm, stats.cauchy])
def test_eight_columns(law, centre, scale, fit_intercept_of):
    """A hundred quantiles of a Normal or Cauchy law give back its shape, centre and scale."""
    y = law.ppf((np.arange(100) + 0.5) / 100, loc=centre, scale=scale)
    model = AdaptiveRobustRegressor().fit(fit_intercept_of((100, 1)), y)
    np.testing.assert_array_equal(model.coef_, [0.0])
    assert model.alpha_ == pytest.approx(2.0 if law is stats.norm else 0.0, abs=0.1)
    assert model.intercept_ == pytest.approx(centre, abs=0.1 * scale)
    found = model.c_ if law is stats.norm else np.sqrt(2) * model.c_
    assert found == pytest.approx(scale, abs=0.1 * scale)
