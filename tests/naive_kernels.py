"""Slow, obvious versions of what a fit with a kernel computes, in raw units.

f = K a + b with penalty l2 a'K a / (2 c²); everything by dense systems, one after the other.
"""

import naive_fit
import numpy as np


def weighted_ridge(K, y, omega, l2, fit_intercept=True):
    """Dual coefficients and intercept: K a + b + l2 a / omega = y, and Σ a = 0 where there is b; omega > 0."""
    n = len(y)
    matrix = K + l2 * np.diag(1 / omega)
    if not fit_intercept:
        return np.linalg.solve(matrix, y), 0.0
    bordered = np.block([[matrix, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    solution = np.linalg.solve(bordered, np.append(y, 0.0))
    return solution[:n], solution[n]


def degrees_of_freedom(K, l2, sample_weight=None, noise_scale=None, fit_intercept=True):
    """The trace of y -> f at the sample weights, column by column."""
    n = len(K)
    omega = naive_fit.ones_for_none(sample_weight, K) / naive_fit.ones_for_none(noise_scale, K) ** 2
    trace = 0.0
    for i in range(n):
        a, b = weighted_ridge(K, np.eye(n)[i], omega, l2, fit_intercept)
        trace += K[i] @ a + b
    return trace


def line1(alpha, c, K, a, b, y, sample_weight=None, noise_scale=None, l2=0.0, mixture=(0.0, np.inf)):
    """Costs of the rows and the penalty."""
    r = (y - K @ a - b) / naive_fit.ones_for_none(noise_scale, y)
    costs = naive_fit.cost(r, alpha, c, *mixture)
    return float(naive_fit.ones_for_none(sample_weight, y) @ costs + l2 * a @ K @ a / (2 * c**2))


def slopes(model, K, y, sample_weight=None, noise_scale=None):
    """Gradients of line 1 along some directions, per unit weight, and of line 2 in log c; all should be zero."""
    l2, mixture = model.l2_regularization_, naive_fit.background(model)
    fixed = (y, sample_weight, noise_scale, l2, mixture)
    total = naive_fit.ones_for_none(sample_weight, y).sum()
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        step = rng.normal(size=len(y))
        step -= step.mean() * model.fit_intercept
        step *= model.c_ / np.abs(K @ step).max()

        def along(t, step=step):
            return line1(model.alpha_, model.c_, K, model.dual_coef_ + t * step, model.intercept_, *fixed)

        found.append(naive_fit.difference(along, 1e-3) / total)
    if model.fit_intercept:
        found.append(
            naive_fit.difference(
                lambda t: line1(model.alpha_, model.c_, K, model.dual_coef_, model.intercept_ + t * model.c_, *fixed),
                1e-3,
            )
            / total
        )
    # rows that all differ: each degree of freedom takes as many rows as stand for one draw of the noise
    d = max(total / len(y), 1.0) * degrees_of_freedom(K, l2, sample_weight, noise_scale, model.fit_intercept)

    def line2(c):
        fixed = (y, sample_weight, noise_scale, 0.0, mixture)
        value = line1(model.alpha_, c, K, model.dual_coef_, model.intercept_, *fixed)
        return value + naive_fit.log_terms(model.alpha_, c, y, sample_weight, d)

    scale = naive_fit.difference(lambda t: line2(model.c_ * np.exp(t)), 1e-3) / total
    return np.array(found), scale


def marginal_cost(K, y, omega, l2, count):
    """Minus twice the log of the marginal likelihood of y ~ b + N(0, s² (K / l2 + 1 / omega)), s and b profiled out.

    A flat prior of b, up to a constant; s² is divided by count - 1.
    """
    covariance = K / l2 + np.diag(1 / omega)
    inverse = np.linalg.inv(covariance)
    ones = np.ones(len(y))
    lever = ones @ inverse @ ones
    b = ones @ inverse @ y / lever
    q = (y - b) @ inverse @ (y - b)
    log_determinant = np.linalg.slogdet(covariance)[1] + np.log(lever)
    return float((count - 1) * np.log(q) + log_determinant)
