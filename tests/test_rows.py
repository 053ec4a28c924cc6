"""One pass over rows against plain NumPy, its vector code against the scalars, and any number of threads."""

import numpy as np
import pytest
from scipy import integrate, optimize, sparse, stats
from threadpoolctl import threadpool_limits

from sklearn_robust import losses
from sklearn_robust._fit.objective import Law
from sklearn_robust._loss import mixture
from sklearn_robust._loss.bisquare import TUNING
from sklearn_robust._loss.efficiency import efficient_scale, gaussian_efficiency
from sklearn_robust._loss.jit import jit
from sklearn_robust._loss.log_partition import log_partition, log_partition_curvature
from sklearn_robust._loss.terms import all_terms
from sklearn_robust._rows import blocks, cpu, vector
from sklearn_robust._rows.blocks import RowLaw, Rows, clean_probability
from sklearn_robust._rows.frame import NONE, Frame
from sklearn_robust._rows.scales import clean_scale, m_scale
from sklearn_robust._rows.subsets import Eliminated, refine_s, screen
from sklearn_robust._rows.sums import (
    DIRTY,
    SCALE,
    SCALE_SCALE,
    SCALE_SHAPE,
    SHAPE,
    SHAPE_SHAPE,
    SHARED,
    SHARED_SCALE,
    SHARED_SHAPE,
)

SHAPES = [-np.inf, -100.5, -50.0, -2.0, -1e-3, 0.0, 1e-12, 0.03, 0.3, 1.0, 1.5, 1.99, 2.0, 2.5, 4.0, np.inf]


def residuals_of_all_sizes(rng, n=400):
    u = rng.standard_cauchy(n)
    u[:40] *= 10.0 ** rng.uniform(-12, 6, 40)
    u[0] = 0.0
    return u


@jit
def fill_terms(alpha, learn_shape, lines, bits):
    vector.fill_terms(alpha, learn_shape, vector.BLOCK // vector.STEP, lines, bits)


def fill(u, alpha, learn_shape=True):
    lines, bits = cpu.scratch(0)[:2]
    whole = np.resize(u, -(-len(u) // vector.BLOCK) * vector.BLOCK)
    blocks = []
    for block in whole.reshape(-1, vector.BLOCK):
        lines[:] = np.nan
        lines[vector.U : vector.U + vector.BLOCK] = block
        fill_terms(alpha, learn_shape, lines, bits)
        blocks.append(lines.reshape(-1, vector.LINE)[: mixture.N_TERMS, : vector.BLOCK].copy())
    return np.hstack(blocks)[:, : len(u)]


@pytest.mark.parametrize("alpha", SHAPES)
def test_vector_terms_equal_the_losses(alpha):
    u = residuals_of_all_sizes(np.random.default_rng(0))
    if alpha > 2:
        u = u.clip(-20, 20)
    terms = fill(u, alpha, learn_shape=False)
    with np.errstate(over="ignore"):
        for row, expected in (
            (mixture.LOSS, losses.rho(u, alpha)),
            (mixture.WEIGHT, losses.weight(u, alpha)),
            (mixture.PULL, losses.psi(u, alpha)),
            (mixture.CURVATURE, losses.psi_prime(u, alpha)),
            (mixture.STRETCH, u * losses.psi_prime(u, alpha)),
        ):
            np.testing.assert_allclose(terms[row], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("alpha", [alpha for alpha in SHAPES if np.isfinite(alpha) and alpha != 2])
def test_shape_terms_are_derivatives(alpha):
    u = np.random.default_rng(1).uniform(-9, 9, 100)
    terms = fill(u, alpha)
    step = 1e-5 * min(1.0, abs(alpha - 2))
    ahead, behind = fill(u, alpha + step), fill(u, alpha - step)
    for derivative, row, tol in (
        (mixture.SHAPE, mixture.LOSS, 1e-7),
        (mixture.PULL_ALPHA, mixture.PULL, 1e-7),
        (mixture.SHAPE_SHAPE, mixture.SHAPE, 1e-5),
    ):
        slope = (ahead[row] - behind[row]) / (2 * step)
        np.testing.assert_allclose(terms[derivative], slope, rtol=tol, atol=tol * (1 + np.abs(slope).max()))
    np.testing.assert_allclose(terms[mixture.SHAPE], losses.rho_alpha(u, alpha), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -2.0])
def test_terms_of_huge_residuals_are_the_limits(alpha):
    u = np.array([1e140, 1e160, 1e300])
    loss, _, pull, _, pull_alpha, _, _ = np.array([all_terms(each, alpha) for each in u]).T
    np.testing.assert_allclose(loss, losses.rho(u, alpha), rtol=1e-12)
    np.testing.assert_allclose(pull, losses.psi(u, alpha), rtol=1e-9)
    assert np.isfinite(pull_alpha).all()
    assert (pull_alpha >= 0).all()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 1.9, 2.2, 5.0])
def test_curvature_of_log_partition(alpha):
    step = 1e-5
    below = max(alpha - step, 0.0)
    slope = (log_partition(alpha + step, 1)[1] - log_partition(below, 1)[1]) / (alpha + step - below)
    assert log_partition_curvature(alpha) == pytest.approx(slope, rel=1e-3)


def make_rows(n=1000, p=3, intercept=True, weighted=True, scaled=True, order="C"):
    rng = np.random.default_rng(5)
    X = np.asarray(rng.normal(size=(n, p)) * [1.0, 1e3, 1e-4][:p] + 5.0, order=order)
    y = X @ np.ones(p) + rng.standard_t(2, size=n)
    weights = rng.integers(1, 4, n).astype(float) if weighted else NONE
    noise = rng.uniform(0.5, 2.0, n) if scaled else NONE
    return Rows(X, y, weights, noise, Frame.of(X, y, weights, intercept))


def design_of(rows):
    frame = rows.frame
    design = (rows.X - frame.center) / frame.scale
    if frame.fit_intercept:
        design = np.column_stack((np.ones(len(rows)), design))
    noise = rows.noise if rows.noise.size else np.ones(len(rows))
    return design / noise[:, None], (rows.y - frame.y_center) / frame.y_scale / noise, rows.all_weights


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("alpha", [1.2, 0.0, 2.0, -np.inf])
def test_sweep_equals_numpy(intercept, weighted, order, alpha):
    rows = make_rows(intercept=intercept, weighted=weighted, scaled=weighted, order=order)
    X, y, s = design_of(rows)
    theta, c = np.linspace(0.5, -0.5, X.shape[1]), 0.7
    r = y - X @ theta
    learned = np.isfinite(alpha) and alpha != 2
    sums, loss_weights = rows.sweep(theta, RowLaw(alpha, c), cpu.HESSIAN, learned)
    weight, curvature = losses.weight(r, alpha, c), losses.psi_prime(r, alpha, c) * c**2
    u = r / c
    np.testing.assert_allclose(rows.residuals(theta), r, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sums.loss, s @ losses.rho(r, alpha, c), rtol=1e-11)
    np.testing.assert_allclose(sums.score, X.T @ (s * weight * u), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sums.gram, X.T @ (X * (s * curvature)[:, None]), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(sums.cross[0], X.T @ (s * u * (weight + curvature)), rtol=1e-9, atol=1e-8)
    gram = rows.sweep(theta, RowLaw(alpha, c), cpu.GRAM, learned)[0].gram
    np.testing.assert_allclose(gram, X.T @ (X * (s * weight)[:, None]), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(loss_weights, weight, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(rows.gram(), X.T @ (X * s[:, None]), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(rows.loss_weights(theta, RowLaw(alpha, c)), weight, rtol=1e-9, atol=1e-14)
    known = rows.residual_sums(r, [RowLaw(alpha, c), RowLaw(alpha, 2 * c)], learned)
    np.testing.assert_allclose(known[0], sums.scalars, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(known[1][0], s @ losses.rho(r, alpha, 2 * c), rtol=1e-11)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("alpha", [1.2, 0.0, 1.99, 2.0])
def test_mixture_sums_are_the_derivatives_of_its_cost(alpha, weighted):
    rows = make_rows(weighted=weighted)
    X, y, s = design_of(rows)
    learned = alpha != 2.0
    theta = np.linspace(0.5, -0.5, X.shape[1])
    here = np.array([*theta, np.log(0.4), alpha, -1.5])
    width = 9.0

    def cost(at):
        """The sum of -log density of the mixture."""
        log_c, shape, logit = at[-3:]
        clean = losses.rho(y - X @ at[:-3], shape, np.exp(log_c)) + losses.log_partition(shape) + log_c
        return s @ -np.logaddexp(-clean - np.log1p(np.exp(logit)), -np.log(width) - np.log1p(np.exp(-logit)))

    def law_of(at):
        share = 1 / (1 + np.exp(-at[-1]))
        return Law(at[-2], np.exp(at[-3]), share, width)

    def gradient(at):
        law = law_of(at)
        sums, _ = rows.sweep(at[:-3], law.of_rows(), cpu.HESSIAN, learned)
        slope = losses.log_partition(law.alpha, 1) if learned else 0.0
        law_slopes = s.sum() - sums.scalars[SCALE], sums.scalars[SHAPE] + s.sum() * slope
        return np.array([*(-sums.score / law.c), *law_slopes, s.sum() * law.share - sums.scalars[DIRTY]])

    def central(f, at, h=1e-5):
        return np.array([(f(at + h * e) - f(at - h * e)) / (2 * h) for e in np.eye(len(at))])

    law = law_of(here)
    sums, weights = rows.sweep(theta, law.of_rows(), cpu.HESSIAN, learned)
    log_terms = s.sum() * (losses.log_partition(alpha) + here[-3] - np.log1p(-law.share))
    assert sums.loss + log_terms == pytest.approx(cost(here), rel=1e-11)
    kept = [*range(len(theta) + 1), *([len(theta) + 1] if learned else []), len(theta) + 2]
    slopes = gradient(here)
    if learned and alpha > 0:
        np.testing.assert_allclose(slopes[kept], central(cost, here)[kept], rtol=1e-5, atol=1e-4 * s.sum())
    else:
        at_hand = [k for k in kept if k != len(theta) + 1]
        for k in at_hand:
            step = 1e-5 * np.eye(len(here))[k]
            assert slopes[k] == pytest.approx((cost(here + step) - cost(here - step)) / 2e-5, rel=1e-5, abs=1e-3)
    moves = [k for k in kept if not (k == len(theta) + 1 and alpha == 0)]
    for k in moves:
        step = 1e-5 * np.eye(len(here))[k]
        numeric = (gradient(here + step) - gradient(here - step)) / 2e-5
        q, c = len(theta), law.c
        if k < q:
            analytic = np.array([*(sums.gram[k] / c**2), *(sums.cross[:, k] / c)])
        else:
            scalars = sums.scalars
            curve = log_partition_curvature(alpha) if learned else 0.0
            share = s.sum() * law.share * (1 - law.share) - scalars[SHARED]
            block = np.array(
                [
                    [scalars[SCALE_SCALE], scalars[SCALE_SHAPE], -scalars[SHARED_SCALE]],
                    [scalars[SCALE_SHAPE], scalars[SHAPE_SHAPE] + s.sum() * curve, -scalars[SHARED_SHAPE]],
                    [-scalars[SHARED_SCALE], -scalars[SHARED_SHAPE], share],
                ]
            )
            analytic = np.array([*(sums.cross[k - q] / c), *block[k - q]])
        np.testing.assert_allclose(analytic[kept], numeric[kept], rtol=2e-4, atol=2e-5 * s.sum())
    clean = np.exp(-losses.rho(y - X @ theta, alpha, law.c) - losses.log_partition(alpha)) / law.c * (1 - law.share)
    clean = clean / (clean + law.share / width)
    np.testing.assert_allclose(weights, clean * losses.weight(y - X @ theta, alpha, law.c), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(clean_probability(y - X @ theta, law.of_rows()), clean, rtol=1e-9, atol=1e-14)
    known = rows.residual_sums(y - X @ theta, [law.of_rows()] * 2, learned)
    np.testing.assert_allclose(known[1], sums.scalars, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("want", [cpu.SCORE, cpu.HESSIAN])
def test_scalars_at_a_law_beside_come_with_a_pass_and_leave_it_as_it_is(want):
    rows = make_rows(n=700)
    theta = np.full(rows.frame.n_coefs, 0.1)
    two, below = Law(2.0, 0.9, 0.1, 30.0).of_rows(), Law(1.97, 0.92, 0.1, 30.0).of_rows()
    alone, weights = rows.sweep(theta, two, want)
    both, same_weights = rows.sweep(theta, two, want, True, below)
    for name in ("scalars", "score", "cross", "gram"):
        np.testing.assert_array_equal(getattr(both, name), getattr(alone, name))
    np.testing.assert_array_equal(same_weights, weights)
    np.testing.assert_array_equal(both.beside, rows.sweep(theta, below, want, True)[0].scalars)
    assert alone.beside is None
    sparse_rows = Rows(sparse.csr_array(rows.X), rows.y, rows.weights, rows.noise, rows.frame)
    without = sparse_rows.sweep(theta, two, want, True, below)[0]
    for name in ("scalars", "score", "cross") if want == cpu.HESSIAN else ("scalars", "score"):
        np.testing.assert_allclose(getattr(without, name), getattr(alone, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("width", [0, 1, 11, 200, 5000, 10**6])
@pytest.mark.parametrize("n", [1, 127, 5000, 25_000, 100_000, 1_000_001, 10**8])
def test_chunks_are_whole_blocks_and_as_large_as_each_other(n, width):
    size = blocks._chunk_size(n, width)
    n_chunks = -(-n // size)
    assert size <= max(blocks.CHUNK_ROWS, 1)
    assert size <= vector.BLOCK or size % vector.BLOCK == 0
    assert size * width <= blocks.CHUNK_ENTRIES + vector.BLOCK * width
    assert n_chunks * (size - vector.BLOCK) <= n  # but for the last block of each
    if n * max(width, 8) < 2**18:
        assert n_chunks == 1


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK_ROWS", 128)
    rows = make_rows(n=5000)
    theta = np.full(rows.frame.n_coefs, 0.1)
    results = []
    for n_threads in (1, 2, 4):
        with threadpool_limits(n_threads):
            results.append(rows.sweep(theta, RowLaw(0.7, 0.9), cpu.HESSIAN, True)[0])
    for other in results[1:]:
        for name in ("scalars", "score", "cross", "gram"):
            np.testing.assert_array_equal(getattr(other, name), getattr(results[0], name))


def test_frame_goes_there_and_back():
    rows = make_rows()
    coef, intercept = np.array([1.0, -2e-3, 30.0]), 4.5
    theta = rows.frame.from_raw(coef, intercept)
    back, intercept_back = rows.frame.to_raw(theta)
    np.testing.assert_allclose(back, coef, rtol=1e-12)
    assert intercept_back == pytest.approx(intercept, rel=1e-9)
    X, y, _ = design_of(rows)
    raw = (rows.y - rows.X @ coef - intercept) / rows.noise / rows.frame.y_scale
    np.testing.assert_allclose(y - X @ theta, raw, rtol=1e-8, atol=1e-8)


def bisquare(u, k):
    return np.where(np.abs(u) < k, 1 - (1 - (u / k) ** 2) ** 3, 1.0)


@pytest.mark.parametrize("n_coefs", [0.0, 4.0])
def test_m_scale_solves_its_equation(n_coefs):
    rng = np.random.default_rng(2)
    r, s = rng.standard_t(2, 300), rng.integers(1, 4, 300).astype(float)
    k = 1.547644980928226

    def excess(log_scale):
        return s @ bisquare(r / np.exp(log_scale), k) - 0.5 * (s.sum() - n_coefs)

    expected = np.exp(optimize.brentq(excess, -10, 10, xtol=1e-13))
    assert m_scale(r, s, s.sum(), n_coefs, 0.0, 1e-12) == pytest.approx(expected, rel=1e-9)
    repeated = np.repeat(r, s.astype(int))
    assert m_scale(repeated, NONE, s.sum(), n_coefs, 3.0, 1e-12) == pytest.approx(expected, rel=1e-9)


def test_scales_are_consistent_at_the_gaussian_and_survive_outliers():
    quantiles = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    ones, total = np.ones(len(quantiles)), float(len(quantiles))
    assert m_scale(3 * quantiles, ones, total, 0.0, 0.0, 1e-10) == pytest.approx(3.0, rel=1e-3)
    assert clean_scale(3 * quantiles, ones, total, 0.0) == pytest.approx(3.0, rel=1e-3)
    wild = quantiles.copy()
    wild[::3] = 1e9
    assert clean_scale(wild, ones, total, 0.0) < 1.5
    assert m_scale(np.where(np.arange(100) < 55, 0.0, 1.0), np.ones(100), 100.0, 0.0, 0.0, 1e-10) == 0.0


@pytest.mark.parametrize(("alpha", "k"), [(1.0, 1.287), (0.0, 1.686), (-np.inf, 2.110), (1.6, 1.0), (2.0, 1.0)])
def test_efficient_scale_is_tabulated(alpha, k):
    assert efficient_scale(alpha, 0.95) == pytest.approx(k, abs=5e-4)


@pytest.mark.parametrize("alpha", [-2.0, 0.5, 1.0, 4.0, np.inf])
@pytest.mark.parametrize("efficiency", [0.85, 0.95])
def test_efficiency_is_reached(alpha, efficiency):
    k = efficient_scale(alpha, efficiency)
    x = np.linspace(-15, 15, 200_001)
    density = stats.norm.pdf(x)
    slope = integrate.trapezoid(losses.psi_prime(x, alpha, k) * density, x)
    square = integrate.trapezoid(losses.psi(x, alpha, k) ** 2 * density, x)
    assert slope**2 / square == pytest.approx(gaussian_efficiency(alpha, k), rel=1e-6)
    assert k == 1.0 or slope**2 / square == pytest.approx(efficiency, rel=1e-6)


def test_exact_fits_of_subsets():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    X[5] = X[2]  # rows that depend on others are passed over
    draws = np.array([[0, 1, 7, 9], [2, 5, 11, 3], [8, 8, 4, 6]])
    subsets = Eliminated.of(np.ascontiguousarray(X.T), draws)
    assert subsets.rows.tolist() == [[0, 1, 7], [2, 11, 3], [8, 4, 6]]
    found = screen(np.ascontiguousarray(X.T), y, np.ones(40), 3.0, np.empty((0, 40)), subsets, 3)
    expected = [np.linalg.solve(X[rows], y[rows]) for rows in subsets.rows]
    for each in found:
        assert min(np.abs(each - theta).max() for theta in expected) < 1e-10


@pytest.mark.parametrize("noise", ["t3", "outliers"])
def test_an_s_estimate_is_where_weighted_least_squares_leaves_it(noise):
    rng = np.random.default_rng(1)
    X = np.column_stack((np.ones(300), rng.normal(size=(300, 4))))
    y = rng.standard_t(3, size=300)
    y[:60] += 20.0 if noise == "outliers" else 0.0
    first = np.linalg.lstsq(X, y, rcond=None)[0]
    (theta,), (scale,) = refine_s(np.ascontiguousarray(X.T), y, np.ones(300), 5.0, first[None], 1000, 1e-13)
    v = (y - X @ theta) / (scale * TUNING)
    assert np.mean(1.0 - np.maximum(1.0 - v * v, 0.0) ** 3) == pytest.approx(0.5 * (1.0 - 5.0 / 300), rel=1e-8)
    root = np.maximum(1.0 - v * v, 0.0)
    np.testing.assert_allclose(np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[0], theta, atol=1e-5)
