"""Several targets in one call: k fits of one target, what is shared found once."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from problems import LEARNERS, both, each_solver, pass_check, row_numbers
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor

SCALARS = ("intercept_", "alpha_", "c_", "scale_", "objective_", "n_iter_", "converged_", "stop_reason_")


def make_data(n=150, p=4, seed=0):
    """Targets of one X: Gaussian, t3 and Cauchy noise, outliers in y and of high leverage, other units."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + np.arange(p)
    X[: n // 10] += 10.0
    Y = X @ rng.normal(size=(p, 6)) + np.arange(6)
    noise = np.column_stack(
        [rng.normal(size=(n, 2)), rng.standard_t(3, size=n), rng.standard_cauchy(size=n), rng.normal(size=(n, 2))]
    )
    noise[-n // 8 :, 1] += 15.0
    noise[: n // 10, 4] -= 30.0
    return X, (Y + noise) * [1.0, 1.0, 1.0, 1.0, 1.0, 1e6]


def mild_data(n=150):
    """Without the targets whose outliers of high leverage rule a fit, of which a warning tells."""
    X, Y = make_data(n)
    return X, Y[:, [0, 1, 2, 3, 5]]


def assert_alone(model, alone, names=SCALARS):
    """The fit of several targets holds what each fit alone holds."""
    for j, each in enumerate(alone):
        np.testing.assert_allclose(model.coef_[j], each.coef_, rtol=1e-8, atol=1e-8 * np.abs(each.coef_).max())
        np.testing.assert_allclose(model.weights_[:, j], each.weights_, rtol=1e-8, atol=1e-8)
        for name in names:
            found, expected = getattr(model, name)[j], getattr(each, name)
            if isinstance(expected, float):
                assert found == pytest.approx(expected, rel=1e-8, abs=1e-8 * each.c_), name
            else:
                assert found == expected, name
        if hasattr(each, "contamination_"):
            assert model.contamination_[j] == pytest.approx(each.contamination_, abs=1e-8)


# --- every check of scikit-learn -------------------------------------------------------------------------------------


@parametrize_with_checks([estimator(l2_regularization=1.0, warm_start=True) for estimator in LEARNERS])
def test_scikit_learn_check(estimator, check):
    assert estimator.__sklearn_tags__().target_tags.multi_output
    pass_check(estimator, check)


# --- the same as fits alone ------------------------------------------------------------------------------------------

MODELS = [
    AdaptiveRobustRegressor(),
    AdaptiveRobustRegressor(contamination=0.1),
    AdaptiveRobustRegressor(contamination=0.0, alpha_bounds=(0, np.inf)),
    AdaptiveRobustRegressor(l2_regularization=3.0, init="ols"),
    AdaptiveRobustRegressor(fit_intercept=False, init="gnc"),
    GeneralRobustRegressor(),
    GeneralRobustRegressor(alpha=-2.0, init="s", l2_regularization=0.5),
    GeneralRobustRegressor(alpha=0.0, c=2.0, init="lad"),
    GeneralRobustRegressor(alpha=2.0),
]


@pytest.mark.parametrize("numbers", [False, True], ids=["plain", "weights"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_as_fits_alone(model, numbers):
    X, Y = make_data()
    arguments = row_numbers(len(X)) if numbers else ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fits alone warn of the same
        several = clone(model).fit(X, Y, *arguments)
        alone = [clone(model).fit(X, y, *arguments) for y in Y.T]
    assert_alone(several, alone)
    np.testing.assert_allclose(several.predict(X), np.column_stack([each.predict(X) for each in alone]), rtol=1e-8)
    assert several.score(X, Y) == pytest.approx(np.mean([each.score(X, y) for each, y in zip(alone, Y.T, strict=True)]))
    if hasattr(several, "outlier_proba"):
        noise = {"noise_scale": arguments[1]} if numbers else {}
        expected = [each.outlier_proba(X, y, **noise) for each, y in zip(alone, Y.T, strict=True)]
        np.testing.assert_allclose(several.outlier_proba(X, Y, **noise), np.column_stack(expected), atol=1e-8)


@pytest.mark.parametrize("ties", [False, True])
def test_as_fits_alone_whatever_is_drawn(ties):
    X, Y = mild_data(1500)  # more rows than the search for a start takes
    if ties:  # rows of the same X, whose order is that of their targets
        X = np.round(X)
        X[:, 2:] = X[:, 2:] > 2.5
    several = AdaptiveRobustRegressor(random_state=np.random.RandomState(3)).fit(X, Y)
    drawn = np.random.RandomState(3)
    assert_alone(several, [AdaptiveRobustRegressor(random_state=drawn).fit(X, y) for y in Y.T])


@each_solver
@both
def test_every_solver(estimator, solver):
    X, Y = make_data(seed=1)
    Y = Y[:, :3]
    assert_alone(
        estimator(solver=solver, max_iter=1000).fit(X, Y),
        [estimator(solver=solver, max_iter=1000).fit(X, y) for y in Y.T],
    )


def test_shapes():
    X, Y = make_data()
    model = AdaptiveRobustRegressor().fit(X, Y)
    assert model.coef_.shape == (6, 4)
    assert model.weights_.shape == model.outlier_proba(X, Y).shape == (150, 6)
    for name in (*SCALARS, "contamination_"):
        assert getattr(model, name).shape == (6,), name
    assert list(model.history_.index.names) == ["target", "iteration"]
    assert model.history_.loc[3].iloc[-1]["alpha"] == model.alpha_[3]
    assert model.n_features_in_ == 4


@both
def test_one_column_is_one_target(estimator):
    X, Y = make_data()
    column, flat = estimator().fit(X, Y[:, 2:3]), estimator().fit(X, Y[:, 2])
    assert column.coef_.shape == (1, 4)
    np.testing.assert_array_equal(column.coef_[0], flat.coef_)
    np.testing.assert_array_equal(column.predict(X)[:, 0], flat.predict(X))
    assert_alone(column, [flat])


def test_many_rows_and_several_chunks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90_000, 8))
    Y = X @ rng.normal(size=(8, 3)) + rng.standard_t(3, size=(90_000, 3))
    Y[:9000, 1] += 20.0
    assert_alone(
        AdaptiveRobustRegressor().fit(X, Y), [AdaptiveRobustRegressor().fit(X, y) for y in Y.T], ["alpha_", "c_"]
    )


def test_least_squares_is_ridge():
    X, Y = make_data()
    np.testing.assert_allclose(
        GeneralRobustRegressor(alpha=2, c=1.0, l2_regularization=2.0).fit(X, Y).coef_, Ridge(2.0).fit(X, Y).coef_, 1e-9
    )


@both
def test_any_number_of_threads_gives_the_same_bits(estimator):
    X, Y = mild_data(n=5000)  # in threads
    many = estimator().fit(X, Y)
    with threadpool_limits(1):
        one = estimator().fit(X, Y)
    np.testing.assert_array_equal(many.coef_, one.coef_)
    np.testing.assert_array_equal(many.weights_, one.weights_)


@both
def test_random_states_are_drawn_as_by_fits_alone(estimator):
    X, Y = mild_data()
    one, other = np.random.RandomState(3), np.random.RandomState(3)
    assert_alone(
        estimator(init="s", random_state=one).fit(X, Y),
        [estimator(init="s", random_state=other).fit(X, y) for y in Y.T],
    )
    assert one.randint(1000) == other.randint(1000)


@both
def test_warm_start(estimator):
    X, Y = mild_data()
    model = estimator(warm_start=True, max_iter=1000).fit(X, Y)
    cold = model.n_iter_
    again = model.fit(X, Y)
    assert again.n_iter_.sum() < cold.sum()
    np.testing.assert_allclose(again.coef_, estimator().fit(X, Y).coef_, rtol=1e-6)
    model.fit(X, Y[:, 0])  # another shape begins anew
    np.testing.assert_array_equal(model.coef_, estimator(max_iter=1000).fit(X, Y[:, 0]).coef_)
    assert model.predict(X).shape == (150,)
    assert model.history_.index.nlevels == 1


@both
def test_frames_pickles_and_verbosity(estimator, capsys):
    X, Y = mild_data()
    model = estimator(verbose=1).fit(pd.DataFrame(X, columns=list("abde")), pd.DataFrame(Y))
    assert len(capsys.readouterr().out.splitlines()) >= len(model.history_) - 5
    assert list(model.history_.columns[-4:]) == list("abde")
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.coef_, model.coef_)
    pd.testing.assert_frame_equal(back.history_, model.history_)
    np.testing.assert_allclose(model.coef_, estimator().fit(X, Y).coef_, rtol=1e-12)


# --- warnings and errors ---------------------------------------------------------------------------------------------


def test_one_warning_for_all_targets():
    X, Y = make_data()
    with pytest.warns(ConvergenceWarning) as caught:
        GeneralRobustRegressor(alpha=0.5, solver="irls", max_iter=1).fit(X, Y)
    assert len(caught) == 1
    assert str(caught[0].message).startswith("Target 0 and 5 more of 6: max_iter was reached")
    assert caught[0].filename == __file__


def test_a_warning_names_its_target():
    X, Y = make_data()
    Y[:, 4] = 0.0
    Y[::3, 4] = 1.0
    with pytest.warns(UserWarning, match=r"^Target 4: More than half of the rows lie exactly on the fit"):
        AdaptiveRobustRegressor().fit(X, Y)


@both
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((150, 0)), r"^y must be an array of shape \(n_samples,\) or .* Got y of shape \(150, 0\);"),
        (np.zeros((149, 2)), r"^y must have one entry for each row of X and each of the 2 targets\."),
        (np.zeros((150, 2, 2)), r"^y must be an array of shape .* Got y of shape \(150, 2, 2\);"),
        (np.full((150, 2), np.nan), r"^y must be finite\. Got NaN at row 0, column 0"),
    ],
)
def test_bad_targets(estimator, y, message):
    with pytest.raises(ValueError, match=message) as error:
        estimator().fit(make_data()[0], y)
    assert "\n" not in str(error.value)


def test_outlier_proba_wants_every_target():
    X, Y = make_data()
    model = AdaptiveRobustRegressor().fit(X, Y)
    with pytest.raises(ValueError, match=r"^y must have one entry for each row of X and each of the 6 targets\."):
        model.outlier_proba(X, Y[:, 0])


# --- inference -------------------------------------------------------------------------------------------------------


def test_inference_is_that_of_single_fits():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    Y = np.column_stack([X.sum(axis=1) + rng.normal(size=120), X @ [1.0, 2.0, 3.0] + rng.standard_t(2, size=120)])
    Y[:12, 0] += 15.0
    model = AdaptiveRobustRegressor().fit(X, Y)
    for j, single in enumerate(AdaptiveRobustRegressor().fit(X, column) for column in Y.T):
        np.testing.assert_allclose(model.covariance_[j], single.covariance_, rtol=1e-7)
        np.testing.assert_allclose(model.predict_interval(X, 0.9)[..., j], single.predict_interval(X, 0.9), rtol=1e-7)
        np.testing.assert_allclose(model.log_density(X, Y)[:, j], single.log_density(X, Y[:, j]), rtol=1e-6)
        np.testing.assert_allclose(
            model.outlier_pvalue(X, Y)[:, j], single.outlier_pvalue(X, Y[:, j]), rtol=1e-6, atol=1e-12
        )
        np.testing.assert_allclose(model.conf_int().loc[j], single.conf_int(), rtol=1e-7)
        np.testing.assert_allclose(model.influence(X, Y).loc[j], single.influence(X, Y[:, j]), rtol=1e-6, atol=1e-12)
        assert model.robust_r2_[j] == pytest.approx(single.robust_r2_)
    with pytest.raises(ValueError, match="summary is of one target"):
        model.summary()
    with pytest.raises(ValueError, match="each of the 2 targets"):
        model.outlier_pvalue(X, Y[:, 0])
