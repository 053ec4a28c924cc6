"""Slow, obvious versions of what inference computes: scores and Hessian by differences, in raw units.

A row's cost is minus the logarithm of its density, and J their weighted sum less d log c. Where the law is held the
cost is rho alone.
"""

from functools import lru_cache

import naive_fit
import numpy as np

log_z = lru_cache(maxsize=None)(naive_fit.log_z)


def free_law(model):
    """Which of log c, alpha and the logit of the share a model has learned, off every bound."""
    if not hasattr(model, "contamination_"):
        return ()
    low, high = model.alpha_bounds
    shape = low < model.alpha_ < min(high, 2.0)
    share = model.contamination_ > 0.0 and model.contamination == "auto"
    return ("log c", *["alpha"] * shape, *["logit"] * share)


def sandwich(model, X, y, s=None, v=None, l2=0.0):
    """Bread and meat in (intercept, coefficients, log c, alpha, logit of the share), the latter where they are free."""
    s, v = naive_fit.ones_for_none(s, y), naive_fit.ones_for_none(v, y)
    intercept = int(model.fit_intercept)
    share, width = naive_fit.background(model)
    free = free_law(model)
    q = X.shape[1] + intercept
    size = np.concatenate(([1.0] * intercept, np.sqrt(np.mean(X**2, axis=0))))
    room = min(1.0, model.alpha_, abs(2.0 - model.alpha_)) if "alpha" in free else 1.0
    steps = np.concatenate((1e-3 * model.c_ / size, [1e-3 * (room if name == "alpha" else 1.0) for name in free]))

    def costs(move):
        along = dict(zip(free, move[q:], strict=True))
        coef = np.concatenate(([model.intercept_] * intercept, model.coef_)) + move[:q]
        c = model.c_ * np.exp(along.get("log c", 0.0))
        alpha = model.alpha_ + along.get("alpha", 0.0)
        e = 1 / (1 + (1 / share - 1) * np.exp(-along.get("logit", 0.0))) if share else 0.0
        r = (y - X @ coef[intercept:] - coef[:intercept].sum()) / v
        if not free:
            return naive_fit.rho(r, alpha, c) if not share else naive_fit.cost(r, alpha, c, e, width)
        return naive_fit.cost(r, alpha, c, e, width) + log_z(alpha) + np.log(c)

    def slopes(move):
        """The derivatives of the costs (n, m)."""
        unit = np.eye(len(steps))
        return np.column_stack(
            [
                naive_fit.difference(lambda t, k=k: costs(move + t * unit[k]), step)
                for k, step in enumerate(steps)
            ]
        )  # fmt: skip

    unit = np.eye(len(steps))
    bread = np.column_stack(
        [naive_fit.difference(lambda t, k=k: s @ slopes(t * unit[k]), step) for k, step in enumerate(steps)]
    )
    bread[range(intercept, q), range(intercept, q)] += l2 / model.c_**2
    if l2:  # the law has an objective of its own
        bread[:q, q:] = bread[q:, :q] = 0.0
    z = slopes(np.zeros(len(steps)))
    z = z - s @ z / s.sum()
    return (bread + bread.T) / 2, (s[:, None] * z).T @ z


def covariance(model, X, y, cov_type, s=None, v=None, l2=0.0):
    """The covariance of (intercept, coefficients, what is free of the law)."""
    bread, meat = sandwich(model, X, y, s, v, l2)
    inverse = np.linalg.inv(bread)
    weights = naive_fit.ones_for_none(s, y)
    total = weights.sum()
    dof = total - naive_fit.degrees_of_freedom(X, s, v, model.fit_intercept, l2)
    if cov_type == "hc":
        return (total / dof if hasattr(model, "contamination_") else 1.0) ** 2 * inverse @ meat @ inverse
    if free_law(model) and model.alpha_bounds[0] < min(model.alpha_, model.alpha_bounds[1]):
        return inverse
    r = naive_fit.residuals(model, X, y, v)
    law = model.alpha_, model.c_
    u, step = r / model.c_, 1e-4

    def pull(u):
        return u * naive_fit.weight(u * model.c_, *law)

    curvature = naive_fit.difference(lambda t: pull(u + t), step)
    return inverse * (weights @ pull(u) ** 2 / dof) / (weights @ curvature / total)
