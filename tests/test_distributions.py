"""The law of the noise: both tails, quantiles, variates, moments and the fit."""

import math
import pickle

import mpmath as mp
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import CensoredData, FitError

from sklearn_robust import losses
from sklearn_robust.distributions import general_robust

INF = math.inf
SHAPES = [0.0, 1e-8, 0.3, 1.0, 2 - 1e-9, 2.0, 2 + 1e-9, 3.0, 10.0, 1000.0, INF]
CAUCHY = stats.cauchy(scale=math.sqrt(2))


def relative(got, want):
    with mp.workdps(50):
        return abs(float((mp.mpf(float(got)) - want) / want))


@pytest.mark.parametrize("alpha", SHAPES)
def test_tails_against_many_digits(alpha):
    rng = np.random.default_rng(11)
    # points about the centre, and points at which sf is down to 1e-300
    t = np.concatenate([10.0 ** rng.uniform(-8, 0, 3), rng.uniform(1, 690, 3)])
    for x in general_robust.isf(np.exp(-t) / 2, alpha):
        x = float(x)
        assert math.isfinite(x)
        want = naive.sf(x, alpha)
        assert relative(general_robust.sf(x, alpha), want) < 1e-10
        assert relative(general_robust.cdf(-x, alpha), want) < 1e-10
        assert general_robust.logsf(x, alpha) == pytest.approx(float(mp.log(want)), rel=1e-10)
        assert general_robust.logcdf(-x, alpha) == pytest.approx(float(mp.log(want)), rel=1e-10)
        with mp.workdps(400):
            small = mp.log(1 - want)
        assert relative(general_robust.logsf(-x, alpha), small) < 1e-10
        assert general_robust.sf(-x, alpha) == pytest.approx(1 - float(want), rel=1e-13)
        density = -naive.rho(x, alpha, 1) - naive.log_partition(alpha)
        assert relative(general_robust.logpdf(x, alpha), density) < 1e-10
        if density > -700:
            assert relative(general_robust.pdf(x, alpha), mp.exp(density)) < 1e-10


@pytest.mark.parametrize(("alpha", "law"), [(2.0, stats.norm), (0.0, CAUCHY)])
def test_gauss_and_cauchy(alpha, law):
    x = np.concatenate([-(10.0 ** np.linspace(1.5, -9, 200)), 10.0 ** np.linspace(-9, 1.5, 200)])
    q = np.concatenate([10.0 ** np.linspace(-300, -1, 200), np.linspace(0.1, 0.9, 81)])
    ours = general_robust(alpha)
    for name in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf"):
        want = getattr(law, name)(x)
        if alpha == 0 and name in ("cdf", "logcdf", "sf", "logsf"):  # scipy's loses the far digits of its left tail
            tail = np.arctan2(math.sqrt(2), x if "sf" in name else -x) / math.pi
            want = np.log(tail) if "log" in name else tail
        np.testing.assert_allclose(getattr(ours, name)(x), want, rtol=1e-12, atol=1e-15)
    # an older scipy loses the far quantiles of its Cauchy law: -cot(pi q), and 0 at 1/2
    lower = law.ppf(q) if alpha == 2 else -math.sqrt(2) * np.sin(math.pi * (0.5 - q)) / np.sin(math.pi * q)
    np.testing.assert_allclose(ours.ppf(q), lower, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(ours.isf(q), -lower, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(ours.interval(0.95), law.interval(0.95), rtol=1e-12)
    assert ours.entropy() == pytest.approx(law.entropy(), rel=1e-12)


def test_tails_beyond_overflow():
    # x² overflows; at alpha = 0 the tail is sqrt(2) / (pi x)
    assert general_robust.sf(1e200, 0.0) == pytest.approx(math.sqrt(2) / math.pi / 1e200, rel=1e-11)
    assert general_robust.logsf(1e200, 0.0) == pytest.approx(0.5 * math.log(2) - math.log(math.pi * 1e200), rel=1e-13)
    assert general_robust.isf(1e-300, 0.0) == pytest.approx(math.sqrt(2) / math.pi * 1e300, rel=1e-11)
    assert general_robust.logsf(1e10, 1.0) == pytest.approx(-1e10, rel=1e-8)
    assert general_robust.logsf(1e150, 2.0) == pytest.approx(-0.5e300, rel=1e-14)
    for alpha in SHAPES:
        assert general_robust.sf([INF, -INF], alpha).tolist() == [0, 1]
        assert general_robust.logsf([INF, -INF], alpha).tolist() == [-INF, 0]
        assert general_robust.cdf([INF, -INF], alpha).tolist() == [1, 0]
        assert general_robust.pdf([INF, -INF], alpha).tolist() == [0, 0]
        assert general_robust.ppf([0, 1], alpha).tolist() == [-INF, INF]
        assert general_robust.isf(0.5, alpha) == 0
        assert math.isnan(general_robust.sf(math.nan, alpha))
    assert general_robust.isf(5e-324, 0.0) == INF


@pytest.mark.parametrize("alpha", [*SHAPES, 1e-3, 1.5, 1.9, 1.999, 2.01, 2.5])
def test_quantiles_invert_everywhere(alpha):
    q = np.concatenate([10.0 ** np.linspace(-300, -1, 400), [0.2, 0.3, 0.4, 0.449999, 0.450001, 0.49]])
    upper, lower = general_robust.isf(q, alpha), general_robust.ppf(q, alpha)
    assert np.all(np.diff(upper) < 0)
    np.testing.assert_array_equal(lower, -upper)
    np.testing.assert_allclose(general_robust.sf(upper, alpha), q, rtol=1e-9)
    np.testing.assert_allclose(general_robust.cdf(lower, alpha), q, rtol=1e-9)
    # just below 1/2: x = (1/2 - q) Z (1 + x² / 6 - ...) to first order
    m = np.spacing(0.5) * 2.0 ** np.arange(-1, 24)
    x = general_robust.isf(0.5 - m, alpha)
    np.testing.assert_allclose(x, m * math.exp(losses.log_partition(alpha)), rtol=1e-9)
    np.testing.assert_array_equal(general_robust.ppf(0.5 + m[1:], alpha), x[1:])
    # between them: the probability of (0, x) by another road
    for p in (0.4999, 0.47, 0.46, 0.44):
        x = float(general_robust.isf(p, alpha))
        mass = quad(general_robust(alpha).pdf, 0, x, epsabs=0, epsrel=1e-12, limit=200)[0]
        assert mass == pytest.approx(0.5 - p, rel=1e-10)


shapes = st.one_of(st.floats(0, 100), st.sampled_from(SHAPES))


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-300, 1 - 1e-15), shapes)
def test_cdf_of_ppf_is_the_identity(q, alpha):
    assert general_robust.cdf(general_robust.ppf(q, alpha), alpha) == pytest.approx(q, rel=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), shapes)
def test_cdf_grows_with_x(x, y, alpha):
    low, high = sorted([x, y])
    below, above = general_robust.cdf([low, high], alpha)
    assert 0 <= below <= above * (1 + 1e-12) <= 1 + 1e-12


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.5, 1.0, 1.9, 2.0, 5.0, INF])
def test_variates_follow_the_law(alpha):
    x = general_robust.rvs(alpha, loc=2.0, scale=3.0, size=20_000, random_state=5)
    assert stats.kstest(x, general_robust(alpha, 2.0, 3.0).cdf).pvalue > 0.01
    wrong = general_robust(alpha, 2.0, 3.3) if alpha else general_robust(alpha, 2.1, 3.3)
    assert stats.kstest(x, wrong.cdf).pvalue < 1e-3  # the test can see a scale that is wrong by 10%


def test_shapes_and_seeds_of_variates():
    alpha = np.array([0.0, 1.0, 2.0])
    x = general_robust.rvs(alpha, size=(5000, 3), random_state=1)
    assert x.shape == (5000, 3)
    for column, shape in zip(x.T, alpha, strict=True):
        assert stats.kstest(column, general_robust(shape).cdf).pvalue > 0.01
    np.testing.assert_array_equal(x, general_robust.rvs(alpha, size=(5000, 3), random_state=1))
    assert np.any(x != general_robust.rvs(alpha, size=(5000, 3), random_state=2))
    assert general_robust.rvs(alpha, random_state=np.random.default_rng(0)).shape == (3,)
    assert np.shape(general_robust.rvs(1.0, random_state=0)) == ()
    with pytest.raises(ValueError, match="Domain error"):
        general_robust.rvs(-1.0)


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 1.99, 2.0, 2.5, 4.0, 50.0, INF])
def test_moments_against_many_digits(alpha):
    for order in (2, 6):
        assert relative(general_robust.moment(order, alpha), naive.absolute_moment(order, alpha)) < 1e-11
    assert general_robust.moment(3, alpha) == 0
    mean, variance, skew, excess = general_robust.stats(alpha, loc=1, scale=2, moments="mvsk")
    second, fourth = (float(naive.absolute_moment(order, alpha)) for order in (2, 4))
    assert (mean, skew) == (1, 0)
    assert variance == pytest.approx(4 * second, rel=1e-11)
    assert excess == pytest.approx(fourth / second**2 - 3, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, 1.9, 2.2, 20.0, INF])
def test_entropy_is_the_mean_of_minus_log_density(alpha):
    law = general_robust(alpha)

    def integrand(p):  # over the probability in the right half, where x is well behaved
        return -2 * law.logpdf(law.isf(p))

    want = quad(integrand, 0, 0.5, epsabs=1e-9, epsrel=1e-9, limit=300)[0]
    assert law.entropy() == pytest.approx(want, abs=1e-6)
    assert general_robust(alpha, 5, 2).entropy() == pytest.approx(law.entropy() + math.log(2), rel=1e-14)


def test_moments_where_there_are_none():
    assert math.isnan(general_robust.mean(0.0))
    assert general_robust.var(0.0) == INF
    assert general_robust.std(0.0) == INF
    assert general_robust.var([0.0, 1e-300, 1e-5, 1e-4, 2e-4]).tolist() == [INF] * 5
    assert np.isfinite(general_robust.var(1e-3))
    assert general_robust.mean([1e-300, 1e-3, 2.0]).tolist() == [0, 0, 0]


def test_scipy_conventions():
    assert math.isnan(general_robust.pdf(0.0, -1.0))
    assert math.isnan(general_robust.ppf(0.3, math.nan))
    assert general_robust.name == "general_robust"
    assert general_robust.shapes == "alpha"
    grid = general_robust.sf(np.array([[0.5], [1.0]]), np.array([0, 1, 2]))
    assert grid.shape == (2, 3)
    assert grid[1, 1] == general_robust.sf(1.0, 1)
    assert general_robust.sf(3.0, 1.0, 1.0, 2.0) == general_robust.sf(1.0, 1.0)
    assert pickle.loads(pickle.dumps(general_robust(1.0))).sf(1.0) == general_robust.sf(1.0, 1.0)
    assert general_robust(1.0).expect(lambda x: x**2) == pytest.approx(general_robust.var(1.0), rel=1e-8)


def samples():
    rng = np.random.default_rng(8)
    return {
        "gauss": rng.normal(3, 2, 400),
        "cauchy": 1 + 2 * rng.standard_cauchy(400),
        "laplace": rng.laplace(size=400),
        "uniform": rng.uniform(size=400),
        "outliers": np.concatenate([rng.normal(size=300), rng.normal(50, 1, 150)]),
        "far": np.concatenate([rng.normal(size=300), [1e6, 2e6, -1e6]]),
        "law": general_robust.rvs(1.3, loc=-4, scale=0.1, size=2000, random_state=2),
    }


@pytest.mark.parametrize("name", list(samples()))
def test_fit_is_the_maximum(name):
    data = samples()[name]
    alpha, loc, scale = general_robust.fit(data)
    assert alpha >= 0
    reached = general_robust.logpdf(data, alpha, loc, scale).sum()

    def loss(theta):
        return -general_robust.logpdf(data, abs(theta[0]), loc + scale * theta[1], scale * math.exp(theta[2])).sum()

    for start in (0.02, 0.8, 1.9, 2.2, 6.0, 40.0):
        other = minimize(loss, [start, 0.1, 0.3], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8})
        assert reached > -other.fun - 1e-6
    for shape, centre, width in [(0.0, np.median(data), 1.0), (2.0, np.mean(data), np.std(data))]:
        assert reached > general_robust.logpdf(data, shape, centre, width).sum()


def test_fit_recovers_the_law():
    for alpha in (0.0, 0.7, 1.5):
        data = general_robust.rvs(alpha, loc=10, scale=0.5, size=20_000, random_state=4)
        got = general_robust.fit(data)
        np.testing.assert_allclose(got, (alpha, 10, 0.5), atol=0.06)
    # equivariant, also where the numbers are extreme
    base = np.array(general_robust.fit(data[:500]))
    far = np.array(general_robust.fit(1e6 + 1e3 * data[:500]))
    np.testing.assert_allclose(far, [base[0], 1e6 + 1e3 * base[1], 1e3 * base[2]], rtol=1e-4)


def test_fit_with_fixed_parameters():
    data = samples()["gauss"]
    alpha, loc, scale = general_robust.fit(data, falpha=2.0)
    assert alpha == 2
    assert (loc, scale) == pytest.approx((np.mean(data), np.std(data)), rel=1e-9)
    assert general_robust.fit(data, f0=2) == pytest.approx((2, loc, scale), rel=1e-12)
    assert general_robust.fit(data, fix_alpha=2, floc=3)[2] == pytest.approx(
        np.sqrt(np.mean((data - 3) ** 2)), rel=1e-9
    )
    assert general_robust.fit(data, falpha=2, fscale=2) == pytest.approx((2, np.mean(data), 2), rel=1e-9)
    heavy = samples()["cauchy"]
    loc, scale = stats.cauchy.fit(heavy)
    assert general_robust.fit(heavy, falpha=0) == pytest.approx((0, loc, scale / math.sqrt(2)), rel=1e-3, abs=1e-3)
    for fixed in ({"floc": 1.1}, {"fscale": 1.5}, {"floc": 1.1, "fscale": 1.5}):
        got = dict(zip(("falpha", "floc", "fscale"), general_robust.fit(heavy, **fixed), strict=True))
        assert fixed.items() <= got.items()

        def loss(theta, fixed=fixed, got=got):
            values = {
                key: fixed.get(key, abs(step + value)) for step, (key, value) in zip(theta, got.items(), strict=True)
            }
            return -general_robust.logpdf(heavy, *values.values()).sum()

        nearby = minimize(loss, [0.05, 0.05, 0.05], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9})
        assert loss([0, 0, 0]) <= nearby.fun + 1e-6


def test_fit_by_other_roads():
    data = samples()["gauss"]
    _, loc, scale = general_robust.fit(data, method="MM", falpha=2)
    assert (loc, scale) == pytest.approx((np.mean(data), np.std(data)), rel=1e-3)
    start = general_robust.fit(data, optimizer=lambda func, x0, args, disp: x0)
    assert start == pytest.approx((1, np.median(data), np.median(np.abs(data - np.median(data)))))
    assert general_robust.fit(data, 1.5, loc=2, scale=3) == pytest.approx(general_robust.fit(data), rel=1e-4)
    censored = CensoredData(uncensored=np.sort(data)[:-40], right=np.full(40, np.sort(data)[-40]))
    _, loc, scale = general_robust.fit(censored, falpha=2)
    assert (loc, scale) == pytest.approx((3, 2), abs=0.3)


def test_fit_refuses_what_is_no_number_and_no_scale_in_one_line():
    for data in (["a", "b"], [1.0, 10**400]):
        with pytest.raises(ValueError, match=r"^data must be an array of real numbers: [^\n]*$"):
            general_robust.fit(data)
    for scale in (-1.0, 0.0, INF):
        with pytest.raises(ValueError, match=rf"^fscale must be a positive finite number\. Got fscale={scale}; .*\.$"):
            general_robust.fit([1.0, 2.0, 3.0], fscale=scale)


def test_fit_errors():
    with pytest.raises(ValueError, match=r"^data must not be empty. Got 0 values; pass at least two\.$"):
        general_robust.fit([])
    with pytest.raises(ValueError, match="non-finite"):
        general_robust.fit([1.0, math.nan])
    with pytest.raises(ValueError, match="All parameters fixed"):
        general_robust.fit([1.0, 2.0], falpha=1, floc=0, fscale=1)
    with pytest.raises(TypeError, match="Unknown arguments"):
        general_robust.fit([1.0, 2.0], bogus=1)
    with pytest.raises(ValueError, match=r"^alpha must be in \[0, inf\]\. Got alpha=-1\.0"):
        general_robust.fit([1.0, 2.0, 4.0], falpha=-1)
    for data in ([3.0, 3.0, 3.0], [1.0, 1.0, 1.0, 1.0, 7.0, 9.0]):
        with pytest.raises(FitError, match=r"^The likelihood has no maximum: .*; pass fscale\.$"):
            general_robust.fit(data)
