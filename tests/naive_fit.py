"""Slow, obvious versions of what a fit computes: textbook formulas, quadrature, differences, many starts.

    line 1   Σ s rho(r, alpha, c) + l2 ||coef||² / (2 c²)              lowered by the coefficients
    line 2   Σ s [rho(r, alpha, c) + log Z(alpha)] + (S - d) log c     lowered by alpha and c

with r = (y - X coef - intercept) / noise_scale. With a background, a share e over a width R, rho is replaced by
-log[(1 - e) exp(-rho) / (Z c) + e / R] - log(Z c). Everything is in raw units.
"""

from itertools import pairwise

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq, minimize


def rho(r, alpha, c):
    z = (np.asarray(r, float) / c) ** 2
    if alpha == 2:
        return z / 2
    if alpha == 0:
        return np.log1p(z / 2)
    if alpha == np.inf:
        return np.expm1(z / 2)
    if alpha == -np.inf:
        return -np.expm1(-z / 2)
    b = abs(alpha - 2)
    return b / alpha * np.expm1(alpha / 2 * np.log1p(z / b))


def weight(r, alpha, c):
    z = (np.asarray(r, float) / c) ** 2
    if alpha == 2:
        return np.ones_like(z)
    if np.isinf(alpha):
        return np.exp(np.sign(alpha) * z / 2)
    return (1 + z / abs(alpha - 2)) ** (alpha / 2 - 1)


def log_z(alpha):
    """The logarithm of ∫ exp(-rho(x, alpha, 1)) dx, with x = sinh(t)."""

    def density(t):
        with np.errstate(over="ignore"):
            return float(np.cosh(t) * np.exp(-rho(np.sinh(t), alpha, 1.0)))

    pieces = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 45.0]
    total = sum(quad(density, a, b, epsabs=1e-16, epsrel=1e-13)[0] for a, b in pairwise(pieces))
    return float(np.log(2 * total))


def clean_probability(r, alpha, c, share, width):
    """The posterior probability of being no outlier."""
    if share == 0.0:
        return np.ones(len(r))
    density = np.exp(-rho(r, alpha, c) - log_z(alpha)) / c * (1 - share)
    return density / (density + share / width)


def model_weight(model, r):
    """The weight of the loss, times the probability of being a clean row."""
    law = model.alpha_, model.c_
    return clean_probability(r, *law, *background(model)) * weight(r, *law)


def ones_for_none(values, y):
    return np.ones(len(y)) if values is None else np.asarray(values, float)


def residuals(model, X, y, noise_scale=None):
    return (y - X @ model.coef_ - model.intercept_) / ones_for_none(noise_scale, y)


def background(model):
    """The share and the width of the background that a model was fitted with."""
    return getattr(model, "contamination_", 0.0), model._width


def cost(r, alpha, c, share=0.0, width=np.inf):
    if share == 0.0:
        return rho(r, alpha, c)
    log_terms = log_z(alpha) + np.log(c)
    clean = np.log1p(-share) - rho(r, alpha, c) - log_terms
    return -np.logaddexp(clean, np.log(share) - np.log(width)) - log_terms


def line1(
    alpha, c, coef, intercept, X, y, sample_weight=None, noise_scale=None, l2=0.0, mixture=(0.0, np.inf)
):  # fmt: skip
    r = (y - X @ coef - intercept) / ones_for_none(noise_scale, y)
    costs = cost(r, alpha, c, *mixture)
    return float(ones_for_none(sample_weight, y) @ costs + l2 * np.sum(coef**2) / (2 * c**2))


def log_terms(alpha, c, y, sample_weight, d):
    total = ones_for_none(sample_weight, y).sum()
    return float(total * log_z(alpha) + (total - d) * np.log(c))


def objective(
    alpha, c, coef, intercept, X, y, sample_weight=None, noise_scale=None, l2=0.0, learns=False, d=0.0,
    mixture=(0.0, np.inf)
):  # fmt: skip
    """Line 1, and the log terms of line 2 where the law is learned."""
    value = line1(alpha, c, coef, intercept, X, y, sample_weight, noise_scale, l2, mixture)
    return value + log_terms(alpha, c, y, sample_weight, d) if learns else value


def degrees_of_freedom(X, sample_weight=None, noise_scale=None, fit_intercept=True, l2=0.0):
    """Rank of the weighted design, or the trace of the hat matrix of ridge at the sample weights."""
    X = np.asarray(X, float)
    design = np.column_stack((np.ones(len(X)), X)) if fit_intercept else X
    design = np.sqrt(ones_for_none(sample_weight, X))[:, None] * design / ones_for_none(noise_scale, X)[:, None]
    if l2 == 0:
        return float(np.linalg.matrix_rank(design))
    penalty = np.full(design.shape[1], l2)
    penalty[: int(fit_intercept)] = 0.0
    gram = design.T @ design
    return float(np.trace(np.linalg.solve(gram + np.diag(penalty), gram)))


def difference(function, step):
    """d function / dt at 0, to fourth order."""
    near = function(step) - function(-step)
    far = function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def coefficient_gradient(model, X, y, sample_weight=None, noise_scale=None, l2=0.0):
    """Gradient of line 1 per unit weight, coefficients in units of c / (root mean square of the centred column)."""
    fixed = (X, y, sample_weight, noise_scale, l2, background(model))
    total = ones_for_none(sample_weight, y).sum()
    center = X.mean(axis=0) if model.fit_intercept else np.zeros(X.shape[1])
    size = np.sqrt(((X - center) ** 2).mean(axis=0))
    gradient = []
    for j in range(X.shape[1]):
        unit = np.zeros(X.shape[1])
        unit[j] = model.c_ / (size[j] or 1.0)

        def along(t, unit=unit):
            # the column is turned around its mean, as if X were centred
            intercept = model.intercept_ - t * float(unit @ center)
            return line1(model.alpha_, model.c_, model.coef_ + t * unit, intercept, *fixed)

        gradient.append(difference(along, 1e-3))
    if model.fit_intercept:
        gradient.append(
            difference(
                lambda t: line1(model.alpha_, model.c_, model.coef_, model.intercept_ + t * model.c_, *fixed), 1e-3
            )
        )
    return np.array(gradient) / total


def law_gradient(model, X, y, sample_weight=None, noise_scale=None, l2=0.0):
    """Gradient of line 2 in (alpha, log c) per unit weight; that in alpha is NaN at 2 and one-sided at 0."""
    d = degrees_of_freedom(X, sample_weight, noise_scale, model.fit_intercept, l2)
    total = ones_for_none(sample_weight, y).sum()

    def line2(alpha, c):
        mixture = background(model)
        value = line1(alpha, c, model.coef_, model.intercept_, X, y, sample_weight, noise_scale, 0.0, mixture)
        return value + log_terms(alpha, c, y, sample_weight, d)

    alpha, c = model.alpha_, model.c_
    scale = difference(lambda t: line2(alpha, c * np.exp(t)), 1e-3)
    step = 1e-3 * min(1.0, abs(alpha - 2.0), alpha or 1.0)
    if alpha == 2.0:
        shape = np.nan
    elif alpha < 1e-2:
        h = 1e-3
        shape = (-3 * line2(alpha, c) + 4 * line2(alpha + h, c) - line2(alpha + 2 * h, c)) / (2 * h)
    else:
        shape = difference(lambda t: line2(alpha + t, c), step)
    return np.array([shape, scale]) / total


def bisquare(u):
    return np.where(np.abs(u) < 1, 1 - (1 - np.minimum(u * u, 1)) ** 3, 1.0)


def m_scale(r, sample_weight=None, d=0.0):
    """The scale that solves Σ s bisquare(r / (1.5476 scale)) = (S - d) / 2: breakdown one half."""
    s = ones_for_none(sample_weight, r)
    tuning = brentq(
        lambda k: (
            quad(lambda x: float(bisquare(x / k)) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi), -10, 10, points=[-k, k])[0]
            - 0.5
        ),
        1.0,
        3.0,
        xtol=1e-12,
    )
    target = (s.sum() - d) / 2
    low, high = 1e-6 * np.abs(r).max(), 1e3 * np.abs(r).max()
    return brentq(lambda scale: s @ bisquare(r / (tuning * scale)) - target, low, high, xtol=1e-300, rtol=1e-13)


def efficiency(alpha, k):
    """(E psi')² / E psi² at the standard normal, for c = k."""

    def psi(x):
        return x * weight(x, alpha, k)

    def expect(function):
        return quad(lambda x: float(function(x)) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi), -12, 12, limit=200)[0]

    return expect(lambda x: x * psi(x)) ** 2 / expect(lambda x: psi(x) ** 2)  # E psi' = E x psi


def joint_optimum(X, y, alphas, fit_intercept=True, n_starts=4, seed=0):
    """Lowest J over coefficients, alpha and c: (J, alpha, c, coef, intercept); slow, for tiny data.

    From each alpha of a grid and each start, coefficients and c first, then alpha with them.
    """
    rng = np.random.default_rng(seed)
    n, p = X.shape
    d = degrees_of_freedom(X, fit_intercept=fit_intercept)
    low, high = min(alphas), max(alphas)
    design = np.column_stack((X, np.ones(n))) if fit_intercept else X

    def split(theta):
        return (theta[:p], theta[p]) if fit_intercept else (theta, 0.0)

    def value(theta, log_c, alpha, log_normaliser):
        coef, intercept = split(theta)
        return line1(alpha, np.exp(log_c), coef, intercept, X, y) + n * log_normaliser + (n - d) * log_c

    starts = [np.linalg.lstsq(design, y, rcond=None)[0]]
    for _ in range(n_starts - 1):
        rows = rng.choice(n, size=min(n, design.shape[1] + 1), replace=False)
        starts.append(np.linalg.lstsq(design[rows], y[rows], rcond=None)[0])
    best = (np.inf,)
    for alpha in alphas:
        log_normaliser = log_z(alpha)
        for start in starts:
            spread = np.median(np.abs(y - design @ start)) + 1e-3 * np.ptp(y)
            found = minimize(
                lambda v, alpha=alpha, log_normaliser=log_normaliser: value(v[:-1], v[-1], alpha, log_normaliser),
                np.append(start, np.log(spread)),
                method="BFGS",
                options={"gtol": 1e-7},
            )
            if found.fun < best[0]:
                best = (found.fun, alpha, found.x)
    J, alpha, v = best
    if low < alpha < high or (alpha == low and low < high):
        found = minimize(
            lambda u: value(u[:-2], u[-2], np.clip(u[-1], low, high), log_z(float(np.clip(u[-1], low, high)))),
            np.append(v, alpha),
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000, "adaptive": True},
        )
        if found.fun < J:
            J, alpha, v = found.fun, float(np.clip(found.x[-1], low, high)), found.x[:-1]
    return J, alpha, float(np.exp(v[-1])), *split(v[:-1])
