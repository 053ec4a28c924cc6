"""Error messages: one line that says name, value, expectation and remedy."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor

ESTIMATORS = [GeneralRobustRegressor, AdaptiveRobustRegressor]
both = pytest.mark.parametrize("estimator", ESTIMATORS)

NAN, INF = float("nan"), float("inf")
X = np.random.default_rng(0).normal(size=(12, 2))
Y = X @ [1.0, 2.0] + np.linspace(-1, 1, 12) ** 3
ONES = np.ones(12)

COMMON = {
    "fit_intercept": ["yes", None, 1, 0.0],
    "l2_regularization": [-1.0, INF, NAN, "ridge", None, True, 1j, [1.0], np.array([1.0, 2.0])],
    "solver": ["adam", None, 1, "IRLS", ["irls"], np.array(["irls", "lbfgs"])],
    "init": ["zeros", None, 0, "S", ["ols"], np.zeros(3), np.zeros((2, 2)), np.array("s")],
    "kernel": ["gauss", None, 0, ["rbf"], np.array(["rbf", "rbf"])],
    "gamma": ["scale", -1.0, INF, 10**400, np.ones(2)],
    "device": ["gpu", None, 0, np.array(["cpu", "cpu"])],
    "max_iter": [0, -5, 1.5, 100.0, "200", None, True, INF, NAN],
    "tol": [0.0, -1e-8, INF, NAN, "small", None, True, np.zeros((2, 2))],
    "warm_start": ["yes", None, 1, np.zeros((2, 2)), np.zeros(1000)],
    "verbose": [-1, 0.5, "loud", None],
    "random_state": ["seed", -1, 1.5, [1, 2.5]],
}
GENERAL = {
    "alpha": [NAN, "auto", None, 1j, True, [1.0], np.array([1.0, 2.0])],
    "c": [0.0, -1.0, INF, NAN, "large", None, True, [1.0], np.array([1.0, 2.0])],
    "efficiency": [0.0, 1.0, -0.5, 95, NAN, "high", None, True],
}
ADAPTIVE = {
    "alpha_bounds": [
        (2.0, 0.0), (-1.0, 2.0), (NAN, 2.0), (0.0, NAN), (1.0,), (0, 1, 2), 1.0, None, "auto", ("a", "b"), {0.0, 2.0},
        (None, 2.0), np.array([[0.0, 2.0]]), np.array(2.0), np.zeros((2, 2)),
    ],
    "c_min": [0.0, -1.0, INF, NAN, "auto", True, [1.0]],
    "contamination": ["none", None, -0.1, 0.5, True, [0.1], np.array(["auto", "auto"]), np.zeros((2, 2))],
}  # fmt: skip

PARAMETERS = [
    pytest.param(estimator, name, value, id=f"{estimator.__name__}-{name}-{value!r}".replace(" ", "")[:80])
    for estimator, table in zip(ESTIMATORS, (COMMON | GENERAL, COMMON | ADAPTIVE), strict=True)
    for name, values in table.items()
    for value in values
]


def message_of(error):
    text = str(error.value)
    assert "\n" not in text, text
    assert text.endswith("."), text
    return text


@pytest.mark.parametrize(("estimator", "name", "value"), PARAMETERS)
def test_parameter_outside_its_domain(estimator, name, value):
    keywords = {name: value} if name != "random_state" else {name: value, "init": "s"}
    with pytest.raises(ValueError, match=f"^{name} must be ") as error:
        estimator(**keywords).fit(X, Y)
    text = message_of(error)
    # the value, on one line: an array may be shortened, but not left out
    assert len(text) < 400
    if not isinstance(value, np.ndarray) and value != 10**400:
        assert f"Got {name}={value!r}" in text


ACCEPTED = [
    (GeneralRobustRegressor, "alpha", [-INF, INF, 2, np.float32(1.5), np.int64(0)]),
    (GeneralRobustRegressor, "c", [1, np.float32(2.0), "auto", 1e-3]),
    (GeneralRobustRegressor, "efficiency", [0.5, 0.999]),
    (AdaptiveRobustRegressor, "alpha_bounds", [(0, 2), [1, 1], np.array([0.5, 1.5]), (2, 2), (0.0, INF)]),
    (AdaptiveRobustRegressor, "c_min", [None, 1e-6, 5]),
    *(
        (estimator, name, values)
        for estimator in ESTIMATORS
        for name, values in {
            "fit_intercept": [np.True_, False],
            "l2_regularization": ["auto", 0, 1, np.float32(0.5)],
            "max_iter": [np.int64(50), 1000],
            "tol": [1e-4, np.float32(1e-3)],
            "warm_start": [np.False_, True],
            "verbose": [0, np.int64(0)],
            "random_state": [None, 1, np.random.RandomState(2)],
        }.items()
    ),
]


@pytest.mark.parametrize(
    ("estimator", "name", "value"),
    [(estimator, name, value) for estimator, name, values in ACCEPTED for value in values],
)
def test_parameter_inside_its_domain(estimator, name, value):
    assert np.isfinite(estimator(**{name: value}).fit(X, Y).coef_).all()


@both
def test_parameters_are_checked_in_fit_and_not_before(estimator):
    model = estimator(tol=-1.0)
    assert model.get_params()["tol"] == -1.0
    assert model.set_params(tol=1e-8).fit(X, Y).converged_


def changed(array, value, *index):
    array = array.copy()
    array[index] = value
    return array


DATA = {
    "X-nan": ((changed(X, NAN, 3, 1), Y), ["X must be finite", "NaN", "row 3", "column 1"]),
    "X-inf": ((changed(X, INF, 5, 0), Y), ["X must be finite", "inf", "row 5", "column 0"]),
    "X-minus-inf": ((changed(X, -INF, 0, 0), Y), ["X must be finite", "-inf", "row 0", "column 0"]),
    "X-inf-and-minus-inf": ((changed(changed(X, INF, 1, 1), -INF, 2, 1), Y), ["X must be finite", "row 1", "2 such"]),
    "y-nan": ((X, changed(Y, NAN, 7)), ["y must be finite", "NaN", "row 7"]),
    "y-inf": ((X, changed(Y, INF, 11)), ["y must be finite", "inf", "row 11"]),
    "X-one-dimension": ((X[:, 0], Y), ["X", "2D"]),
    "X-three-dimensions": ((X[:, :, None], Y), ["dim 3"]),
    "X-no-rows": ((X[:0], Y[:0]), ["0 sample"]),
    "X-no-columns": ((X[:, :0], Y), ["0 feature"]),
    "X-words": ((np.full((12, 2), "a"), Y), ["X", "'a'"]),
    "X-complex": ((X + 1j, Y), ["X", "omplex"]),
    "y-too-short": ((X, Y[:-1]), ["12", "11"]),
    "y-too-long": ((X, np.append(Y, 1.0)), ["12", "13"]),
    "y-words": ((X, np.array(["a"] * 12)), ["y", "'a'"]),
    "y-objects": ((X, np.array(["a", None] * 6, dtype=object)), ["y"]),
    "y-complex": ((X, Y + 1j), ["y", "omplex"]),
    "y-three-dimensions": ((X, np.zeros((12, 2, 2))), ["y", "(12, 2, 2)"]),
    "y-scalar": ((X, 1.0), ["y"]),
    "y-none": ((X, None), ["y"]),
    "weights-complex": ((X, Y, 1j * ONES), ["sample_weight must be an array of 12 numbers", "ndarray"]),
    "weights-nan": ((X, Y, changed(ONES, NAN, 2)), ["sample_weight must be finite", "NaN", "row 2"]),
    "weights-inf": ((X, Y, changed(ONES, INF, 2)), ["sample_weight must be finite", "inf", "row 2"]),
    "weights-negative": ((X, Y, changed(ONES, -0.5, 4)), ["sample_weight must be non-negative", "-0.5", "row 4"]),
    "weights-all-zero": ((X, Y, 0 * ONES), ["sample_weight must be positive for at least one row", "zero"]),
    "weights-too-short": ((X, Y, ONES[:5]), ["sample_weight must have one entry", "(5,)", "(12,)"]),
    "weights-too-long": ((X, Y, np.ones(13)), ["sample_weight must have one entry", "(13,)", "(12,)"]),
    "weights-column": ((X, Y, ONES[:, None]), ["sample_weight", "(12, 1)", "(12,)"]),
    "weights-words": ((X, Y, ["a"] * 12), ["sample_weight must be", "list"]),
    "weights-dates": ((X, Y, np.arange(12).astype("M8[D]")), ["sample_weight must be an array of 12 numbers"]),
    "noise-times": ((X, Y, None, np.arange(1, 13).astype("m8[s]")), ["noise_scale must be an array of 12 numbers"]),
    "weights-beyond-all-floats": ((X, Y, [10**400] * 12), ["sample_weight must be an array of 12 numbers", "list"]),
    "weights-scalar-beyond-all-floats": ((X, Y, 10**400), ["sample_weight must be an array of 12 numbers", "int"]),
    "noise-beyond-all-floats": ((X, Y, None, [10**400] * 12), ["noise_scale must be an array of 12 numbers", "list"]),
    "y-ragged": ((X, [[1.0, 2.0], [3.0]] * 6), ["y must be an array of real numbers: "]),
    "weights-zero-scalar": ((X, Y, 0.0), ["sample_weight must be positive"]),
    "noise-nan": ((X, Y, None, changed(ONES, NAN, 2)), ["noise_scale must be finite", "NaN", "row 2"]),
    "noise-inf": ((X, Y, None, changed(ONES, INF, 2)), ["noise_scale must be finite", "inf", "row 2"]),
    "noise-zero": ((X, Y, None, changed(ONES, 0.0, 4)), ["noise_scale must be positive", "0.0", "row 4"]),
    "noise-negative": ((X, Y, None, changed(ONES, -2.0, 4)), ["noise_scale must be positive", "-2.0", "row 4"]),
    "noise-too-short": ((X, Y, None, ONES[:5]), ["noise_scale must have one entry", "(5,)", "(12,)"]),
    "noise-column": ((X, Y, None, ONES[:, None]), ["noise_scale", "(12, 1)", "(12,)"]),
    "noise-words": ((X, Y, None, ["a"] * 12), ["noise_scale must be", "list"]),
}


@both
@pytest.mark.parametrize("case", DATA)
def test_bad_data(estimator, case):
    arguments, parts = DATA[case]
    with pytest.raises(ValueError) as error:
        estimator().fit(*arguments)
    text = str(error.value)
    assert "\n" not in text, text
    for part in parts:
        assert part in text, text


@both
@pytest.mark.parametrize("wrong", [{"a": 1.0}, 10**400, object()], ids=["dict", "too-large", "object"])
def test_what_is_no_array_is_named(estimator, wrong):
    for name, arguments in (("X", ([[wrong]] * 12, Y)), ("y", (X, [wrong] * 12))):
        with pytest.raises((ValueError, TypeError), match=f"^{name} must be an array of real numbers: ") as error:
            estimator().fit(*arguments)
        assert "\n" not in str(error.value)


@both
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.coo_matrix])
def test_a_target_that_is_no_array_is_named(estimator, container):
    with pytest.raises(TypeError, match=r"^y must be an array of real numbers: ") as error:
        estimator().fit(X, container(Y[:, None]))
    assert "\n" not in str(error.value)


@both
def test_no_data_are_printed(estimator):
    for values in (X[:, 0], X + 1j):
        with pytest.raises(ValueError) as error:
            estimator().fit(values, Y)
        assert "[" not in str(error.value)


@both
def test_coefficients_that_overflow_are_refused(estimator):
    with pytest.raises(ValueError, match="scale the columns of X, or y"):
        estimator().fit(X * 1e-200, Y * 1e200)


@both
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_an_entry_beyond_all_the_others_is_refused(estimator, container):
    with pytest.raises(ValueError, match=r"^X must have no entry .* Got 1e\+250 in column 1, .*drop the row\.$"):
        estimator().fit(container(changed(X, 1e250, 3, 1)), Y)


def test_a_share_that_cannot_be_held():
    with pytest.raises(ValueError, match=r"^contamination must be 0\.0 or 'auto' for alpha above 2"):
        AdaptiveRobustRegressor(contamination=0.1, alpha_bounds=(2.5, 3.0)).fit(X, Y)


@both
def test_a_refused_fit_leaves_the_last_one(estimator):
    model = estimator().fit(X, Y)
    coef = model.coef_.copy()
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(2 * X, Y, -ONES)
    np.testing.assert_array_equal(model.coef_, coef)


REFUSED = {
    "negative weights": (X[:, :1], Y, -ONES),
    "NaN": (changed(X[:, :1], NAN, 3, 0), Y),
    "no number": (X[:, :1] * 1e-200, Y * 1e200),
    "other names": (pd.DataFrame(X, columns=["a", "b"]), Y[:-1]),
}


@both
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_fit_of_other_columns_leaves_the_last_one(estimator, case):
    model = estimator()
    with pytest.raises(ValueError):
        model.fit(*REFUSED[case])
    assert vars(model) == vars(estimator())
    before = vars(model.fit(X, Y)).copy()
    expected = model.predict(X)
    with pytest.raises(ValueError):
        model.fit(*REFUSED[case])
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    np.testing.assert_array_equal(model.predict(X), expected)


@both
def test_not_fitted(estimator):
    with pytest.raises(NotFittedError) as error:
        estimator().predict(X)
    assert estimator.__name__ in message_of(error)
    with pytest.raises(NotFittedError):
        estimator().score(X, Y)
    with pytest.raises((NotFittedError, AttributeError)):
        _ = estimator().history_
    assert not hasattr(estimator(), "history_")


PREDICT = {
    "too-many-columns": (np.ones((2, 3)), ["3", "2"]),
    "too-few-columns": (np.ones((2, 1)), ["1", "2"]),
    "one-dimension": (np.ones(2), ["2D"]),
    "nan": (np.array([[1.0, 2.0], [1.0, NAN]]), ["X must be finite", "NaN", "row 1", "column 1"]),
    "inf": (np.array([[INF, 2.0]]), ["X must be finite", "inf", "row 0", "column 0"]),
    "words": (np.array([["a", "b"]]), ["X", "'a'"]),
    "no-rows": (np.ones((0, 2)), ["0 sample"]),
}


@both
@pytest.mark.parametrize("case", PREDICT)
def test_bad_rows_to_predict(estimator, case):
    rows, parts = PREDICT[case]
    model = estimator().fit(X, Y)
    with pytest.raises(ValueError) as error:
        model.predict(rows)
    text = str(error.value)
    assert "\n" not in text, text
    for part in parts:
        assert part in text, text
