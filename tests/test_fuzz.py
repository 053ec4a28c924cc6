"""Whatever is fitted: a clear error, a warning of ours, or finite numbers that are an optimum and change as they must.

``pytest tests/test_fuzz.py --hypothesis-profile=long`` looks for new cases; those that it found are examples below.

Two fits that must agree are compared where both converged without a warning:

- Units that are powers of two change no digit: all results are the same, bit for bit up to these units.
- Otherwise the objective is the same, to the accuracy that tol and the rounding of the data leave. Coefficients are
  not compared: where the objective is flat they may differ.
- A loss that is not convex has several optima, and which is found depends on the start. Where a change of the data
  draws other subsets of rows for the start, both fits have to be stationary points of their data, and no more; that is
  checked of every fit, with gradients computed again here.
"""

import time
import warnings
from typing import NamedTuple

import naive_fit
import numpy as np
import pytest
from fuzz_cases import INF, Case, Data, cases
from hypothesis import given
from sklearn.exceptions import ConvergenceWarning

from sklearn_robust import losses

EPS = np.finfo(float).eps
SECONDS = 60.0  # of processor time: a fit of such data takes milliseconds, the first one some seconds to compile


class Outcome(NamedTuple):
    """A fitted model, or the line of the error, and the warnings."""

    model: object
    error: str
    messages: list


def outcome(model, data: Data) -> Outcome:
    """Fit; any exception but a ValueError goes through."""
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(*data)
            error = ""
        except ValueError as refused:
            error = str(refused)
    assert time.process_time() - start < SECONDS, "the fit hangs"
    for each in caught:
        text = str(each.message)
        assert each.category in (UserWarning, ConvergenceWarning), (each.category, text, each.filename, each.lineno)
        assert "\n" not in text
        assert text.endswith("."), text
    return Outcome(model, error, [str(each.message) for each in caught])


def ones_for_none(values, y):
    return np.ones(len(y)) if values is None else np.asarray(values, float)


class Optimum(NamedTuple):
    """The fit in plain numbers, computed again: the loss, its gradient, and how many digits these can have."""

    S: float
    residuals: np.ndarray
    rho: float
    gradient: np.ndarray
    rounding: float  # of the residuals, in units of c
    condition: float  # of the design: how much worse coefficients may be


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def computed_again(case: Case, model, data: Data) -> Optimum:
    """Line 1 and its gradient per unit weight, coefficients in units of c over the size of their centred columns."""
    X, y = data.X, data.y
    s, v = ones_for_none(data.weights, y), ones_for_none(data.noise, y)
    kept = s > 0
    X, y, s, v = X[kept], y[kept], s[kept], v[kept]
    share = s / s.max() / (s / s.max()).sum()
    unit = np.abs(X).max(axis=0)
    unit[unit == 0] = 1.0
    Z, coef = X / unit, model.coef_ * unit
    center = share @ Z if case.fit_intercept else np.zeros(case.p)
    size = np.sqrt(share @ (Z - center) ** 2)
    constant = np.ptp(Z, axis=0) < 100 * EPS if case.fit_intercept else size == 0
    size[constant] = 1.0
    r = (y - Z @ coef - model.intercept_) / v
    order = np.argsort(v)
    c, typical = model.c_, v[order][np.searchsorted(np.cumsum(share[order]), 0.5)]
    background = naive_fit.background(model)
    clean = naive_fit.clean_probability(r, model.alpha_, c, *background)
    pull = share * c * clean * losses.psi(r, model.alpha_, c)
    lost = EPS * (np.abs(y) + np.abs(Z) @ np.abs(coef) + abs(model.intercept_)) / v
    slopes = -(pull / v * typical) @ ((Z - center) / size)
    strength = case.l2_regularization
    if strength not in ("auto", 0.0):
        pull_back = strength / s.sum() * typical / (unit * size) / c  # of a coefficient of 1
        # the coefficient that balances the slope is no number, or nothing at all in units of y and of its column
        too_small = (np.abs(slopes) < 1e-300 * pull_back) | (np.sqrt(strength) * typical / (unit * size) > 1e100)
        slopes = np.where(too_small, 0.0, slopes + pull_back * model.coef_)
    slopes[constant] = 0.0
    if case.fit_intercept:
        slopes = np.append(slopes, -(pull / v * typical).sum())
    largest = 1.0 if constant.all() else (np.abs(Z - center) / size)[:, ~constant].max()
    steep = max(1.0, 3 * float(losses.weight(r, model.alpha_, c).max()))  # where the loss is steeper than a square
    columns = EPS * (np.abs(Z).max(axis=0) / size).max() * np.abs(pull / v * typical).sum()
    rounding = float((lost * typical / v / c).max() * largest * steep)
    rho = float(
        share @ (naive_fit.cost(r, model.alpha_, c, *background) if background[0] else losses.rho(r, model.alpha_, c))
    )
    design = np.sqrt(share)[:, None] / v[:, None] * typical * ((Z - center) / size)[:, ~constant]
    singular = np.linalg.svd(design, compute_uv=False) if np.isfinite(design).all() and design.size else np.ones(1)
    singular = singular[singular > 1e-14 * singular.max()]
    condition = float(singular.max(initial=1.0) / singular.min(initial=1.0))
    return Optimum(s.sum(), r, rho, slopes, max(rounding, columns, float(lost.max() / c)), condition)


def check_numbers(case: Case, found: Outcome, data: Data) -> Optimum | None:
    """What holds for every fit; the optimum computed again where it has digits."""
    model = found.model
    overflow = "overflows" in model.stop_reason_
    for name in ("coef_", "intercept_", "c_", "scale_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert model.coef_.shape == (case.p,)
    assert model.weights_.shape == data.y.shape
    assert not np.isnan(model.weights_).any()
    assert (model.weights_ >= 0).all()
    if model.alpha_ <= 2:
        assert (model.weights_ <= 1).all()
    assert 1 <= model.n_iter_ <= case.max_iter
    assert len(model.history_) in (model.n_iter_, model.n_iter_ + 1)
    assert model.converged_ == (not any("gradient is" in text for text in found.messages))
    assert model.c_ >= 0
    if case.learns:
        assert case.alpha_bounds[0] <= model.alpha_ <= case.alpha_bounds[1]
    else:
        assert model.alpha_ == case.alpha
    if overflow:
        return None
    counted = ones_for_none(data.weights, data.y) > 0
    assert np.isfinite(model.weights_[counted]).all()
    assert np.isfinite(model.objective_)
    assert np.isfinite(model.history_.drop(columns="alpha")).all(axis=None)
    values = model.history_["objective"].to_numpy()
    assert model.objective_ == values[-1]
    if model.c_ == 0:
        return None
    again = computed_again(case, model, data)
    penalised = case.l2_regularization not in ("auto", 0.0)
    if again.rounding > 1e-6:
        return None
    if not (penalised and case.learns):
        S = max(again.S, case.n if any("rescaled" in text for text in found.messages) else 0.0)
        assert np.diff(values).max(initial=0.0) <= (1e-10 + 30 * again.rounding) * (np.abs(values).max() + S)
    if not model.converged_ or found.messages:
        return None
    tol = 2e-7 + 10 * case.tol + 30 * again.rounding * again.condition
    assert np.abs(again.gradient).max() <= tol, (again.gradient, tol, model.stop_reason_)
    if not case.learns and not penalised:
        expected = again.S * again.rho
        assert abs(model.objective_ - expected) <= (1e-9 + 30 * again.rounding) * (again.S + abs(expected))
    return again


class Change(NamedTuple):
    """Two data sets whose fits must agree: y of the other is y_factor y + shift + X tilt, its columns x_factor X."""

    one: Data
    other: Data
    y_factor: float = 1.0
    x_factor: np.ndarray | float = 1.0
    lost: float = 0.0  # the rounding of y that the change brings


def change(case: Case, data: Data) -> Change | None:
    """The relation of the case, where it holds."""
    rng = case.rng(1)
    X, y = data.X, data.y
    penalised = case.l2_regularization not in ("auto", 0.0)
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        return None
    if case.relation == "layout":
        return Change(data, case.data())
    if case.relation == "permuted":
        order = rng.permutation(case.n)
        return Change(data, Data(*(None if a is None else a[order] for a in data)))
    if case.relation == "repeated" and case.n <= 300:  # a start takes a sample of more than a thousand rows
        s = rng.integers(1, 4, size=case.n)
        other = (None if a is None else np.repeat(a, s, axis=0) for a in (X, y, None, data.noise))
        return Change(data._replace(weights=s), Data(*other))
    if case.relation == "zero-weights":
        s = ones_for_none(data.weights, y) * (rng.uniform(size=case.n) < 0.7)
        if not s.any():
            return None
        wild = np.where(s[:, None] > 0, X, 1e6 * np.abs(X).max(axis=0)), np.where(s > 0, y, -1e300)
        kept = (None if a is None else a[s > 0] for a in (X, y, s, data.noise))
        return Change(Data(*wild, s, data.noise), Data(*kept))
    if case.relation == "y-units":
        factor = 2.0 ** rng.integers(-20, 21)
        return Change(data, data._replace(y=y * factor), y_factor=factor)
    if case.relation == "x-units" and not penalised:
        factors = 2.0 ** rng.integers(-20, 21, size=case.p)
        return Change(data, data._replace(X=X * factors), x_factor=factors)
    if case.relation == "y-shifted" and case.fit_intercept:
        shift = rng.normal() * 10.0 ** rng.uniform(-2, 4) * 10.0**case.y_exponent
        other = y + shift
        return Change(data, data._replace(y=other), lost=EPS * np.abs(other).max())
    if case.relation == "y-tilted" and not penalised:
        size = np.abs(X).max(axis=0)
        tilt = np.divide(rng.normal(size=case.p) * 10.0**case.y_exponent, size, where=size > 0, out=np.zeros(case.p))
        other = y + X @ tilt
        return Change(data, data._replace(y=other), lost=2 * EPS * np.abs(X * tilt).sum(axis=1).max())
    return None


def check_same(case: Case, found: Outcome, other: Outcome, one: Optimum, two: Optimum, what: Change) -> None:
    """The two fits are one."""
    a, b = found.model, other.model
    exact = case.relation in ("y-units", "x-units")
    if exact:
        size = np.abs(what.one.X).max(axis=0)
        there = b.coef_ * (what.x_factor / what.y_factor)
        assert (np.abs(there - a.coef_) * size <= 1e-12 * (np.abs(a.coef_) * size).max()).all()
        np.testing.assert_allclose(b.c_ / what.y_factor, a.c_, rtol=1e-12)
        assert a.alpha_ == b.alpha_
        assert a.n_iter_ == b.n_iter_
        return
    v = ones_for_none(what.one.noise, what.one.y)
    rounding = max(one.rounding, two.rounding, what.lost / (a.c_ * v.min())) * max(one.condition, two.condition)
    if rounding > 1e-6:
        return
    if another_optimum(case):
        return
    # with a penalty, c and alpha are no minimum of what coefficients lower, which they change in first order
    first_order = case.learns and case.l2_regularization not in ("auto", 0.0)
    tol = 1e-6 + (100 if first_order else 10) * case.tol + 100 * rounding
    gap = abs(a.objective_ - b.objective_) / (one.S + abs(a.objective_))
    assert gap <= tol, (gap, tol, a.objective_, b.objective_)
    if not case.learns:
        assert b.c_ / what.y_factor == pytest.approx(a.c_, rel=1e-4 + 1e3 * rounding)


def another_optimum(case: Case) -> bool:
    """Whether rounding may decide which of several optima the two fits end in, or from which start c is held.

    Subsets of a start are drawn along the rows in the order of y, which a tilt changes; where few rows have most of the
    weight, or n is small, many subsets fit half of the rows exactly, each up to rounding. L-BFGS takes long steps, and
    a c far below the residuals makes an optimum of each few rows. Rows exactly on a plane start with a scale that is a
    rounding error, which a penalty then makes the beginning of a long way.
    """
    if not case.learns and case.alpha >= 1 and case.c != "auto":  # convex
        return False
    held = case.c_min if case.learns else case.c
    from_rounding = case.target in ("exact", "plane") and case.l2_regularization not in ("auto", 0.0)
    if case.solver == "lbfgs" or held in (1e-6, 1e-3, 0.1) or from_rounding:
        return True
    few = case.n <= 4 * (case.p + 1) and (case.relation == "repeated" or case.weights != "none")
    return case.init != "ols" and (case.relation == "y-tilted" or case.weights == "wide" or few)


def check_uncertainty(model, data: Data) -> None:
    """Standard errors are numbers, or one line says why there are none."""
    try:
        errors = np.concatenate([model.summary(kind).table["standard error"] for kind in ("model", "hc")])
        limits = model.predict_interval(data.X, 0.9, data.noise)
        model.influence(data.X, data.y, data.noise)
    except ValueError as error:
        assert str(error).startswith("Standard errors must have"), error
        assert "\n" not in str(error)
        return
    assert not (errors < 0).any()
    if model.converged_:
        determined = np.tile(model._evidence.sandwich.determined, 2)
        assert not np.isnan(errors[determined]).any()
        assert not np.isnan(limits).any()
        assert (limits[:, 0] <= limits[:, 1]).all()
    p = model.outlier_pvalue(data.X, data.y, data.noise)
    assert ((p >= 0) & (p <= 1)).all()


def check(case: Case) -> None:
    """A case keeps all promises."""
    data = case.plain()
    what = change(case, data)
    data = data if what is None else what.one
    found = outcome(case.model(), data)
    finite = np.isfinite(data.X).all() and np.isfinite(data.y).all()
    assert bool(found.error) == (not finite), found.error
    if not finite:
        assert "must be finite" in found.error
        assert "\n" not in found.error
        return
    one = check_numbers(case, found, data)
    check_uncertainty(found.model, data)
    if what is None:
        return
    other = outcome(case.model(what.y_factor), what.other)
    assert not other.error
    plain = what.other if case.relation != "layout" else data
    two = check_numbers(case, other, plain)
    predictions = other.model.predict(what.other.X)
    assert np.isfinite(predictions).all()
    if one is not None and two is not None:
        check_same(case, found, other, one, two, what)


@given(case=cases())
def test_fits_of_all_kinds(case):
    check(case)


# what the long profile found, as small as it went
FOUND = [
    Case(seed=4033033524, n=3, p=1, target="huge", learns=False),
    Case(seed=1205662274, n=3, p=1, target="huge", l2_regularization=1.0),
    Case(seed=3253259546, n=2, p=4, target="huge", weights="tiny", fit_intercept=False, l2_regularization=1e-06),
    Case(seed=212345248, n=2, p=1, target="huge", noise="tiny", learns=False, c=0.1),
    Case(seed=3962489779, n=3, p=1, noise="huge", fit_intercept=False, l2_regularization=1000000.0, solver="irls"),
    Case(seed=390214472, n=2, p=1, target="huge", noise="tiny"),
    Case(seed=2505667722, n=2, p=5, columns="heavy", target="exact", weights="huge", noise="wide"),
    Case(seed=1497604160, n=2, p=1, columns="zero", weights="huge", alpha_bounds=(0.5, 1.5), l2_regularization=1.0),
    Case(seed=2734992096, n=2, p=1, noise="tiny", dtype="uint8", learns=False, l2_regularization=1e-06),
    Case(
        seed=2682168959,
        n=3,
        x_shift=1000000000.0,
        dtype="uint8",
        learns=False,
        alpha=1.5,
        c=0.001,
        fit_intercept=False,
        l2_regularization=1e-06,
    ),
    Case(
        seed=1958647454,
        n=8,
        p=3,
        columns="zero",
        spread_exponents=True,
        x_shift=1000000000.0,
        target="plane",
        noise="uniform",
        fit_intercept=False,
        l2_regularization=1000000.0,
        max_iter=2,
    ),
    Case(seed=1976572595, n=2, p=1, noise="tiny", learns=False, alpha=3.0, c=1.0, solver="lbfgs", relation="y-tilted"),
    Case(seed=1533525667, n=3, p=3, spread_exponents=True, weights="sum-one", learns=False),
    Case(seed=950509306, n=3, p=3, columns="constant", y_shift=-1000.0, noise="wide", learns=False, alpha=INF),
    Case(
        seed=807561827,
        n=8,
        p=3,
        columns="duplicate",
        x_shift=1000000.0,
        target="outliers",
        learns=False,
        alpha=INF,
        c=1.0,
        fit_intercept=False,
    ),
    Case(
        seed=999736746,
        n=50,
        p=1,
        columns="heavy",
        target="heavy",
        learns=False,
        alpha=INF,
        efficiency=0.5,
        solver="lbfgs",
    ),
    Case(seed=2674531023, n=4, target="outliers", weights="huge", init="ols"),
    Case(seed=2226643130, n=2, p=1, y_shift=1000000.0, weights="huge", learns=False, c=30.0, fit_intercept=False),
    Case(
        seed=1476511842,
        n=5,
        p=4,
        x_exponent=100,
        spread_exponents=True,
        weights="tiny",
        learns=False,
        c=30.0,
        fit_intercept=False,
        l2_regularization=1e-06,
        solver="irls",
    ),
    Case(seed=12680, n=2, p=5, columns="heavy", x_exponent=-140, spread_exponents=True, weights="wide", learns=False),
    Case(seed=4027301801, n=2, p=3, noise="wide", alpha_bounds=(0.0, INF), fit_intercept=False),
    Case(
        seed=3900928627,
        n=700,
        p=4,
        columns="mixed",
        x_exponent=30,
        target="huge",
        y_exponent=30,
        y_shift=1000000000.0,
        weights="huge",
        noise="huge",
        layout="read-only",
        learns=False,
        alpha=2.5,
        c=1.0,
        efficiency=0.999,
        alpha_bounds=(0.0, 0.0),
        c_min=1e-06,
        fit_intercept=False,
        solver="irls",
        init="s",
        tol=1e-06,
        relation="zero-weights",
    ),
    Case(
        seed=3233605361,
        n=5,
        p=4,
        columns="constant",
        spread_exponents=True,
        target="huge",
        y_exponent=-30,
        y_shift=1000000.0,
        learns=False,
        alpha=-0.1,
        efficiency=0.5,
        solver="irls",
        init="s",
        tol=0.0001,
        random_state=1,
        relation="repeated",
    ),
    Case(
        seed=3633142171,
        n=20,
        columns="bools",
        x_exponent=140,
        spread_exponents=True,
        x_shift=1000000000.0,
        target="huge",
        y_exponent=-30,
        dtype="uint8",
        layout="memory-mapped",
        alpha=INF,
        c=30.0,
        alpha_bounds=(0.0, 0.0),
        c_min=1.0,
        solver="irls",
        init="s",
        relation="y-tilted",
    ),
    Case(
        seed=3023426182,
        n=12,
        p=8,
        columns="bools",
        spread_exponents=True,
        target="exact",
        y_exponent=8,
        weights="sum-one",
        dtype="int64",
        learns=False,
        alpha=2.5,
        efficiency=0.999,
        l2_regularization=0.0,
        solver="newton",
        init="ols",
        max_iter=1,
        tol=0.0001,
        relation="zero-weights",
    ),
    Case(
        seed=2739178427,
        n=4,
        p=5,
        columns="constant",
        x_exponent=140,
        y_exponent=-8,
        weights="zeros",
        noise="uniform",
        dtype="int64",
        c=30.0,
        c_min=1e-06,
        solver="lbfgs",
        init="ols",
        max_iter=1,
        relation="x-units",
    ),
    Case(
        seed=1524474233,
        n=300,
        p=5,
        columns="mixed",
        x_exponent=-1,
        spread_exponents=True,
        target="plane",
        y_exponent=-140,
        weights="tiny",
        dtype="object",
        learns=False,
        alpha=-2.0,
        c=1.0,
        efficiency=0.85,
        alpha_bounds=(1.0, 1.0),
        l2_regularization=1e-06,
        solver="irls",
        tol=1e-06,
        random_state=2,
        relation="permuted",
    ),
    Case(
        seed=2946298873,
        n=3,
        p=8,
        spread_exponents=True,
        target="constant",
        learns=False,
        alpha=0.0,
        efficiency=0.85,
        alpha_bounds=(0.0, 0.0),
        c_min=0.1,
        fit_intercept=False,
        l2_regularization=1e-06,
        solver="newton",
        max_iter=5,
        random_state=1,
        relation="permuted",
    ),
    Case(
        seed=4100587237,
        n=20,
        p=8,
        columns="rare",
        target="huge",
        y_shift=1000000.0,
        weights="huge",
        dtype="uint8",
        layout="list",
        alpha=2.0,
        solver="lbfgs",
        init="ols",
        tol=0.0001,
        relation="zero-weights",
    ),
    Case(
        seed=2271999412,
        n=1,
        p=8,
        target="huge",
        noise="huge",
        layout="reversed",
        efficiency=0.999,
        alpha_bounds=(3.0, 3.0),
        c_min=0.1,
        fit_intercept=False,
        solver="newton",
        init="s",
        tol=0.0001,
        random_state=1,
        relation="permuted",
    ),
    Case(
        seed=78775152,
        n=40,
        p=5,
        columns="mixed",
        x_exponent=8,
        spread_exponents=True,
        x_shift=1.0,
        y_exponent=8,
        weights="huge",
        noise="huge",
        dtype="uint8",
        layout="big-endian",
        alpha=2.0,
        c=30.0,
        efficiency=0.5,
        fit_intercept=False,
        max_iter=2,
        random_state=2,
        relation="y-shifted",
    ),
    Case(
        seed=697064982,
        n=20,
        p=5,
        x_exponent=-3,
        spread_exponents=True,
        weights="huge",
        noise="huge",
        dtype="uint8",
        layout="list",
        learns=False,
        alpha=-2.0,
        efficiency=0.85,
        alpha_bounds=(2.0, 2.0),
        c_min=1.0,
        l2_regularization=1e-06,
        solver="lbfgs",
        tol=1e-06,
    ),
    Case(
        seed=2071633865,
        n=3,
        p=5,
        columns="mixed",
        x_exponent=-140,
        x_shift=1000000000.0,
        y_shift=1.0,
        weights="integers",
        noise="uniform",
        layout="memory-mapped",
        alpha=-2.0,
        efficiency=0.5,
        alpha_bounds=(0.0, INF),
        c_min=0.1,
        l2_regularization=1000000.0,
        init="s",
        max_iter=200,
        tol=1e-06,
        relation="y-tilted",
    ),
    Case(
        seed=3742522422,
        n=15,
        p=4,
        x_exponent=-8,
        spread_exponents=True,
        target="exact",
        layout="frame",
        alpha=2.5,
        c=0.1,
        efficiency=0.5,
        c_min=100.0,
        l2_regularization=1.0,
        solver="irls",
        init="s",
        tol=1e-06,
        random_state=1,
        relation="permuted",
    ),
    Case(
        seed=3642884509,
        n=700,
        p=1,
        columns="heavy",
        spread_exponents=True,
        target="exact",
        noise="uniform",
        layout="list",
        alpha=2.5,
        c=0.1,
        efficiency=0.5,
        alpha_bounds=(0.0, INF),
        l2_regularization=1.0,
        solver="newton",
        init="s",
        random_state=1,
        relation="y-shifted",
    ),
]


@pytest.mark.parametrize("case", FOUND, ids=range(len(FOUND)))
def test_cases_that_once_failed(case):
    check(case)
