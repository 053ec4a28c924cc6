"""The loss and its derivatives against many digits, at their limits, and in the hands of a user."""

import math
import pickle
import re
import subprocess
import sys

import mpmath as mp
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import least_squares, minimize
from scipy.special import k1, kv

from sklearn_robust import losses
from sklearn_robust._loss.log_partition import log_partition_curvature

INF = math.inf
POINTWISE = ("rho", "psi", "psi_prime", "weight", "rho_alpha", "rho_c")
TOLERANCE = {"rho": 4e-15, "psi": 4e-15, "psi_prime": 4e-14, "weight": 4e-15, "rho_alpha": 1e-11, "rho_c": 4e-15}

NEAR = [centre + sign * 10.0**-k for centre in (0.0, 1.0, 2.0) for sign in (-1, 1) for k in range(3, 13)]
PLAIN = [-INF, -1e12, -1e3, -2.0, -0.5, 0.0, 0.3, 1.0, 1.5, 2.0, 2.5, 4.0, 10.0, 100.0, 1e4, 1e12, INF]
DENSE = [alpha for alpha in PLAIN + NEAR if alpha >= 0]


def grid(alphas, per_alpha, seed):
    """(x, alpha, c) with |x / c| from 1e-12 to 1e8, and more of them about 1."""
    rng = np.random.default_rng(seed)
    n = len(alphas) * per_alpha
    wide = rng.random(n) < 0.5
    u = 10.0 ** np.where(wide, rng.uniform(-12, 8, n), rng.uniform(-2, 1.3, n)) * rng.choice([-1, 1], n)
    c = np.exp(rng.normal(size=n))
    return u * c, np.repeat(alphas, per_alpha), c


def errors(name, x, alpha, c):
    """Relative errors over 1 + |log weight|, and the points at which they were taken."""
    got = getattr(losses, name)(x, alpha, c)
    with np.errstate(all="ignore"):
        log_weight = np.log(losses.weight(x, alpha, c))
        z, b = (x / c) ** 2, np.abs(alpha - 2)
        mixed = np.isfinite(alpha) & (np.abs(b + (alpha - 1) * z) < 0.1 * (b + np.abs(alpha - 1) * z))
        mixed |= (alpha == -INF) & (np.abs(1 - z) < 0.1)
    out, where = [], []
    for i in range(x.size):
        if name == "psi_prime" and mixed[i]:
            continue  # its zero crossing
        want = getattr(naive, name)(float(x[i]), float(alpha[i]), float(c[i]))
        if abs(want) > 1e305:
            assert got[i] == float(want) or abs(got[i]) > 1e304
            continue
        if abs(want) < 1e-290:
            assert abs(got[i]) < 1e-289
            continue
        with mp.workdps(50):
            error = abs((mp.mpf(float(got[i])) - want) / want)
        out.append(float(error) / (1 + abs(log_weight[i])))
        where.append((x[i], alpha[i], c[i]))
    return np.array(out), where


@pytest.mark.parametrize("name", POINTWISE)
def test_against_many_digits(name):
    x, alpha, c = grid(PLAIN + NEAR, 12, seed=POINTWISE.index(name))
    found, where = errors(name, x, alpha, c)
    worst = int(np.argmax(found))
    assert found.size > 400
    assert found[worst] < TOLERANCE[name], where[worst]


@pytest.mark.parametrize("name", ["psi", "rho_alpha", "rho_c", "psi_prime"])
def test_derivatives_by_differences(name):
    x, alpha, c = np.meshgrid([-7.0, -0.5, 0.3, 2.0], [-3.0, -0.4, 0.5, 1.6, 2.4, 3.0], [0.5, 1.0, 3.0])
    h = 1e-5
    plus, minus = {
        "psi": ((x + h, alpha, c), (x - h, alpha, c)),
        "psi_prime": ((x + h, alpha, c), (x - h, alpha, c)),
        "rho_alpha": ((x, alpha + h, c), (x, alpha - h, c)),
        "rho_c": ((x, alpha, c + h), (x, alpha, c - h)),
    }[name]
    function = losses.psi if name == "psi_prime" else losses.rho
    difference = (function(*plus) - function(*minus)) / (2 * h)
    np.testing.assert_allclose(getattr(losses, name)(x, alpha, c), difference, rtol=1e-6, atol=1e-8)


def test_named_losses():
    x = np.linspace(-4, 4, 33)
    z = x**2
    for alpha, want in {
        2.0: z / 2,
        1.0: np.sqrt(1 + z) - 1,
        0.0: np.log1p(z / 2),
        -2.0: 2 * z / (z + 4),
        -INF: -np.expm1(-z / 2),
        INF: np.expm1(z / 2),
    }.items():
        np.testing.assert_allclose(losses.rho(x, alpha), want, rtol=1e-14, atol=1e-16)


def test_far_and_infinite_residuals():
    limits = {
        "rho": {-INF: 1, -2.0: 2, 0.0: INF, 0.5: INF, 1.0: INF, 1.5: INF, 2.0: INF, 2.5: INF, INF: INF},
        "psi": {-INF: 0, -2.0: 0, 0.0: 0, 0.5: 0, 1.0: 1, 1.5: INF, 2.0: INF, 2.5: INF, INF: INF},
        "psi_prime": {-INF: 0, -2.0: 0, 0.0: 0, 0.5: 0, 1.0: 0, 1.5: 0, 2.0: 1, 2.5: INF, INF: INF},
        "weight": {-INF: 0, -2.0: 0, 0.0: 0, 0.5: 0, 1.0: 0, 1.5: 0, 2.0: 1, 2.5: INF, INF: INF},
        "rho_alpha": {-INF: 0, -2.0: 0.5, 0.0: INF, 0.5: INF, 1.0: INF, 1.5: INF, 2.0: INF, 2.5: INF, INF: 0},
        "rho_c": {-INF: 0, -2.0: 0, 0.0: -2, 0.5: -INF, 1.0: -INF, 1.5: -INF, 2.0: -INF, 2.5: -INF, INF: -INF},
    }
    for name, values in limits.items():
        for alpha, want in values.items():
            assert getattr(losses, name)(INF, alpha) == want, (name, alpha)
            sign = -1 if name == "psi" else 1
            assert getattr(losses, name)(-INF, alpha) == sign * want, (name, alpha)
    # u² overflows, the loss does not
    assert losses.rho(1e200, 0.0) == pytest.approx(400 * math.log(10) - math.log(2), rel=1e-15)
    assert losses.psi(1e200, 1.5) == pytest.approx(1e200 * (math.sqrt(2) * 1e200) ** -0.5, rel=1e-13)


FAR = [
    (1e20, 1e-300), (1e155, 1e-160), (1e300, 1e-100), (1e300, 1e-300), (1e-100, 1e-300), (30.0, 1e-160), (3.0, 1e-200),
    (1e-160, 1e-310), (1e-160, 0.3), (3.0, 1e155), (1e300, 1e300), (1e-300, 1e300), (1e200, 1e100),
]  # fmt: skip


@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("alpha", [-2.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 2 - 1e-9, 2.0, 2 + 1e-9, 3.0, 8.0])
def test_where_the_ratio_of_residual_and_scale_is_no_number(name, alpha, monkeypatch):
    monkeypatch.setattr(naive, "DIGITS", 2600)
    for x, c in FAR:
        got = getattr(losses, name)(x, alpha, c)
        want = float(getattr(naive, name)(x, alpha, c))
        assert got == pytest.approx(want, rel=1e-12, abs=1e-322), (x, c)


def test_the_slope_in_alpha_has_no_bound_at_two_however_small_the_residual():
    assert losses.rho_alpha(1e-200, 2.0, 1e155) == INF


@pytest.mark.parametrize("name", POINTWISE)
def test_nan_and_zero(name):
    for alpha in PLAIN:
        assert math.isnan(getattr(losses, name)(math.nan, alpha)), alpha
        at_zero = {"weight": 1.0, "psi_prime": 0.25}.get(name, 0.0)
        assert getattr(losses, name)(0.0, alpha, 2.0) == at_zero


@pytest.mark.parametrize("name", POINTWISE)
def test_types_and_shapes(name):
    function = getattr(losses, name)
    x = np.array([-2.0, 0.5, 3.0])
    want = function(x, 1.0, 2.0)
    assert want.dtype == np.float64
    for dtype in (np.float16, np.float32):
        got = function(x.astype(dtype), 1.0, 2.0)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, want.astype(dtype))
    assert function(np.array([-2, 3]), 1).dtype == np.float64
    assert function(np.float32(3), 1).dtype == np.float32
    assert isinstance(function(3, 1), float)
    assert np.shape(function(3, 1)) == ()
    np.testing.assert_array_equal(function([-2.0, 0.5, 3.0], 1, 2), want)
    wide = function(x[:, None, None], np.array([0.0, 1.0])[:, None], np.array([1.0, 2.0, 3.0, 4.0]))
    assert wide.shape == (3, 2, 4)
    np.testing.assert_array_equal(wide[:, 1, 1], want)
    assert function(np.empty((0, 3)), 1.0).shape == (0, 3)
    huge = function(np.array([1e30], dtype=np.float32), INF)  # overflow is inf, silently
    assert huge[0] in (INF, -INF, 0.0)


def test_symmetry():
    x, alpha, c = grid(PLAIN + NEAR, 20, seed=7)
    for name in POINTWISE:
        function = getattr(losses, name)
        np.testing.assert_array_equal(function(-x, alpha, c), (-1 if name == "psi" else 1) * function(x, alpha, c))


numbers = st.floats(-1e6, 1e6)
shapes = st.one_of(st.floats(-50, 50), st.sampled_from([-INF, INF, 0.0, 1.0, 2.0, 2 - 1e-9, 2 + 1e-9, 1e-12]))


@settings(max_examples=300, deadline=None)
@given(numbers, shapes, shapes)
def test_rho_grows_with_alpha(x, first, second):
    low, high = sorted([first, second])
    assert losses.rho(x, low) <= losses.rho(x, high) * (1 + 1e-13) + 1e-300  # subnormal numbers have fewer digits


@settings(max_examples=300, deadline=None)
@given(numbers, numbers, st.floats(max_value=2.0), st.floats(1e-3, 1e3))
def test_weight_falls_from_one_to_zero(x, y, alpha, c):
    near, far = sorted([abs(x), abs(y)])
    assert 0 <= losses.weight(far, alpha, c) <= losses.weight(near, alpha, c) <= 1
    assert losses.rho(near, alpha, c) <= losses.rho(far, alpha, c)


@pytest.mark.parametrize("name", POINTWISE)
def test_bad_arguments(name):
    function = getattr(losses, name)
    for c in (-1.0, 0.0, INF, math.nan):
        with pytest.raises(ValueError, match=rf"^c must be a positive finite number. Got c={c}; pass the scale .*\.$"):
            function(1.0, 1.0, np.array([1.0, c]))
    with pytest.raises(ValueError, match=r"^alpha must be a number in \[-inf, inf\]. Got alpha=nan; pass 2 .*\.$"):
        function(1.0, math.nan)
    with pytest.raises(ValueError, match=r"^x must be real numbers. Got dtype complex128; .*\.$"):
        function(1j, 1.0)


@pytest.mark.parametrize("name", POINTWISE)
def test_shapes_that_do_not_fit_are_one_line(name):
    function = getattr(losses, name)
    line = r"^x, alpha and c must have shapes that broadcast\. Got \(2,\), \(3,\) and \(\); add axes .*\.$"
    with pytest.raises(ValueError, match=line):
        function([1.0, 2.0], [0.0, 1.0, 2.0])
    for keywords in ({"x": [[1.0], [2.0, 3.0]]}, {"alpha": [[1.0], [2.0, 3.0]]}, {"c": [[1.0], [2.0, 3.0]]}):
        (wrong,) = keywords
        with pytest.raises(ValueError, match=rf"^{wrong} must be real numbers\. Got rows of several lengths; .*\.$"):
            function(**{"x": 1.0, "alpha": 1.0} | keywords)


def test_known_partitions():
    # the Bessel functions of scipy are themselves good to a few 1e-15
    for alpha, want in {
        0.0: math.log(math.pi * math.sqrt(2)),
        1.0: math.log(2 * math.e * k1(1)),
        2.0: math.log(2 * math.pi) / 2,
        4.0: 0.25 + math.log(kv(0.25, 0.25)),
        INF: 0.705260254417569688,
    }.items():
        assert losses.log_partition(alpha) == pytest.approx(want, abs=2e-14)
    assert losses.log_partition(0.0, order=1) == pytest.approx(-0.859772866782369, rel=1e-9)
    assert losses.log_partition(2.0, order=1) == -INF
    assert losses.log_partition(INF, order=1) == 0


@pytest.mark.parametrize("alpha", [*sorted(DENSE)[::3], 0.0, 0.7, 1.9, 1.9999999, 2.0000001, 2.1, 7.0, INF])
def test_log_partition_against_many_digits(alpha):
    assert abs(float(naive.log_partition(alpha) - mp.mpf(float(losses.log_partition(alpha))))) < 2e-14


@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 0.2, 1.0, 1.5, 1.99, 2 - 1e-5, 2 + 1e-5, 2.01, 3.0, 10.0, 100.0])
def test_log_partition_slope_against_many_digits(alpha):
    assert losses.log_partition(alpha, 1) == pytest.approx(float(naive.log_partition_slope(alpha)), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 1.9, 2.1, 3.0, 10.0, 1e3, 1e6, 1e9])
def test_log_partition_curvature_against_many_digits(alpha):
    want = float(naive.log_partition_curvature(alpha))
    assert log_partition_curvature(alpha) == pytest.approx(want, rel=1e-6)


def test_log_partition_curvature_fades_as_the_third_power():
    for alpha in (1e11, 1e20, 1e90):
        assert log_partition_curvature(alpha) * alpha * alpha * alpha == pytest.approx(0.195141047833, rel=1e-8)
    for alpha in (1e149, 1e200, sys.float_info.max, INF):
        assert log_partition_curvature(alpha) == 0.0


def test_log_partition_types_and_errors():
    assert losses.log_partition(np.float32(1)).dtype == np.float32
    assert losses.log_partition(np.array([[0, 1]])).shape == (1, 2)
    assert losses.log_partition(1, order=1) < 0
    for alpha in (-1.0, -INF, math.nan):
        with pytest.raises(ValueError, match=rf"^alpha must be in \[0, inf\]. Got alpha={alpha}; there is no density"):
            losses.log_partition([1.0, alpha])
    for order in (2, -1, None, [0, 1]):
        with pytest.raises(
            ValueError, match=rf"^order must be 0 or 1. Got order={re.escape(str(order))}; pass 0 for log Z"
        ):
            losses.log_partition(1.0, order=order)


@pytest.mark.parametrize("alpha", PLAIN)
def test_scipy_loss_rows(alpha):
    z = np.array([0.0, 1e-20, 1e-6, 0.01, 0.7, 3.0, 40.0])
    value, slope, curvature = losses.scipy_loss(alpha)(z)
    np.testing.assert_allclose(value, 2 * losses.rho(np.sqrt(z), alpha), rtol=1e-15)
    np.testing.assert_allclose(value[1], z[1], rtol=1e-15)
    assert slope[0] == 1
    assert curvature[0] == pytest.approx(0.5 * np.sign(alpha - 2), rel=1e-15)
    with mp.workdps(naive.DIGITS):
        for i in range(1, z.size):
            h = z[i] * naive.STEP
            up, at, down = (2 * naive._rho(mp.sqrt(t), mp.mpf(alpha), 1) for t in (z[i] + h, mp.mpf(z[i]), z[i] - h))
            assert slope[i] == pytest.approx(float((up - down) / (2 * h)), rel=1e-13)
            assert curvature[i] == pytest.approx(float((up - 2 * at + down) / h**2), rel=1e-13)


@pytest.mark.parametrize("alpha", [-INF, -2.0, 0.0, 1.0, 2.0, 3.0])
def test_scipy_loss_in_least_squares(alpha):
    rng = np.random.default_rng(3)
    design = np.column_stack([np.ones(60), rng.normal(size=60)])
    y = design @ [1.0, 2.0] + 0.1 * rng.normal(size=60)
    y[:3] += 0.8
    c = 0.15
    fit = least_squares(
        lambda w: design @ w - y,
        [1.1, 1.9],
        loss=losses.scipy_loss(alpha),
        f_scale=c,
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-12,
    )
    direct = minimize(
        lambda w: losses.rho(design @ w - y, alpha, c).sum(),
        [1.1, 1.9],
        jac=lambda w: design.T @ losses.psi(design @ w - y, alpha, c),
        method="BFGS",
        options={"gtol": 1e-5},
    )
    np.testing.assert_allclose(fit.x, direct.x, atol=1e-6)
    assert fit.cost == pytest.approx(c**2 * direct.fun, rel=1e-9)


def test_scipy_loss_argument():
    loss = pickle.loads(pickle.dumps(losses.scipy_loss(0.5)))
    assert loss(np.array([1.0])).shape == (3, 1)
    with pytest.raises(ValueError, match=r"^alpha must be a number"):
        losses.scipy_loss(math.nan)
    with pytest.raises(ValueError, match=r"^alpha must be one number. Got an array of shape \(2,\)"):
        losses.scipy_loss([1.0, 2.0])


def test_partition_is_the_integral():
    for alpha in (0.4, 1.3, 2.7):
        mass = quad(lambda x, a: math.exp(-losses.rho(x, a)), -INF, INF, args=(alpha,), epsrel=1e-10)[0]
        assert math.log(mass) == pytest.approx(losses.log_partition(alpha), abs=1e-8)


def test_import_compiles_nothing():
    code = (
        "import numba.core.compiler as compiler\n"
        "def fail(*args, **kwargs): raise SystemExit('compiled at import')\n"
        "compiler.compile_extra = fail\n"
        "import sklearn_robust.losses, sklearn_robust.distributions\n"
        "assert not sklearn_robust.losses._rho.types\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
