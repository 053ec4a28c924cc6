"""Whatever is fitted: a clear error, a warning of ours, or finite numbers that are an optimum and change as they must.

``pytest tests/test_fuzz.py --hypothesis-profile=long`` looks for new cases; those that it found are in ``fuzz_found``.

Two fits that must agree are compared where both converged without a warning:

- Units that are powers of two change no digit: all results are the same, bit for bit up to these units.
- Otherwise the objective is the same, to the accuracy that tol and the rounding of the data leave. Coefficients are
  not compared: where the objective is flat they may differ.
- A loss that is not convex has several optima, and which is found depends on the start. Where a change of the data
  draws other subsets of rows for the start, both fits have to be stationary points of their data, and no more; that is
  checked of every fit, with gradients computed again here.
- Of several targets each is the fit alone, and a sparse X is the dense one: what is refused is refused in one line.
"""

import time
import warnings
from typing import NamedTuple

import naive_fit
import numpy as np
import pytest
from fuzz_cases import Case, Data, cases
from fuzz_found import FOUND
from hypothesis import given
from scipy import sparse
from scipy.spatial.distance import cdist
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
    """Fit; any exception but a ValueError goes through, and the TypeError that a sparse X with a kernel is."""
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(*data)
            error = ""
        except ValueError as refused:
            error = str(refused)
        except TypeError as refused:
            error = str(refused)
            assert sparse.issparse(data.X) and error.startswith("X must be dense for a kernel"), error
    assert "\n" not in error
    assert time.process_time() - start < SECONDS, "the fit hangs"
    for each in caught:
        text = str(each.message)
        assert each.category in (UserWarning, ConvergenceWarning), (each.category, text, each.filename, each.lineno)
        assert "\n" not in text
        assert text.endswith("."), text
    return Outcome(model, error, [str(each.message) for each in caught])


def ones_for_none(values, y):
    return np.ones(len(y)) if values is None else np.asarray(values, float)


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def expected_errors(case: Case, data: Data) -> tuple[list[str], list[str]]:
    """What an error has to say, and where there need not be one, what it may say."""
    certain, possible = [], []
    if not (np.isfinite(data.X).all() and np.isfinite(data.y).all()):
        certain.append("must be finite")
    if case.learns and case.contamination not in ("auto", 0.0) and case.alpha_bounds[0] > 2.0:
        certain.append("contamination must be")
    if not case.has_kernel:
        X, y = counted_rows(data)[:2]
        sizes = np.ptp(X, axis=0) if case.fit_intercept else np.abs(X).max(axis=0)
        if np.log10(np.abs(y).max()) - np.log10(sizes[sizes > 0.0].min(initial=np.inf)) > 290:
            possible.append("coefficients are finite numbers")
        return certain, possible
    _, _, s, v, _ = counted_rows(data)
    if case.init == "s":
        certain.append("init must be")
    if case.n_components is not None and case.n_components > len(s):
        certain.append("n_components must be")
    if certain:
        return certain, possible
    largest = np.abs(kernel_matrices(case, data)[0]).max()
    if not largest < 1e100:  # which landmarks need not be
        (certain if case.n_components is None else possible).append("kernel must give finite numbers")
    elif abs(np.log10(largest) + np.log10(s).max() - 2 * np.log10(v).min()) > 280:  # the units of the penalty
        possible.append("l2_regularization must be a number")
    return certain, possible


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def kernel_matrices(case: Case, data: Data, model=None) -> tuple[np.ndarray, np.ndarray]:
    """The kernel between rows that count and landmarks, those rows for an exact kernel, and among the latter."""
    X = counted_rows(data)[0]
    Z = X if model is None or case.n_components is None else model.components_
    if case.kernel == "rbf":
        return np.exp(-cdist(X, Z, "sqeuclidean") / case.p), np.exp(-cdist(Z, Z, "sqeuclidean") / case.p)
    return (X @ Z.T / case.p + 1) ** 3, (Z @ Z.T / case.p + 1) ** 3


class Optimum(NamedTuple):
    """The fit in plain numbers, computed again: the loss, its gradient, and how many digits these can have."""

    S: float
    residuals: np.ndarray
    rho: float
    gradient: np.ndarray
    rounding: float  # of the residuals, in units of c
    condition: float  # of the design: how much worse coefficients may be


def counted_rows(data: Data):
    """X, y, weights and noise scales of the rows that count, and the weights so that they sum to 1."""
    X, y = data.X, data.y
    s, v = ones_for_none(data.weights, y), ones_for_none(data.noise, y)
    kept = s > 0
    return X[kept], y[kept], s[kept], v[kept], s[kept] / s.max() / (s / s.max()).sum()


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def computed_again(case: Case, model, data: Data) -> Optimum:
    """Line 1 and its gradient per unit weight, coefficients in units of c over the size of their centred columns."""
    if case.has_kernel:
        return _with_kernel(case, model, data)
    X, y, s, v, share = counted_rows(data)
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


def _with_kernel(case: Case, model, data: Data) -> Optimum:
    """The same of a kernel: slopes along its columns, as long as c where they are longest."""
    _, y, s, v, share = counted_rows(data)
    K, among = kernel_matrices(case, data, model)
    centred = K - K.mean(axis=0)
    spread = np.abs(centred - centred.mean(axis=1)[:, None]).max()
    condition = np.abs(K).max() / spread if spread > 0 else 1.0
    r = (y - K @ model.dual_coef_ - model.intercept_) / v
    c, typical = model.c_, np.sort(v)[np.searchsorted(np.cumsum(share[np.argsort(v)]), 0.5)]
    background = naive_fit.background(model)
    pull = share * c * naive_fit.clean_probability(r, model.alpha_, c, *background) * losses.psi(r, model.alpha_, c)
    fitted, penalty = np.abs(K) @ np.abs(model.dual_coef_), among @ model.dual_coef_
    if case.n_components is not None:  # landmarks leave out directions below 1e-12 of the largest
        values, vectors = np.linalg.eigh(among)
        vectors = vectors[:, values > 1e-11 * values[-1]]
        K, penalty, among = K @ vectors, penalty @ vectors, vectors.T @ among @ vectors
    longest = np.abs(K).max(axis=0)
    longest[longest == 0] = 1.0
    strength = model.l2_regularization_ * typical / s.sum()
    slopes = (strength * penalty / c - (pull / v * typical) @ K) / longest
    tight = share * (typical / v) ** 2
    slopes /= 1.0 + strength * typical * among.diagonal() / longest / longest + tight @ (K / longest) ** 2
    if case.fit_intercept:
        slopes = np.append(slopes, -(pull / v * typical).sum() / (1.0 + tight.sum()))
    steep = max(1.0, 3 * float(losses.weight(r, model.alpha_, c).max()))
    # dual coefficients are differences over the strength, from which K a is not made again where it is not too small
    digits = 1.0 + min(
        len(y) * float((share * (typical / v) ** 2).max() * longest.max() / (strength * typical or 1e-300)), 1e7
    )
    lost = EPS * (np.abs(y) + digits * fitted + abs(model.intercept_)) / v
    rounding = float((lost * np.maximum(typical / v, 1.0) / c).max()) * steep
    rho = float(share @ naive_fit.cost(r, model.alpha_, c, *background))
    return Optimum(s.sum(), r, rho, slopes, rounding, condition)


def check_numbers(case: Case, found: Outcome, data: Data) -> Optimum | None:
    """What holds for every fit; the optimum computed again where it has digits."""
    model = found.model
    overflow = "overflows" in model.stop_reason_
    coef = "dual_coef_" if case.has_kernel else "coef_"
    for name in (coef, "intercept_", "c_", "scale_"):
        assert np.isfinite(getattr(model, name)).all(), name
    if not case.has_kernel:
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
        held = case.contamination
        assert 0 <= model.contamination_ <= 0.5 if held == "auto" else model.contamination_ in (0.0, held)
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
    penalised = case.has_kernel or case.l2_regularization not in ("auto", 0.0)
    if not again.rounding < 1e-6:
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
    penalised = case.has_kernel or case.l2_regularization not in ("auto", 0.0)
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
        size = 1.0 if case.has_kernel else np.abs(what.one.X).max(axis=0)
        here, there = (model.dual_coef_ if case.has_kernel else model.coef_ for model in (a, b))
        factor = what.x_factor / what.y_factor
        there = there * factor
        few_digits = (1.0 + factor) * np.finfo(float).smallest_subnormal  # what numbers below 1e-308 are rounded to
        assert (np.abs(there - here) * size <= 1e-12 * (np.abs(here) * size).max() + few_digits * size).all()
        np.testing.assert_allclose(b.c_ / what.y_factor, a.c_, rtol=1e-12)
        assert a.alpha_ == b.alpha_
        assert a.n_iter_ == b.n_iter_
        return
    v, counted = ones_for_none(what.one.noise, what.one.y), ones_for_none(what.one.weights, what.one.y) > 0
    rounding = max(one.rounding, two.rounding, what.lost / (a.c_ * v.min())) * max(one.condition, two.condition)
    if rounding > 1e-6:
        return
    if another_optimum(case):
        return
    # a kernel that follows the rows of nearly all weight leaves c and the strength "auto" to rounding
    if case.has_kernel:
        share, y = counted_rows(what.one)[-1], what.one.y[counted]
        to_follow = np.ptp(y) if case.fit_intercept else np.abs(y).max()
        if share @ np.abs(one.residuals * v[counted]) <= 1e-3 * to_follow:
            return
    # with a penalty, c and alpha are no minimum of what coefficients lower, which they change in first order
    first_order = case.learns and (case.has_kernel or case.l2_regularization not in ("auto", 0.0))
    tol = 1e-6 + (100 if first_order else 10) * case.tol + 100 * rounding
    gap = abs(a.objective_ - b.objective_) / (one.S + abs(a.objective_))
    assert gap <= tol, (gap, tol, a.objective_, b.objective_)
    if not case.learns:
        assert b.c_ / what.y_factor == pytest.approx(a.c_, rel=1e-4 + 1e3 * rounding)


def another_optimum(case: Case) -> bool:
    """Whether rounding may decide which of several optima the two fits end in, or from which start c is held.

    Subsets of a start are drawn along the rows in the order of y, which a tilt changes; where few rows have most of the
    weight, or n is small, many subsets fit half of the rows exactly, each up to rounding. A kernel has a direction for
    each row, and a row that is there twice is one draw of the noise to it. L-BFGS takes long steps, and
    a c far below the residuals makes an optimum of each few rows. Rows exactly on a plane start with a scale that is a
    rounding error, which a penalty then makes the beginning of a long way.
    """
    if case.has_kernel and case.relation == "repeated" and case.l2_regularization == "auto":
        return True  # of a row that is there twice the strength that is chosen sees one draw more than of weight 2
    if not case.learns and case.alpha >= 1 and case.c != "auto":  # convex
        return False
    held = case.c_min if case.learns else case.c
    from_rounding = case.target in ("exact", "plane") and case.l2_regularization not in ("auto", 0.0)
    if case.solver == "lbfgs" or held in (1e-6, 1e-3, 0.1) or from_rounding:
        return True
    few = (case.has_kernel or case.n <= 4 * (case.p + 1)) and (case.relation == "repeated" or case.weights != "none")
    return case.init != "ols" and (case.relation == "y-tilted" or case.weights == "wide" or few)


def check_uncertainty(case: Case, model, data: Data) -> None:
    """Standard errors are numbers, or one line says why there are none; probabilities are such."""
    found = [model.outlier_pvalue(data.X, data.y, data.noise)]
    if case.learns and case.contamination != 0.0:
        found.append(model.outlier_proba(data.X, data.y, data.noise))
    for probabilities in found:
        assert ((probabilities >= 0) & (probabilities <= 1)).all()
    try:
        errors = np.concatenate([model.summary(kind).table["standard error"] for kind in ("model", "hc")])
        limits = model.predict_interval(data.X, 0.9, data.noise)
        model.influence(data.X, data.y, data.noise)
    except ValueError as error:
        assert str(error).startswith("Standard errors, intervals" if case.has_kernel else "Standard errors must"), error
        assert "\n" not in str(error)
        return
    assert not case.has_kernel
    assert not (errors < 0).any()
    if model.converged_:
        determined = np.tile(model._evidence.sandwich.determined, 2)
        assert not np.isnan(errors[determined]).any()
        assert not np.isnan(limits).any()
        assert (limits[:, 0] <= limits[:, 1]).all()


def check_targets(case: Case, found: Outcome, data: Data) -> None:
    """Of two targets each is the fit alone."""
    second = data.y[::-1].copy()
    alone = (found.model, outcome(case.model(), data._replace(y=second)).model)
    both = outcome(case.model(), data._replace(y=np.column_stack((data.y, second)))).model
    coefs = both.dual_coef_.T if case.has_kernel else both.coef_
    for j, each in enumerate(alone):
        assert both.stop_reason_[j] == each.stop_reason_
        assert both.n_iter_[j] == each.n_iter_
        np.testing.assert_allclose(coefs[j], each.dual_coef_ if case.has_kernel else each.coef_, rtol=1e-8)
        np.testing.assert_allclose(both.weights_[:, j], each.weights_, rtol=1e-8, atol=1e-8)
        for name in ("intercept_", "alpha_", "c_", "scale_", "objective_", "l2_regularization_"):
            np.testing.assert_allclose(getattr(both, name)[j], getattr(each, name), rtol=1e-8, err_msg=name)


def check(case: Case) -> None:
    """A case keeps all promises."""
    data = case.plain()
    what = change(case, data)
    data = data if what is None else what.one
    found = outcome(case.model(), data)
    if refused(found, case, data):
        return
    one = check_numbers(case, found, data)
    check_uncertainty(case, found.model, data)
    if case.relation == "targets":
        check_targets(case, found, data)
    if what is None:
        return
    other = outcome(case.model(what.y_factor), what.other)
    if sparse.issparse(what.other.X) and case.has_kernel:
        assert other.error
        return
    plain = what.other if case.relation != "layout" else data
    if refused(other, case, plain):
        return
    two = check_numbers(case, other, plain)
    predictions = other.model.predict(what.other.X)
    assert np.isfinite(predictions).all()
    if one is not None and two is not None:
        check_same(case, found, other, one, two, what)


def refused(found: Outcome, case: Case, data: Data) -> bool:
    """Whether a fit ended in an error, which it did if it had to."""
    certain, possible = expected_errors(case, data)
    assert found.error or not certain, certain
    if found.error:
        assert any(text in found.error for text in certain or possible), (found.error, certain or possible)
    return bool(found.error)


@given(case=cases())
def test_fits_of_all_kinds(case):
    check(case)


@pytest.mark.parametrize("case", FOUND, ids=range(len(FOUND)))
def test_cases_that_once_failed(case):
    check(case)
