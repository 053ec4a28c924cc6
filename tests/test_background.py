"""The background: when it is found, what its share and probabilities are, and how they change with the data."""

import warnings
from types import SimpleNamespace

import naive_fit
import numpy as np
import pytest
from problems import SOLVERS, gaussian, ignored, of_size, student
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression

from sklearn_robust import AdaptiveRobustRegressor, GeneralRobustRegressor
from sklearn_robust._fit import background, leaving
from sklearn_robust._fit.leaving import near_scale
from sklearn_robust._fit.objective import Law
from sklearn_robust._rows import cpu
from sklearn_robust._rows.blocks import Rows
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust.datasets import load_phone_calls, load_star_cluster
from sklearn_robust.losses import weight

COEF, INTERCEPT = np.array([1.0, 2.0, 3.0]), 1.0
CLEAN = {
    "gaussian": gaussian,
    "laplace": lambda rng, n: rng.laplace(size=n),
    "student": student,
    "cauchy": lambda rng, n: rng.standard_cauchy(size=n),
}
KINDS = ["vertical", "leverage"]

each_kind = pytest.mark.parametrize("kind", KINDS)


def clean_data(noise=gaussian, n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, X @ COEF + INTERCEPT + noise(rng, n)


def gross_data(kind, n=200, seed=0, share=0.1):
    """Gaussian noise of scale 1; a share of rows lifted, or moved into one cluster far out in X and y."""
    X, y = clean_data(n=n, seed=seed)
    rng = np.random.default_rng(seed + 1000)
    bad = np.zeros(n, dtype=bool)
    bad[rng.permutation(n)[: round(share * n)]] = True
    k = bad.sum()
    if kind == "vertical":
        y[bad] += rng.uniform(8.0, 20.0, size=k)
    else:
        X[bad] = 6.0 + 0.3 * rng.normal(size=(k, 3))
        y[bad] = X[bad] @ COEF + INTERCEPT - rng.normal(30.0, 1.0, size=k)
    return X, y, bad


def told_apart(model, X, y, bad):
    """How many outliers are found and missed, and how many clean rows are taken for some."""
    likely = model.outlier_proba(X, y) > 0.5
    return np.array([likely[bad].sum(), (~likely[bad]).sum(), likely[~bad].sum()])


def naive_probability(model, r):
    """The posterior of the background at residuals in units of c."""
    share, width = naive_fit.background(model)
    if share == 0.0:
        return np.zeros(len(r))
    law = np.exp(-naive_fit.rho(r, model.alpha_, model.c_) - naive_fit.log_z(model.alpha_)) / model.c_
    return (share / width) / ((1.0 - share) * law + share / width)


def fitted(X, y, sample_weight=None, noise_scale=None, **parameters):
    return AdaptiveRobustRegressor(**{"tol": 1e-11, "max_iter": 1000} | parameters).fit(
        X, y, sample_weight, noise_scale
    )


def assert_same(model, other, X, rtol=1e-7):
    assert other.contamination_ > 0.0
    assert of_size(model.coef_, other.coef_) <= rtol
    assert of_size(model.predict(X), other.predict(X)) <= rtol
    assert model.c_ == pytest.approx(other.c_, rel=10 * rtol)
    assert model.alpha_ == pytest.approx(other.alpha_, abs=10 * rtol)
    assert model.contamination_ == pytest.approx(other.contamination_, rel=10 * rtol)


# --- whether there is one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", CLEAN)
@pytest.mark.parametrize("n", [60, 300])
def test_clean_data_have_no_background(noise, n):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shares = [
            AdaptiveRobustRegressor().fit(*clean_data(CLEAN[noise], n, seed)).contamination_ for seed in range(20)
        ]
    assert len(caught) <= 1
    assert np.count_nonzero(shares) <= 1
    assert np.mean(shares) <= 0.006


@pytest.mark.parametrize("noise", ["gaussian", "laplace", "student"])
def test_clean_data_of_many_columns_hardly_ever_have_a_background(noise):
    """Five rows a column: the plain fit is a third wider than the start by chance."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(50, 10))
        found += AdaptiveRobustRegressor().fit(X, X.sum(axis=1) + CLEAN[noise](rng, 50)).contamination_ > 0.0
    assert found <= 5


def test_a_line_that_passes_near_most_of_few_rows_by_chance_is_not_taken():
    """With five rows a coefficient there is one in thirty data sets, and its error is three times that of the noise."""
    ours = plain = 0.0
    for seed in range(80):
        rng = np.random.default_rng([55, seed, 50, 10])
        X = rng.normal(size=(50, 10))
        y = X.sum(axis=1) + rng.normal(size=50)
        ours += np.sum((AdaptiveRobustRegressor().fit(X, y).coef_ - 1.0) ** 2)
        plain += np.sum((LinearRegression().fit(X, y).coef_ - 1.0) ** 2)
    assert ours <= 1.02**2 * plain


@pytest.mark.parametrize("n", [50, 200, 5_000, 1_000_000])
@pytest.mark.parametrize("q", [2, 11, 40])
def test_a_wider_plain_fit_lets_a_held_density_lose_more(n, q):
    least = near_scale(n, q)
    losses = [background._most_dense_loss(n, q, least + further) for further in (0.01, 0.05, 0.3)]
    assert 0.0 < losses[0] <= losses[1] <= losses[2]
    assert losses[0] == np.inf or losses[0] < losses[1] < losses[2]


def test_leverage_that_is_scattered_among_few_rows_is_seen():
    found = false = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 2))
        X[:6] *= 5.0
        y = X.sum(axis=1) + rng.standard_t(3, size=60)
        false += AdaptiveRobustRegressor().fit(X, y).contamination_ > 0.0
        y[:6] = 5.0 * rng.normal(size=6)
        found += AdaptiveRobustRegressor().fit(X, y).contamination_ > 0.0
    assert found >= 40
    assert false <= 4


@each_kind
@pytest.mark.parametrize("n", [150, 200, 1000])
def test_gross_outliers_are_found(kind, n):
    told = 0
    for seed in range(8):
        X, y, bad = gross_data(kind, n, seed)
        model = AdaptiveRobustRegressor().fit(X, y)
        assert model.converged_
        assert model.contamination_ == pytest.approx(0.1, abs=0.02)
        error = np.append(model.coef_ - COEF, model.intercept_ - INTERCEPT)
        assert np.abs(error).max() < 4.5 / np.sqrt(0.9 * n)
        assert model.scale_ == pytest.approx(1.0, abs=4.0 / np.sqrt(2 * 0.9 * n))
        told += told_apart(model, X, y, bad)
    found, missed, false = told
    assert found >= 0.98 * (found + missed)
    assert false <= 0.01 * 8 * 0.9 * n


@each_kind
def test_few_rows_are_fitted_well_whether_or_not_the_outliers_are_found(kind):
    for seed in range(20):
        X, y, _ = gross_data(kind, 60, seed)
        model = AdaptiveRobustRegressor().fit(X, y)
        assert np.abs(model.coef_ - COEF).max() < 4.5 / np.sqrt(0.9 * 60)


@each_kind
def test_gross_outliers_are_found_among_many_rows(kind):
    X, y, bad = gross_data(kind, 100_000)
    model = AdaptiveRobustRegressor().fit(X, y)
    assert model.converged_
    assert model.contamination_ == pytest.approx(0.1, abs=0.02)
    error = np.append(model.coef_ - COEF, model.intercept_ - INTERCEPT)
    assert np.abs(error).max() < 0.02
    likely = model.outlier_proba(X, y) > 0.5
    assert likely[bad].mean() > 0.98
    assert likely[~bad].mean() < 0.01


def scattered_leverage(n, p, share, seed):
    """X, y and the rows that are far out in every column, without relation to y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X.sum(axis=1) + rng.normal(size=n)
    far = rng.permutation(n)[: round(share * n)]
    X[far] *= 5.0
    y[far] = 5.0 * rng.normal(size=len(far))
    return X, y, far


@pytest.mark.parametrize("seed", [0, 19, 122])
def test_fit_of_many_rows_does_not_leave_that_of_a_part_for_outliers_far_in_x(seed, capsys):
    """In the last two all rows have no optimum near that of the part: its background is too wide to hold there."""
    X, y, far = scattered_leverage(25_000, 5, 0.3, seed)
    model = AdaptiveRobustRegressor(verbose=2).fit(X, y)
    assert np.abs(model.coef_ - 1.0).max() < 0.1
    assert model.outlier_proba(X, y)[far].mean() > 0.5
    assert len(capsys.readouterr().out.splitlines()) == len(model.history_)  # nothing of a fit that was given up


def test_fit_of_many_rows_that_leaves_that_of_a_part_for_good_is_warned_of():
    """Of 45% bad leverage all rows have no optimum near that of the part, not even with a narrow background."""
    X, y, _ = scattered_leverage(40_000, 3, 0.45, 0)
    with pytest.warns(UserWarning, match="The fit has left its start"):
        AdaptiveRobustRegressor().fit(X, y)


RARE = {
    "one far y": lambda X, y: y.__setitem__(0, 1e6),
    "five farther than Gaussian noise comes": lambda X, y: y.__setitem__(slice(5), 100.0),
    "a missing code in a cell": lambda X, y: X.__setitem__((0, 0), -9999.0),
    "three cells far in x": lambda X, y: X.__setitem__((slice(3), 0), 100.0),
    "a row far in all columns": lambda X, y: X.__setitem__(0, 100.0),
}


@pytest.mark.parametrize("kind", RARE)
@pytest.mark.parametrize("n", [2_000, 19_999, 60_000])
def test_outliers_rarer_than_one_in_a_thousand_rows_are_set_aside(kind, n):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 3))
    y = X @ COEF + INTERCEPT + rng.normal(size=n)
    RARE[kind](X, y)
    model = AdaptiveRobustRegressor().fit(X, y)
    n_far = {"five": 5, "thre": 3}.get(kind[:4], 1)
    assert np.abs([*(model.coef_ - COEF), model.intercept_ - INTERCEPT]).max() < 4.0 / np.sqrt(n)
    assert 0.9 * n_far / n < model.contamination_ < 1.5 * n_far / n
    assert model.outlier_proba(X, y)[:n_far].min() > 0.99
    assert model.alpha_ > 1.8
    assert abs(model.scale_ - 1.0) < 4.0 / np.sqrt(n)


@pytest.mark.parametrize("noise", ["laplace", "student", "skewed"])
@pytest.mark.parametrize(("share", "size"), [(0.1, 1e3), (0.04, 100.0), (0.004, 1e3), (0.004, 1e6), (0.004, 1e9)])
@pytest.mark.parametrize("n", [2_000, 5_000, 50_000])
def test_gross_outliers_beside_heavy_tails_are_found_however_far_out(noise, share, size, n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    y = X @ [1.0, 2.0] + (rng.chisquare(3, size=n) if noise == "skewed" else CLEAN[noise](rng, n))
    bad = rng.choice(n, round(share * n), replace=False)
    y[bad] = size
    model = AdaptiveRobustRegressor().fit(X, y)
    assert model.outlier_proba(X, y)[bad].min() > 0.99
    assert 0.9 * share < model.contamination_ < share + 0.05  # tails may lie there as well


@pytest.mark.parametrize("noise", ["gaussian", "laplace", "student"])
def test_one_far_y_of_many_rows_changes_no_law(noise):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 2))
    y = X @ [1.0, 2.0] + CLEAN[noise](rng, len(X))
    plain = AdaptiveRobustRegressor().fit(X, y)
    y[50_000] = 50.0 if noise == "gaussian" else 1e8
    model = AdaptiveRobustRegressor().fit(X, y)
    assert model.outlier_proba(X, y)[50_000] > 0.99
    assert abs(model.alpha_ - plain.alpha_) < 0.15
    assert model.scale_ == pytest.approx(plain.scale_, rel=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_a_row_of_high_leverage_among_many_does_not_rule(seed):
    n, rng = 100_000, np.random.default_rng(seed)
    X = rng.normal(size=(n, 1))
    y = X[:, 0] + rng.normal(size=n)
    X[0], y[0] = 1e5, 1e5 * (1.0 + 30.0 / np.sqrt(n))
    model = AdaptiveRobustRegressor(random_state=seed).fit(X, y)
    assert abs(model.coef_[0] - 1.0) < 5.0 / np.sqrt(n)


@pytest.mark.parametrize("seed", [1, 2, 7, 10])
def test_dummies_so_rare_that_a_part_of_many_rows_hardly_knows_them_are_not_taken_for_outliers(seed):
    rng = np.random.default_rng(seed)
    n = 30_000
    X = np.column_stack((np.zeros((n, 2)), rng.normal(size=(n, 2))))
    for j in range(2):
        X[rng.permutation(n)[:20], j] = 1.0
    y, wrong = X @ [8.0, -8.0, 1.0, 1.0] + rng.normal(size=n), rng.permutation(n)[: n // 20]
    y[wrong] += rng.choice([-1, 1], size=len(wrong)) * rng.uniform(10, 100, size=len(wrong))
    model = AdaptiveRobustRegressor().fit(X, y)
    assert np.abs(model.coef_[:2] - [8.0, -8.0]).max() < 1.5
    assert np.abs(model.coef_[2:] - 1.0).max() < 0.05


@pytest.mark.parametrize("x", [1e3, 1e5])
def test_leverage_beside_heavy_tails_moves_coefficients_too_far_to_pass(x):
    """With alpha near 1 no row is far out: the line passes through the few that were not in the part."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 3))
    y = X @ COEF + INTERCEPT + rng.chisquare(4, size=40_000)
    X[:2] = -x
    model = AdaptiveRobustRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_, COEF, atol=0.05)
    assert model.outlier_proba(X, y)[:2].min() > 0.99


@pytest.mark.parametrize(
    "parameters",
    [{"contamination": 0.0}, {"alpha_bounds": (1.0, 1.0), "contamination": 0.0}, {"solver": "irls"}],
    ids=str,
)
def test_all_rows_begin_again_where_their_part_had_no_outlier(parameters, capsys):
    X, y = clean_data(n=30_000)
    y[0] += 1e6
    model = AdaptiveRobustRegressor(**parameters, verbose=True).fit(X, y)
    np.testing.assert_allclose(model.coef_, COEF, atol=0.1)
    first = capsys.readouterr().out.splitlines()[0]  # nothing is told of what did not stay
    assert "iteration 0:" in first
    assert f"alpha {model.history_['alpha'].iloc[0]:.4g}," in first


@pytest.mark.parametrize("noise", ["gaussian", "student", "cauchy"])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_of_the_loss_tell_how_far_out_rows_are(noise, weighted):
    X, y = clean_data(CLEAN[noise], n=3_000)
    weights = np.random.default_rng(0).integers(1, 4, len(y)).astype(float) if weighted else NONE
    rows = Rows(X, y, weights, NONE, Frame.of(X, y, weights, True))
    theta, law, reach = np.append(0.1, COEF / 4.0), Law(1.5, 0.2), 0.6
    known = rows.sweep(theta, law.of_rows(), cpu.SCORE, True)[1]
    sizes, counts, nearest = leaving._far_rows(rows, SimpleNamespace(theta=theta, law=law, weights=known), reach)
    residuals = np.abs(rows.residuals(theta))
    far = residuals > reach
    np.testing.assert_allclose(sizes, residuals[far], rtol=1e-10)
    np.testing.assert_array_equal(counts, rows.all_weights[far])
    assert nearest == pytest.approx(residuals[~far].max(), rel=1e-10)
    assert 30 < far.sum() < 1_500
    two = SimpleNamespace(theta=theta, law=law._replace(alpha=2.0), weights=np.ones(len(y)))  # which tell nothing
    for passed, told in zip(leaving._far_rows(rows, two, reach), (sizes, counts, nearest), strict=True):
        np.testing.assert_allclose(passed, told, rtol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 1.9, 1.999999])
def test_a_weight_tells_its_residual(alpha):
    law, residuals = Law(alpha, 3.0), 10.0 ** np.linspace(-1, 100, 50)
    found = leaving._sizes(weight(residuals, alpha, 3.0), law)
    np.testing.assert_allclose(found, residuals, rtol=1e-12 / (2.0 - alpha))
    assert (leaving._sizes(weight(np.array([1e300, np.inf]), alpha, 3.0), law) > 1e100).all()


@each_kind
def test_gross_outliers_are_found_among_a_hundred_rows(kind):
    told = 0
    for seed in range(30):
        X, y, bad = gross_data(kind, 100, seed)
        told += told_apart(AdaptiveRobustRegressor().fit(X, y), X, y, bad)
    found, missed, false = told
    assert found >= 0.95 * (found + missed)
    assert false <= 0.01 * 30 * 90


def test_outliers_that_are_far_in_x_as_well_are_told_from_heavy_tails_among_few_rows():
    found = false = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(50, 1)), rng.standard_t(3, size=50)
        false += AdaptiveRobustRegressor().fit(X, y).contamination_ > 0.0
        X[:5], y[:5] = 6.0 + 0.1 * rng.normal(size=(5, 1)), -12.0 + 0.1 * rng.normal(size=5)
        found += AdaptiveRobustRegressor().fit(X, y).contamination_ > 0.0
    assert found >= 27
    assert false <= 1


def test_a_second_line_among_few_rows_is_set_aside_where_least_squares_has_left_the_start():
    ours, plain, shares = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=50), rng.normal(size=50)
        bad = rng.permutation(50)[:15]
        y += x
        y[bad] += 3.0 - 2.0 * x[bad]
        model = AdaptiveRobustRegressor().fit(x[:, None], y)
        ours.append(model.coef_[0])
        plain.append(AdaptiveRobustRegressor(contamination=0.0).fit(x[:, None], y).coef_[0])
        if model.contamination_ > 0.0:
            shares.append(model.contamination_)
            assert model.outlier_proba(x[:, None], y).mean() == pytest.approx(model.contamination_, abs=0.1)
    assert np.mean((np.array(ours) - 1.0) ** 2) < 0.75 * np.mean((np.array(plain) - 1.0) ** 2)
    assert 0.1 < np.mean(shares) < 0.4


@pytest.mark.parametrize("noise", CLEAN)
def test_many_clean_rows_have_no_background(noise):
    assert AdaptiveRobustRegressor().fit(*clean_data(CLEAN[noise], 50_000)).contamination_ == 0.0


def test_main_sequence_of_the_star_cluster():
    stars = load_star_cluster()
    assert LinearRegression().fit(stars.data, stars.target).coef_[0] == pytest.approx(-0.41, abs=0.01)
    model = AdaptiveRobustRegressor().fit(stars.data, stars.target)
    assert 2.0 < model.coef_[0] < 3.1  # MM with Tukey's loss 2.25, least trimmed squares 3.05
    np.testing.assert_array_equal(model.outlier_proba(stars.data, stars.target) > 0.5, stars.is_outlier)
    assert model.contamination_ == pytest.approx(4 / 47, abs=0.02)


LEFT = r"^The fit has left its start .*: outliers of high leverage may rule it\. Try "


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (AdaptiveRobustRegressor(contamination=0.0), AdaptiveRobustRegressor(contamination=0.1)),
        (GeneralRobustRegressor(alpha=1.0, init="s"), AdaptiveRobustRegressor()),
        (GeneralRobustRegressor(alpha=-2.0, init="s"), GeneralRobustRegressor(alpha=-np.inf, init="s")),
    ],
)
def test_a_fit_that_giant_stars_rule_is_warned_of_and_the_remedy_works(model, remedy):
    X, y = load_star_cluster(return_X_y=True)
    with pytest.warns(UserWarning, match=LEFT):
        model.fit(X, y)
    assert model.coef_[0] < 0.0
    assert 1.5 < remedy.fit(X, y).coef_[0] < 3.1  # up the main sequence


def test_minutes_among_the_phone_calls():
    calls = load_phone_calls()
    model = AdaptiveRobustRegressor().fit(calls.data, calls.target)
    assert model.coef_[0] == pytest.approx(1.1, abs=0.05)
    likely = calls.data[model.outlier_proba(calls.data, calls.target) > 0.5, 0]
    # the unit changed within 1963 and within 1970
    np.testing.assert_array_equal(likely, np.arange(1963, 1971))


# --- held shares ----------------------------------------------------------------------------------------------------


@each_kind
def test_share_of_zero_is_the_plain_likelihood(kind):
    X, y, _ = gross_data(kind)
    model = fitted(X, y, contamination=0.0)
    assert model.contamination_ == 0.0
    assert (model.history_["share"] == 0.0).all()
    assert np.abs(naive_fit.coefficient_gradient(model, X, y)).max() < 1e-7
    r = naive_fit.residuals(model, X, y)
    np.testing.assert_allclose(model.weights_, naive_fit.weight(r, model.alpha_, model.c_), rtol=1e-9)
    value = naive_fit.objective(model.alpha_, model.c_, model.coef_, model.intercept_, X, y, learns=True, d=4)
    assert model.objective_ == pytest.approx(value, rel=1e-11)


def test_clean_data_are_fitted_as_with_a_share_of_zero():
    X, y = clean_data()
    model, plain = AdaptiveRobustRegressor().fit(X, y), AdaptiveRobustRegressor(contamination=0.0).fit(X, y)
    assert model.contamination_ == 0.0
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert (model.alpha_, model.c_, model.objective_) == (plain.alpha_, plain.c_, plain.objective_)
    np.testing.assert_array_equal(model.outlier_proba(X, y), np.zeros(len(y)))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.01])
@pytest.mark.parametrize("kind", [*KINDS, "clean"])
def test_a_share_that_is_held_stays(kind, share):
    X, y = clean_data() if kind == "clean" else gross_data(kind)[:2]
    model = fitted(X, y, contamination=share)
    assert model.contamination_ == share
    assert (model.history_["share"] == share).all()
    assert np.abs(naive_fit.coefficient_gradient(model, X, y)).max() < 1e-7
    assert np.abs(model.coef_ - COEF).max() < 0.4
    expected = naive_probability(model, naive_fit.residuals(model, X, y))
    np.testing.assert_allclose(model.outlier_proba(X, y), expected, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("share", [-0.1, 0.5, 0.7, "x", None, True, float("nan"), [0.1]])
def test_share_outside_its_domain(share):
    X, y = clean_data(n=20)
    with pytest.raises(ValueError, match=r"^contamination must be 'auto' or a number in \[0, 0\.5\)\. Got ") as error:
        AdaptiveRobustRegressor(contamination=share).fit(X, y)
    message = str(error.value)
    assert "\n" not in message
    assert f"Got contamination={share!r}; " in message


# --- the optimum ----------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("contamination", ["auto", 0.2])
def test_gradient_objective_weights_and_probabilities_are_the_naive_ones(kind, contamination):
    X, y, _ = gross_data(kind)
    rng = np.random.default_rng(0)  # none of the draws for which the gain lies at the threshold
    s, v = rng.choice([0.0, 0.5, 1.0, 2.0], size=len(y)), rng.uniform(0.5, 2.0, size=len(y))
    model = fitted(X, y, s, v, contamination=contamination)
    share, width = naive_fit.background(model)
    assert 0.0 < share < 0.5
    assert np.abs(naive_fit.coefficient_gradient(model, X, y, s, v)).max() < 1e-7
    assert np.nanmax(np.abs(naive_fit.law_gradient(model, X, y, s, v)[1])) < 1e-7
    r = naive_fit.residuals(model, X, y, v)
    np.testing.assert_allclose(model.weights_, naive_fit.model_weight(model, r), rtol=1e-8, atol=1e-14)
    probability = model.outlier_proba(X, y, noise_scale=v)
    np.testing.assert_allclose(probability, naive_probability(model, r), rtol=1e-8, atol=1e-14)
    if contamination == "auto":  # the derivative in the logit of the share vanishes where this holds
        assert share == pytest.approx(s @ probability / s.sum(), abs=1e-8)
    value = naive_fit.objective(
        model.alpha_, model.c_, model.coef_, model.intercept_, X, y, s, v, learns=True, d=4, mixture=(share, width)
    )
    assert model.objective_ == pytest.approx(value, rel=1e-10)
    assert model.history_["share"].iloc[-1] == share


@each_kind
@pytest.mark.parametrize("parameters", [{}, {"contamination": 0.1}, {"fit_intercept": False}, {"alpha_bounds": (1, 1)}])
def test_every_solver_reaches_the_same_optimum(kind, parameters):
    X, y, _ = gross_data(kind)
    one, *others = (fitted(X, y, solver=solver, **parameters) for solver in SOLVERS)
    for other in others:
        assert_same(other, one, X)
        assert other.objective_ == pytest.approx(one.objective_, abs=1e-8 * len(y))
        np.testing.assert_allclose(other.outlier_proba(X, y), one.outlier_proba(X, y), rtol=0, atol=1e-6)


@each_kind
@pytest.mark.parametrize("solver", SOLVERS)
def test_objective_never_rises(kind, solver):
    X, y, _ = gross_data(kind)
    objective = AdaptiveRobustRegressor(solver=solver).fit(X, y).history_["objective"].to_numpy()
    assert (np.diff(objective) <= 1e-11 * np.abs(objective[:-1])).all()


@each_kind
def test_without_intercept(kind):
    X, y, bad = gross_data(kind)
    model = fitted(X, y - INTERCEPT, fit_intercept=False)
    assert model.intercept_ == 0.0
    assert model.contamination_ == pytest.approx(0.1, abs=0.02)
    assert np.abs(model.coef_ - COEF).max() < 0.4
    assert (model.outlier_proba(X, y - INTERCEPT)[bad] > 0.5).all()
    assert np.abs(naive_fit.coefficient_gradient(model, X, y - INTERCEPT)).max() < 1e-7


@pytest.mark.parametrize("solver", SOLVERS)
@each_kind
def test_with_a_penalty(kind, solver):
    X, y, bad = gross_data(kind)
    model = fitted(X, y, l2_regularization=20.0, solver=solver)
    assert model.contamination_ == pytest.approx(0.1, abs=0.03)
    assert np.linalg.norm(model.coef_) < np.linalg.norm(fitted(X, y).coef_)
    assert np.abs(model.coef_ - COEF).max() < 1.0
    assert (model.outlier_proba(X, y)[bad] > 0.5).all()
    assert np.abs(naive_fit.coefficient_gradient(model, X, y, l2=20.0)).max() < 1e-6


# --- outlier_proba --------------------------------------------------------------------------------------------------


@each_kind
def test_probabilities_of_new_rows(kind):
    X, y, _ = gross_data(kind)
    new_X, new_y, bad = gross_data(kind, 300, seed=50)
    v = np.random.default_rng(1).uniform(0.5, 2.0, size=300)
    model = AdaptiveRobustRegressor().fit(X, y)
    for noise_scale in (None, v):
        expected = naive_probability(model, naive_fit.residuals(model, new_X, new_y, noise_scale))
        probability = model.outlier_proba(new_X, new_y, noise_scale=noise_scale)
        assert probability.shape == (300,)
        np.testing.assert_allclose(probability, expected, rtol=1e-8, atol=1e-14)
        assert ((probability >= 0.0) & (probability <= 1.0)).all()
    assert (model.outlier_proba(new_X, new_y)[bad] > 0.5).mean() > 0.98


def test_probabilities_exist_only_with_a_background():
    X, y, _ = gross_data("vertical")
    for model in (AdaptiveRobustRegressor(contamination=0.0), GeneralRobustRegressor()):
        assert not hasattr(model, "outlier_proba")
        assert not hasattr(model.fit(X, y), "outlier_proba")
        with pytest.raises(AttributeError, match="outlier_proba"):
            model.outlier_proba(X, y)
    for contamination in ("auto", 0.1):
        assert hasattr(AdaptiveRobustRegressor(contamination=contamination), "outlier_proba")


def test_bad_input_of_probabilities():
    X, y, _ = gross_data("vertical")
    with pytest.raises(NotFittedError):
        AdaptiveRobustRegressor().outlier_proba(X, y)
    model = AdaptiveRobustRegressor().fit(X, y)
    with pytest.raises(ValueError, match=r"^noise_scale "):
        model.outlier_proba(X, y, noise_scale=np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"^noise_scale "):
        model.outlier_proba(X, y, noise_scale=np.ones(3))
    with pytest.raises(ValueError, match=r"^y "):
        model.outlier_proba(X, np.full(len(y), np.nan))


@pytest.mark.parametrize("length", [1, 3])
def test_probabilities_of_x_and_y_of_different_lengths(length):
    X, y, _ = gross_data("vertical")
    model = AdaptiveRobustRegressor().fit(X, y)
    with pytest.raises(ValueError, match=r"^y "):
        model.outlier_proba(X, y[:length])


# --- how it changes with the data -----------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 0.0), (-3.0, 0.0), (1.0, 1e3), (1e3, -1e5)])
def test_units_and_origin_of_y(kind, scale, shift):
    X, y, _ = gross_data(kind)
    plain, moved = fitted(X, y), fitted(X, scale * y + shift)
    assert_same(fitted(X, y), plain, X, 1e-12)
    assert of_size(moved.coef_ / scale, plain.coef_) < 1e-6
    assert moved.c_ == pytest.approx(abs(scale) * plain.c_, rel=1e-6)
    assert moved.contamination_ == pytest.approx(plain.contamination_, rel=1e-6)
    np.testing.assert_allclose(moved.outlier_proba(X, scale * y + shift), plain.outlier_proba(X, y), rtol=0, atol=1e-6)


@each_kind
def test_regression_equivariance(kind):
    X, y, _ = gross_data(kind)
    b = np.array([-30.0, 10.0, 50.0])
    plain, moved = fitted(X, y), fitted(X, y + X @ b)
    np.testing.assert_allclose(moved.coef_ - b, plain.coef_, rtol=0, atol=1e-5)
    assert moved.contamination_ == pytest.approx(plain.contamination_, rel=1e-6)
    np.testing.assert_allclose(moved.outlier_proba(X, y + X @ b), plain.outlier_proba(X, y), rtol=0, atol=1e-6)


@each_kind
@pytest.mark.parametrize("size", [1e-3, 1e6])
def test_units_and_origin_of_columns(kind, size):
    X, y, _ = gross_data(kind)
    k = size ** np.array([-1.0, 0.0, 1.0])
    Z = X * k + 10.0 * k
    plain, moved = fitted(X, y), fitted(Z, y)
    assert of_size(moved.coef_ * k, plain.coef_) < 1e-6
    assert moved.contamination_ == pytest.approx(plain.contamination_, rel=1e-6)
    np.testing.assert_allclose(moved.outlier_proba(Z, y), plain.outlier_proba(X, y), rtol=0, atol=1e-6)


@each_kind
def test_order_of_rows(kind):
    X, y, _ = gross_data(kind)
    rng = np.random.default_rng(3)
    s, v, order = rng.choice([0.5, 1.0, 2.0], size=len(y)), rng.uniform(0.5, 2.0, size=len(y)), rng.permutation(len(y))
    plain, moved = fitted(X, y, s, v), fitted(X[order], y[order], s[order], v[order])
    assert_same(moved, plain, X)
    np.testing.assert_allclose(moved.weights_, plain.weights_[order], rtol=0, atol=1e-7)


@each_kind
@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_weights_are_repeated_rows(kind, contamination):
    X, y, _ = gross_data(kind)
    s = np.random.default_rng(4).integers(0, 4, size=len(y))
    v = np.random.default_rng(5).uniform(0.5, 2.0, size=len(y))
    weighted = fitted(X, y, s, v, contamination=contamination)
    long_X, long_y, long_v = np.repeat(X, s, axis=0), np.repeat(y, s), np.repeat(v, s)
    repeated = fitted(long_X, long_y, noise_scale=long_v, contamination=contamination)
    assert_same(repeated, weighted, X)
    assert repeated.objective_ == pytest.approx(weighted.objective_, abs=1e-7 * len(long_y))
    np.testing.assert_allclose(
        repeated.outlier_proba(long_X, long_y, long_v), np.repeat(weighted.outlier_proba(X, y, v), s), atol=1e-7
    )


@each_kind
@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_unit_of_noise_scale(kind, unit):
    X, y, _ = gross_data(kind)
    v = np.random.default_rng(6).uniform(0.5, 2.0, size=len(y))
    plain, other = fitted(X, y, noise_scale=v), fitted(X, y, noise_scale=unit * v)
    assert plain.contamination_ > 0.05
    assert of_size(other.coef_, plain.coef_) < 1e-8
    assert unit * other.c_ == pytest.approx(plain.c_, rel=1e-8)
    assert other.contamination_ == pytest.approx(plain.contamination_, rel=1e-8)
    np.testing.assert_allclose(
        other.outlier_proba(X, y, noise_scale=unit * v), plain.outlier_proba(X, y, noise_scale=v), rtol=0, atol=1e-8
    )


@each_kind
def test_error_bars_tell_wide_rows_from_outliers(kind):
    X, y, bad = gross_data(kind)
    wide = ~bad & (np.arange(len(y)) % 5 == 0)
    v = np.where(wide, 10.0, 1.0)
    y = y + np.where(wide, 10.0 * np.random.default_rng(8).normal(size=len(y)), 0.0)
    model = AdaptiveRobustRegressor().fit(X, y, noise_scale=v)
    likely = model.outlier_proba(X, y, noise_scale=v) > 0.5
    assert likely[bad].all()
    assert likely[wide].mean() < 0.05
    assert model.contamination_ == pytest.approx(0.1, abs=0.03)


# --- warm starts ----------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_warm_start_on_the_same_data_stays(kind, solver, contamination):
    X, y, _ = gross_data(kind)
    model = AdaptiveRobustRegressor(solver=solver, contamination=contamination, warm_start=True).fit(X, y)
    coef, share, alpha, c = model.coef_, model.contamination_, model.alpha_, model.c_
    probability = model.outlier_proba(X, y)
    model.fit(X, y)
    assert model.n_iter_ <= 1
    assert of_size(model.coef_, coef) < 1e-6
    assert model.contamination_ == pytest.approx(share, rel=1e-6)
    assert (model.alpha_, model.c_) == (pytest.approx(alpha, abs=1e-6), pytest.approx(c, rel=1e-6))
    np.testing.assert_allclose(model.outlier_proba(X, y), probability, rtol=0, atol=1e-5)


def test_warm_start_holds_a_density_that_was_held():
    rng = np.random.default_rng(29)
    x, y = rng.normal(size=50), rng.normal(size=50)
    bad = rng.permutation(50)[:15]
    y += x
    y[bad] += 3.0 - 2.0 * x[bad]
    model = AdaptiveRobustRegressor(warm_start=True, tol=1e-11).fit(x[:, None], y)
    assert model.contamination_ > 0.0
    again = clone(model).fit(x[:, None], y).fit(x[:, None], y)
    assert_same(model, again, x[:, None])


def test_warm_start_learns_a_share_that_was_given_before():
    X, y, _ = gross_data("vertical", 200)
    model = AdaptiveRobustRegressor(contamination=0.3, warm_start=True).fit(X, y)
    assert model.contamination_ == 0.3
    assert model.set_params(contamination="auto").fit(X, y).contamination_ == pytest.approx(0.1, abs=0.02)


@each_kind
def test_warm_start_goes_on_where_a_fit_was_cut_short(kind):
    X, y, _ = gross_data(kind)
    model = AdaptiveRobustRegressor(solver="irls", max_iter=1, warm_start=True)
    with ignored(ConvergenceWarning):
        model.fit(X, y)
    model.set_params(max_iter=1000).fit(X, y)
    assert_same(model, AdaptiveRobustRegressor(solver="irls", max_iter=1000).fit(X, y), X, 1e-5)


def test_copies_do_not_call_for_a_background():
    """In bootstrap samples a start follows copies, and what one row gains all its copies gain."""
    shares, found = [], []
    for seed in range(10):
        rng = np.random.default_rng([31, seed])
        X = rng.normal(size=(200, 20))
        y, drawn = X.sum(axis=1) + rng.normal(size=200), rng.integers(200, size=200)
        shares.append(AdaptiveRobustRegressor().fit(X[drawn], y[drawn]).contamination_)
        y[:20] += 15.0
        found.append(AdaptiveRobustRegressor().fit(X[drawn, :8], y[drawn] - X[drawn, 8:].sum(axis=1)).contamination_)
    assert np.count_nonzero(shares) <= 4  # nearly all if copies count as rows
    assert min(found) > 0.04
