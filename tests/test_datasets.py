import numpy as np
import pandas as pd
import pytest

from sklearn_robust.datasets import load_phone_calls, load_star_cluster, make_outlier_line


def test_line_has_the_documented_shapes():
    X, y = make_outlier_line()
    assert X.shape == (100, 1)
    assert y.shape == (100,)
    assert X.dtype == y.dtype == np.float64
    assert X.min() >= 0
    assert X.max() <= 10


@pytest.mark.parametrize("n_samples", [1, 2, 7, 100, 1001])
@pytest.mark.parametrize("contamination", [0, 0.1, 0.25, 0.499])
def test_line_mirrors_exactly_the_share_asked_for(n_samples, contamination):
    X, y, is_outlier = make_outlier_line(
        n_samples, slope=3.0, intercept=-1.0, noise=0.0, contamination=contamination, return_outliers=True
    )
    line = 3.0 * X[:, 0] - 1.0
    assert is_outlier.dtype == bool
    assert is_outlier.sum() == round(contamination * n_samples)
    np.testing.assert_array_equal(y, np.where(is_outlier, -line, line))


def test_line_noise_has_the_scale_asked_for():
    X, y = make_outlier_line(20_000, slope=-1.5, intercept=4.0, noise=0.3, contamination=0.0)
    residuals = y - (-1.5 * X[:, 0] + 4.0)
    # four standard errors of the mean and of the standard deviation
    assert abs(residuals.mean()) < 4 * 0.3 / np.sqrt(20_000)
    assert abs(residuals.std() - 0.3) < 4 * 0.3 / np.sqrt(40_000)
    assert abs(X.mean() - 5.0) < 4 * 10 / np.sqrt(12 * 20_000)


def test_contamination_leaves_the_other_rows_alone():
    X, y = make_outlier_line(contamination=0.0)
    X_dirty, y_dirty, is_outlier = make_outlier_line(contamination=0.3, return_outliers=True)
    np.testing.assert_array_equal(X, X_dirty)
    np.testing.assert_array_equal(y_dirty, np.where(is_outlier, -y, y))


def test_random_state():
    y = make_outlier_line()[1]
    np.testing.assert_array_equal(make_outlier_line(random_state=0)[1], y)
    np.testing.assert_array_equal(make_outlier_line(random_state=np.random.RandomState(0))[1], y)
    assert not np.array_equal(make_outlier_line(random_state=1)[1], y)
    assert not np.array_equal(make_outlier_line(random_state=None)[1], make_outlier_line(random_state=None)[1])


@pytest.mark.parametrize(
    ("name", "value", "expectation"),
    [
        ("n_samples", 0, "an integer of at least 1"),
        ("n_samples", 10.0, "an integer of at least 1"),
        ("slope", np.nan, "a finite number"),
        ("intercept", "1", "a finite number"),
        ("noise", np.inf, "a finite number"),
        ("noise", -1.0, "must not be negative"),
        ("contamination", 0.7, r"must lie in \[0, 0\.5\)"),
        ("contamination", 0.5, r"must lie in \[0, 0\.5\)"),
        ("contamination", -0.1, r"must lie in \[0, 0\.5\)"),
        ("contamination", np.nan, r"must lie in \[0, 0\.5\)"),
        ("contamination", "auto", r"must lie in \[0, 0\.5\)"),
    ],
)
def test_line_errors_say_name_value_expectation_remedy_in_one_line(name, value, expectation):
    with pytest.raises(ValueError, match=f"^{name} must.*{expectation.removeprefix('must')}") as error:
        make_outlier_line(**{name: value})
    message = str(error.value)
    assert f"Got {name}={value!r}; pass " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, True) for name in ("n_samples", "slope", "intercept", "noise", "contamination")),
        *((name, np.zeros((30, 30))) for name in ("n_samples", "slope", "intercept", "noise", "contamination")),
        ("return_outliers", "yes"),
        ("random_state", "seed"),
        ("random_state", -1),
    ],
)
def test_line_of_something_else_is_refused_in_one_line(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must [^\n]* Got {name}=[^\n]*\.$") as error:
        make_outlier_line(**{name: value})
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("load", [load_phone_calls, load_star_cluster])
@pytest.mark.parametrize("name", ["return_X_y", "as_frame"])
def test_loaders_have_flags(load, name):
    with pytest.raises(ValueError, match=rf"^{name} must be True or False\. Got {name}='no'\.$"):
        load(**{name: "no"})


def test_phone_calls_bunch():
    calls = load_phone_calls()
    assert calls.data.shape == (24, 1)
    assert calls.target.shape == (24,)
    assert calls.data.dtype == calls.target.dtype == np.float64
    np.testing.assert_array_equal(calls.data[:, 0], np.arange(1950, 1974))
    np.testing.assert_array_equal(calls.data[calls.is_outlier, 0], np.arange(1964, 1970))
    assert calls.feature_names == ["year"]
    assert calls.target_names == ["calls"]
    assert calls.frame is None
    assert "Rousseeuw" in calls.DESCR


def test_phone_calls_least_squares_is_the_published_one():
    # lm(calls ~ year, MASS::phones) in R, whose years have two digits
    calls = load_phone_calls()
    slope, intercept = np.polyfit(calls.data[:, 0] - 1900, calls.target, 1)
    assert slope == pytest.approx(5.04147826086957, rel=1e-12)
    assert intercept == pytest.approx(-260.059246376812, rel=1e-12)


def test_star_cluster_bunch():
    stars = load_star_cluster()
    assert stars.data.shape == (47, 1)
    assert stars.target.shape == (47,)
    assert stars.data.dtype == stars.target.dtype == np.float64
    np.testing.assert_array_equal(np.flatnonzero(stars.is_outlier) + 1, [11, 20, 30, 34])
    assert stars.feature_names == ["log_temperature"]
    assert stars.target_names == ["log_light"]
    assert stars.frame is None
    assert "Rousseeuw" in stars.DESCR


def test_star_cluster_least_squares_is_the_published_one():
    # lm(log.light ~ log.Te, robustbase::starsCYG) in R
    stars = load_star_cluster()
    slope, intercept = np.polyfit(stars.data[:, 0], stars.target, 1)
    assert slope == pytest.approx(-0.413303860587056, rel=1e-12)
    assert intercept == pytest.approx(6.79346729870468, rel=1e-12)


@pytest.mark.parametrize("load", [load_phone_calls, load_star_cluster])
def test_loaded_as_frame(load):
    data = load(as_frame=True)
    assert isinstance(data.data, pd.DataFrame)
    assert isinstance(data.target, pd.Series)
    assert list(data.frame.columns) == data.feature_names + data.target_names
    assert list(data.data.columns) == data.feature_names
    assert data.target.name == data.target_names[0]
    plain = load()
    np.testing.assert_array_equal(data.data.to_numpy(), plain.data)
    np.testing.assert_array_equal(data.target.to_numpy(), plain.target)
    np.testing.assert_array_equal(data.is_outlier, plain.is_outlier)


@pytest.mark.parametrize("load", [load_phone_calls, load_star_cluster])
@pytest.mark.parametrize("as_frame", [False, True])
def test_loaded_as_X_y(load, as_frame):
    X, y = load(return_X_y=True, as_frame=as_frame)
    data = load(as_frame=as_frame)
    assert type(X) is type(data.data)
    assert type(y) is type(data.target)
    np.testing.assert_array_equal(np.asarray(X), np.asarray(data.data))
    np.testing.assert_array_equal(np.asarray(y), np.asarray(data.target))


@pytest.mark.parametrize(("load", "first"), [(load_phone_calls, 4.4), (load_star_cluster, 5.23)])
def test_data_are_loaded_anew_each_time(load, first):
    load().target[:] = 0.0
    assert load().target[0] == first
